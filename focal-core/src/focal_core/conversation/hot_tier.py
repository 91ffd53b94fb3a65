"""How a tiered store asks its hot tier: with patience, and less often while it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import Any, ParamSpec, TypeVar

from focal_core.conversation.store import SessionStore
from focal_core.deadline import begin_anew
from focal_core.errors import StoreError, StoreUnavailableError
from focal_core.health import CheckResult
from focal_core.ids import NIL

P = ParamSpec("P")
T = TypeVar("T")

READ_PATIENCE = 0.2
"""Seconds a read waits for the hot tier once it could go on without it."""
WRITE_PATIENCE = 0.5
"""Seconds a write that is already durable waits for the hot tier."""
MAINTENANCE_PATIENCE = 30.0
"""Seconds a cleanup or an erasure waits for the hot tier."""
PAUSE = 1.0
"""Seconds for which a hot tier that failed is left alone; then one call tries it."""
FAILURES = 3
"""Failures in a row after which the hot tier is left alone."""
_LOOKS = 10

logger = logging.getLogger("focal.sessions")


class Unanswered(Enum):
    """What stands for an answer of the hot tier that there is not."""

    SILENT = "silent"
    """It did not answer, or not in time."""
    REFUSED = "refused"
    """It answered with an error, about this session only: an entry it cannot read, for instance."""


class HotTier:
    """A store whose answers nobody needs: every failure of it is an ``Unanswered``, counted here.

    Args:
        store: the store.

    Attributes:
        failures: how often it did not answer or refused.
    """

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.failures = 0
        self._in_a_row = 0
        self._asleep_until = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()

    def awake(self) -> bool:
        """Return whether to ask it now: always, but while it fails once in a pause."""
        if self._in_a_row < FAILURES:
            return True
        now = asyncio.get_running_loop().time()
        if now < self._asleep_until:
            return False
        self._asleep_until = now + PAUSE
        return True

    async def ask(
        self, patience: float, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T | Unanswered:
        """Return what a method of the store answers in time: see ``answer``."""
        return await self.answer(patience, self.start(method, *args, **kwargs))

    def start(
        self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Task[T | Unanswered]:
        """Return a method of the store under way, for ``answer``; to be cancelled by whoever does not await it."""
        return self.behind(self._guarded(method, *args, **kwargs))

    async def answer(self, patience: float, task: asyncio.Task[T | Unanswered]) -> T | Unanswered:
        """Return what comes of it within so many seconds, those left out in which this process was too busy to look."""
        try:
            for _ in range(_LOOKS):
                await asyncio.wait((task,), timeout=patience / _LOOKS)
                if task.cancelled():
                    break
                if task.done():
                    return task.result()
            self._failed("no answer in time")
            return Unanswered.SILENT
        finally:
            task.cancel()

    def behind(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return work as a task that ``drain`` knows of; it must end by itself."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def drain(self) -> None:
        """Return when nothing is under way, after a moment at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * WRITE_PATIENCE)

    async def check(self) -> CheckResult:
        """Return whether it answers, by asking it something small."""
        await self.ask(WRITE_PATIENCE, self.store.version_of, NIL, tenant_id=NIL)
        if self._in_a_row:
            return CheckResult(ok=False, detail=f"{self._in_a_row} failures in a row; sessions are served without it")
        return CheckResult(ok=True, detail=f"answers; {self.failures} failures so far")

    async def _guarded(self, method: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T | Unanswered:
        # What the durable tier took of the call's time is no fault of this one.
        begin_anew()
        try:
            answer = await method(*args, **kwargs)
        except StoreUnavailableError as error:
            self._failed(f"{type(error).__name__} ({error.code})")
            return Unanswered.SILENT
        except StoreError:
            self.failures += 1
            return Unanswered.REFUSED
        self._in_a_row = 0
        return answer

    def _failed(self, reason: str) -> None:
        self.failures += 1
        self._in_a_row += 1
        if self._in_a_row == FAILURES:
            logger.warning("the hot tier of sessions fails: %s; sessions are served without it", reason)
            self._asleep_until = asyncio.get_running_loop().time() + PAUSE
