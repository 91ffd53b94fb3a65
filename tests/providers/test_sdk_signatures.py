"""The SDKs have the names that focal uses: at the oldest supported versions, the pinned ones and the newest."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import pytest
from tests.providers.sdk_signatures import FILE, USED, installed, names_at

from focal_core.errors import UnsupportedFeature
from focal_core.providers.models import CacheHint, LLMRequest
from focal_testkit.contracts.providers.requests import FIELDS
from focal_testkit.contracts.providers.serving import asking

PLACES = [(sdk, place) for sdk, places in USED.items() for place in places]


@pytest.mark.parametrize(("sdk", "place"), PLACES, ids=[f"{sdk}-{place}" for sdk, place in PLACES])
def test_every_name_that_is_used_is_there(sdk: str, place: str) -> None:
    """A name that an SDK dropped is named here, before a call fails for it."""
    assert USED[sdk][place] - set(names_at(sdk, place)) == set(), f"{sdk} {version(sdk)}: {place}"


@pytest.mark.parametrize("sdk", sorted(USED))
def test_the_snapshot_is_of_its_version(sdk: str) -> None:
    """At the version the file was made of, it holds what is installed; elsewhere new names are a note."""
    kept = json.loads(FILE.read_text(encoding="utf-8"))[sdk]
    found = installed(sdk)
    if version(sdk) == kept["version"]:
        assert found == kept["names"]
        return
    new = {place: sorted(set(names) - set(kept["names"][place])) for place, names in found.items()}
    told = "; ".join(f"{place}: {', '.join(names)}" for place, names in new.items() if names)
    pytest.skip(f"note: {sdk} {version(sdk)} beside {kept['version']} has new {told or 'nothing'}")


def requests() -> list[LLMRequest]:
    """Return one request for each field that a request can have."""
    fields = [fields for fields, _ in FIELDS.values()]
    fields += [{"cache": CacheHint(ttl="long", key="k")}, {"provider_options": {}}]
    plain = asking(model="m", max_tokens=9)
    return [plain.model_copy(update=one) for one in fields]


def wires() -> dict[tuple[str, str], Any]:
    from focal_providers.anthropic.llm import MessagesWire
    from focal_providers.openai.wires import ChatWire, ResponsesWire

    return {
        ("anthropic", "AsyncAnthropic.messages.create"): MessagesWire(),
        ("openai", "AsyncOpenAI.responses.create"): ResponsesWire(),
        ("openai", "AsyncOpenAI.chat.completions.create"): ChatWire("max_completion_tokens"),
    }


@pytest.mark.parametrize("place", wires(), ids=lambda place: place[1])
def test_no_name_is_used_that_is_not_listed(place: tuple[str, str]) -> None:
    """Whatever a request holds, its arguments are in the list of names that are looked for."""
    sdk, where = place
    passed: set[str] = set()
    for request in requests():
        try:
            passed |= set(wires()[place].arguments(request, cache=True))
        except UnsupportedFeature:
            continue

    assert passed - USED[sdk][where] == set()
    assert {"model", "tools", "tool_choice"} <= passed
