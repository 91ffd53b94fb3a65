"""Coroutines that begin at once.

A new task begins after all that is ready by then; in a crowd of callers that is milliseconds in which a server could be
at work already. Python has tasks that begin at once since 3.12 (``eager_start``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


def begin(
    coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, context: Context
) -> asyncio.Task[T] | None:
    """Run a coroutine up to its first wait and return the task of the rest, or None when there is none.

    Up to the wait the running task is the caller's: until then the coroutine must not ask for it, nor set a time-out.

    Args:
        coroutine: not begun yet.
        loop: the running one.
        context: what the coroutine runs in.

    Raises:
        Exception: what the coroutine raised before it waited.
    """
    try:
        waits_for = context.run(coroutine.send, None)
    except StopIteration:
        return None
    return loop.create_task(_Rest(coroutine, waits_for), context=context)


class _Rest(Coroutine[Any, Any, T]):
    """What is left of a coroutine that waits for something, as a task takes it.

    Not a generator: one that is cancelled before it was ever resumed would not hand that on.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = [waits_for]

    def send(self, value: Any) -> Any:
        return self._waits_for.pop() if self._waits_for else self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        self._waits_for.clear()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, T]:
        yield from self._waits_for
        return (yield from self._coroutine.__await__())
