"""Faults of an event stream: cut, silent, malformed, spelled otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

from focal_core.errors import (
    AttemptTimeout,
    ConnectionFailed,
    DeadlineExceeded,
    MalformedResponse,
    Overloaded,
    ProviderError,
    RateLimited,
    ServerError,
    StreamInterrupted,
)
from focal_testkit.contracts.providers.fault_case import FaultCase, Mode, Outcome, Wire, limits, only, then_good
from focal_testkit.faults.wire import LAST_CHUNK, Close, Exchange, Hang, Reset, Send, Step, Wait, chunk, stream_head
from focal_testkit.faults.wire_dialect import ANSWER, Answer, Event

STREAM: frozenset[Mode] = frozenset({"stream"})
_SLOW = limits(attempt_timeout=0.15, first_event_timeout=0.15)
_IDLE = limits(idle_timeout=0.15)
_NAMED = frozenset({"anthropic"})


def _sent(wire: Wire, events: Sequence[Event], *behind: Step, **spelling: Any) -> Exchange:
    chunks = (chunk(event.encode(**spelling)) for event in events)
    return (stream_head(wire.dialect.headers()), *chunks, *behind)


def _opening(*behind: Step) -> Callable[[Wire], Exchange]:
    return lambda wire: _sent(wire, wire.dialect.opening(), *behind)


def _whole(*behind: Step, **spelling: Any) -> Callable[[Wire], Exchange]:
    return lambda wire: _sent(wire, wire.dialect.events(Answer()), *behind, **spelling)


def _started(*behind: Step) -> Callable[[Wire], Exchange]:
    return lambda wire: _sent(wire, (), *behind)


def _settled(*behind: Step) -> Callable[[Wire], Exchange]:
    """The stream up to and with the first event that settles it."""

    def exchange(wire: Wire) -> Exchange:
        events = wire.dialect.events(Answer())
        settled = next(index for index, event in enumerate(events) if event.settles)
        return _sent(wire, events[: settled + 1], *behind)

    return exchange


def _unsettled(*behind: Step) -> Callable[[Wire], Exchange]:
    """The stream up to, but without, the first event that settles it."""
    return lambda wire: _sent(wire, [event for event in wire.dialect.events(Answer()) if not event.settles], *behind)


def _partial(outcome: Outcome) -> None:
    """What had arrived is kept, and is what was handed over."""
    assert isinstance(outcome.error, StreamInterrupted | DeadlineExceeded)
    assert outcome.text
    assert (ANSWER * 9).startswith(outcome.text)
    assert outcome.error.partial == outcome.text


def _caused_by(kind: type[ProviderError]) -> Callable[[Outcome], None]:
    def check(outcome: Outcome) -> None:
        _partial(outcome)
        assert isinstance(outcome.error, StreamInterrupted)
        assert isinstance(outcome.error.__cause__, kind)

    return check


def _quick(outcome: Outcome) -> None:
    assert outcome.elapsed < 1.0


def _in_time(outcome: Outcome) -> None:
    _partial(outcome)
    assert 0.29 <= outcome.elapsed <= 0.4


def _separated(wire: Wire) -> Exchange:
    """Unknown events that hold what Unicode, but not this format, takes for the end of a line."""
    strange = wire.dialect.unknown_event()
    events = [replace(strange, data={**strange.data, "sky": "a\u2028b\u2029c\u0085d\u000be"})]
    return _sent(wire, [*events, *wire.dialect.events(Answer())], LAST_CHUNK)


def _rewritten(rewrite: Callable[[bytes], Sequence[bytes]]) -> Callable[[Wire], Exchange]:
    """The bytes of the whole stream, cut into chunks otherwise."""

    def exchange(wire: Wire) -> Exchange:
        whole = b"".join(event.encode() for event in wire.dialect.events(Answer()))
        return (stream_head(wire.dialect.headers()), *map(chunk, rewrite(whole)), LAST_CHUNK)

    return exchange


def _each_byte(whole: bytes) -> Sequence[bytes]:
    return [whole[at : at + 1] for at in range(len(whole))]


def _inside_letters(whole: bytes) -> Sequence[bytes]:
    cut = whole.index("«".encode()) + 1
    return [whole[:cut], whole[cut:]]


def _inside_crlf(whole: bytes) -> Sequence[bytes]:
    lines = whole.replace(b"\n", b"\r\n").split(b"\r")
    return [line + b"\r" for line in lines[:-1]] + [lines[-1]]


def _commented(whole: bytes) -> Sequence[bytes]:
    return [b": keep-alive\n\n" + whole.replace(b"\n\n", b"\n\n: comment\n\nretry: 5\n\n")]


def _with_unknown(wire: Wire) -> Exchange:
    events = wire.dialect.events(Answer())
    strange = [wire.dialect.unknown_event()] * (len(events) - 1)
    mixed = [one for one in chain.from_iterable(zip_longest(events, strange)) if one is not None]
    return _sent(wire, mixed, LAST_CHUNK)


def _error(kind: str, *before: str) -> Callable[[Wire], Exchange]:
    def exchange(wire: Wire) -> Exchange:
        opening = wire.dialect.opening() if before else []
        return _sent(wire, [*opening, *wire.dialect.error_events(kind)], LAST_CHUNK)

    return exchange


def _garbled(data: str, *, first: bool) -> Callable[[Wire], Exchange]:
    def exchange(wire: Wire) -> Exchange:
        events = wire.dialect.events(Answer())
        broken = replace(events[0 if first else -1], data=data)
        return _sent(wire, [broken] if first else [*wire.dialect.opening(), broken], LAST_CHUNK)

    return exchange


def _repeated(wire: Wire) -> Exchange:
    events = wire.dialect.events(Answer())
    return _sent(wire, [*events, events[-1], *wire.dialect.opening()], LAST_CHUNK)


def _pinged(wire: Wire) -> Exchange:
    pings = [step for _ in range(40) for step in (Wait(0.05), chunk(b": ping\n\n"))]
    return _sent(wire, wire.dialect.opening(), *pings, LAST_CHUNK)


def _dripped(wire: Wire) -> Exchange:
    steps = [
        step for event in wire.dialect.events(Answer(text=ANSWER * 9)) for step in (chunk(event.encode()), Wait(0.04))
    ]
    return (stream_head(wire.dialect.headers()), *steps, LAST_CHUNK)


def _patiently(wire: Wire) -> Exchange:
    steps = [step for event in wire.dialect.events(Answer()) for step in (Wait(0.02), chunk(event.encode()))]
    return (stream_head(wire.dialect.headers()), *steps, LAST_CHUNK)


def _huge(wire: Wire) -> Exchange:
    """One event of 10 MB that no client knows, before the others."""
    strange = wire.dialect.unknown_event()
    return _sent(
        wire,
        [replace(strange, data={**strange.data, "sky": "x" * 10_000_000}), *wire.dialect.events(Answer())],
        LAST_CHUNK,
    )


def _without_length(*behind: Step) -> Callable[[Wire], Exchange]:
    """An old server: the end of the connection is the end of the stream."""

    def exchange(wire: Wire) -> Exchange:
        start = Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        events = wire.dialect.opening() if not behind else wire.dialect.events(Answer())
        return (start, *(Send(event.encode()) for event in events), Close())

    return exchange


STREAMS: tuple[FaultCase, ...] = tuple(
    FaultCase(f"stream_{name}", script, error, modes=STREAM, **more)
    for name, script, error, more in (
        # Cut.
        ("closed_midway", only(_opening(Close())), StreamInterrupted, {"check": _caused_by(ConnectionFailed)}),
        ("reset_midway", only(_opening(Reset())), StreamInterrupted, {"check": _partial}),
        ("ended_in_order_midway", only(_opening(LAST_CHUNK)), StreamInterrupted, {"check": _partial}),
        ("ended_with_the_connection_midway", only(_without_length()), StreamInterrupted, {"check": _partial}),
        ("ended_without_its_terminal_event", only(_unsettled(LAST_CHUNK)), StreamInterrupted, {"check": _partial}),
        ("closed_without_its_terminal_event", only(_unsettled(Close())), StreamInterrupted, {"check": _partial}),
        (
            "told_done_without_a_stop_reason",
            only(_unsettled(chunk(b"data: [DONE]\n\n"), LAST_CHUNK)),
            StreamInterrupted,
            {"check": _partial, "wires": frozenset({"openai-chat"})},
        ),
        (
            "closed_inside_an_event",
            only(_opening(chunk(b'data: {"ty'), Close())),
            StreamInterrupted,
            {"check": _partial},
        ),
        (
            "ended_inside_an_event",
            only(_opening(chunk(b'data: {"ty'), LAST_CHUNK)),
            StreamInterrupted,
            {"check": _partial},
        ),
        ("closed_before_its_first_event", only(_started(Close())), ConnectionFailed, {"attempts": 2}),
        ("reset_before_its_first_event", only(_started(Reset())), ConnectionFailed, {"attempts": 2}),
        ("closed_before_its_first_event_then_good", then_good(_started(Close())), None, {"attempts": 2}),
        ("without_an_event", only(_started(LAST_CHUNK)), MalformedResponse, {}),
        ("of_comments_only", only(_started(chunk(b": ping\n\n"), LAST_CHUNK)), MalformedResponse, {}),
        # Complete, whatever comes behind.
        ("held_open_behind_its_end", only(_whole(Hang())), None, {"check": _quick}),
        ("reset_behind_its_end", only(_whole(Reset())), None, {}),
        ("closed_behind_its_end", only(_whole(Close())), None, {}),
        ("ended_with_the_connection", only(_without_length(Close())), None, {}),
        ("ended_in_order_behind_its_stop_reason", only(_settled(LAST_CHUNK)), None, {}),
        ("with_its_terminal_event_twice", only(_repeated), None, {}),
        # Silent and slow.
        ("silent_before_its_first_event", only(_started(Hang())), AttemptTimeout, {"attempts": 2, "options": _SLOW}),
        (
            "silent_before_its_first_event_then_good",
            then_good(_started(Hang())),
            None,
            {"attempts": 2, "options": _SLOW},
        ),
        (
            "silent_midway",
            only(_opening(Hang())),
            StreamInterrupted,
            {"options": _IDLE, "check": _caused_by(AttemptTimeout)},
        ),
        (
            "silent_midway_until_the_deadline",
            only(_opening(Hang())),
            DeadlineExceeded,
            {"options": limits(deadline=0.3), "check": _in_time},
        ),
        (
            "kept_alive_until_the_deadline",
            only(_pinged),
            DeadlineExceeded,
            {"options": limits(deadline=0.3), "check": _in_time},
        ),
        (
            "dripping_until_the_deadline",
            only(_dripped),
            DeadlineExceeded,
            {"options": limits(deadline=0.3), "check": _in_time},
        ),
        ("slow_but_in_time", only(_patiently), None, {"options": limits(idle_timeout=1.0, attempt_timeout=0.5)}),
        # Errors inside.
        ("error_first", only(_error("server_error")), ServerError, {"attempts": 2}),
        ("overload_first", only(_error("overloaded")), Overloaded, {"attempts": 2, "wires": _NAMED}),
        ("error_first_then_good", then_good(_error("server_error")), None, {"attempts": 2}),
        ("rate_limit_first", only(_error("rate_limited")), RateLimited, {"attempts": 2}),
        ("error_midway", only(_error("server_error", "x")), StreamInterrupted, {"check": _caused_by(ServerError)}),
        ("rate_limit_midway", only(_error("rate_limited", "x")), StreamInterrupted, {"check": _caused_by(RateLimited)}),
        ("malformed_first", only(_garbled('{"type": ', first=True)), MalformedResponse, {}),
        (
            "malformed_midway",
            only(_garbled('{"type": ', first=False)),
            StreamInterrupted,
            {"check": _caused_by(MalformedResponse)},
        ),
        ("null_midway", only(_garbled("null", first=False)), StreamInterrupted, {"check": _partial}),
        ("number_first", only(_garbled("7", first=True)), MalformedResponse, {}),
        ("without_event_names", only(_whole(LAST_CHUNK, named=False)), MalformedResponse, {"wires": _NAMED}),
        # Spelled otherwise.
        ("every_byte_its_own_chunk", only(_rewritten(_each_byte)), None, {}),
        ("one_chunk", only(_rewritten(lambda whole: [whole])), None, {}),
        ("cut_inside_a_letter", only(_rewritten(_inside_letters)), None, {}),
        ("with_crlf", only(_whole(LAST_CHUNK, newline="\r\n")), None, {}),
        ("cut_inside_crlf", only(_rewritten(_inside_crlf)), None, {}),
        ("with_comments", only(_rewritten(_commented)), None, {}),
        ("with_unknown_events", only(_with_unknown), None, {}),
        ("with_line_separators_of_unicode", only(_separated), None, {}),
        ("with_an_event_of_10_mb", only(_huge), None, {}),
    )
)
"""What a stream can do to its reader."""
