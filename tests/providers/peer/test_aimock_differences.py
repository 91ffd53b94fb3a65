"""The table of differences is true: each that breaks no rule is shown here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from tests.providers.peer import test_aimock_rules
from tests.providers.peer.differences import DIFFERENCES, failing_rules
from tests.providers.peer.scripted import LANGUAGE_MODELS, fixture_of, peer

from focal_core.errors import ProviderError
from focal_core.providers.models import CallOptions
from focal_testkit.contracts.providers.serving import asking
from focal_testkit.faults.wire_dialect import ANSWER, Answer
from focal_testkit.servers.aimock import Aimock

PINNED = Path(__file__).with_name("package.json")
LOCK = Path(__file__).with_name("package-lock.json")


def test_every_line_of_the_table_is_shown() -> None:
    """By a rule that fails, or by a test of this file."""
    here = vars(sys.modules[__name__])
    assert [line.aimock for line in DIFFERENCES if not line.rules and line.shown not in here] == []
    rules = [rule.split("[")[0].split("::") for rule, _ in failing_rules()]
    assert [rule for rule in rules if not hasattr(getattr(test_aimock_rules, rule[0]), rule[1])] == []


def test_the_peer_is_pinned_without_an_address() -> None:
    """One version, with the hash of what is installed; where from is everybody's own affair."""
    wanted = json.loads(PINNED.read_text(encoding="utf-8"))["dependencies"]
    locked = json.loads(LOCK.read_text(encoding="utf-8"))["packages"]
    packages = {name.removeprefix("node_modules/"): one for name, one in locked.items() if name}

    assert {name: one["version"] for name, one in packages.items()} == wanted
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert "://" not in PINNED.read_text(encoding="utf-8") + LOCK.read_text(encoding="utf-8")


def ask(aimock: Aimock, path: str, body: Any) -> Any:
    """Ask aimock without an SDK."""
    request = Request(f"{aimock.origin}{path}", json.dumps(body).encode(), {"content-type": "application/json"})
    with build_opener(ProxyHandler({})).open(request, timeout=10) as reply:
        return json.load(reply)


def test_embeddings_are_numbers_whatever_was_asked_for(aimock: Aimock) -> None:
    """The SDK and focal take either."""
    body = {"model": "text-embedding-3-small", "input": "A wombat.", "encoding_format": "base64"}
    assert isinstance(ask(aimock, "/v1/embeddings", body)["data"][0]["embedding"], list)


@pytest.mark.asyncio
async def test_anthropics_request_id_is_missing(aimock: Aimock) -> None:
    """OpenAI's is there."""
    found = {}
    for wire in LANGUAGE_MODELS:
        async with peer(aimock, wire, [fixture_of(Answer())]) as one:
            found[wire] = (await one.provider.generate(asking())).request_id is not None

    assert found == {"anthropic": False, "openai-responses": True, "openai-chat": True}


@pytest.mark.asyncio
@pytest.mark.parametrize("wire", LANGUAGE_MODELS)
async def test_limits_are_not_told_with_an_answer(aimock: Aimock, wire: str) -> None:
    """So nothing is known of them."""
    async with peer(aimock, wire, [fixture_of(Answer())]) as one:
        assert (await one.provider.generate(asking())).rate_limit is None


@pytest.mark.asyncio
@pytest.mark.parametrize("wire", LANGUAGE_MODELS)
async def test_usage_that_no_fixture_tells_is_nothing_or_a_guess(aimock: Aimock, wire: str) -> None:
    """A quarter of the characters on chat."""
    async with peer(aimock, wire, [fixture_of(Answer(spent=None))]) as one:
        usage = (await one.provider.generate(asking("Why?"))).usage

    expected = (1, -(-len(ANSWER) // 4)) if wire == "openai-chat" else (0, 0)
    assert (usage.prompt_tokens, usage.completion_tokens) == expected
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (0, 0)


@pytest.mark.asyncio
@pytest.mark.parametrize("wire", LANGUAGE_MODELS)
async def test_anything_is_taken(aimock: Aimock, wire: str) -> None:
    """That requests are what the vendors take is checked against the SDKs' own types, by the kit's server."""
    async with peer(aimock, wire, [fixture_of(Answer())], api_key="wrong", model="no-such-model") as one:
        odd = asking(provider_options={one.provider.name: {"no_such_field": 1}})
        assert (await one.provider.generate(odd)).text == ANSWER


@pytest.mark.asyncio
async def test_a_stream_without_latency_loses_what_was_written(aimock: Aimock) -> None:
    """Six events were written, and none arrives."""
    fixture = {**fixture_of(Answer()), "truncateAfterChunks": 6}
    async with peer(aimock, "anthropic", [fixture]) as one:
        with pytest.raises(ProviderError) as caught:
            async with one.provider.stream(asking(), options=CallOptions(max_attempts=1)):
                pytest.fail("the stream was entered")
    assert caught.value.code == "connection_failed"
