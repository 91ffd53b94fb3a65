"""Replies and streams of Responses and of Chat Completions, as focal reads them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from focal_core.errors import ContentFiltered, InvalidRequest, Overloaded, ProviderError, RateLimited, ServerError
from focal_core.providers.models import (
    StreamEvent,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
)
from focal_core.usage import TokenUsage
from focal_providers.llm import Accumulated, Failed, Read
from focal_providers.openai.chat.response import read_completion
from focal_providers.openai.chat.stream import AccumulatedCompletion
from focal_providers.openai.responses.response import read_response
from focal_providers.openai.responses.stream import AccumulatedResponse
from focal_providers.openai.sse import EventStream

Event = dict[str, Any]
REASONING = {"id": "rs", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}
CALL = {"id": "fc", "type": "function_call", "call_id": "c1", "name": "dig", "arguments": '{"n": 1}'}
DUG = ToolCallPart(id="c1", name="dig", arguments={"n": 1}, raw_arguments='{"n": 1}')


def message(*content: Any, **fields: Any) -> Event:
    return {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [*content], **fields}


def text(said: str) -> Event:
    return {"type": "output_text", "text": said, "annotations": []}


def response(*output: Any, **fields: Any) -> Event:
    return {"id": "r", "model": "m1", "status": "completed", "output": [*output], **fields}


def completion(finish: str = "stop", **said: Any) -> Event:
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **said}, "finish_reason": finish}
    return {"model": "m1", "choices": [choice]}


@pytest.mark.parametrize(
    ("body", "finish", "detail"),
    [
        (response(message(text("a"))), "stop", None),
        (response(message(text("a")), CALL), "tool_calls", None),
        (response(message({"type": "refusal", "refusal": "no"})), "refusal", None),
        (response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "length", None),
        (response(CALL, status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "length", None),
        (response(status="incomplete", incomplete_details={"reason": "content_filter"}), "content_filter", None),
        (response(status="incomplete", incomplete_details={"reason": "steered"}), "other", "steered"),
        (response(status="incomplete", incomplete_details=None), "other", None),
    ],
)
def test_provider_r7_each_end_of_a_response_has_its_name(body: Event, finish: str, detail: str | None) -> None:
    """The table of the reply mapping."""
    read = read_response(body)
    assert (read.finish_reason, read.finish_detail) == (finish, detail)


@pytest.mark.parametrize(
    ("finish", "said", "reason", "detail"),
    [
        ("stop", {"content": "a"}, "stop", None),
        ("length", {"content": "a"}, "length", None),
        ("tool_calls", {}, "tool_calls", None),
        ("function_call", {}, "tool_calls", None),
        ("content_filter", {}, "content_filter", None),
        ("stop", {"refusal": "no"}, "refusal", None),
        ("tired", {"content": "a"}, "other", "tired"),
        ("stop", {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}, "tool_calls", None),
    ],
)
def test_provider_r7_each_end_of_a_completion_has_its_name(
    finish: str, said: Event, reason: str, detail: str | None
) -> None:
    """The table of the reply mapping; a call that had to be made is no reason of its own on this wire."""
    read = read_completion(completion(finish, **said))
    assert (read.finish_reason, read.finish_detail, read.model) == (reason, detail, "m1")


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        ("server_error", ServerError, True),
        ("vector_store_timeout", ServerError, True),
        ("rate_limit_exceeded", RateLimited, True),
        ("bio_policy", ContentFiltered, False),
        ("invalid_prompt", InvalidRequest, False),
        ("image_too_large", InvalidRequest, False),
        ("tired", ServerError, True),
    ],
)
def test_a_response_that_failed_is_an_error_with_what_it_cost(
    code: str, kind: type[ProviderError], retryable: bool
) -> None:
    """Status 200 proves nothing; whether an unknown code is tried again is for whoever translates it to say."""
    body = response(status="failed", error={"code": code, "message": "no"}, usage={"input_tokens": 3})
    with pytest.raises(Failed) as caught:
        read_response(body)
    assert caught.value.told.meaning() is kind
    assert kind.default_retryable is retryable
    assert caught.value.usage == TokenUsage(prompt_tokens=3)


@pytest.mark.parametrize("code", ["server_is_overloaded", "slow_down"])
def test_a_server_that_is_busy_says_so_inside_a_stream(code: str) -> None:
    """Where no status tells it, the words do."""
    with pytest.raises(Failed) as caught:
        list(AccumulatedResponse().take({"type": "error", "code": code, "message": "Later."}))
    assert caught.value.told.meaning() is Overloaded


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", None])
def test_a_response_that_has_not_ended_is_none(status: str | None) -> None:
    """Background work is never asked for."""
    with pytest.raises(ValueError, match="not ended"):
        read_response(response(status=status))


def test_provider_r8_each_item_has_its_part() -> None:
    """Text and calls in order; what only the vendor can use is kept for it, without the fields that say nothing."""
    searched = {"id": "ws", "type": "web_search_call", "status": "completed", "action": None}
    said = message(text("a"), {"type": "tomorrow"}, text("b"), phase="commentary")
    read = read_response(response(REASONING, said, searched, CALL))
    assert read.parts == (
        ThinkingPart(text="Hm.", opaque=REASONING, provider="openai"),
        ThinkingPart(text="", opaque={"phase": "commentary"}, provider="openai"),
        TextPart(text="a"),
        TextPart(text="b"),
        ThinkingPart(text="", opaque={"id": "ws", "type": "web_search_call", "status": "completed"}, provider="openai"),
        DUG,
    )


def test_provider_r8_each_field_of_a_completion_has_its_part() -> None:
    """Thinking as compatible servers show it comes first; a call without an id is given one."""
    calls = [{"function": {"name": "dig", "arguments": "[1]"}}, {"id": "x", "function": {"name": "f", "arguments": ""}}]
    read = read_completion(completion(content="So.", reasoning_content="Hm.", tool_calls=calls))
    assert read.parts == (
        ThinkingPart(text="Hm.", opaque={}, provider="openai"),
        TextPart(text="So."),
        ToolCallPart(id="call_0", name="dig", arguments=None, raw_arguments="[1]"),
        ToolCallPart(id="x", name="f", arguments=None, raw_arguments=""),
    )


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        (None, TokenUsage(reported=False)),
        ([], TokenUsage(reported=False)),
        ({}, TokenUsage(reported=False)),
        ({"input_tokens": None, "output_tokens": "7"}, TokenUsage(reported=False)),
        ({"input_tokens": -1, "output_tokens": True}, TokenUsage(reported=False)),
        ({"input_tokens": 5, "input_tokens_details": None}, TokenUsage(prompt_tokens=5)),
        (
            {
                "input_tokens": 5,
                "output_tokens": 4,
                "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
                "output_tokens_details": {"reasoning_tokens": 3},
                "total_tokens": 900,
            },
            TokenUsage(
                prompt_tokens=5, completion_tokens=4, cache_read_tokens=2, cache_write_tokens=1, reasoning_tokens=3
            ),
        ),
    ],
)
def test_provider_r9_usage_is_inclusive_and_tolerates_gaps(told: Any, usage: TokenUsage) -> None:
    """The prompt includes what was cached, the answer what was thought; whatever is no count was not told."""
    assert read_response(response(usage=told)).usage == usage
    renamed = json.loads(json.dumps(told).replace("input_", "prompt_").replace("output_", "completion_"))
    assert read_completion({**completion(content="a"), "usage": renamed}).usage == usage


def take(answer: Accumulated, events: Iterable[Any]) -> list[StreamEvent]:
    return [one for event in events for one in answer.take(event)]


def streamed(*events: Event) -> tuple[list[StreamEvent], Read]:
    answer = AccumulatedResponse()
    shown = take(answer, events)
    assert (answer.complete, answer.ended) == (True, True)
    return shown, read_response(answer.body())


def added(index: int, item: Event) -> Event:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, item: Event) -> Event:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def delta(index: int, kind: str, piece: str) -> Event:
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": piece}


def end(*output: Event, kind: str = "completed", **fields: Any) -> Event:
    return {"type": f"response.{kind}", "response": response(*output, **{"status": kind, **fields})}


def test_provider_s3_events_become_deltas_and_together_the_response() -> None:
    """Each piece is handed over at once; the item at its end holds what must go back."""
    sealed = {**REASONING, "encrypted_content": "c2Vh"}
    shown, read = streamed(
        {"type": "response.created", "response": response(status="in_progress")},
        added(0, {**REASONING, "summary": [], "encrypted_content": "cut"}),
        delta(0, "reasoning_summary_text", "Hm"),
        delta(0, "reasoning_summary_text", "."),
        done(0, sealed),
        added(1, message(status="in_progress")),
        delta(1, "output_text", "So"),
        delta(1, "output_text", ""),
        delta(1, "output_text", "."),
        done(1, message(text("So."))),
        added(2, {**CALL, "arguments": ""}),
        delta(2, "function_call_arguments", '{"n":'),
        delta(2, "function_call_arguments", " 1}"),
        done(2, CALL),
        {"type": "response.weather", "sky": "clear"},
        end(sealed, message(text("So.")), CALL, usage={"input_tokens": 3, "output_tokens": 4}),
    )
    assert shown == [
        ThinkingDelta("Hm"),
        ThinkingDelta("."),
        TextDelta("So"),
        TextDelta("."),
        ToolCallStart(0, "c1", "dig"),
        ToolCallDelta(0, '{"n":'),
        ToolCallDelta(0, " 1}"),
    ]
    thought = ThinkingPart(text="Hm.", opaque=sealed, provider="openai")
    assert read.parts == (thought, TextPart(text="So."), DUG)
    assert (read.finish_reason, read.usage) == ("tool_calls", TokenUsage(prompt_tokens=3, completion_tokens=4))


def test_provider_s3_parts_of_a_summary_are_paragraphs() -> None:
    """As in a whole reply."""
    summary = [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]
    item = {**REASONING, "summary": summary}
    begins = {"type": "response.reasoning_summary_part.added", "output_index": 0}
    shown, read = streamed(
        added(0, {**REASONING, "summary": []}),
        {**begins, "summary_index": 0},
        delta(0, "reasoning_summary_text", "One."),
        {**begins, "summary_index": 1},
        delta(0, "reasoning_summary_text", "Two."),
        done(0, item),
        end(item),
    )
    assert shown == [ThinkingDelta("One."), ThinkingDelta("\n\n"), ThinkingDelta("Two.")]
    assert read == read_response(response(item))


def test_provider_s3_what_is_not_streamed_in_pieces_is_handed_over_whole() -> None:
    """Some servers tell an item at its end only, or in the terminal event."""
    shown, read = streamed(done(0, message(text("So."))), end(message(text("So.")), CALL))
    assert shown == [TextDelta("So."), ToolCallStart(0, "c1", "dig"), ToolCallDelta(0, '{"n": 1}')]
    assert read.parts == (TextPart(text="So."), DUG)


def test_provider_s3_the_answer_is_what_was_handed_over() -> None:
    """Where a server ends otherwise than it wrote, users have read what it wrote."""
    shown, read = streamed(
        added(0, message()),
        delta(0, "output_text", " So. "),
        done(0, message(text("So."))),
        end(message(text("So."))),
    )
    assert (shown, read.parts) == ([TextDelta(" So. ")], (TextPart(text=" So. "),))


def test_an_item_that_never_ended_keeps_what_was_written() -> None:
    """A terminal event without output, as some servers send it, takes nothing back; nor does a cut."""
    cut = {"kind": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    shown, read = streamed(
        added(0, message()),
        delta(0, "output_text", "So"),
        added(1, {**CALL, "arguments": ""}),
        delta(1, "function_call_arguments", '{"n'),
        end(**cut),
    )
    assert shown[0] == TextDelta("So")
    assert read.parts == (
        TextPart(text="So"),
        ToolCallPart(id="c1", name="dig", arguments=None, raw_arguments='{"n'),
    )
    assert read.finish_reason == "length"


def test_a_streamed_refusal_is_text_and_a_reason() -> None:
    """As in a whole reply."""
    refused = message({"type": "refusal", "refusal": "No."})
    shown, read = streamed(added(0, message()), delta(0, "refusal", "No."), done(0, refused), end(refused))
    assert (shown, read) == ([TextDelta("No.")], read_response(response(refused)))


def test_provider_s2_a_response_that_failed_in_its_stream_is_an_error() -> None:
    """The terminal event is none of success."""
    answer = AccumulatedResponse()
    take(answer, [end(kind="failed", error={"code": "rate_limit_exceeded", "message": "no"})])
    with pytest.raises(Failed) as caught:
        read_response(answer.body())
    assert caught.value.told.meaning() is RateLimited


def chunk(finish: str | None = None, usage: Any = None, **said: Any) -> Event:
    return {"model": "m1", "choices": [{"index": 0, "delta": said, "finish_reason": finish}], "usage": usage}


def piece(index: int | None, arguments: str, **named: Any) -> Event:
    function = {key: named.pop(key) for key in ("name",) if key in named}
    return {"index": index, "function": {**function, "arguments": arguments}, **named}


def test_provider_s3_chunks_become_deltas_and_together_the_completion() -> None:
    """Calls are told apart by index, and by id where a server counts none of them."""
    answer = AccumulatedCompletion()
    shown = take(
        answer,
        [
            chunk(role="assistant", content=""),
            chunk(reasoning_content="Hm."),
            chunk(content="So."),
            chunk(tool_calls=[piece(0, "", id="a", name="f"), piece(1, "[", id="b", name="g")]),
            chunk(tool_calls=[piece(0, "{", id="a")]),
            chunk(tool_calls=[piece(1, "]")]),
            chunk(tool_calls=[piece(0, "}", id="")]),
            chunk(tool_calls=[piece(0, "{}", id="c", name="h")]),
            {"model": "m1", "choices": [{"index": 1, "delta": {"content": "another"}}]},
            {"object": "weather", "choices": []},
            chunk("tool_calls"),
        ],
    )
    assert [type(event) for event in shown[:2]] == [ThinkingDelta, TextDelta]
    assert [event for event in shown if isinstance(event, ToolCallStart)] == [
        ToolCallStart(0, "a", "f"),
        ToolCallStart(1, "b", "g"),
        ToolCallStart(2, "c", "h"),
    ]
    assert [(one.index, one.json) for one in shown if isinstance(one, ToolCallDelta)] == [
        (1, "["),
        (0, "{"),
        (1, "]"),
        (0, "}"),
        (2, "{}"),
    ]
    read = read_completion(answer.body())
    assert [part.raw_arguments for part in read.parts if isinstance(part, ToolCallPart)] == ["{}", "[]", "{}"]
    assert read.parts[:2] == (ThinkingPart(text="Hm.", opaque={}, provider="openai"), TextPart(text="So."))


def test_provider_r9_the_last_usage_counts() -> None:
    """Some servers tell with each chunk what was spent so far; it is over when it was told with the end, or behind."""
    answer = AccumulatedCompletion()
    take(answer, [chunk(content="a", usage={"prompt_tokens": 3, "completion_tokens": 1})])
    assert (answer.complete, answer.ended) == (False, False)
    take(answer, [chunk("stop")])
    assert (answer.complete, answer.ended) == (True, False)
    take(answer, [{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}])
    assert answer.ended
    assert answer.usage == read_completion(answer.body()).usage == TokenUsage(prompt_tokens=3, completion_tokens=2)


def test_an_error_in_place_of_a_chunk_is_an_error() -> None:
    """It looks like that of a reply."""
    with pytest.raises(Failed) as caught:
        take(AccumulatedCompletion(), [{"error": {"message": "The engine is currently overloaded", "type": "x"}}])
    assert caught.value.told.meaning() is Overloaded


class Body:
    """A reply whose body comes in given chunks."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks
        self.closed = False

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for one in self._chunks:
            yield one

    async def aclose(self) -> None:
        self.closed = True


WHOLE = (
    'data: {"a": "«"}\n\n: ping\n\nretry: 5\n\nevent: x\ndata:{"b":\ndata: 2}\n\ndata: [DONE]\n\ndata: {"cut'.encode()
)


@pytest.mark.asyncio
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_provider_s7_events_are_the_same_however_they_are_cut(newline: bytes, size: int) -> None:
    """Comments, empty events and what the end cuts are none."""
    sent = WHOLE.replace(b"\n", newline)
    body = Body(b"", *(sent[at : at + size] for at in range(0, len(sent), size)))
    stream = EventStream(body)
    assert [event async for event in stream] == [{"a": "«"}, {"b": 2}, None]
    await stream.close()
    assert body.closed


@pytest.mark.asyncio
async def test_an_event_without_json_is_no_event() -> None:
    """It is not skipped."""
    with pytest.raises(ValueError, match="Expecting"):
        await anext(EventStream(Body(b"data: {\n\n")))
