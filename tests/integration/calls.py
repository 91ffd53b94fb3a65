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
    loop = asyncio.get_running_loop()
    due = loop.time() + limit
    noticed = [due]
    timer = loop.call_at(due, lambda: noticed.append(loop.time()))
    answer, error = None, None
    try:
        answer = await call
    except Exception as raised:
        error = raised
    timer.cancel()
    return Ended(answer, error, loop.time() - max(noticed))


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
