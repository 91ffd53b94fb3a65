"""Many streams at once, some of whose readers go away: nothing of them may be left."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import warnings

from focal_core.providers.llm import LLMProvider
from focal_testkit.contracts.providers.fault_case import quiet
from focal_testkit.contracts.providers.serving import asking
from focal_testkit.faults.wire import (
    LAST_CHUNK,
    TASK_NAME,
    Exchange,
    Received,
    Step,
    Wait,
    WireServer,
    chunk,
    stream_head,
)
from focal_testkit.faults.wire_dialect import ANSWER, Answer, WireDialect

STREAMS = 1_000
CANCELLED = 0.3
AT_ONCE = 200
"""Connections at a time; a pool of a thousand is more than the descriptors of some machines."""


def slow_stream(dialect: WireDialect) -> Exchange:
    """Return an exchange that streams an answer with a rest before each of its last events."""

    def steps(_: Received) -> list[Step]:
        events = [chunk(event.encode()) for event in dialect.events(Answer())]
        rests = [step for event in events[-4:] for step in (Wait(0.005), event)]
        return [stream_head(dialect.headers()), *events[:-4], *rests, LAST_CHUNK]

    return steps


async def storm(llm: LLMProvider, server: WireServer, seed: int = 7) -> int:
    """Read a thousand streams, cancel some at random moments, and return how many were read to their end.

    Raises:
        AssertionError: a stream was cut or mixed up, or a task or a connection in use is left.
    """
    with warnings.catch_warnings():
        # The transport below the SDKs drops a connection that was made just when its caller went away; Python closes
        # it, and says so.
        warnings.simplefilter("ignore", ResourceWarning)
        return await _storm(llm, server, seed)


async def _storm(llm: LLMProvider, server: WireServer, seed: int) -> int:
    before, rng, places = frozenset(asyncio.all_tasks()), random.Random(seed), asyncio.Semaphore(AT_ONCE)
    files = _open_files()

    async def read() -> str:
        async with places, llm.stream(asking()) as stream:
            return (await stream.response()).text

    async def cancelled_after(task: asyncio.Task[str], seconds: float) -> None:
        await asyncio.sleep(seconds)
        task.cancel()

    tasks = [asyncio.create_task(read()) for _ in range(STREAMS)]
    victims = rng.sample(tasks, int(STREAMS * CANCELLED))
    await asyncio.gather(*(cancelled_after(task, rng.uniform(0.0, 2.0)) for task in victims))
    results = await asyncio.gather(*tasks, return_exceptions=True)

    read_whole = [result for result in results if not isinstance(result, asyncio.CancelledError)]
    assert [result for result in read_whole if result != ANSWER] == []
    gc.collect()
    assert await quiet(before, TASK_NAME, within=1.0) == []
    assert await server.rests(within=1.0), "a connection nobody reads is still written to"
    # Idle connections stay in the pool, and each has two ends here.
    assert _open_files() <= files + 2 * AT_ONCE
    return len(read_whole)


def _open_files() -> int:
    folder = next((name for name in ("/proc/self/fd", "/dev/fd") if os.path.isdir(name)), None)
    return 0 if folder is None else len(os.listdir(folder))
