"""Faults of the connection: refused, reset, closed, silent, slow."""

from __future__ import annotations

from collections.abc import Callable

from focal_core.errors import AttemptTimeout, ConnectionFailed, DeadlineExceeded, MalformedResponse, ProviderError
from focal_testkit.contracts.providers.fault_case import (
    EVERY,
    WHOLE,
    FaultCase,
    Mode,
    Outcome,
    Wire,
    limits,
    only,
    then_good,
)
from focal_testkit.faults.wire import AtOnce, Close, Exchange, Hang, Reset, Send, Step, Wait, head, reply

_HEAD = head(200, {"content-type": "application/json", "content-length": "5000"})
_SLOW = limits(attempt_timeout=0.15, first_event_timeout=0.15)
_URGENT = limits(deadline=0.2)
_NOT_STREAMED: frozenset[Mode] = WHOLE | {"embed"}


def _steps(*steps: Step) -> Callable[[Wire], Exchange]:
    return lambda _: steps


def _drip(wire: Wire) -> Exchange:
    drops = [
        step
        for byte in b'{"id": "msg_01", "type": "message", "role": "assistant"'
        for step in (Send(bytes([byte])), Wait(0.03))
    ]
    return [Send(_HEAD), *drops, Hang()]


def _in_time(least: float, most: float) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        assert least <= outcome.elapsed <= most

    return check


def _last_cause(outcome: Outcome) -> None:
    """What came before is not lost when time runs out."""
    assert isinstance(outcome.error, ProviderError)
    assert [attempt.outcome for attempt in outcome.error.attempts] == ["server_error", "deadline_exceeded"]


CONNECTIONS: tuple[FaultCase, ...] = tuple(
    FaultCase(name, script, error, modes=modes, **more)
    for name, script, error, modes, more in (
        ("refused", only(_steps(Close())), ConnectionFailed, EVERY, {"attempts": 2, "refused": True}),
        ("reset_at_once", only(_steps(AtOnce(), Reset())), ConnectionFailed, EVERY, {"attempts": 2}),
        ("closed_at_once", only(_steps(AtOnce(), Close())), ConnectionFailed, EVERY, {"attempts": 2}),
        ("reset_before_the_reply", only(_steps(Reset())), ConnectionFailed, EVERY, {"attempts": 2}),
        ("closed_before_the_reply", only(_steps(Close())), ConnectionFailed, EVERY, {"attempts": 2}),
        ("reset_then_good", then_good(_steps(Reset())), None, EVERY, {"attempts": 2}),
        ("closed_then_good", then_good(_steps(Close())), None, EVERY, {"attempts": 2}),
        ("reset_at_once_then_good", then_good(_steps(AtOnce(), Reset())), None, EVERY, {"attempts": 2}),
        (
            "closed_in_the_status_line",
            only(_steps(Send(b"HTTP/1.1 20"), Close())),
            ConnectionFailed,
            EVERY,
            {"attempts": 2},
        ),
        ("closed_in_the_headers", only(_steps(Send(_HEAD[:-9]), Close())), ConnectionFailed, EVERY, {"attempts": 2}),
        (
            "closed_before_the_body",
            only(_steps(Send(_HEAD), Close())),
            ConnectionFailed,
            _NOT_STREAMED,
            {"attempts": 2},
        ),
        (
            "closed_in_the_body",
            only(_steps(Send(_HEAD + b'{"id'), Close())),
            ConnectionFailed,
            _NOT_STREAMED,
            {"attempts": 2},
        ),
        (
            "reset_in_the_body",
            only(_steps(Send(_HEAD + b'{"id'), Reset())),
            ConnectionFailed,
            _NOT_STREAMED,
            {"attempts": 2},
        ),
        (
            "reset_in_an_error_body",
            only(_steps(Send(head(500, {"content-length": "500"}) + b'{"err'), Reset())),
            ProviderError,
            EVERY,
            {"attempts": 2, "code": "connection_failed|server_error", "retryable": True},
        ),
        (
            "no_http_at_all",
            only(_steps(Send(b"SSH-2.0-OpenSSH_9.9\r\n"), Close())),
            ConnectionFailed,
            EVERY,
            {"attempts": 2},
        ),
        ("silence_at_once", only(_steps(Hang())), AttemptTimeout, EVERY, {"attempts": 2, "options": _SLOW}),
        (
            "silence_in_the_headers",
            only(_steps(Send(_HEAD[:-9]), Hang())),
            AttemptTimeout,
            EVERY,
            {"attempts": 2, "options": _SLOW},
        ),
        (
            "silence_before_the_body",
            only(_steps(Send(_HEAD), Hang())),
            AttemptTimeout,
            _NOT_STREAMED,
            {"attempts": 2, "options": _SLOW},
        ),
        ("silence_then_good", then_good(_steps(Hang())), None, EVERY, {"attempts": 2, "options": _SLOW}),
        ("slow_drip", only(_drip), AttemptTimeout, _NOT_STREAMED, {"attempts": 2, "options": _SLOW}),
        (
            "deadline_in_silence",
            only(_steps(Hang())),
            DeadlineExceeded,
            EVERY,
            {"options": _URGENT, "check": _in_time(0.19, 0.3)},
        ),
        (
            "deadline_in_a_slow_drip",
            only(_drip),
            DeadlineExceeded,
            _NOT_STREAMED,
            {"options": _URGENT, "check": _in_time(0.19, 0.3)},
        ),
        (
            "deadline_over_all_attempts",
            only(_steps(Wait(0.2), reply(500, b""))),
            DeadlineExceeded,
            EVERY,
            {"attempts": 2, "options": limits(max_attempts=5, deadline=0.35), "check": _last_cause},
        ),
        ("slow_but_in_time", lambda wire: [_slowly(wire)], None, EVERY, {"options": limits(deadline=2.0)}),
        (
            "body_longer_than_announced",
            only(
                _steps(
                    Send(head(200, {"content-type": "application/json", "content-length": "2"}) + b"{}garbage"), Close()
                )
            ),
            MalformedResponse,
            _NOT_STREAMED,
            {},
        ),
    )
)
"""What happens below HTTP, and time."""


def _slowly(wire: Wire) -> Exchange:
    good = wire.good()
    return (lambda request: (Wait(0.2), *good(request))) if callable(good) else (Wait(0.2), *good)
