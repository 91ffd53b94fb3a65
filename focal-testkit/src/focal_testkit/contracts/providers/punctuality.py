"""How late a call is, apart from how late a busy machine makes everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_TICK = 0.005
_USUAL = 0.003
"""Seconds by which a timer is late on a machine that has nothing else to do."""


class Stopwatch:
    """Seconds of a block.

    Attributes:
        elapsed: from its beginning to its end, or until now.
        held_up: of these, how long the event loop was kept from running: by other processes, or by other callbacks.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._ended: float | None = None
        self._due = self._started + _TICK
        self.held_up = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning of the block, to its end."""
        return (self._loop.time() if self._ended is None else self._ended) - self._started

    @property
    def own(self) -> float:
        """Seconds, those left out in which the loop was held up: what the code in the block is to blame for."""
        return self.elapsed - self.held_up

    def stop(self) -> None:
        """End the block."""
        self._ended = self._loop.time()
        self._note(self._ended)

    async def watch(self) -> None:
        """Note how much later than asked the loop comes back, again and again."""
        while True:
            self._due = self._loop.time() + _TICK
            await asyncio.sleep(_TICK)
            self._note(self._loop.time())

    def _note(self, now: float) -> None:
        if now - self._due > _USUAL:
            self.held_up += now - self._due


@asynccontextmanager
async def timed() -> AsyncIterator[Stopwatch]:
    """Time a block; the watching task is gone behind it."""
    watch = Stopwatch()
    task = asyncio.create_task(watch.watch())
    try:
        yield watch
    finally:
        watch.stop()
        task.cancel()
        await asyncio.wait([task])
