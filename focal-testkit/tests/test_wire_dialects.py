"""The dialects against the vendors' own SDKs, which must find nothing to object to in what they are served."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from focal_testkit.faults.wire import Exchange, WireServer, json_reply
from focal_testkit.faults.wire_anthropic import AnthropicDialect
from focal_testkit.faults.wire_chat import ChatDialect
from focal_testkit.faults.wire_dialect import ANSWER, ANSWERED_MODEL, REQUEST_ID, Answer, Call, Finish, WireDialect
from focal_testkit.faults.wire_embeddings import EmbeddingsDialect, vector_of
from focal_testkit.faults.wire_responses import ResponsesDialect

pytestmark = pytest.mark.asyncio

DIALECTS = [AnthropicDialect(), ResponsesDialect(), ChatDialect()]
CALLS = (Call("call_1", "find", '{"city": "Perth", "n": 2}'), Call("call_2", "close", "{}"))
QUESTION = "What does the quokka do?"


def answers(dialect: WireDialect) -> list[Answer]:
    """Return one answer for each way to end that a wire can tell."""
    found = [
        Answer(finish=finish, calls=CALLS if finish == "tool_calls" else ()) for finish in sorted(dialect.finishes)
    ]
    return [*found, Answer(thinking="Hmm, let me see." if dialect.thinking else None)]


def client(dialect: WireDialect, server: WireServer) -> Any:
    """Return the vendor's client, as strict as it can be."""
    given: dict[str, Any] = {"base_url": dialect.base_url(server.origin), "api_key": "k", "max_retries": 0}
    if dialect.provider == "anthropic":
        return AsyncAnthropic(**given, _strict_response_validation=True)
    return AsyncOpenAI(**given, _strict_response_validation=True)


def asking(dialect: WireDialect, sdk: Any) -> Callable[..., Any]:
    """Return the SDK's method, with a question put into it."""
    said = [{"role": "user", "content": QUESTION}]

    def ask(**more: Any) -> Any:
        if dialect.provider == "anthropic":
            return sdk.messages.create(model="m", max_tokens=64, messages=said, **more)
        if dialect.name == "openai-responses":
            return sdk.responses.create(model="m", input=QUESTION, store=False, **more)
        return sdk.chat.completions.create(model="m", messages=said, **more)

    return ask


async def served(dialect: WireDialect, *script: Exchange) -> AsyncIterator[Any]:
    async with WireServer(script, route=dialect.route) as server, client(dialect, server) as sdk:
        yield asking(dialect, sdk)
        assert [dialect.problems(call) for call in server.calls] == [[]] * len(server.calls)


def cases() -> list[Any]:
    return [
        pytest.param(dialect, answer, id=f"{dialect.name}-{answer.finish}{'-thinking' if answer.thinking else ''}")
        for dialect in DIALECTS
        for answer in answers(dialect)
    ]


@pytest.mark.parametrize(("dialect", "answer"), cases())
async def test_the_sdk_takes_the_reply(dialect: WireDialect, answer: Answer) -> None:
    """A good reply passes the SDK's strict validation, for every way to end."""
    async for ask in served(dialect, dialect.good(answer)):
        reply = await ask()

        assert reply.model == ANSWERED_MODEL
        dumped = json.dumps(reply.to_dict(), ensure_ascii=False, default=str)
        assert json.dumps(ANSWER, ensure_ascii=False)[1:-1] in dumped
        assert reply._request_id == REQUEST_ID


@pytest.mark.parametrize(("dialect", "answer"), cases())
async def test_the_sdk_takes_every_event(dialect: WireDialect, answer: Answer) -> None:
    """Every event of a stream passes the SDK's strict validation, and none is swallowed but pings and [DONE]."""
    async for ask in served(dialect, dialect.streamed(answer)):
        events = [event async for event in await ask(stream=True)]

        ignored = ("ping", "[DONE]")
        expected = [event for event in dialect.events(answer) if event.name != "ping" and event.data not in ignored]
        assert len(events) == len(expected)
        for event, sent in zip(events, expected, strict=True):
            assert event.to_dict() | sent.data == event.to_dict()


@pytest.mark.parametrize("answer", answers(AnthropicDialect()), ids=lambda answer: answer.finish)
async def test_the_anthropic_helper_puts_the_stream_together(answer: Answer) -> None:
    """The deltas of a stream are the reply: the vendor's own accumulator says so."""
    dialect = AnthropicDialect()
    async with WireServer([dialect.streamed(answer)]) as server, client(dialect, server) as sdk:
        said: Any = [{"role": "user", "content": QUESTION}]
        async with sdk.messages.stream(model="m", max_tokens=64, messages=said) as stream:
            final = await stream.get_final_message()

    whole = dialect.body(answer)
    assert [block.to_dict() for block in final.content] == whole["content"]
    assert (final.stop_reason, final.usage.output_tokens) == (whole["stop_reason"], whole["usage"]["output_tokens"])


@pytest.mark.parametrize("answer", answers(ResponsesDialect()), ids=lambda answer: answer.finish)
async def test_the_openai_helper_puts_the_responses_stream_together(answer: Answer) -> None:
    """The same for Responses."""
    dialect = ResponsesDialect()
    async with (
        WireServer([dialect.streamed(answer)]) as server,
        client(dialect, server) as sdk,
        sdk.responses.stream(model="m", input=QUESTION) as stream,
    ):
        last = [event async for event in stream][-1]

    whole = dialect.body(answer)["output"]
    told = [item for item in whole if item["type"] == "function_call"]
    called = [item for item in last.response.output if item.type == "function_call"]
    assert [(call.call_id, call.arguments) for call in called] == [
        (call["call_id"], call["arguments"]) for call in told
    ]
    assert last.response.output_text == ("" if answer.finish == "refusal" else ANSWER)


@pytest.mark.parametrize("answer", answers(ChatDialect()), ids=lambda answer: answer.finish)
async def test_the_openai_helper_puts_the_chat_stream_together(answer: Answer) -> None:
    """The same for Chat Completions."""
    if answer.finish in ("length", "content_filter"):
        pytest.skip("the helper raises for these by design")
    dialect = ChatDialect()
    async with WireServer([dialect.streamed(answer)]) as server, client(dialect, server) as sdk:
        said: Any = [{"role": "user", "content": QUESTION}]
        async with sdk.chat.completions.stream(model="m", messages=said) as stream:
            final = await stream.get_final_completion()

    message = final.choices[0].message
    whole = dialect.body(answer)["choices"][0]["message"]
    assert (message.content or "", message.refusal) == (whole["content"] or "", whole["refusal"])
    called = [(call.id, call.function.arguments) for call in message.tool_calls or ()]
    assert called == [(call.id, call.arguments) for call in answer.calls]


@pytest.mark.parametrize("encoding", ["float", "base64", None])
async def test_the_sdk_takes_the_vectors(encoding: Any) -> None:
    """Vectors arrive as they were made, in either encoding; strict validation needs floats."""
    dialect = EmbeddingsDialect()
    texts = ["quokka", "wombat"]
    strict = encoding == "float"
    async with (
        WireServer([dialect.answered()]) as server,
        AsyncOpenAI(
            base_url=dialect.base_url(server.origin), api_key="k", max_retries=0, _strict_response_validation=strict
        ) as sdk,
    ):
        given = {} if encoding is None else {"encoding_format": encoding}
        found = await sdk.embeddings.create(model="m", input=texts, **given)
        assert dialect.problems(server.calls[0]) == []

    if encoding != "base64":
        assert [row.embedding for row in found.data] == [vector_of(text) for text in texts]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rate_limited", "RateLimitError"),
        ("authentication_failed", "AuthenticationError"),
        ("permission_denied", "PermissionDeniedError"),
        ("model_not_found", "NotFoundError"),
        ("invalid_request", "BadRequestError"),
        ("server_error", "InternalServerError"),
    ],
)
async def test_the_sdk_reads_the_errors(dialect: WireDialect, kind: str, expected: str) -> None:
    """An error reply becomes the SDK's own class, with the vendor's type or code read from the body."""
    async for ask in served(dialect, dialect.refused(kind)):
        with pytest.raises((anthropic.APIStatusError, openai.APIStatusError)) as caught:
            await ask()

        assert expected in [kind.__name__ for kind in type(caught.value).__mro__]
        assert caught.value.request_id == REQUEST_ID
        assert caught.value.type == dialect.error(kind)[1]["error"]["type"]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_the_sdk_reads_an_error_inside_a_stream(dialect: WireDialect) -> None:
    """An error in place of an event is one to the SDK too, or at least an event of that kind."""
    async for ask in served(dialect, dialect.stream_of([*dialect.opening(), *dialect.error_events("overloaded")])):
        with pytest.raises((anthropic.APIError, openai.APIError, _ErrorEvent)) as caught:
            await _read(await ask(stream=True))

        assert "verloaded" in str(caught.value)


class _ErrorEvent(Exception):
    """Responses bring an error as an ordinary event."""


async def _read(stream: Any) -> None:
    async for event in stream:
        if getattr(event, "type", None) == "error":
            raise _ErrorEvent(event.message)


async def test_the_sdk_reads_a_failed_response() -> None:
    """A failed response is one with status 200, whole and as a terminal event."""
    dialect = ResponsesDialect()
    body = dialect.failed("rate_limit_exceeded")
    async for ask in served(dialect, (json_reply(200, body),), dialect.stream_of(dialect.failed_events("bio_policy"))):
        assert (await ask()).error.code == "rate_limit_exceeded"
        events = [event async for event in await ask(stream=True)]
        assert (events[-1].response.status, events[-1].response.error.code) == ("failed", "bio_policy")


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_models_and_counts_are_told_without_a_call(dialect: WireDialect) -> None:
    """Asking for a model or a count is answered beside the script."""
    async with WireServer([dialect.good()], route=dialect.route) as server, client(dialect, server) as sdk:
        assert (await sdk.models.retrieve("m")).id == "m"
        if dialect.provider == "anthropic":
            counted = await sdk.messages.count_tokens(model="m", messages=[{"role": "user", "content": QUESTION}])
            assert counted.input_tokens == 23
        elif dialect.counting():
            assert (await sdk.responses.input_tokens.count(model="m", input=QUESTION)).input_tokens == 23
        assert server.calls == []


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize(
    "spoiled",
    [{"temperatur": 1.0}, {"tools": [{"type": "function", "naem": "f"}]}, {"stream": "perhaps"}, {"model": 3}],
    ids=["unknown", "nested", "type", "wrong"],
)
async def test_a_request_the_vendor_would_not_take_is_found(dialect: WireDialect, spoiled: dict[str, Any]) -> None:
    """An unknown field at any depth, and a wrong type, is a problem; the same request without it is none."""
    async for ask in served(dialect, dialect.good()):
        await ask()
    async with WireServer([dialect.good()]) as server, client(dialect, server) as sdk:
        await asking(dialect, sdk)(extra_body=spoiled)
        assert dialect.problems(server.calls[0]) != []


async def test_only_the_sampling_fields_of_messages_are_let_through() -> None:
    """What the SDK's type no longer knows but the API takes is a list of three."""
    dialect = AnthropicDialect()
    for field, problems in (("temperature", []), ("top_q", ["$.top_q: not known"])):
        async with WireServer([dialect.good()]) as server, client(dialect, server) as sdk:
            await asking(dialect, sdk)(extra_body={field: 0.5})
            assert dialect.problems(server.calls[0]) == problems


@pytest.mark.parametrize("finish", sorted(AnthropicDialect.finishes | ChatDialect.finishes))
async def test_every_finish_is_spelled_by_a_dialect(finish: Finish) -> None:
    """The kit knows each of focal's reasons but ``other``."""
    assert any(finish in dialect.finishes for dialect in DIALECTS)
