"""What is particular about Anthropic's provider on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.providers.storms import slow_stream, storm

from focal_core.errors import AuthenticationFailed, MalformedResponse, StreamInterrupted, Unavailable
from focal_core.providers.models import CallOptions, Done, LLMMessage, LLMRequest, TextDelta, UsageUpdate
from focal_providers.anthropic.llm import AnthropicProvider
from focal_testkit.contracts.providers.fault_case import KEY
from focal_testkit.contracts.providers.serving import asking
from focal_testkit.faults.wire import Close, Exchange, Reset, Until, WireServer, chunk, json_reply, stream_head
from focal_testkit.faults.wire_anthropic import AnthropicDialect
from focal_testkit.faults.wire_dialect import ANSWER, Answer, Spent

pytestmark = pytest.mark.asyncio

DIALECT = AnthropicDialect()
ONCE = CallOptions(max_attempts=1)


@asynccontextmanager
async def connected(*script: Exchange, **settings: Any) -> AsyncIterator[tuple[AnthropicProvider, WireServer]]:
    async with (
        WireServer(script, route=DIALECT.route) as server,
        AnthropicProvider.connect(model="m", base_url=server.origin, **{"api_key": KEY, **settings}) as llm,
    ):
        yield llm, server


async def test_a_complete_stream_leaves_its_connection_to_the_next_call() -> None:
    """The end behind the terminal event is read too, so that no call pays for a new connection."""
    async with connected(DIALECT.streamed(), DIALECT.streamed(), DIALECT.good()) as (llm, server):
        for _ in range(2):
            async with llm.stream(asking()) as stream:
                await stream.response()
        await llm.generate(asking())

        assert server.connections == 1


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["closed", "reset"])
async def test_provider_s2_a_connection_lost_behind_the_stop_reason_loses_nothing(end: Any) -> None:
    """All text stands before it: the answer is whole without ``message_stop``."""
    events = [event for event in DIALECT.events(Answer()) if event.name != "message_stop"]
    exchange = [stream_head(DIALECT.headers()), *(chunk(event.encode()) for event in events), end]
    async with connected(exchange) as (llm, server), llm.stream(asking(), options=ONCE) as stream:
        response = await stream.response()

        assert (response.text, response.finish_reason, server.attempts) == (ANSWER, "stop", 1)


async def test_usage_is_told_while_a_stream_runs_and_at_its_end() -> None:
    """The first update stands behind the first text, the last before Done; both are the whole so far."""
    async with connected(DIALECT.streamed()) as (llm, _), llm.stream(asking()) as stream:
        events = [event async for event in stream]
    updates = [event.usage for event in events if isinstance(event, UsageUpdate)]

    assert isinstance(events[0], TextDelta)
    assert isinstance(events[1], UsageUpdate)
    assert [usage.prompt_tokens for usage in updates] == [Spent().prompt] * 2
    assert [usage.completion_tokens for usage in updates] == [1, Spent().completion]
    assert isinstance(events[-1], Done)
    assert events[-1].response.usage == updates[-1]


async def test_provider_r9_what_broken_streams_have_spent_is_known() -> None:
    """Before the first event and behind it, the tokens that were reported are on the attempt."""
    start = [stream_head(DIALECT.headers()), chunk(DIALECT.events(Answer())[0].encode())]
    broken = [stream_head(DIALECT.headers()), *(chunk(event.encode()) for event in DIALECT.opening()), Close()]
    async with connected([*start, Close()], broken) as (llm, _):
        with pytest.raises(StreamInterrupted) as caught:
            async with llm.stream(asking(), options=CallOptions(max_attempts=2)) as stream:
                await stream.response()

    attempts = caught.value.attempts
    assert [attempt.outcome for attempt in attempts] == ["connection_failed", "stream_interrupted"]
    assert [attempt.usage.prompt_tokens for attempt in attempts] == [Spent().prompt] * 2
    assert caught.value.usage.prompt_tokens == 2 * Spent().prompt


async def test_tokens_are_counted_by_the_vendor_unless_its_server_cannot() -> None:
    """The count is exact; where the settings deny counting it is an estimate, which says so and sends nothing."""
    async with connected(DIALECT.good()) as (llm, server):
        assert await llm.count_tokens(asking(effort="low", stop=("x",))) == (23, True)
        body = server.requests[0].json()
        assert set(body) == {"messages", "model", "thinking", "output_config"}
    async with connected(DIALECT.good(), capabilities={"*": {"count_tokens": False}}) as (llm, server):
        counted = await llm.count_tokens(asking())
        assert (counted.exact, counted.tokens > 0, server.requests) == (False, True, [])


@pytest.mark.parametrize("body", [None, {}, {"input_tokens": None}, [1]])
async def test_a_count_that_is_none_is_malformed(body: Any) -> None:
    """As any reply that cannot be meant."""
    async with (
        WireServer([[json_reply(200, body)]]) as server,
        AnthropicProvider.connect(model="m", api_key=KEY, base_url=server.origin) as llm,
    ):
        with pytest.raises(MalformedResponse):
            await llm.count_tokens(asking())


@pytest.mark.parametrize(
    ("reply", "status", "said"),
    [
        (json_reply(200, DIALECT.model_card("m")), "ok", "m"),
        (json_reply(*DIALECT.error("authentication_failed")), "down", "ANTHROPIC_API_KEY"),
        (json_reply(*DIALECT.error("model_not_found")), "down", "model_not_found"),
    ],
    ids=["ok", "wrong_key", "no_model"],
)
async def test_a_probe_asks_for_the_model_once(
    monkeypatch: pytest.MonkeyPatch, reply: Any, status: str, said: str
) -> None:
    """It costs nothing, does not retry, and says what is wrong; a wrong key with the variable that holds it."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    async with (
        WireServer([[reply]]) as server,
        AnthropicProvider.connect(model="m", base_url=server.origin) as llm,
    ):
        report = await llm.health(probe=True)

        assert (report.status, len(server.requests), server.requests[0].path) == (status, 1, "/v1/models/m")
        assert said in str(report.checks["model"].detail)
        assert KEY not in report.model_dump_json()


async def test_a_refused_key_is_told_with_the_variable_that_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the error knows what to change."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    async with (
        WireServer([DIALECT.refused("authentication_failed")]) as server,
        AnthropicProvider.connect(model="m", base_url=server.origin) as llm,
    ):
        with pytest.raises(AuthenticationFailed) as caught:
            await llm.generate_text("hi")
    assert "ANTHROPIC_API_KEY" in str(caught.value.hint)


async def test_key_and_headers_are_sent() -> None:
    """The key as a bearer token, configured headers, and those of one request over them."""
    async with connected(DIALECT.good(), headers={"x-gate": "g", "x-both": "settings"}) as (llm, server):
        await llm.generate(asking(provider_options={"anthropic": {"headers": {"x-both": "request"}}}))
        headers = server.calls[0].headers

    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["x-gate"], headers["x-both"]) == ("g", "request")


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_the_vendors_object_is_kept_on_demand(streamed: bool) -> None:
    """Of a whole answer and of a stream it is the same; nothing of it is dumped."""
    script = DIALECT.streamed(Answer()) if streamed else DIALECT.good(Answer())
    async with connected(script, keep_raw=True) as (llm, _):
        if streamed:
            async with llm.stream(asking()) as stream:
                response = await stream.response()
        else:
            response = await llm.generate(asking())

    assert type(response.raw).__name__ == "Message"
    assert response.raw.content[0].text == ANSWER
    assert response.raw.usage.output_tokens == Spent().completion
    assert "raw" not in response.model_dump()


async def test_provider_x1_a_bug_in_the_transport_is_raised_as_itself() -> None:
    """Once, and not as a lost connection that is worth a retry."""
    async with connected(DIALECT.good()) as (llm, server):
        transport = llm._client.get()._client._transport

        async def broken(request: Any) -> Any:
            raise LookupError("a bug")

        transport.handle_async_request = broken
        with pytest.raises(LookupError, match="a bug"):
            await llm.generate(asking())
        with pytest.raises(LookupError, match="a bug"):
            async with llm.stream(asking()):
                pytest.fail("the stream was entered")
        assert server.attempts == 0


async def test_provider_x4_closing_ends_the_calls_under_way() -> None:
    """They say that the client is closed, which is not to be retried; they do not hang."""
    never = asyncio.Event()
    async with connected([Until(never)]) as (llm, server):
        call = asyncio.create_task(llm.generate(asking()))
        assert await server.counts(1, within=2.0)
        await llm._client.close()
        with pytest.raises(Unavailable) as caught:
            await asyncio.wait_for(call, 2.0)
    assert (caught.value.code, caught.value.retryable) == ("closed", False)


async def test_a_paused_answer_goes_back_as_it_came() -> None:
    """What the vendor's own tools left in it is sent back in place, so that the vendor can go on."""
    search = {"type": "server_tool_use", "id": "srv1", "name": "web_search", "input": {"query": "wombats"}}
    body = {**DIALECT.body(Answer(finish="pause")), "content": [{"type": "text", "text": "Let me see."}, search]}
    async with connected([json_reply(200, body)]) as (llm, server):
        response = await llm.generate(asking())
        assert response.finish_reason == "pause"
        user = LLMMessage(role="user", content="Why?")
        await llm.generate(LLMRequest(messages=(user, response.message)))

        assert server.calls[1].json()["messages"][1] == {"role": "assistant", "content": body["content"]}


async def test_a_thousand_streams_of_which_many_are_cancelled_leave_nothing() -> None:
    """No task, no connection in use; and whoever stayed has the whole answer."""
    exchange = slow_stream(DIALECT)
    async with connected(exchange, max_connections=200) as (llm, server):
        assert 700 <= await storm(llm, server) < 1_000
    assert server.open_connections == 0
