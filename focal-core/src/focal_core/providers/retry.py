"""The retry loop of every provider: deadline, attempts, waiting between them, the record of it all. No HTTP here."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from focal_core.errors import AttemptTimeout, DeadlineExceeded, FocalError, ProviderError
from focal_core.providers.models import NO_OPTIONS, Attempt, CallOptions, LLMResponse
from focal_core.providers.prices import PriceBook
from focal_core.usage import TokenUsage

T = TypeVar("T")

MAX_ATTEMPTS = 3
ATTEMPT_TIMEOUT = 120.0
IDLE_TIMEOUT = 30.0
MAX_RETRY_AFTER = 30.0
MAX_BACKOFF = 8.0
FIRST_BACKOFF = 0.5


class Sleep(Protocol):
    """Waits; ``asyncio.sleep`` unless a test injects another."""

    async def __call__(self, seconds: float, /) -> None:
        """Return after that many seconds."""


class Random(Protocol):
    """Draws; ``random.random`` unless a test injects another."""

    def __call__(self) -> float:
        """Return a number from 0.0 up to, not including, 1.0."""
        ...


class AttemptObserver(Protocol):
    """Is told of every attempt that ended, while the call may still go on; does no I/O and raises nothing."""

    def __call__(self, attempt: Attempt, /) -> None:
        """Take note of an attempt."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What an exception means.

    Attributes:
        error: focal's error for it.
        retryable: whether the same request may be sent again; this, not ``error.retryable``, decides.
        retry_after: seconds the provider asked to wait, or None.
    """

    error: ProviderError
    retryable: bool
    retry_after: float | None = None


Classify: TypeAlias = Callable[[Exception], Advice | None]
"""Tells what an exception of a vendor's SDK means; None = it is a bug."""


class CurrentAttempt:
    """The attempt that is under way. The call notes in it what it learns; an error's own facts go before.

    Attributes:
        n: from 1.
        timeout: seconds it may take.
        waited: seconds waited before it.
        status: HTTP status, once known.
        request_id: the vendor's, once known.
        usage: tokens it spent, as far as reported.
    """

    def __init__(self, n: int, timeout: float, waited: float) -> None:
        self.n = n
        self.timeout = timeout
        self.waited = waited
        self.status: int | None = None
        self.request_id: str | None = None
        self.usage: TokenUsage | None = None
        self._started = asyncio.get_running_loop().time()

    def ended(self, error: ProviderError | None = None) -> Attempt:
        """Return the record of the attempt, as it stands now."""
        if error is not None:
            self.status = _first(error.status, self.status)
            self.request_id = _first(error.request_id, self.request_id)
            self.usage = _first(error.usage, self.usage)
        return Attempt(
            n=self.n,
            outcome="ok" if error is None else error.code,
            status=self.status,
            request_id=self.request_id,
            duration=asyncio.get_running_loop().time() - self._started,
            waited=self.waited,
            usage=self.usage,
        )


class Attempted(Generic[T]):
    """What a call returned, and what it took.

    Attributes:
        value: what the last attempt returned.
        attempts: every try, the last one included as soon as it has ended.
        started: when the call began, by the loop's clock.
        ends: when its deadline passes; None = never.
    """

    def __init__(
        self,
        value: T,
        attempts: tuple[Attempt, ...],
        started: float,
        ends: float | None,
        current: CurrentAttempt,
        observe: AttemptObserver | None,
    ) -> None:
        self.value = value
        self.attempts = attempts
        self.started = started
        self.ends = ends
        self._current = current
        self._observe = observe

    @property
    def usage(self) -> TokenUsage | None:
        """Tokens spent, summed over the attempts that reported them; None when none did."""
        return spent(self.attempts)

    def settled(self, response: LLMResponse, prices: PriceBook | None = None) -> LLMResponse:
        """Return an answer with what the whole call took: attempts, their usage and its cost, and the time.

        Args:
            response: with the last attempt's usage.
            prices: where the cost comes from.
        """
        usage = self.usage or response.usage
        cost = None if prices is None else prices.price(response.provider, response.model, usage)
        latency_ms = (asyncio.get_running_loop().time() - self.started) * 1000
        return response.model_copy(
            update={"attempts": self.attempts, "usage": usage, "cost": cost, "latency_ms": latency_ms}
        )

    def end(self, error: ProviderError | None = None, *, usage: TokenUsage | None = None) -> None:
        """End the last attempt of a call that was run with ``complete=False``; once.

        Args:
            error: what ended it; it is given all attempts and their usage.
            usage: tokens of this attempt, where it did not note them.
        """
        if usage is not None:
            self._current.usage = usage
        attempt = self._current.ended(error)
        self.attempts = (*self.attempts, attempt)
        if self._observe is not None:
            self._observe(attempt)
        if error is not None:
            error.attempts, error.usage = self.attempts, self.usage


async def run_attempts(
    call: Callable[[CurrentAttempt], Awaitable[T]],
    *,
    classify: Classify,
    options: CallOptions = NO_OPTIONS,
    observe: AttemptObserver | None = None,
    sleep: Sleep = asyncio.sleep,
    rng: Random = random.random,
    provider: str | None = None,
    model: str | None = None,
    complete: bool = True,
) -> Attempted[T]:
    """Return what a call returns, trying again while that may help and there is time.

    Args:
        call: one attempt; sends exactly one request, and is cancelled when its time is over.
        classify: what an exception of the call means; None = it is a bug, which is raised as it is, at once. Not asked
            for focal's own errors: a ProviderError speaks for itself.
        options: limits; None there = the defaults of this module, and no deadline.
        observe: told of each attempt as it ends.
        sleep: waits between attempts.
        rng: jitter.
        provider: wire family, for errors that do not name it.
        model: the model asked, for errors that do not name it.
        complete: False when an attempt goes on behind the call, as a stream does behind its first event; the caller
            then ends it with ``Attempted.end``.

    Raises:
        DeadlineExceeded: the deadline passed inside an attempt.
        ProviderError: the last failure: it is not retryable, the attempts are used up, or waiting would take longer
            than ``max_retry_after`` or the deadline allows. With all attempts and the usage they reported.
    """
    clock = asyncio.get_running_loop().time
    started = clock()
    ends = None if options.deadline is None else started + options.deadline
    most = options.max_attempts or MAX_ATTEMPTS
    attempts: tuple[Attempt, ...] = ()
    waited, failure = 0.0, None
    for n in range(1, most + 1):
        limit, last_moment = options.attempt_timeout or ATTEMPT_TIMEOUT, False
        if ends is not None and ends - clock() < limit:
            limit, last_moment = ends - clock(), True
        current = CurrentAttempt(n, limit, waited)
        scope = asyncio.timeout(limit)
        try:
            async with scope:
                value = await call(current)
        except Exception as error:
            cause = failure if scope.expired() else error
            advice = _timed_out(limit, last_moment) if scope.expired() else advised(error, classify)
            if advice is None:
                raise
            failure = advice.error
        else:
            attempted = Attempted(value, attempts, started, ends, current, observe)
            if complete:
                attempted.end()
            return attempted
        failure.provider, failure.model = failure.provider or provider, failure.model or model
        failure.retryable, failure.retry_after = advice.retryable, advice.retry_after
        attempts = (*attempts, current.ended(failure))
        if observe is not None:
            observe(attempts[-1])
        waited = _wait(n, advice.retry_after, rng)
        asked_too_much = (advice.retry_after or 0.0) > _first(options.max_retry_after, MAX_RETRY_AFTER)
        too_late = ends is not None and waited >= ends - clock()
        if not advice.retryable or n == most or asked_too_much or too_late:
            failure.attempts, failure.usage = attempts, spent(attempts)
            if failure is cause:
                raise failure
            raise failure from cause
        await sleep(waited)
    raise AssertionError("unreachable: the last attempt returns or raises")


def spent(attempts: Iterable[Attempt]) -> TokenUsage | None:
    """Return the tokens of all attempts that reported them; None when none did."""
    total: TokenUsage | None = None
    for attempt in attempts:
        if attempt.usage is not None:
            total = attempt.usage if total is None else total + attempt.usage
    return total


def advised(error: Exception, classify: Classify) -> Advice | None:
    """Return what an exception means: a ProviderError speaks for itself; None = a bug, which is raised as it is."""
    if isinstance(error, ProviderError):
        return Advice(error, error.retryable, error.retry_after)
    return None if isinstance(error, FocalError) else classify(error)


def _timed_out(limit: float, last_moment: bool) -> Advice:
    if last_moment:
        return Advice(DeadlineExceeded("the deadline passed before the answer came"), retryable=False)
    return Advice(AttemptTimeout(f"no answer within {limit:g} s"), retryable=True)


def _wait(n: int, retry_after: float | None, rng: Random) -> float:
    if retry_after is not None:
        # Never less than asked; a little more, so that not all come back at one moment.
        return retry_after + rng() * min(1.0, 0.1 * retry_after)
    return rng() * min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** (n - 1))


def _first(value: T | None, otherwise: T) -> T:
    return otherwise if value is None else value
