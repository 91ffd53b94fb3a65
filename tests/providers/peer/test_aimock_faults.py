"""What can go wrong with a server, as far as aimock can express it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from tests.providers.peer.scripted import LANGUAGE_MODELS, Peer, fixture_of, peer

from focal_core import Focal
from focal_core.errors import (
    AttemptTimeout,
    AuthenticationFailed,
    ConnectionFailed,
    ContextTooLong,
    DeadlineExceeded,
    MalformedResponse,
    Overloaded,
    PermissionDenied,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    ServerError,
    StreamInterrupted,
)
from focal_core.providers import retry
from focal_core.providers.models import CallOptions, LLMMessage, LLMRequest, TextDelta, ToolResultPart, ToolSpec
from focal_testkit.contracts.providers.fault_case import KEY, PROMPT, TEXTS, Report
from focal_testkit.contracts.providers.serving import asking
from focal_testkit.faults.wire_dialect import ANSWER, Answer, Call
from focal_testkit.servers import ServerMissing, missing
from focal_testkit.servers.aimock import Aimock

pytestmark = pytest.mark.asyncio

MODES = ["generate", "stream", "structured"]
GOOD = {"generate": fixture_of(Answer()), "stream": fixture_of(Answer())}
GOOD["structured"] = fixture_of(Answer(text='{"animal": "quokka", "burrows": 3}'))
SLOW = 5
"""Milliseconds between the pieces of a stream: without any, aimock drops what it has just written."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_BACKOFF", 0.01)


def failing(status: int, kind: str, **fields: Any) -> dict[str, Any]:
    """Return a fixture that refuses."""
    error = {"message": f"no answer to: {PROMPT}", "type": kind, "code": fields.pop("code", None)}
    return {"response": {"error": error, "status": status, **fields}}


async def ask(one: Peer, mode: str, options: CallOptions) -> Any:
    """Make a call and return its response."""
    request = asking(PROMPT, max_tokens=64)
    if mode == "generate":
        return await one.provider.generate(request, options=options)
    if mode == "structured":
        return (await one.provider.generate_structured(request, Report, options=options)).response
    if mode == "embed":
        return await one.provider.embed(TEXTS, options=options)
    async with one.provider.stream(request, options=options) as stream:
        return await stream.response()


async def refused(one: Peer, mode: str, error: type[ProviderError], attempts: int, **options: Any) -> ProviderError:
    """Make a call that fails, and check what holds for every error."""
    with pytest.raises(error) as caught:
        await ask(one, mode, CallOptions(**options))
    assert type(caught.value) is error
    assert len(caught.value.attempts) == attempts == len(one.sent) == len(await noted(one))
    shown = f"{caught.value} {caught.value!r} {caught.value.hint} {caught.value.details}"
    assert [secret for secret in (KEY, PROMPT[:24], ANSWER[:24]) if secret in shown] == []
    return caught.value


async def noted(one: Peer) -> Sequence[Any]:
    """Return what aimock's journal holds of the calls."""
    return await asyncio.to_thread(lambda: one.journal)


REFUSALS = [
    (failing(429, "rate_limit_error", retryAfter=3600), RateLimited, 1),
    (failing(429, "rate_limit_error", retryAfter=0), RateLimited, 2),
    (failing(529, "overloaded_error"), Overloaded, 2),
    (failing(503, "overloaded_error"), Overloaded, 2),
    (failing(500, "api_error"), ServerError, 2),
    (failing(502, "api_error"), ServerError, 2),
    (failing(401, "authentication_error"), AuthenticationFailed, 1),
    (failing(403, "permission_error"), PermissionDenied, 1),
    (failing(402, "billing_error"), QuotaExceeded, 1),
    (failing(400, "invalid_request_error", code="context_length_exceeded"), ContextTooLong, 1),
]
NAMES = ["429_hour", "429_now", "529", "503", "500", "502", "401", "403", "402", "context"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wire", LANGUAGE_MODELS)
@pytest.mark.parametrize(("fixture", "error", "attempts"), REFUSALS, ids=NAMES)
async def test_refusals(
    aimock: Aimock, wire: str, mode: str, fixture: dict[str, Any], error: type[ProviderError], attempts: int
) -> None:
    """Each status is its own error, tried again only where that may help; aimock counted as many calls as focal."""
    if error is ContextTooLong and wire == "anthropic":
        # Its errors have no code.
        fixture = {"response": {"error": {"message": "prompt is too long: 9 > 8", "type": "x"}, "status": 400}}
    async with peer(aimock, wire, [fixture]) as one:
        caught = await refused(one, mode, error, attempts, max_attempts=2)
        assert caught.status == fixture["response"]["status"]
        assert caught.retry_after == fixture["response"].get("retryAfter")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wire", LANGUAGE_MODELS)
@pytest.mark.parametrize("status", [429, 500, 529])
async def test_a_passing_fault_is_survived(aimock: Aimock, wire: str, mode: str, status: int) -> None:
    """The second attempt is the answer, and both are told."""
    fixtures = [failing(status, "api_error", retryAfter=0), GOOD[mode]]
    async with peer(aimock, wire, fixtures) as one:
        response = await ask(one, mode, CallOptions())

        assert response.text == GOOD[mode]["response"]["content"]
        assert [attempt.status for attempt in response.attempts] == [status, 200]
        assert [entry["response"]["status"] for entry in await noted(one)] == [status, 200]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wire", LANGUAGE_MODELS)
@pytest.mark.parametrize(
    ("chaos", "error"),
    [("dropRate", ServerError), ("malformedRate", MalformedResponse), ("disconnectRate", ConnectionFailed)],
)
async def test_chaos(aimock: Aimock, wire: str, mode: str, chaos: str, error: type[ProviderError]) -> None:
    """A dropped call, JSON that is none with status 200, and a connection that is closed without a word."""
    async with peer(aimock, wire, [{**GOOD[mode], "chaos": {chaos: 1.0}}]) as one:
        retryable = error is not MalformedResponse
        await refused(one, mode, error, 2 if retryable else 1, max_attempts=2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wire", LANGUAGE_MODELS)
async def test_time(aimock: Aimock, wire: str, mode: str) -> None:
    """No answer within an attempt's time is AttemptTimeout; the deadline holds over all attempts."""
    loop = asyncio.get_running_loop()
    async with peer(aimock, wire, [GOOD[mode]], delay=20.0) as one:
        with pytest.raises(AttemptTimeout):
            await ask(one, mode, CallOptions(attempt_timeout=0.1, max_attempts=1))
        started = loop.time()
        with pytest.raises(DeadlineExceeded):
            await ask(one, mode, CallOptions(deadline=0.3))
        assert loop.time() - started <= 0.4


@pytest.mark.parametrize("wire", LANGUAGE_MODELS)
@pytest.mark.parametrize(
    "end", [{"truncateAfterChunks": 8}, {"disconnectAfterMs": 60}], ids=["truncated", "disconnected"]
)
async def test_a_cut_stream_is_an_error_with_what_arrived(aimock: Aimock, wire: str, end: dict[str, int]) -> None:
    """And nothing is tried again once something was handed over."""
    fixture = {**fixture_of(Answer(text=ANSWER * 20)), "latency": SLOW, **end}
    pieces: list[str] = []

    async def read(one: Peer) -> None:
        async with one.provider.stream(asking()) as stream:
            async for event in stream:
                pieces.append(event.text if isinstance(event, TextDelta) else "")

    async with peer(aimock, wire, [fixture]) as one:
        with pytest.raises(StreamInterrupted) as caught:
            await read(one)
        assert len(caught.value.attempts) == len(await noted(one)) == 1
    text = "".join(pieces)
    assert text
    assert (ANSWER * 20).startswith(text)
    assert str(caught.value.partial) == text


@pytest.mark.parametrize("wire", LANGUAGE_MODELS)
async def test_a_stream_left_early_leaves_nothing(aimock: Aimock, wire: str) -> None:
    """The connection is closed at once, so that aimock stops writing."""
    fixture = {**fixture_of(Answer(text=ANSWER * 50)), "latency": SLOW}
    async with peer(aimock, wire, [fixture]) as one:
        async with one.provider.stream(asking()) as stream:
            await anext(stream)
            assert not one.tap.quiet.is_set()
        await asyncio.wait_for(one.tap.quiet.wait(), 0.5)


@pytest.mark.parametrize("wire", LANGUAGE_MODELS)
async def test_a_tool_is_called_and_its_result_understood(aimock: Aimock, wire: str) -> None:
    """aimock finds the result by the id it gave itself, and no result in the question before."""
    tool = ToolSpec(
        name="dig",
        description="Digs.",
        input_schema={
            "type": "object",
            "properties": {"depth": {"type": "integer"}},
            "required": ["depth"],
            "additionalProperties": False,
        },
    )
    calls = fixture_of(Answer(text="", calls=(Call("call_7", "dig", '{"depth": 3}'),), finish="tool_calls"))
    fixtures = [
        {**calls, "match": {"toolName": "dig", "hasToolResult": False}},
        {**fixture_of(Answer(text="It is deep.")), "match": {"toolCallId": "call_7", "toolResultContains": "3 metres"}},
    ]
    question = LLMMessage(role="user", content="How deep?")
    async with peer(aimock, wire, fixtures) as one:
        asked = await one.provider.generate(LLMRequest(messages=(question,), tools=(tool,)))
        assert [(call.id, call.name, call.arguments) for call in asked.tool_calls] == [("call_7", "dig", {"depth": 3})]
        result = LLMMessage(role="user", parts=(ToolResultPart(id="call_7", content="3 metres"),))
        told = await one.provider.generate(LLMRequest(messages=(question, asked.message, result), tools=(tool,)))
        assert told.text == "It is deep."


@pytest.mark.parametrize(
    ("fixture", "error", "attempts"),
    [
        (failing(429, "rate_limit_error", retryAfter=3600), RateLimited, 1),
        (failing(529, "overloaded_error"), Overloaded, 2),
        (failing(500, "api_error"), ServerError, 2),
        (failing(401, "authentication_error"), AuthenticationFailed, 1),
        ({"response": {"embedding": [0.5, 0.5]}}, MalformedResponse, 1),
        ({"response": {"embedding": [0.0] * 1536}}, MalformedResponse, 1),
        ({"response": {"embedding": [0.1] * 1536}, "chaos": {"malformedRate": 1.0}}, MalformedResponse, 1),
        ({"response": {"embedding": [0.1] * 1536}, "chaos": {"disconnectRate": 1.0}}, ConnectionFailed, 2),
    ],
    ids=["429_hour", "529", "500", "401", "two_dimensions", "zero", "malformed", "disconnected"],
)
async def test_embedding_faults(
    aimock: Aimock, fixture: dict[str, Any], error: type[ProviderError], attempts: int
) -> None:
    """A vector of another length, or of none, is as little an answer as a refusal is."""
    async with peer(aimock, "openai-embeddings", [fixture]) as one:
        await refused(one, "embed", error, attempts, max_attempts=2)


async def test_fewer_dimensions_are_asked_for(aimock: Aimock) -> None:
    """aimock makes vectors of the length that was asked for."""
    async with peer(aimock, "openai-embeddings", [], dimensions=256) as one:
        vectors = (await one.provider.embed(TEXTS)).embeddings

        assert [len(vector) for vector in vectors] == [256] * len(TEXTS)
        assert one.sent[0]["dimensions"] == 256


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_chain_fails_over(aimock: Aimock, streamed: bool) -> None:
    """An overloaded Claude, and GPT answers: from one file of settings, on aimock both."""
    own = "chain-streamed" if streamed else "chain-whole"
    fixtures = [
        {**failing(529, "overloaded_error"), "match": {"context": own, "model": "claude-sonnet-5"}},
        {**fixture_of(Answer()), "match": {"context": own, "model": "gpt-5-mini"}},
    ]
    await asyncio.to_thread(aimock.control, "POST", "/fixtures", {"fixtures": fixtures})
    headers = {"x-aimock-context": own, "x-test-id": own}
    common = {"api_key": KEY, "headers": headers, "max_attempts": 1}
    settings = {
        "providers": {"llm": ["claude", "gpt"]},
        "backends": {
            "claude": {"use": "anthropic", "model": "claude-sonnet-5", "base_url": aimock.origin, **common},
            "gpt": {"use": "openai", "model": "gpt-5-mini", "base_url": f"{aimock.origin}/v1", **common},
        },
    }
    async with Focal.open(settings) as focal:
        if streamed:
            async with focal.llm.stream(asking()) as stream:
                response = await stream.response()
        else:
            response = await focal.llm.generate(asking())

    assert (response.text, response.provider) == (ANSWER, "openai")
    assert [attempt.outcome for attempt in response.attempts] == ["overloaded", "ok"]


async def test_the_server_ends_with_its_process(tmp_path: Path) -> None:
    """Whoever closes it leaves nothing that listens."""
    try:
        own = Aimock(tmp_path / "own")
    except ServerMissing as error:
        missing("aimock", str(error), needed_in_ci=False)
    assert own.control("GET", "/health") == {"status": "ok"}
    own.close()
    own.close()

    with pytest.raises(URLError):
        own.control("GET", "/health")
