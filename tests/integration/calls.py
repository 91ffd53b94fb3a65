"""How a call ends while something happens to its connection: what the fault tests of every server share."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from focal_testkit.faults.triggers import Action, Moment

SHORT, LONG = 0.5, 10.0
"""Seconds a call may take: where the network is silent, and where a fault is told at once."""
GRACE = 0.25
"""Seconds it may take longer (P6)."""


@dataclass(frozen=True)
class Fault:
    """Something that happens to a connection.

    Attributes:
        moment: before the server has what was sent, or after it has answered and the client has heard nothing.
        action: what happens.
        silent: whether nobody is told; otherwise a read that meets it once must succeed all the same.
    """

    moment: Moment
    action: Action
    silent: bool = False

    def __str__(self) -> str:
        return f"{self.action.__name__} {self.moment}"


@dataclass(frozen=True)
class Ended:
    """How a call ended.

    Attributes:
        answer: what it returned.
        error: what it raised.
        late: seconds by which it outlived its limit, as far as this process was not itself too busy to notice.
    """

    answer: Any
    error: BaseException | None
    late: float


async def ended(call: Awaitable[Any], limit: float) -> Ended:
    """Make a call and return how it ended, and how late."""
    late = _Lateness(limit)
    answer, error = None, None
    try:
        answer = await call
    except Exception as raised:
        error = raised
    return Ended(answer, error, late.stop())


class _Lateness:
    """Seconds since a limit was passed, but for those in which the loop did not come round to its timers."""

    _TICK = 0.02

    def __init__(self, limit: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._due = self._next = self._loop.time() + limit
        self._held_up = 0.0
        self._timer = self._loop.call_at(self._next, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        self._held_up += now - self._next
        self._next = now + self._TICK
        self._timer = self._loop.call_at(self._next, self._tick)

    def stop(self) -> float:
        now = self._loop.time()
        self._timer.cancel()
        return now - self._due - self._held_up - max(0.0, now - self._next)


def shown(answer: Any) -> str:
    """Return an answer in words that equal answers share."""
    if hasattr(answer, "model_dump"):
        return str(answer.model_dump(mode="json"))
    if isinstance(answer, list | tuple):
        return str([shown(one) for one in answer])
    if isinstance(answer, dict):
        return str({key: shown(one) for key, one in answer.items()})
    return repr(answer)


async def until(condition: Callable[[], Any], seconds: float = LONG) -> None:
    """Return once a condition, plain or async, holds.

    Raises:
        TimeoutError: it does not in time.
    """
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if await holds if inspect.isawaitable(holds) else holds:
                return
            await asyncio.sleep(0)
