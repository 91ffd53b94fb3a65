"""The time limits of a stream: one timer for all of its events, set anew only when it goes off too early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

from focal_core.errors import AttemptTimeout, DeadlineExceeded

T = TypeVar("T")


class Watchdog:
    """Ends a wait for the next event that takes too long. Time the reader spends on its own does not count.

    Args:
        idle_timeout: seconds one event may take; None = no limit.
        ends: when the call's deadline passes, by the loop's clock; None = never.
    """

    def __init__(self, idle_timeout: float | None, ends: float | None) -> None:
        self._idle_timeout = idle_timeout
        self._ends = ends
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[Any] | None = None
        self._due = 0.0
        self._barked = False

    async def watch(self, source: AsyncIterator[T]) -> AsyncGenerator[T, None]:
        """Yield what a source yields.

        Raises:
            AttemptTimeout: an event took longer than the idle timeout; code ``idle_timeout``.
            DeadlineExceeded: the deadline passed.
        """
        try:
            while True:
                now = self._loop.time()
                if self._ends is not None and now >= self._ends:
                    raise self._error()
                task = asyncio.current_task()
                assert task is not None
                cancelling = task.cancelling()
                self._await(task, now)
                try:
                    event = await anext(source)
                except BaseException as error:
                    # Somebody else's cancellation goes before ours.
                    if self._barked and task.uncancel() <= cancelling:
                        raise self._error() from None
                    if isinstance(error, StopAsyncIteration):
                        return
                    raise
                finally:
                    self._waiting = None
                if self._barked:
                    # The source took the cancellation for something it could go on from.
                    task.uncancel()
                    raise self._error()
                yield event
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _await(self, task: asyncio.Task[Any], now: float) -> None:
        due = self._ends
        if self._idle_timeout is not None and (due is None or now + self._idle_timeout < due):
            due = now + self._idle_timeout
        if due is None:
            return
        self._due, self._waiting = due, task
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._bark)

    def _bark(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._bark)
        else:
            self._barked = True
            self._waiting.cancel()

    def _error(self) -> AttemptTimeout | DeadlineExceeded:
        if self._ends is not None and self._loop.time() >= self._ends:
            return DeadlineExceeded("the deadline passed before the stream ended")
        return AttemptTimeout(f"the stream sent nothing for {self._idle_timeout:g} s", code="idle_timeout")
