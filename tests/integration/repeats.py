"""Callers who repeat what failed while connections are reset, and the histories they leave, on any server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from focal_core.errors import StoreUnavailableError
from focal_testkit.faults.histories import History
from focal_testkit.faults.proxy import FaultProxy

RESET_EVERY = 0.12


@asynccontextmanager
async def resets(proxy: FaultProxy, every: float = RESET_EVERY) -> AsyncIterator[list[int]]:
    """Reset all connections again and again meanwhile; yields how many each time."""
    cuts: list[int] = []

    async def cutting() -> None:
        while True:
            await asyncio.sleep(every)
            cuts.append(proxy.open_connections)
            proxy.cut()

    task = asyncio.ensure_future(cutting())
    try:
        yield cuts
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until_done(call: Callable[[], Awaitable[Any]]) -> Any:
    """Repeat a call with the same object until it answers."""
    while True:
        try:
            return await call()
        except StoreUnavailableError as error:
            if not error.retryable:
                raise
            await asyncio.sleep(random.uniform(0, 0.01))


async def not_explained(
    history: Callable[[int], Awaitable[History]],
    count: int,
    meddling: AbstractAsyncContextManager[Any],
    *,
    at_once: int = 20,
    one_is_enough: bool = False,
) -> list[str]:
    """Return the histories that no order explains, or that were not decided.

    Args:
        history: makes one, from a seed.
        count: how many at most.
        meddling: what happens meanwhile.
        at_once: how many are made at the same time.
        one_is_enough: whether the first bad one ends it, as a control wants.
    """
    bad, seeds = [], iter(range(count))

    async def some() -> None:
        for seed in seeds:
            if bad and one_is_enough:
                return
            found = await history(seed)
            bad.extend(f"seed {seed}: {one}" for one in found.verdicts() if not one.linearizable)

    async with meddling:
        await asyncio.gather(*[some() for _ in range(at_once)])
    return bad
