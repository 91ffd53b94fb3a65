"""Replies that are complete and no answer, failures with status 200, and output that is not what was asked for."""

from __future__ import annotations

from collections.abc import Callable

from focal_core.errors import (
    ContentFiltered,
    InvalidRequest,
    MalformedResponse,
    OutputError,
    OutputInvalid,
    OutputTruncated,
    RateLimited,
    Refused,
    ServerError,
    StreamInterrupted,
)
from focal_testkit.contracts.providers.answers import at, changed
from focal_testkit.contracts.providers.fault_case import (
    ASKED,
    STRUCTURED_ANSWER,
    WHOLE,
    FaultCase,
    Mode,
    Outcome,
    Wire,
    only,
)
from focal_testkit.faults.wire import Exchange, json_reply
from focal_testkit.faults.wire_dialect import Answer, Spent
from focal_testkit.faults.wire_responses import ResponsesDialect

STRUCTURED: frozenset[Mode] = frozenset({"structured"})
_CHAT = frozenset({"openai-chat"})
_OPENAI = frozenset({"openai-chat", "openai-responses"})
_RESPONSES = frozenset({"openai-responses"})
_ANTHROPIC = frozenset({"anthropic"})


def _answer(answer: Answer) -> Callable[[Wire], Exchange]:
    return lambda wire: wire.good(answer)


def _failed(code: str) -> Callable[[Wire], Exchange]:
    def exchange(wire: Wire) -> Exchange:
        assert isinstance(wire.dialect, ResponsesDialect)
        if wire.mode == "stream":
            return wire.dialect.stream_of(wire.dialect.failed_events(code))
        return (json_reply(200, wire.dialect.failed(code), wire.dialect.headers()),)

    return exchange


def _kept(outcome: Outcome) -> None:
    """The paid answer is on the error, with its usage."""
    assert isinstance(outcome.error, OutputError)
    assert outcome.error.response is not None
    assert outcome.error.response.text
    assert outcome.error.usage.prompt_tokens == Spent().prompt
    assert outcome.error.response.attempts == outcome.error.attempts or outcome.error.attempts == ()


OUTPUTS: tuple[FaultCase, ...] = tuple(
    FaultCase(name, script, error, modes=modes, **more)  # type: ignore[arg-type]
    for name, script, error, modes, more in (
        # Complete JSON that is no answer.
        ("content_null", only(changed(at("content"))), MalformedResponse, WHOLE, {"wires": _ANTHROPIC}),
        ("content_of_null", only(changed(at("content", to=[None]))), MalformedResponse, WHOLE, {"wires": _ANTHROPIC}),
        ("stop_reason_null", only(changed(at("stop_reason"))), MalformedResponse, WHOLE, {"wires": _ANTHROPIC}),
        ("text_null", only(changed(at("content", 0, "text"))), MalformedResponse, WHOLE, {"wires": _ANTHROPIC}),
        ("choices_empty", only(changed(at("choices", to=[]))), MalformedResponse, WHOLE, {"wires": _CHAT}),
        ("choices_null", only(changed(at("choices"))), MalformedResponse, WHOLE, {"wires": _CHAT}),
        ("message_null", only(changed(at("choices", 0, "message"))), MalformedResponse, WHOLE, {"wires": _CHAT}),
        (
            "finish_reason_null",
            only(changed(at("choices", 0, "finish_reason"))),
            MalformedResponse,
            WHOLE,
            {"wires": _CHAT},
        ),
        ("output_null", only(changed(at("output"))), MalformedResponse, WHOLE, {"wires": _RESPONSES}),
        ("output_of_null", only(changed(at("output", to=[None]))), MalformedResponse, WHOLE, {"wires": _RESPONSES}),
        ("status_null", only(changed(at("status"))), MalformedResponse, WHOLE, {"wires": _RESPONSES}),
        ("status_queued", only(changed(at("status", to="queued"))), MalformedResponse, WHOLE, {"wires": _RESPONSES}),
        (
            "status_in_progress",
            only(changed(at("status", to="in_progress"))),
            MalformedResponse,
            WHOLE,
            {"wires": _RESPONSES},
        ),
        (
            "status_cancelled",
            only(changed(at("status", to="cancelled"))),
            MalformedResponse,
            WHOLE,
            {"wires": _RESPONSES},
        ),
        # Status 200, and the response says it failed.
        (
            "failed_server_error",
            only(_failed("server_error")),
            ServerError,
            ASKED,
            {"attempts": 2, "wires": _RESPONSES},
        ),
        (
            "failed_rate_limit",
            only(_failed("rate_limit_exceeded")),
            RateLimited,
            ASKED,
            {"attempts": 2, "wires": _RESPONSES},
        ),
        ("failed_policy", only(_failed("bio_policy")), ContentFiltered, ASKED, {"wires": _RESPONSES}),
        ("failed_prompt", only(_failed("invalid_prompt")), InvalidRequest, ASKED, {"wires": _RESPONSES}),
        ("failed_image", only(_failed("image_too_large")), InvalidRequest, ASKED, {"wires": _RESPONSES}),
        (
            "failed_for_a_reason_of_tomorrow",
            only(_failed("tired")),
            ServerError,
            ASKED,
            {"retryable": False, "wires": _RESPONSES},
        ),
        (
            "stream_failed_midway",
            lambda wire: [
                wire.dialect.stream_of([*wire.dialect.opening(), *wire.dialect.failed_events("server_error")])
            ],
            StreamInterrupted,
            frozenset({"stream"}),
            {"wires": _RESPONSES},
        ),
        # Structured output.
        (
            "output_of_another_type",
            only(_answer(Answer(text='{"animal": "quokka", "burrows": "many"}'))),
            OutputInvalid,
            STRUCTURED,
            {"check": _kept},
        ),
        (
            "output_without_a_field",
            only(_answer(Answer(text='{"animal": "quokka"}'))),
            OutputInvalid,
            STRUCTURED,
            {"check": _kept},
        ),
        ("output_that_is_text", only(_answer(Answer())), OutputInvalid, STRUCTURED, {"check": _kept}),
        (
            "output_cut_in_its_json",
            only(_answer(Answer(text=STRUCTURED_ANSWER[:20]))),
            OutputInvalid,
            STRUCTURED,
            {"check": _kept},
        ),
        (
            "output_and_more",
            only(_answer(Answer(text=f"Here: {STRUCTURED_ANSWER}"))),
            OutputInvalid,
            STRUCTURED,
            {"check": _kept},
        ),
        (
            "output_truncated",
            only(_answer(Answer(text=STRUCTURED_ANSWER[:20], finish="length"))),
            OutputTruncated,
            STRUCTURED,
            {"check": _kept},
        ),
        (
            "output_valid_and_truncated",
            only(_answer(Answer(text=STRUCTURED_ANSWER, finish="length"))),
            OutputTruncated,
            STRUCTURED,
            {"check": _kept},
        ),
        (
            "output_refused",
            only(_answer(Answer(text="I had rather not.", finish="refusal"))),
            Refused,
            STRUCTURED,
            {"check": _kept},
        ),
        (
            "output_filtered",
            only(_answer(Answer(finish="content_filter"))),
            ContentFiltered,
            STRUCTURED,
            {"check": _kept, "wires": _OPENAI},
        ),
    )
)
"""Answers that are none, or not what was asked for."""
