"""Attempts and limits of a stream: what happens before its first event, and behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from focal_core.errors import (
    AttemptTimeout,
    ConnectionFailed,
    DeadlineExceeded,
    MalformedResponse,
    Overloaded,
    ProviderError,
    StreamInterrupted,
)
from focal_core.providers.models import (
    Attempt,
    CallOptions,
    Done,
    LLMMessage,
    LLMResponse,
    StreamEvent,
    TextDelta,
    UsageUpdate,
)
from focal_core.providers.prices import ModelPrice, StaticPrices
from focal_core.providers.retry import Advice, CurrentAttempt
from focal_core.providers.stream import LLMStream, attempted_events, opened_stream
from focal_core.providers.watchdog import Watchdog
from focal_core.usage import TokenUsage
from focal_testkit.faults.scheduler import run

T = TypeVar("T")
FOREVER = 10_000.0


def virtual(test: Callable[[], Awaitable[T]]) -> T:
    async def scenario() -> T:
        return await test()

    return run(scenario, seed=1)


def answer(text: str, usage: TokenUsage | None = None) -> Done:
    message = LLMMessage(role="assistant", content=text)
    return Done(LLMResponse(message=message, usage=usage or TokenUsage(reported=False), model="m", provider="wire"))


class Wire:
    """Streams that do as the scripts say, one for each attempt: events, errors, and seconds of silence."""

    def __init__(self, *scripts: list[Any]) -> None:
        self.scripts = list(scripts)
        self.opened = self.closed = 0
        self.observed: list[str] = []

    async def connect(self, current: CurrentAttempt) -> AsyncGenerator[StreamEvent, None]:
        script = self.scripts[self.opened]
        self.opened += 1
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed += 1

    def stream(self, prices: StaticPrices | None = None, **options: Any) -> Any:
        def observe(attempt: Attempt) -> None:
            self.observed.append(attempt.outcome)

        return opened_stream(
            lambda: attempted_events(
                self.connect,
                provider="wire",
                model="m",
                classify=lambda error: (
                    Advice(ConnectionFailed("it broke"), retryable=True) if isinstance(error, OSError) else None
                ),
                options=CallOptions(**options),
                prices=prices,
                observe=observe,
                rng=lambda: 0.0,
            ),
            "wire",
        )

    async def read(self, **options: Any) -> tuple[list[StreamEvent], LLMResponse]:
        async with self.stream(**options) as stream:
            events = [event async for event in stream]
            return events, await stream.response()

    async def failure(self, **options: Any) -> tuple[ProviderError, list[StreamEvent], float]:
        """Return the error of a stream that must fail, the events before it, and when it came."""
        events: list[StreamEvent] = []

        async def read() -> None:
            async with self.stream(**options) as stream:
                async for event in stream:
                    events.append(event)

        with pytest.raises(ProviderError) as caught:
            await read()
        return caught.value, events, asyncio.get_running_loop().time()


def test_provider_s3_a_stream_ends_with_its_response_and_the_attempts_it_took() -> None:
    """What failed before the first event is in the record, with its tokens, and was closed."""
    spent = TokenUsage(prompt_tokens=7)
    wire = Wire([Overloaded("busy", usage=spent)], [TextDelta("he"), TextDelta("llo"), answer("hello", spent)])

    events, response = virtual(wire.read)

    assert [event.text for event in events if isinstance(event, TextDelta)] == ["he", "llo"]
    assert events[-1] == Done(response)
    assert [one.outcome for one in response.attempts] == ["overloaded", "ok"] == wire.observed
    assert response.usage == spent + spent
    assert (wire.opened, wire.closed) == (2, 2)


def test_provider_a1_before_the_first_event_a_stream_is_tried_again() -> None:
    """A connection that breaks before anything was handed over costs an attempt, no more."""
    wire = Wire([OSError()], [OSError()], [TextDelta("a"), answer("a")])

    _, response = virtual(wire.read)

    assert len(response.attempts) == 3


def test_provider_s4_behind_the_first_event_nothing_is_tried_again() -> None:
    """A break is StreamInterrupted with what had arrived, focal's error for it as cause, and the usage so far."""
    usage = TokenUsage(prompt_tokens=4)
    wire = Wire([TextDelta("ab"), UsageUpdate(usage), TextDelta("c"), OSError()], [answer("never")])

    error, events, _ = virtual(wire.failure)

    assert isinstance(error, StreamInterrupted)
    assert (error.partial, error.usage, error.retryable) == ("abc", usage, False)
    assert isinstance(error.__cause__, ConnectionFailed)
    assert isinstance(error.__cause__.__cause__, OSError)
    assert [one.outcome for one in error.attempts] == ["stream_interrupted"] == wire.observed
    assert (wire.opened, wire.closed, len(events)) == (1, 1, 3)


@pytest.mark.parametrize("begun", [False, True])
def test_provider_s2_a_stream_without_its_terminal_event_is_never_success(begun: bool) -> None:
    """Without an event it is malformed, with some it is interrupted."""
    error, _, _ = virtual(Wire([TextDelta("a")] if begun else []).failure)

    assert type(error) is (StreamInterrupted if begun else MalformedResponse)
    assert len(error.attempts) == 1


def test_provider_s2_reading_stops_at_the_terminal_event() -> None:
    """A server that keeps the connection open behind it does not hold the stream."""
    wire = Wire([TextDelta("a"), answer("a"), FOREVER])

    async def scenario() -> float:
        await wire.read()
        return asyncio.get_running_loop().time()

    assert virtual(scenario) == 0.0
    assert wire.closed == 1


def test_provider_s1_leaving_early_closes_the_connection() -> None:
    """Leaving the context closes the source there and then."""
    wire = Wire([TextDelta("a"), FOREVER])

    async def scenario() -> int:
        async with wire.stream() as stream:
            await anext(stream)
        return wire.closed

    assert virtual(scenario) == 1


def test_provider_s1_a_stream_never_entered_sends_nothing() -> None:
    """Asking for a stream is not opening it."""
    wire = Wire([answer("a")])

    wire.stream()

    assert wire.opened == 0


def test_provider_t1_first_event_timeout_bounds_the_wait_for_the_first_event() -> None:
    """A silent server costs attempts, then AttemptTimeout."""
    error, _, took = virtual(lambda: Wire([FOREVER], [FOREVER]).failure(first_event_timeout=2.0, max_attempts=2))

    assert isinstance(error, AttemptTimeout)
    assert took == 4.0


def test_provider_s5_idle_timeout_bounds_the_wait_between_events() -> None:
    """Silence behind the first event is StreamInterrupted after idle_timeout, counted from the last event."""
    wire = Wire([TextDelta("a"), 1.5, TextDelta("b"), 1.5, TextDelta("c"), FOREVER])

    error, events, took = virtual(lambda: wire.failure(idle_timeout=2.0))

    assert isinstance(error, StreamInterrupted)
    assert isinstance(error.__cause__, AttemptTimeout)
    assert error.__cause__.code == "idle_timeout"
    assert (len(events), took, error.partial) == (3, 5.0, "abc")


def test_provider_s5_the_readers_own_time_is_not_silence() -> None:
    """A reader that takes longer than idle_timeout between two events gets the next one."""
    wire = Wire([TextDelta("a"), 1.0, TextDelta("b"), 1.0, answer("ab")])

    async def scenario() -> int:
        count = 0
        async with wire.stream(idle_timeout=2.0) as stream:
            async for _ in stream:
                await asyncio.sleep(7.0)
                count += 1
        return count

    assert virtual(scenario) == 3


def test_provider_t1_a_slow_drip_ends_at_the_deadline() -> None:
    """Events that keep coming do not move the deadline; what had arrived is kept."""
    wire = Wire([step for n in range(100) for step in (TextDelta(str(n % 10)), 0.3)])

    error, _, took = virtual(lambda: wire.failure(deadline=2.0))

    assert isinstance(error, DeadlineExceeded)
    assert took == pytest.approx(2.0)
    assert error.partial == "0123456"
    assert (error.provider, error.model, len(error.attempts)) == ("wire", "m", 1)


def test_provider_t1_a_deadline_that_passes_in_the_readers_time_ends_the_next_read() -> None:
    """The reader is not interrupted, the stream is."""
    wire = Wire([TextDelta("a"), TextDelta("b"), answer("ab")])

    async def scenario() -> None:
        async with wire.stream(deadline=2.0) as stream:
            await anext(stream)
            await asyncio.sleep(3.0)
            with pytest.raises(DeadlineExceeded):
                await anext(stream)

    virtual(scenario)


def test_provider_t3_a_cancelled_reader_is_cancelled_and_the_source_closed() -> None:
    """Cancellation from outside is not mistaken for a timeout."""
    wire = Wire([TextDelta("a"), FOREVER])

    async def scenario() -> int:
        task = asyncio.create_task(wire.read(idle_timeout=5.0))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return wire.closed

    assert virtual(scenario) == 1


def test_provider_x1_a_bug_behind_the_first_event_is_raised_as_it_is() -> None:
    """What is not the provider's failure keeps its own class."""

    async def scenario() -> None:
        with pytest.raises(KeyError):
            await Wire([TextDelta("a"), KeyError("bug")]).read()

    virtual(scenario)


def test_provider_r9_the_cost_counts_failed_attempts() -> None:
    """Tokens of attempts that failed were paid for."""
    spent = TokenUsage(prompt_tokens=1_000_000)
    wire = Wire([Overloaded("busy", usage=spent)], [answer("a", spent)])
    prices = StaticPrices({"m": ModelPrice(input=Decimal(3))})

    _, response = virtual(lambda: wire.read(prices=prices))

    assert response.cost == Decimal(6)


def test_provider_r9_usage_updates_are_the_whole() -> None:
    """An update says what was spent so far, failed attempts included."""
    spent = TokenUsage(prompt_tokens=2)
    wire = Wire([Overloaded("busy", usage=spent)], [UsageUpdate(spent), answer("", spent)])

    events, _ = virtual(wire.read)

    assert events[0] == UsageUpdate(spent + spent)


def test_provider_t2_one_timer_serves_all_events() -> None:
    """A stream sets a timer once, and again only when it went off too early."""

    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        timers, call_at = [], loop.call_at

        def counted(when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
            timers.append(when)
            return call_at(when, *args, **kwargs)

        async def source() -> AsyncGenerator[int, None]:
            for n in range(1_000):
                await asyncio.sleep(0)
                yield n

        loop.call_at = counted  # type: ignore[method-assign,assignment]
        assert [n async for n in Watchdog(30.0, None).watch(source())] == list(range(1_000))
        return len(timers)

    assert virtual(scenario) == 1


def test_provider_t2_a_watchdog_without_limits_waits_for_ever() -> None:
    """No limit, no timer."""

    async def source() -> AsyncGenerator[int, None]:
        await asyncio.sleep(FOREVER)
        yield 1

    async def scenario() -> list[int]:
        return [n async for n in Watchdog(None, None).watch(source())]

    assert virtual(scenario) == [1]


def test_provider_t2_the_cancellation_of_a_timeout_leaves_no_trace_in_the_task() -> None:
    """After a timeout the task is not cancelling, so that timeouts around it work."""

    async def source() -> AsyncGenerator[int, None]:
        await asyncio.sleep(FOREVER)
        yield 1

    async def scenario() -> int:
        with pytest.raises(AttemptTimeout):
            await anext(Watchdog(1.0, None).watch(source()))
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert virtual(scenario) == 0


def test_provider_t2_a_source_that_swallows_the_cancellation_is_still_too_late() -> None:
    """A source that goes on after being cancelled does not outlive its limit."""

    async def source() -> AsyncGenerator[int, None]:
        try:
            await asyncio.sleep(FOREVER)
        except asyncio.CancelledError:
            yield 1

    async def scenario() -> int:
        with pytest.raises(AttemptTimeout):
            await anext(Watchdog(1.0, None).watch(source()))
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert virtual(scenario) == 0


def test_provider_t2_a_cancellation_from_outside_goes_before_a_timeout() -> None:
    """Both at one moment: the task is cancelled."""

    async def source() -> AsyncGenerator[int, None]:
        await asyncio.sleep(FOREVER)
        yield 1

    async def scenario() -> None:
        async def read() -> None:
            async for _ in Watchdog(1.0, None).watch(source()):
                pass

        task = asyncio.create_task(read())
        came_in_time: list[bool] = []
        asyncio.get_running_loop().call_at(1.0, lambda: came_in_time.append(task.cancel()))
        with pytest.raises((asyncio.CancelledError, AttemptTimeout)) as caught:
            await task
        assert (caught.type is asyncio.CancelledError) == any(came_in_time)
        seen.add(caught.type)

    seen: set[type[BaseException]] = set()
    for seed in range(20):
        run(scenario, seed)
    assert len(seen) == 2


def test_provider_s2_an_end_without_done_is_told_by_the_stream_itself() -> None:
    """Whatever the events come from, an end before Done is StreamInterrupted."""

    async def events() -> AsyncGenerator[StreamEvent, None]:
        yield TextDelta("a")

    async def scenario() -> StreamInterrupted:
        with pytest.raises(StreamInterrupted) as caught:
            await LLMStream(events(), "wire").response()
        return caught.value

    assert virtual(scenario).partial == "a"
