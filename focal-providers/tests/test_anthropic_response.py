"""Anthropic's messages as focal's responses, whole and put together from events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from focal_core.providers.models import (
    StreamEvent,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    UsageUpdate,
)
from focal_core.usage import TokenUsage
from focal_providers.anthropic.response import read_message, read_usage
from focal_providers.anthropic.stream import AccumulatedMessage
from focal_providers.llm import Read

THINKING = {"type": "thinking", "thinking": "hm", "signature": "s1"}
REDACTED = {"type": "redacted_thinking", "data": "x1"}
SEARCH = {"type": "server_tool_use", "id": "srv1", "name": "web_search", "input": {"query": "q"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srv1", "content": [{"type": "web_search_result"}]}
CALL = {"type": "tool_use", "id": "c1", "name": "dig", "input": {"n": 1}}


def message(*content: Any, **fields: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    return {**body, "content": list(content), "usage": {"input_tokens": 1, "output_tokens": 2}, **fields}


@pytest.mark.parametrize(
    ("reason", "finish", "detail"),
    [
        ("end_turn", "stop", None),
        ("stop_sequence", "stop", "HALT"),
        ("max_tokens", "length", None),
        ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
        ("tool_use", "tool_calls", None),
        ("pause_turn", "pause", None),
        ("refusal", "refusal", "It might harm."),
        ("reason_of_tomorrow", "other", "reason_of_tomorrow"),
    ],
)
def test_provider_r7_each_reason_to_end_has_its_name(reason: str, finish: str, detail: str | None) -> None:
    """The table of stop reasons."""
    details = {"type": "refusal", "category": "cyber", "explanation": "It might harm."} if reason == "refusal" else None
    response = read_message(message(stop_reason=reason, stop_sequence="HALT", stop_details=details))

    assert (response.finish_reason, response.finish_detail) == (finish, detail)


def test_provider_r8_each_block_has_its_part() -> None:
    """Text and calls keep their order; what only the vendor understands is kept to be sent back."""
    text = {"type": "text", "text": "t", "citations": None}
    parts = read_message(message(THINKING, text, REDACTED, SEARCH, FOUND, CALL)).parts

    assert parts == (
        ThinkingPart(text="hm", opaque=THINKING, provider="anthropic"),
        TextPart(text="t"),
        ThinkingPart(text="", opaque=REDACTED, provider="anthropic"),
        ThinkingPart(text="", opaque=SEARCH, provider="anthropic"),
        ThinkingPart(text="", opaque=FOUND, provider="anthropic"),
        ToolCallPart(id="c1", name="dig", arguments={"n": 1}, raw_arguments='{"n": 1}'),
    )


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        (None, TokenUsage(reported=False)),
        ({}, TokenUsage(reported=False)),
        ({"input_tokens": None, "output_tokens": None}, TokenUsage(reported=False)),
        ({"input_tokens": "3", "output_tokens": -1}, TokenUsage(reported=False)),
        ({"input_tokens": 3}, TokenUsage(prompt_tokens=3)),
        (
            {
                "input_tokens": 3,
                "cache_read_input_tokens": 10,
                "cache_creation_input_tokens": 100,
                "output_tokens": 7,
                "output_tokens_details": {"thinking_tokens": 5},
            },
            TokenUsage(
                prompt_tokens=113, completion_tokens=7, cache_read_tokens=10, cache_write_tokens=100, reasoning_tokens=5
            ),
        ),
        (
            {"input_tokens": 3, "output_tokens": 7, "output_tokens_details": None},
            TokenUsage(prompt_tokens=3, completion_tokens=7),
        ),
    ],
)
def test_provider_r9_usage_is_inclusive_and_tolerates_gaps(told: Any, usage: TokenUsage) -> None:
    """Cached tokens are prompt tokens; whatever is no count was not told."""
    assert read_usage(told) == usage


Event = dict[str, Any]


def start(index: int, **block: Any) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **fields: Any) -> Event:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def stop(index: int) -> Event:
    return {"type": "content_block_stop", "index": index}


def begin(**usage: Any) -> Event:
    return {"type": "message_start", "message": {"model": "m", "role": "assistant", "content": [], "usage": usage}}


def end(reason: str | None = "end_turn", **usage: Any) -> Event:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


def read(*events: Event) -> tuple[list[StreamEvent], Read]:
    answer = AccumulatedMessage()
    found: list[StreamEvent] = [
        one for event in events for one in answer.take(event) if not isinstance(one, UsageUpdate)
    ]
    return found, read_message(answer.body())


def calls(answer: Read) -> list[ToolCallPart]:
    return [part for part in answer.parts if isinstance(part, ToolCallPart)]


def test_provider_s3_events_become_deltas_and_together_the_message() -> None:
    """Every kind of block, streamed, is what the whole reply would have been."""
    found, response = read(
        begin(input_tokens=3, output_tokens=1),
        start(0, type="thinking", thinking="", signature=""),
        delta(0, type="thinking_delta", thinking="hm"),
        delta(0, type="signature_delta", signature="s1"),
        start(1, type="text", text=""),
        delta(1, type="text_delta", text="a"),
        delta(1, type="citations_delta", citation={}),
        delta(1, type="text_delta", text="b"),
        start(2, type="redacted_thinking", data="x1"),
        start(3, type="server_tool_use", id="srv1", name="web_search", input={}),
        delta(3, type="input_json_delta", partial_json='{"query": "q"}'),
        start(4, type="tool_use", id="c1", name="dig", input={}),
        delta(4, type="input_json_delta", partial_json=""),
        delta(4, type="input_json_delta", partial_json='{"n"'),
        delta(4, type="input_json_delta", partial_json=": 1}"),
        stop(4),
        delta(9, type="delta_of_tomorrow"),
        {"type": "event_of_tomorrow"},
        end(output_tokens=7),
        {"type": "message_stop"},
    )

    assert found == [
        ThinkingDelta("hm"),
        TextDelta("a"),
        TextDelta("b"),
        ToolCallStart(0, "c1", "dig"),
        ToolCallDelta(0, '{"n"'),
        ToolCallDelta(0, ": 1}"),
    ]
    whole = read_message(message(THINKING, {"type": "text", "text": "ab"}, REDACTED, SEARCH, CALL))
    assert response.parts == whole.parts
    assert response.usage == TokenUsage(prompt_tokens=3, completion_tokens=7)


def test_provider_r9_counts_of_a_stream_are_overwritten_not_added() -> None:
    """They are cumulative, and null says nothing."""
    _, response = read(
        begin(input_tokens=3, cache_read_input_tokens=4, output_tokens=1),
        end(None, output_tokens=5),
        end(input_tokens=None, output_tokens=9),
    )
    assert response.usage == TokenUsage(prompt_tokens=7, completion_tokens=9, cache_read_tokens=4)


@pytest.mark.parametrize("said", [{}, {"n": 1}], ids=["none", "at_the_start"])
def test_provider_s3_arguments_that_are_not_streamed_are_told_all_the_same(said: dict[str, Any]) -> None:
    """A call without arguments streams none; some servers tell them with the call."""
    found, response = read(begin(), start(0, type="tool_use", id="c1", name="dig", input=said), stop(0), end())

    assert found == [ToolCallStart(0, "c1", "dig"), ToolCallDelta(0, json.dumps(said))]
    assert [(call.arguments, call.raw_arguments) for call in calls(response)] == [(said, json.dumps(said))]


def test_a_call_cut_at_the_limit_keeps_what_was_written() -> None:
    """``arguments`` is None, the text is there, and nothing raises."""
    _, response = read(
        begin(),
        start(0, type="tool_use", id="c1", name="dig", input={}),
        delta(0, type="input_json_delta", partial_json='{"n": '),
        end("max_tokens"),
    )
    assert [(call.arguments, call.raw_arguments) for call in calls(response)] == [(None, '{"n": ')]
    assert response.finish_reason == "length"


def test_provider_s2_a_stream_is_complete_with_a_stop_reason_or_its_terminal_event() -> None:
    """Either is enough; neither is not."""
    states = []
    answer = AccumulatedMessage()
    for event in (begin(), end(None), end(), {"type": "message_stop"}):
        list(answer.take(event))
        states.append((answer.complete, answer.ended))
    assert states == [(False, False), (False, False), (True, False), (True, True)]

    bare = AccumulatedMessage()
    list(bare.take(begin()))
    list(bare.take({"type": "message_stop"}))
    assert bare.complete
    assert read_message(bare.body()).finish_reason == "other"
