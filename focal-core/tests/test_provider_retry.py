"""The retry loop: what is tried again, how long is waited, and what is recorded of it."""

from __future__ import annotations

import asyncio
import math
import pickle
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from focal_core.errors import (
    AttemptTimeout,
    AuthenticationFailed,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidDataError,
    Overloaded,
    ProviderError,
    RateLimited,
)
from focal_core.providers.models import Attempt, CallOptions
from focal_core.providers.retry import Advice, Attempted, CurrentAttempt, run_attempts
from focal_core.usage import TokenUsage
from focal_testkit.faults.scheduler import run

T = TypeVar("T")
FOREVER = 10_000.0


class Broken(Exception):
    """What an SDK raises."""


def classify(error: Exception) -> Advice | None:
    return Advice(ConnectionFailed("it broke"), retryable=True) if isinstance(error, Broken) else None


class Calls:
    """A call whose attempts end as the script says: an exception, a value, or seconds to take before a value."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.waits: list[float] = []
        self.seen: list[CurrentAttempt] = []

    async def __call__(self, current: CurrentAttempt) -> Any:
        self.seen.append(current)
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, float):
            await asyncio.sleep(step)
        return step

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(seconds)

    async def run(self, *, rng: float = 0.5, observe: Any = None, **options: Any) -> Attempted[Any]:
        return await run_attempts(
            self,
            classify=classify,
            options=CallOptions(**options),
            sleep=self.sleep,
            rng=lambda: rng,
            observe=observe,
            provider="wire",
            model="m",
        )


def virtual(test: Callable[[], Awaitable[T]]) -> T:
    async def scenario() -> T:
        return await test()

    return run(scenario, seed=1)


def failed(calls: Calls, **options: Any) -> tuple[ProviderError, float]:
    """Return the error of a call that must fail, and the seconds it took."""

    async def scenario() -> tuple[ProviderError, float]:
        with pytest.raises(ProviderError) as caught:
            await calls.run(**options)
        return caught.value, asyncio.get_running_loop().time()

    return virtual(scenario)


def test_provider_a1_a_retryable_failure_is_tried_again_and_recorded() -> None:
    """What may help is tried again; every attempt is recorded, the successful one last."""
    calls = Calls(Broken(), Overloaded("busy", status=529, request_id="r2"), "answer")

    attempted = virtual(calls.run)

    assert attempted.value == "answer"
    assert [(one.n, one.outcome, one.status, one.request_id) for one in attempted.attempts] == [
        (1, "connection_failed", None, None),
        (2, "overloaded", 529, "r2"),
        (3, "ok", None, None),
    ]
    assert [one.waited for one in attempted.attempts] == [0.0, *calls.waits]


def test_provider_a1_what_is_not_retryable_is_raised_at_once() -> None:
    """A refused key is not tried again."""
    calls = Calls(AuthenticationFailed("no", status=401))

    error, took = failed(calls)

    assert isinstance(error, AuthenticationFailed)
    assert (len(error.attempts), took, calls.waits) == (1, 0.0, [])
    assert (error.provider, error.model) == ("wire", "m")


def test_provider_a1_advice_decides_not_the_class_of_the_error() -> None:
    """A rate limit that the server calls final is not tried again, and says so."""

    async def scenario() -> ProviderError:
        async def call(current: CurrentAttempt) -> None:
            raise Broken

        with pytest.raises(RateLimited) as caught:
            await run_attempts(call, classify=lambda error: Advice(RateLimited("later"), retryable=False))
        return caught.value

    error = virtual(scenario)

    assert not error.retryable
    assert len(error.attempts) == 1


def test_provider_a2_the_last_failure_comes_out_with_all_attempts_and_their_usage() -> None:
    """When the attempts are used up, the last cause is raised; tokens of failed attempts are not lost."""
    spent = TokenUsage(prompt_tokens=5, completion_tokens=1)
    calls = Calls(Broken(), Overloaded("busy", usage=spent), Overloaded("busy", usage=spent))

    error, _ = failed(calls)

    assert type(error) is Overloaded
    assert [one.outcome for one in error.attempts] == ["connection_failed", "overloaded", "overloaded"]
    assert error.usage == spent + spent


def test_provider_a2_the_cause_of_a_translated_error_is_kept_and_the_error_pickles() -> None:
    """The SDK's exception is the cause; the error travels between processes."""
    broken = Broken("reset")

    error, _ = failed(Calls(broken), max_attempts=1)

    assert error.__cause__ is broken
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.attempts, again.code) == (ConnectionFailed, error.attempts, error.code)


def test_provider_a3_backoff_is_jittered_from_zero_and_doubles_up_to_eight_seconds() -> None:
    """Without advice the wait is a share of 0.5, 1, 2, 4, 8, 8, ... seconds."""
    calls = Calls(*[Broken() for _ in range(7)], "answer")

    virtual(lambda: calls.run(max_attempts=8, rng=0.75))

    assert calls.waits == [0.75 * most for most in (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)]


@pytest.mark.parametrize(("asked", "waits"), [(2.0, 2.2), (20.0, 21.0), (0.0, 0.0)])
def test_provider_a3_never_less_is_waited_than_asked_and_at_most_a_second_more(asked: float, waits: float) -> None:
    """A tenth is added to what the provider asks for, one second at most."""
    calls = Calls(RateLimited("slow down", retry_after=asked), "answer")

    virtual(lambda: calls.run(rng=1.0))

    assert calls.waits == [pytest.approx(waits)]
    assert calls.waits[0] >= asked


def test_provider_a3_a_wait_longer_than_allowed_is_raised_at_once_with_its_length() -> None:
    """An hour is not slept: the caller is told."""
    error, took = failed(Calls(RateLimited("slow down", retry_after=3600.0)))

    assert (error.retry_after, took, error.retryable) == (3600.0, 0.0, True)


def test_provider_a3_a_wait_of_exactly_the_limit_is_waited() -> None:
    """The limit is about what was asked; jitter on top does not make it too long."""
    calls = Calls(RateLimited("slow down", retry_after=30.0), "answer")

    assert virtual(lambda: calls.run(rng=0.9)).value == "answer"


def test_provider_t1_a_wait_that_outlives_the_deadline_is_not_begun() -> None:
    """The last cause is raised at once, not a timeout at the deadline."""
    error, took = failed(Calls(RateLimited("slow down", retry_after=5.0)), deadline=4.0)

    assert isinstance(error, RateLimited)
    assert took == 0.0


def test_provider_t1_an_attempt_that_never_ends_is_retried_and_named() -> None:
    """attempt_timeout bounds an attempt as a whole; it is retryable."""
    error, took = failed(Calls(FOREVER, FOREVER, FOREVER), attempt_timeout=2.0, rng=0.0)

    assert isinstance(error, AttemptTimeout)
    assert took == 6.0
    assert [one.duration for one in error.attempts] == [2.0, 2.0, 2.0]


def test_provider_t1_the_deadline_cuts_an_attempt_and_is_final() -> None:
    """Time that runs out inside an attempt is DeadlineExceeded, with what failed before as its cause."""
    error, took = failed(Calls(Broken(), FOREVER), deadline=3.0, rng=1.0)

    assert isinstance(error, DeadlineExceeded)
    assert isinstance(error.__cause__, ConnectionFailed)
    assert took == pytest.approx(3.0)
    assert [one.outcome for one in error.attempts] == ["connection_failed", "deadline_exceeded"]


def test_provider_t1_a_timeout_the_call_itself_raises_is_classified() -> None:
    """A TimeoutError of a socket is the call's, not the end of the attempt's time."""
    error = TimeoutError()

    with pytest.raises(TimeoutError) as caught:
        virtual(Calls(error).run)

    assert caught.value is error


def test_provider_t1_each_attempt_knows_its_time() -> None:
    """The time given to the SDK is what the attempt and the deadline leave."""
    calls = Calls(Broken(), "answer")

    virtual(lambda: calls.run(deadline=3.0, attempt_timeout=2.9, rng=1.0))

    assert [one.timeout for one in calls.seen] == [2.9, pytest.approx(2.5)]


@pytest.mark.parametrize("bug", [AttributeError("bug"), InvalidDataError("not a provider's")])
def test_provider_x1_a_bug_is_raised_as_it_is_after_one_attempt(bug: Exception) -> None:
    """What the classifier does not know is ours, and is not hidden by retrying."""
    calls = Calls(bug, "answer")

    with pytest.raises(type(bug)) as caught:
        virtual(calls.run)

    assert caught.value is bug
    assert len(calls.seen) == 1


@pytest.mark.parametrize("moment", [0.5, 1.2])
def test_provider_t3_cancellation_propagates_at_once(moment: float) -> None:
    """Cancelled inside an attempt or between two of them, the call ends there and then."""

    async def scenario() -> float:
        calls = Calls(1.0, "never") if moment < 1 else Calls(RateLimited("slow down", retry_after=10.0), "never")
        task = asyncio.create_task(calls.run())
        await asyncio.sleep(moment)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(calls.seen) == 1
        return asyncio.get_running_loop().time()

    assert virtual(scenario) == moment


def test_provider_a2_an_observer_sees_each_attempt_as_it_ends() -> None:
    """Observers are told of failures while the call goes on."""
    seen: list[tuple[float, str]] = []

    def observe(attempt: Attempt) -> None:
        seen.append((asyncio.get_running_loop().time(), attempt.outcome))

    virtual(lambda: Calls(Broken(), 1.0).run(observe=observe, rng=1.0))

    assert seen == [(0.0, "connection_failed"), (1.5, "ok")]


def test_provider_r9_what_the_call_notes_stands_in_the_record() -> None:
    """Status, request id and usage noted by the call are those of its attempt."""
    usage = TokenUsage(prompt_tokens=3)

    async def call(current: CurrentAttempt) -> str:
        current.status, current.request_id, current.usage = 200, "r1", usage
        return "answer"

    async def scenario() -> Attempted[str]:
        return await run_attempts(call, classify=classify)

    attempted = virtual(scenario)

    assert (attempted.attempts[0].status, attempted.attempts[0].request_id) == (200, "r1")
    assert attempted.usage == usage


def test_provider_a3_the_defaults_are_three_attempts_of_two_minutes() -> None:
    """Without settings a call ends after three attempts of 120 s."""
    error, took = failed(Calls(FOREVER, FOREVER, FOREVER, FOREVER), rng=0.0)

    assert len(error.attempts) == 3
    assert math.isclose(took, 360.0)
