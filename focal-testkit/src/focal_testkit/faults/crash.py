"""Kill and restart: what was acknowledged is there, what was in doubt is whole or absent."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from focal_testkit.faults.journal import LOGGER
from focal_testkit.faults.outcomes import Outcome, outcome_of


class Killable(Protocol):
    """A server that can be killed as a power cut would, and started again at the same address.

    Both methods may be plain or async; a plain one runs in a thread, so that writers are in mid-flight when it strikes.
    """

    def kill(self) -> Any:
        """Kill every process of the server at once."""
        ...

    def restart(self) -> Any:
        """Start it again on the same data and address; return once it accepts connections."""
        ...


class Found(StrEnum):
    """What is stored of one write. A write of which nothing is stored is not listed."""

    WHOLE = "whole"
    HALF = "half"
    """Some of its rows."""
    TWICE = "twice"
    """Its effect more than once."""


@dataclass(slots=True)
class CrashReport:
    """What writers were told, and what was there afterwards.

    Attributes:
        seed: that repeats the moments of the kills.
        outcomes: what the caller of each write could know.
        errors: exceptions of writes by the name of their class.
        found: what was stored after the last restart.
        found_after_repeat: the same after every doubtful write was repeated; None when that was not asked for.
        recovery_seconds: from each restart to the first acknowledgement after it.
    """

    seed: int
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    found: Mapping[int, Found] = field(default_factory=dict)
    found_after_repeat: Mapping[int, Found] | None = None
    recovery_seconds: list[float] = field(default_factory=list)

    def numbers(self, outcome: Outcome) -> list[int]:
        """Return the writes that ended so."""
        return [number for number, one in self.outcomes.items() if one is outcome]

    @property
    def lost(self) -> list[int]:
        """Writes that were acknowledged and of which nothing is there."""
        return [number for number in self.numbers(Outcome.DONE) if number not in self.found]

    @property
    def halves(self) -> list[int]:
        """Writes of which a part is there, acknowledged or not."""
        return [number for number, one in self.found.items() if one is Found.HALF]

    @property
    def doubles(self) -> list[int]:
        """Writes that took effect more than once, repeats included."""
        stored = itertools.chain(self.found.items(), (self.found_after_repeat or {}).items())
        return sorted({number for number, one in stored if one is Found.TWICE})

    @property
    def betrayed(self) -> list[int]:
        """Writes that claimed to have written nothing, and are there."""
        return [number for number in self.numbers(Outcome.REFUSED) if number in self.found]

    @property
    def unrepeated(self) -> list[int]:
        """Doubtful writes that are not there whole although repeating them succeeded."""
        if self.found_after_repeat is None:
            return []
        doubtful = self.numbers(Outcome.UNKNOWN)
        return [number for number in doubtful if self.found_after_repeat.get(number) is not Found.WHOLE]

    def assert_kept(self) -> None:
        """Check that every promise was kept.

        Raises:
            AssertionError: with the numbers of the writes concerned.
        """
        names = ("lost", "halves", "doubles", "betrayed", "unrepeated")
        broken = {name: numbers for name in names if (numbers := getattr(self, name))}
        assert not broken, f"{broken}\n{self}"

    def __str__(self) -> str:
        doubtful = self.numbers(Outcome.UNKNOWN)
        return (
            f"seed {self.seed}: {len(self.recovery_seconds)} kills, {len(self.numbers(Outcome.DONE))} acknowledged, "
            f"{len(self.numbers(Outcome.REFUSED))} refused, {len(doubtful)} in doubt of which "
            f"{sum(number in self.found for number in doubtful)} there; recovery at most "
            f"{max(self.recovery_seconds, default=0.0):.2f} s; errors {dict(self.errors)}"
        )


async def crash_run(
    server: Killable,
    write: Callable[[int], Awaitable[object]],
    read: Callable[[], Awaitable[Mapping[int, Found]]],
    *,
    writers: int = 16,
    kills: int = 3,
    acknowledgements_per_kill: int = 200,
    seed: int = 0,
    repeat: bool = False,
    outcome: Callable[[BaseException], Outcome] = outcome_of,
    recovery_timeout_seconds: float = 60.0,
) -> CrashReport:
    """Write from many tasks, kill the server again and again, and compare what was told with what is there.

    A kill comes when enough writes have been acknowledged since the last one, after a random moment. The log of
    acknowledgements is in the memory of this process, which is not the one that is killed.

    Args:
        server: to be killed.
        write: makes the write of a number; returning acknowledges it. Each number is written by one call, but for
            `repeat`.
        read: what is stored now, by number; nothing else writes meanwhile.
        writers: concurrent tasks.
        kills: how often.
        acknowledgements_per_kill: at least so many before each.
        seed: of the moments.
        repeat: write every doubtful number once more afterwards; then each must be there exactly once.
        outcome: what an error of `write` says.
        recovery_timeout_seconds: within which enough writes must be acknowledged after a start.

    Raises:
        TimeoutError: writes were not acknowledged again in time after a restart.
        Exception: one of `write` that `outcome` does not know, or of the server.
    """
    report = CrashReport(seed)
    numbers = itertools.count(1)
    chance = random.Random(seed)
    acknowledged = asyncio.Condition()
    count = 0
    stopping = asyncio.Event()

    async def attempt(number: int) -> Outcome:
        try:
            await write(number)
        except Exception as error:
            report.errors[type(error).__name__] += 1
            return outcome(error)
        return Outcome.DONE

    async def writer() -> None:
        nonlocal count
        while not stopping.is_set():
            number = next(numbers)
            # In doubt until it has answered: the run may end with the call under way.
            report.outcomes[number] = Outcome.UNKNOWN
            report.outcomes[number] = await attempt(number)
            if report.outcomes[number] is Outcome.DONE:
                count += 1
                async with acknowledged:
                    acknowledged.notify_all()
            else:
                await asyncio.sleep(0.01)

    async def until(more: int) -> None:
        goal = count + more
        async with asyncio.timeout(recovery_timeout_seconds), acknowledged:
            await acknowledged.wait_for(lambda: count >= goal)

    async def killer() -> None:
        for _ in range(kills):
            await until(acknowledgements_per_kill)
            await asyncio.sleep(chance.uniform(0.0, 0.05))
            await _call(server.kill)
            await _call(server.restart)
            started = time.monotonic()
            await until(1)
            report.recovery_seconds.append(time.monotonic() - started)
        stopping.set()

    try:
        async with asyncio.TaskGroup() as group:
            for task in (killer, *[writer] * writers):
                group.create_task(task())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    report.found = await read()
    if repeat:
        for number in report.numbers(Outcome.UNKNOWN):
            await write(number)
        report.found_after_repeat = await read()
    LOGGER.info("crash: %s", report)
    return report


async def _call(method: Callable[[], Any]) -> None:
    if inspect.iscoroutinefunction(method):
        await method()
    else:
        await asyncio.to_thread(method)
