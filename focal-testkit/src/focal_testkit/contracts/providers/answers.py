"""Replies that are true answers, however odd: no usage, broken tool calls, stop reasons of tomorrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from focal_core.providers.models import LLMResponse
from focal_testkit.contracts.providers.fault_case import (
    ASKED,
    FaultCase,
    Mode,
    Outcome,
    Wire,
    only,
)
from focal_testkit.faults.wire import Exchange, json_reply
from focal_testkit.faults.wire_dialect import Answer, Call, Event, Spent

GENERATE: frozenset[Mode] = frozenset({"generate"})
STREAMED: frozenset[Mode] = frozenset({"stream"})
ANSWERED: frozenset[Mode] = frozenset({"generate", "stream"})
STRUCTURED: frozenset[Mode] = frozenset({"structured"})
_CHAT = frozenset({"openai-chat"})
_OPENAI = frozenset({"openai-chat", "openai-responses"})
_RESPONSES = frozenset({"openai-responses"})
_ANTHROPIC = frozenset({"anthropic"})

CALLS = (Call("call_1", "dig", '{"depth": 2, "where": "Cradle Mountain"}'), Call("call_2", "rest", "{}"))


def _answer(answer: Answer) -> Callable[[Wire], Exchange]:
    return lambda wire: wire.good(answer)


def changed(change: Callable[[dict[str, Any]], Any], answer: Answer | None = None) -> Callable[[Wire], Exchange]:
    """Return the good reply with its JSON changed."""

    def exchange(wire: Wire) -> Exchange:
        body = wire.dialect.body(answer or wire.answer)
        change(body)
        return (json_reply(200, body, wire.dialect.headers()),)

    return exchange


def at(*path: str | int, to: Any = None) -> Callable[[dict[str, Any]], Any]:
    """Return a change of one place in a reply\'s JSON."""

    def change(body: Any) -> None:
        for step in path[:-1]:
            body = body[step]
        body[path[-1]] = to

    return change


def _usage_in(key: Any, value: Any) -> Any:
    """Return JSON with every ``usage`` in it replaced."""
    if isinstance(key, Mapping):
        return {name: value if name == "usage" else _usage_in(inner, value) for name, inner in key.items()}
    return key


def _with_usage(value: Any) -> Callable[[Wire], Exchange]:
    def exchange(wire: Wire) -> Exchange:
        if wire.mode == "stream":
            events = wire.dialect.events(wire.answer)
            return wire.dialect.stream_of([replace(event, data=_usage_in(event.data, value)) for event in events])
        return (json_reply(200, _usage_in(wire.dialect.body(wire.answer), value), wire.dialect.headers()),)

    return exchange


def _unreported(outcome: Outcome) -> None:
    assert not outcome.result.usage.reported
    assert outcome.result.usage.total_tokens == 0


def _reported(outcome: Outcome) -> None:
    """R9: inclusive, and never added up from events that count from the start."""
    usage, spent = outcome.result.usage, Spent()
    assert usage.reported
    assert (usage.prompt_tokens, usage.completion_tokens) == (spent.prompt, spent.completion)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (spent.cache_read, spent.cache_write)
    assert usage.reasoning_tokens == spent.reasoning
    assert usage.requests == 1


def _called(outcome: Outcome) -> None:
    response: LLMResponse = outcome.result
    assert response.finish_reason == "tool_calls"
    assert [(call.id, call.name, call.raw_arguments) for call in response.tool_calls] == [
        (call.id, call.name, call.arguments) for call in CALLS
    ]
    assert [call.arguments for call in response.tool_calls] == [{"depth": 2, "where": "Cradle Mountain"}, {}]


def _cut_call(outcome: Outcome) -> None:
    response: LLMResponse = outcome.result
    assert response.finish_reason == "length"
    assert [(call.arguments, call.raw_arguments) for call in response.tool_calls] == [(None, '{"depth": 2, "wh')]


def _raw_call(raw: str) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        assert [(call.arguments, call.raw_arguments) for call in outcome.result.tool_calls] == [(None, raw)]

    return check


def _finished(reason: str) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        assert outcome.result.finish_reason == reason

    return check


def _interleaved(wire: Wire) -> Exchange:
    """Two tool calls whose pieces alternate."""
    events = wire.dialect.events(Answer(text="", calls=CALLS, finish="tool_calls"))
    first = [index for index, event in enumerate(events) if event.shows]
    turn = len(first) - next(
        at for at, index in enumerate(reversed(first)) if _owner(events[index]) == _owner(events[first[0]])
    )
    ours, theirs = events[first[0] : first[turn - 1] + 1], events[first[turn - 1] + 1 :]
    ending = [event for event in theirs if event.settles]
    theirs = [event for event in theirs if not event.settles]
    mixed = []
    for index in range(max(len(ours), len(theirs))):
        mixed += ours[index : index + 1] + theirs[index : index + 1]
    return wire.dialect.stream_of([*events[: first[0]], *mixed, *ending])


def _owner(event: Event) -> Any:
    data = event.data
    if "choices" in data:
        return data["choices"][0]["delta"]["tool_calls"][0]["index"]
    return data.get("index", data.get("output_index"))


def _same_index(wire: Wire) -> Exchange:
    """Two tool calls, whole in one chunk each, which both claim to be the first."""
    events = wire.dialect.events(Answer(text="", calls=CALLS, finish="tool_calls"))
    whole = []
    for number, call in enumerate(CALLS):
        begun = next(event for event in events if event.shows and _owner(event) == number)
        data = dict(begun.data)
        piece = {
            "index": 0,
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        data["choices"] = [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]
        whole.append(replace(begun, data=data))
    return wire.dialect.stream_of([events[0], *whole, *(event for event in events if event.settles)])


def _tool_args(raw: str) -> Callable[[dict[str, Any]], Any]:
    def change(body: dict[str, Any]) -> None:
        if "choices" in body:
            body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = raw
        else:
            body["output"][-1]["arguments"] = raw

    return change


_CUT = Answer(text="", calls=(Call("call_1", "dig", '{"depth": 2, "wh'),), finish="length")
_ONE_CALL = Answer(text="", calls=CALLS[:1], finish="tool_calls")

TOOL_CALLS: tuple[FaultCase, ...] = tuple(
    FaultCase(name, script, modes=modes, needs="tools", **more)
    for name, script, modes, more in (
        (
            "tool_calls",
            only(_answer(Answer(text="", calls=CALLS, finish="tool_calls"))),
            ANSWERED,
            {"check": _called},
        ),
        (
            "tool_calls_behind_text",
            only(_answer(Answer(calls=CALLS, finish="tool_calls"))),
            ANSWERED,
            {"check": _called},
        ),
        ("tool_calls_interleaved", only(_interleaved), STREAMED, {"check": _called}),
        ("tool_calls_of_one_index", only(_same_index), STREAMED, {"check": _called, "wires": _CHAT}),
        ("tool_call_cut_at_the_limit", only(_answer(_CUT)), STREAMED, {"check": _cut_call}),
        ("tool_call_cut_in_the_reply", only(_answer(_CUT)), GENERATE, {"check": _cut_call, "wires": _OPENAI}),
        (
            "tool_call_that_is_a_list",
            only(changed(_tool_args("[1]"), _ONE_CALL)),
            GENERATE,
            {"check": _raw_call("[1]"), "wires": _OPENAI},
        ),
        (
            "tool_call_that_is_no_json",
            only(changed(_tool_args("dig!"), _ONE_CALL)),
            GENERATE,
            {"check": _raw_call("dig!"), "wires": _OPENAI},
        ),
        ("tool_call_that_is_nothing", only(changed(_tool_args(""), _ONE_CALL)), GENERATE, {"wires": _OPENAI}),
    )
)
"""Answers that call tools."""

ANSWERS: tuple[FaultCase, ...] = tuple(
    FaultCase(name, script, error, modes=modes, **more)
    for name, script, error, modes, more in (
        ("good", only(Wire.good), None, ASKED, {"check": _reported}),
        ("usage_missing", only(_answer(Answer(spent=None))), None, ANSWERED, {"check": _unreported}),
        ("usage_null", only(_with_usage(None)), None, ASKED, {"check": _unreported}),
        ("usage_empty", only(_with_usage({})), None, ASKED, {}),
        ("usage_in_part", only(_with_usage({"input_tokens": 3, "prompt_tokens": 3})), None, ASKED, {}),
        (
            "usage_of_nulls",
            only(_with_usage({"input_tokens": None, "output_tokens": None, "prompt_tokens": None})),
            None,
            ASKED,
            {},
        ),
        ("cut_at_the_limit", only(_answer(Answer(finish="length"))), None, ANSWERED, {"check": _finished("length")}),
        ("refused", only(_answer(Answer(finish="refusal"))), None, ANSWERED, {"check": _finished("refusal")}),
        (
            "paused",
            only(_answer(Answer(finish="pause"))),
            None,
            ANSWERED,
            {"check": _finished("pause"), "wires": _ANTHROPIC},
        ),
        (
            "filtered",
            only(_answer(Answer(finish="content_filter"))),
            None,
            ANSWERED,
            {"check": _finished("content_filter"), "wires": _OPENAI},
        ),
        (
            "stop_reason_of_tomorrow",
            only(changed(at("stop_reason", to="tired"))),
            None,
            GENERATE,
            {"check": _finished("other"), "wires": _ANTHROPIC},
        ),
        (
            "finish_reason_of_tomorrow",
            only(changed(at("choices", 0, "finish_reason", to="tired"))),
            None,
            GENERATE,
            {"check": _finished("other"), "wires": _CHAT},
        ),
        (
            "incomplete_for_a_reason_of_tomorrow",
            only(changed(lambda body: body.update(status="incomplete", incomplete_details={"reason": "tired"}))),
            None,
            GENERATE,
            {"check": _finished("other"), "wires": _RESPONSES},
        ),
        (
            "incomplete_for_no_reason",
            only(changed(at("status", to="incomplete"))),
            None,
            GENERATE,
            {"check": _finished("other"), "wires": _RESPONSES},
        ),
    )
)
"""Answers that are true, however odd."""
