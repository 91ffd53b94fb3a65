"""What is particular about OpenAI's providers on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.providers.storms import slow_stream, storm

from focal_core.errors import AuthenticationFailed, ContextTooLong, MalformedResponse, ServerError, UnsupportedFeature
from focal_core.providers.models import CallOptions, Done, LLMMessage, LLMRequest, UsageUpdate
from focal_providers.openai.embedding import OpenAIEmbeddings
from focal_providers.openai.llm import OpenAIProvider
from focal_testkit.contracts.providers.fault_case import KEY
from focal_testkit.contracts.providers.serving import asking
from focal_testkit.faults.wire import (
    Close,
    Exchange,
    Hang,
    Received,
    Reset,
    Step,
    Wait,
    WireServer,
    chunk,
    json_reply,
    stream_head,
)
from focal_testkit.faults.wire_chat import ChatDialect
from focal_testkit.faults.wire_dialect import ANSWER, Answer, Spent, WireDialect
from focal_testkit.faults.wire_embeddings import DIMENSIONS, EmbeddingsDialect, vector_of
from focal_testkit.faults.wire_responses import ResponsesDialect

pytestmark = pytest.mark.asyncio

RESPONSES, CHAT, EMBEDDINGS = ResponsesDialect(), ChatDialect(), EmbeddingsDialect()
BOTH = pytest.mark.parametrize("dialect", [RESPONSES, CHAT], ids=["responses", "chat"])


@asynccontextmanager
async def connected(
    dialect: WireDialect, *script: Exchange, **settings: Any
) -> AsyncIterator[tuple[OpenAIProvider, WireServer]]:
    given = {"api_key": KEY, "api": "chat" if dialect is CHAT else "responses", **settings}
    async with (
        WireServer(script, route=dialect.route) as server,
        OpenAIProvider.connect(model="m", base_url=dialect.base_url(server.origin), **given) as llm,
    ):
        yield llm, server


@asynccontextmanager
async def embedding(*script: Exchange, **settings: Any) -> AsyncIterator[tuple[OpenAIEmbeddings, WireServer]]:
    given = {"api_key": KEY, "embedding_model": "m", "dimensions": DIMENSIONS, **settings}
    async with (
        WireServer(script, route=EMBEDDINGS.route) as server,
        OpenAIEmbeddings.connect(base_url=EMBEDDINGS.base_url(server.origin), **given) as embeddings,
    ):
        yield embeddings, server


@BOTH
async def test_a_complete_stream_leaves_its_connection_to_the_next_call(dialect: WireDialect) -> None:
    """The end behind the terminal event is read too, so that no call pays for a new connection."""
    async with connected(dialect, dialect.streamed(), dialect.streamed(), dialect.good()) as (llm, server):
        for _ in range(2):
            async with llm.stream(asking()) as stream:
                await stream.response()
        await llm.generate(asking())

        assert server.connections == 1


@pytest.mark.parametrize("end", [Close(), Reset(), Hang()], ids=["closed", "reset", "held_open"])
async def test_provider_s2_a_finish_reason_is_enough(end: Step) -> None:
    """A server that says nothing behind it has answered; its usage is waited for, but not for long."""
    events = [event for event in CHAT.events(Answer(spent=None)) if event.data != "[DONE]"]
    exchange = [stream_head(CHAT.headers()), *(chunk(event.encode()) for event in events), end]
    started = asyncio.get_running_loop().time()
    quick = CallOptions(idle_timeout=0.3)
    async with connected(CHAT, exchange) as (llm, server), llm.stream(asking(), options=quick) as stream:
        response = await stream.response()

        assert (response.text, response.finish_reason, server.attempts) == (ANSWER, "stop", 1)
    assert not response.usage.reported
    assert asyncio.get_running_loop().time() - started < 2.0


@BOTH
async def test_usage_is_told_before_a_stream_ends(dialect: WireDialect) -> None:
    """Neither wire tells it earlier."""
    async with connected(dialect, dialect.streamed()) as (llm, _), llm.stream(asking()) as stream:
        events = [event async for event in stream]
    updates = [event.usage for event in events if isinstance(event, UsageUpdate)]
    assert isinstance(events[-1], Done)
    assert updates == [events[-1].response.usage]
    assert updates[0].prompt_tokens == Spent().prompt


async def test_a_stream_of_chat_asks_for_its_usage() -> None:
    """Without being asked, a server does not tell it."""
    async with connected(CHAT, CHAT.streamed()) as (llm, server), llm.stream(asking()) as stream:
        await stream.response()
        assert server.calls[0].json()["stream_options"] == {"include_usage": True}


async def test_tokens_are_counted_by_the_vendor_unless_its_wire_cannot() -> None:
    """The count is exact; over Chat Completions it is an estimate, which says so and sends nothing."""
    async with connected(RESPONSES, RESPONSES.good()) as (llm, server):
        assert await llm.count_tokens(asking(effort="low", system="s")) == (23, True)
        assert set(server.requests[0].json()) == {"input", "instructions", "model", "reasoning"}
    async with connected(CHAT, CHAT.good()) as (llm, server):
        counted = await llm.count_tokens(asking())
        assert (counted.exact, counted.tokens > 0, server.requests) == (False, True, [])


async def test_a_response_that_failed_tells_what_it_cost() -> None:
    """It was paid for."""
    told = {"usage": {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}}
    failed = [json_reply(200, {**RESPONSES.failed("tired"), **told}, RESPONSES.headers())]
    async with connected(RESPONSES, failed) as (llm, _):
        with pytest.raises(ServerError) as caught:
            await llm.generate(asking())
    assert caught.value.usage is not None
    assert (caught.value.usage.total_tokens, caught.value.retryable, caught.value.status) == (4, False, None)
    assert caught.value.attempts[0].request_id == caught.value.request_id is not None


async def test_what_a_stop_sequence_needs_is_told_by_the_capabilities() -> None:
    """Each wire has what it has."""
    async with connected(RESPONSES, RESPONSES.good()) as (llm, server):
        assert llm.capabilities().stop is False
        with pytest.raises(UnsupportedFeature):
            await llm.generate(asking(stop=("x",)))
        assert server.requests == []
    async with connected(CHAT, CHAT.good()) as (llm, server):
        await llm.generate(asking(stop=("x",)))
        assert server.calls[0].json()["stop"] == ["x"]


@pytest.mark.parametrize(
    ("reply", "status", "said"),
    [
        (json_reply(200, RESPONSES.model_card("m")), "ok", "m"),
        (json_reply(*RESPONSES.error("authentication_failed")), "down", "OPENAI_API_KEY"),
        (json_reply(*RESPONSES.error("model_not_found")), "down", "model_not_found"),
    ],
    ids=["ok", "wrong_key", "no_model"],
)
async def test_a_probe_asks_for_the_model_once(
    monkeypatch: pytest.MonkeyPatch, reply: Any, status: str, said: str
) -> None:
    """It costs nothing, does not retry, and says what is wrong; a wrong key with the variable that holds it."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with (
        WireServer([[reply]]) as server,
        OpenAIProvider.connect(model="m", base_url=f"{server.origin}/v1") as llm,
    ):
        report = await llm.health(probe=True)

        assert (report.status, len(server.requests), server.requests[0].path) == (status, 1, "/v1/models/m")
        assert said in str(report.checks["model"].detail)
        assert KEY not in report.model_dump_json()


async def test_a_refused_key_is_told_with_the_variable_that_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the error knows what to change."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with (
        WireServer([EMBEDDINGS.refused("authentication_failed")]) as server,
        OpenAIEmbeddings.connect(embedding_model="m", dimensions=8, base_url=f"{server.origin}/v1") as embeddings,
    ):
        with pytest.raises(AuthenticationFailed) as caught:
            await embeddings.embed(["a"])
    assert "OPENAI_API_KEY" in str(caught.value.hint)


async def test_key_and_headers_are_sent() -> None:
    """The key as a bearer token, configured headers, and those of one request over them."""
    settings = {"headers": {"x-gate": "g", "x-both": "settings"}, "organization": "org", "project": "proj"}
    async with connected(RESPONSES, RESPONSES.good(), **settings) as (llm, server):
        await llm.generate(asking(provider_options={"openai": {"headers": {"x-both": "request"}}}))
        headers = server.calls[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["openai-organization"], headers["openai-project"]) == ("org", "proj")
    assert (headers["x-gate"], headers["x-both"]) == ("g", "request")


@BOTH
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_the_vendors_object_is_kept_on_demand(dialect: WireDialect, streamed: bool) -> None:
    """Of a whole answer and of a stream it is the same kind; nothing of it is dumped."""
    script = dialect.streamed() if streamed else dialect.good()
    async with connected(dialect, script, keep_raw=True) as (llm, _):
        if streamed:
            async with llm.stream(asking()) as stream:
                response = await stream.response()
        else:
            response = await llm.generate(asking())
    said = response.raw.choices[0].message.content if dialect is CHAT else response.raw.output_text
    assert (type(response.raw).__name__, said) == ("ChatCompletion" if dialect is CHAT else "Response", ANSWER)
    assert "raw" not in response.model_dump()


async def test_thinking_of_the_vendors_tools_goes_back_as_it_came() -> None:
    """What they left in an answer is sent back in place, so that the vendor can go on."""
    search = {"type": "web_search_call", "id": "ws1", "status": "completed", "action": {"type": "search", "query": "q"}}
    body = RESPONSES.body(Answer())
    body["output"].insert(0, search)
    async with connected(RESPONSES, [json_reply(200, body)]) as (llm, server):
        response = await llm.generate(asking())
        user = LLMMessage(role="user", content="Why?")
        await llm.generate(LLMRequest(messages=(user, response.message)))
        assert server.calls[1].json()["input"][1:] == [search, {"role": "assistant", "content": ANSWER}]


@BOTH
async def test_a_thousand_streams_of_which_many_are_cancelled_leave_nothing(dialect: WireDialect) -> None:
    """No task, no connection in use; and whoever stayed has the whole answer."""
    async with connected(dialect, slow_stream(dialect), max_connections=200) as (llm, server):
        assert 700 <= await storm(llm, server) < 1_000
    assert server.open_connections == 0


def _slow(most: list[int], under_way: list[float]) -> Exchange:
    """Vectors, each request a moment late, and how many were asked for at once."""
    answered = EMBEDDINGS.answered()
    assert callable(answered)

    def steps(request: Received) -> Sequence[Step]:
        now = asyncio.get_running_loop().time()
        under_way[:] = [end for end in under_way if end > now] + [now + 0.03]
        most.append(len(under_way))
        return (Wait(0.03), *answered(request))

    return steps


async def test_provider_e6_one_call_asks_for_several_batches_at_a_time() -> None:
    """As many as the settings allow, and no more; the vectors are in order."""
    most: list[int] = []
    texts = [f"burrow {number}" for number in range(40)]
    async with embedding(_slow(most, []), batch_size=4, concurrency=3) as (embeddings, _):
        response = await embeddings.embed(texts)
    assert response.embeddings == [vector_of(text) for text in texts]
    assert max(most) == 3
    assert [attempt.n for attempt in response.attempts] == list(range(1, 11))


async def test_provider_e6_the_first_failure_of_a_batch_cancels_the_others() -> None:
    """One error comes out, with what the finished batches have spent."""
    answered = EMBEDDINGS.answered()
    assert callable(answered)

    def steps(request: Received) -> Sequence[Step]:
        texts = request.json()["input"]
        if texts == ["2"]:
            return (Wait(0.05), *EMBEDDINGS.refused("server_error", x_should_retry="false"))
        return answered(request) if int(texts[0]) < 2 else (Hang(),)

    async with embedding(steps, batch_size=1, concurrency=2) as (embeddings, server):
        with pytest.raises(ServerError) as caught:
            await embeddings.embed([str(number) for number in range(9)])
        assert server.attempts == 4
        assert await server.rests(within=0.2)
    assert caught.value.usage is not None
    assert caught.value.usage.prompt_tokens == 2 * 3
    assert [attempt.outcome for attempt in caught.value.attempts] == ["ok", "ok", "server_error"]


async def test_vectors_that_are_malformed_were_paid_for() -> None:
    """The usage of their reply is on the error."""
    async with embedding(EMBEDDINGS.answered(lambda rows: rows[:-1])) as (embeddings, _):
        with pytest.raises(MalformedResponse) as caught:
            await embeddings.embed(["a", "b"])
    assert caught.value.usage is not None
    assert caught.value.usage.prompt_tokens == 6


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 8192 tokens, however you requested 9000 tokens",
        "Invalid 'input[0]': maximum input length is 8192 tokens.",
    ],
)
async def test_provider_e7_a_text_that_openai_calls_too_long_is_too_long(message: str) -> None:
    """OpenAI says so of embeddings in words alone, without a code."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    async with embedding([json_reply(400, {"error": error})]) as (embeddings, _):
        with pytest.raises(ContextTooLong):
            await embeddings.embed(["a"])


async def test_provider_e4_a_request_with_too_many_tokens_is_halved() -> None:
    """OpenAI has a limit for all texts of a request together, with a code of its own."""
    answered = EMBEDDINGS.answered()
    assert callable(answered)
    error = {"message": "Requested 300001 tokens", "type": "max_tokens_per_request", "code": "max_tokens_per_request"}

    def steps(request: Received) -> Sequence[Step]:
        return answered(request) if len(request.json()["input"]) < 2 else [json_reply(400, {"error": error})]

    async with embedding(steps) as (embeddings, server):
        response = await embeddings.embed(["a", "b"])
        assert server.attempts == 3
    assert response.embeddings == [vector_of("a"), vector_of("b")]


async def test_provider_e7_a_text_is_shortened_to_what_the_model_is_known_to_take() -> None:
    """By the estimate of its tokens, so that few requests are refused and little is lost."""
    long = "wombat " * 20_000
    answered = EMBEDDINGS.answered(lambda rows: [{**row, "embedding": [0.5] * 1536} for row in rows])
    assert callable(answered)

    def steps(request: Received) -> Sequence[Step]:
        too_long = len(request.json()["input"][0]) > 4 * 8192
        return EMBEDDINGS.refused("context_too_long") if too_long else answered(request)

    own = {"embedding_model": "text-embedding-3-small", "dimensions": None}
    async with embedding(steps, **own) as (embeddings, server):
        response = await embeddings.embed([long], truncate=True)
        taken = server.calls[-1].json()["input"][0]
    assert (response.truncated, len(response.attempts)) == ((0,), 2)
    assert long.startswith(taken)
    assert len(taken) > 4 * 8192 * 0.95


async def test_dimensions_are_asked_for_where_they_differ() -> None:
    """And only there."""
    async with embedding(EMBEDDINGS.answered(), embedding_model="text-embedding-3-small") as (embeddings, server):
        await embeddings.embed(["a"], options=CallOptions(max_attempts=1))
        assert server.calls[0].json()["dimensions"] == DIMENSIONS
    async with embedding(EMBEDDINGS.answered()) as (embeddings, server):
        await embeddings.embed(["a"])
        assert server.calls[0].json() == {"model": "m", "input": ["a"], "encoding_format": "base64"}
