"""A language model that is not asked more often than agreed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from focal_core.errors import DeadlineExceeded, InvalidRequest, ProviderError
from focal_core.providers.llm import LLMProvider, check_request
from focal_core.providers.models import (
    NO_OPTIONS,
    Attempt,
    CallOptions,
    Done,
    LLMRequest,
    LLMResponse,
    StreamEvent,
)
from focal_core.providers.stream import LLMStream, opened_stream
from focal_core.providers.tokens import estimate_request
from focal_core.providers.wrapping import LLMWrapper
from focal_core.usage import TokenUsage

MINUTE = 60.0


class LimitedLLM(LLMWrapper):
    """A language model with limits of this process: calls beyond them wait their turn, first come, first served.

    A bucket holds what may be spent in a minute and fills evenly. A call takes one request and its estimated tokens
    (prompt, and ``max_tokens`` where it says so) before it begins; afterwards what it really took is settled: each
    further attempt, and the tokens reported. A call larger than a whole bucket waits for a full one. Time spent
    waiting counts against the deadline.

    Args:
        inner: what answers.
        max_concurrency: calls under way at a time, streams until they are left; None = no limit.
        requests_per_minute: None = no limit.
        tokens_per_minute: None = no limit.
    """

    def __init__(
        self,
        inner: LLMProvider,
        *,
        max_concurrency: int | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
    ) -> None:
        super().__init__(inner)
        limits = (max_concurrency, requests_per_minute, tokens_per_minute)
        if any(limit is not None and limit < 1 for limit in limits):
            raise InvalidRequest("a limit must be at least 1", provider=inner.name)
        self._limits = limits
        self._turns: _Turns | None = None

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Return the inner one's answer, when it is this call's turn."""
        async with self._turn(request, options) as turn:
            try:
                response = await self._inner.generate(request, options=turn.options)
            except ProviderError as error:
                turn.took(error.attempts, error.usage)
                raise
            turn.took(response.attempts, response.usage)
            return response

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Return the inner one's stream, opened when it is this call's turn."""

        async def events() -> AsyncIterator[StreamEvent]:
            async with self._turn(request, options) as turn:
                try:
                    async with self._inner.stream(request, options=turn.options) as stream:
                        async for event in stream:
                            if isinstance(event, Done):
                                turn.took(event.response.attempts, event.response.usage)
                            yield event
                except ProviderError as error:
                    turn.took(error.attempts, error.usage)
                    raise

        return opened_stream(events, self.name)

    @asynccontextmanager
    async def _turn(self, request: LLMRequest, options: CallOptions) -> AsyncIterator[_Turn]:
        check_request(request, self.name, served=None)
        loop = asyncio.get_running_loop()
        if self._turns is None or self._turns.loop is not loop:
            self._turns = _Turns(loop, *self._limits)
        turns = self._turns
        deadline = self._inner.deadline_of(options)
        started = loop.time()
        turn = _Turn(turns, estimate_request(request) + (request.max_tokens or 0))
        try:
            async with asyncio.timeout(deadline):
                await turns.begin(turn.tokens)
        except TimeoutError:
            raise DeadlineExceeded(
                "the deadline passed before it was this call's turn",
                hint="raise the deadline or the limits of the backend",
                provider=self.name,
                model=request.model or self.model_id,
            ) from None
        turn.options = options
        if deadline is not None:
            left = max(deadline - (loop.time() - started), 0.001)
            turn.options = options.model_copy(update={"deadline": left})
        try:
            yield turn
        finally:
            turns.end()


class _Bucket:
    """Tokens of one kind, at most as many as a minute allows."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._most = self._level = float(per_minute)
        self._filled_at = now

    def missing(self, amount: float, now: float) -> float:
        """Return the seconds until an amount is there."""
        self._level = min(self._most, self._level + (now - self._filled_at) * self._most / MINUTE)
        self._filled_at = now
        short = min(amount, self._most) - self._level
        # What rounding leaves behind is no reason to wait.
        return 0.0 if short < 1e-6 else short * MINUTE / self._most

    def take(self, amount: float) -> None:
        """Take an amount, or give back a negative one."""
        self._level -= amount


class _Turns:
    """Who is next, on one event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        max_concurrency: int | None,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
    ) -> None:
        self.loop = loop
        self._places = None if max_concurrency is None else asyncio.Semaphore(max_concurrency)
        self._queue = asyncio.Lock()
        self._requests = None if requests_per_minute is None else _Bucket(requests_per_minute, loop.time())
        self._tokens = None if tokens_per_minute is None else _Bucket(tokens_per_minute, loop.time())

    async def begin(self, tokens: float) -> None:
        """Return when a call of so many tokens may begin."""
        # Waiting at the head of the queue holds it, which is what keeps the order.
        async with self._queue:
            if self._places is not None:
                await self._places.acquire()
            try:
                while (wait := self._wait(tokens)) > 0:  # noqa: ASYNC110 - time fills the buckets, and nobody tells
                    await asyncio.sleep(wait)
            except BaseException:
                self.end()
                raise
            self.take(1, tokens)

    def take(self, requests: float, tokens: float) -> None:
        """Take from the buckets; negative amounts are given back."""
        if self._requests is not None:
            self._requests.take(requests)
        if self._tokens is not None:
            self._tokens.take(tokens)

    def end(self) -> None:
        """Make room for the next call."""
        if self._places is not None:
            self._places.release()

    def _wait(self, tokens: float) -> float:
        now = self.loop.time()
        return max(
            0.0 if self._requests is None else self._requests.missing(1, now),
            0.0 if self._tokens is None else self._tokens.missing(tokens, now),
        )


class _Turn:
    """One call whose turn it is."""

    def __init__(self, turns: _Turns, tokens: int) -> None:
        self._turns = turns
        self.tokens = tokens
        self.options = NO_OPTIONS

    def took(self, attempts: tuple[Attempt, ...], usage: TokenUsage | None) -> None:
        """Settle what was taken beforehand with what it really was."""
        spent = usage.total_tokens - self.tokens if usage is not None and usage.reported else 0
        self._turns.take(max(0, len(attempts) - 1), spent)
