"""Cancel storms: calls cancelled at any moment, once and twice, and what remains afterwards."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from focal_testkit.faults.connection import TASK_NAME
from focal_testkit.faults.journal import LOGGER

Numbered = Callable[[int], Awaitable[int]]
"""Makes a call on behalf of a caller and answers with the number it was given, taken from the server's answer."""

DESCRIPTORS = ("/proc/self/fd", "/dev/fd")


@dataclass(slots=True)
class StormReport:
    """What a storm left behind.

    Attributes:
        seed: that repeats the delays.
        started: calls made.
        answered: calls that answered their own caller's number.
        cancelled: calls that ended by cancellation.
        failed: other exceptions by the name of their class.
        crossed: (caller's number, answer) of every answer that was somebody else's.
        stuck: numbers of calls that had not ended in time after their cancellation.
        leaked_tasks: tasks that were not there before and did not end in time.
        open_files_before: descriptors of this process, None where the system does not tell.
        open_files_after: the same after the storm.
    """

    seed: int
    started: int = 0
    answered: int = 0
    cancelled: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    crossed: list[tuple[int, int]] = field(default_factory=list)
    stuck: list[int] = field(default_factory=list)
    leaked_tasks: list[str] = field(default_factory=list)
    open_files_before: int | None = None
    open_files_after: int | None = None

    def assert_clean(self, *, extra_files: int = 0) -> None:
        """Check that nothing crossed, hung, failed or leaked.

        Args:
            extra_files: descriptors that may have been added, such as connections of a pool that has grown.

        Raises:
            AssertionError: with the whole report.
        """
        grown = (self.open_files_after or 0) - (self.open_files_before or 0)
        bad = self.crossed or self.stuck or self.leaked_tasks or self.failed or grown > extra_files
        assert not bad, f"{self}, {grown} descriptors more"


async def cancel_storm(
    calls: Sequence[Numbered],
    *,
    rounds: int = 1_000,
    concurrency: int = 50,
    seed: int = 0,
    max_delay_seconds: float = 0.01,
    spared: float = 0.1,
    twice: float = 0.3,
    afterwards: int = 50,
    timeout_seconds: float = 10.0,
    expected_task: Callable[[asyncio.Task[Any]], bool] = lambda task: False,
) -> StormReport:
    """Make many calls at once, cancel most of them at random moments, then check that the rest of the world is whole.

    A call is left alone, or cancelled after a number of passes of the loop or after a time, once or twice. Afterwards
    calls are made one by one and left alone: what a cancelled call left in a connection shows in somebody's answer.

    Args:
        calls: one is chosen for every round.
        rounds: calls made in the storm.
        concurrency: of these at the same time.
        seed: of every choice and delay.
        max_delay_seconds: until a cancellation; about how long a call takes is best.
        spared: share of calls that are not cancelled.
        twice: share of cancelled calls that are cancelled once more while they clean up.
        afterwards: calls made after the storm.
        timeout_seconds: within which a cancelled call must have ended, and stray tasks too.
        expected_task: whether a task that began during the storm may go on after it, such as one of a server in this
            process; those of a `FaultProxy` always may.

    Raises:
        ValueError: there is nothing to call.
    """
    if not calls:
        raise ValueError("a storm needs at least one call")
    report = StormReport(seed, open_files_before=_open_files())
    tasks_before = asyncio.all_tasks()
    numbers = iter(range(rounds))

    async def caller() -> None:
        for number in numbers:
            chance = random.Random(f"{seed}/{number}")
            task = asyncio.ensure_future(_answer(chance.choice(calls), number))
            if chance.random() >= spared:
                await _strike(task, chance, max_delay_seconds)
                if chance.random() < twice:
                    await _strike(task, chance, max_delay_seconds)
            await _settle(task, number, report, timeout_seconds)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(caller())
    for index in range(afterwards):
        number = rounds + index
        task = asyncio.ensure_future(_answer(calls[index % len(calls)], number))
        await _settle(task, number, report, timeout_seconds)
    report.leaked_tasks = await _strays(tasks_before, expected_task, timeout_seconds)
    report.open_files_after = _open_files()
    LOGGER.info("storm: %s", report)
    return report


async def _answer(call: Numbered, number: int) -> int:
    return await call(number)


async def _strike(task: asyncio.Task[int], chance: random.Random, max_delay_seconds: float) -> None:
    if chance.random() < 0.5:
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
    else:
        await asyncio.sleep(chance.uniform(0.0, max_delay_seconds))
    task.cancel()


async def _settle(task: asyncio.Task[int], number: int, report: StormReport, timeout_seconds: float) -> None:
    report.started += 1
    await asyncio.wait({task}, timeout=timeout_seconds)
    if not task.done():
        report.stuck.append(number)
        task.cancel()
    elif task.cancelled():
        report.cancelled += 1
    elif error := task.exception():
        report.failed[type(error).__name__] += 1
    elif task.result() != number:
        report.crossed.append((number, task.result()))
    else:
        report.answered += 1


async def _strays(
    before: set[asyncio.Task[Any]], expected: Callable[[asyncio.Task[Any]], bool], timeout_seconds: float
) -> list[str]:
    began = asyncio.all_tasks() - before
    strays = {task for task in began if task.get_name() != TASK_NAME and not expected(task)}
    if strays:
        _, strays = await asyncio.wait(strays, timeout=timeout_seconds)
    return sorted(str(task) for task in strays)


def _open_files() -> int | None:
    for folder in DESCRIPTORS:
        if os.path.isdir(folder):
            return len(os.listdir(folder))
    return None
