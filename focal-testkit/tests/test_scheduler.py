"""The seeded scheduler: it finds races, replays them exactly, and passes time without waiting."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time

import pytest

from focal_testkit.faults.scheduler import DeadlockError, LivelockError, SeededLoop, explore, run


async def racing_counter() -> None:
    """Two increments with an await between read and write: wrong under some schedules."""
    value = 0

    async def increment() -> None:
        nonlocal value
        read = value
        await asyncio.sleep(0)
        value = read + 1

    async def later() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await increment()

    await asyncio.gather(increment(), later())
    assert value == 2


def test_race_is_found_and_its_seed_replays_it() -> None:
    """A failure names the seed, and that seed fails again; other seeds pass."""
    with pytest.raises(AssertionError) as caught:
        explore(racing_counter, range(1_000))
    (note,) = caught.value.__notes__
    seed = int(note.split("seed ")[1].split(",")[0])
    for _ in range(5):
        with pytest.raises(AssertionError):
            run(racing_counter, seed)
    assert explore(racing_counter, range(seed)) == seed


def test_correct_code_passes_under_every_schedule() -> None:
    """A lock around the same increments holds."""

    async def locked() -> None:
        lock, value = asyncio.Lock(), 0

        async def increment() -> None:
            nonlocal value
            async with lock:
                read = value
                await asyncio.sleep(0)
                value = read + 1

        await asyncio.gather(*(increment() for _ in range(5)))
        assert value == 5

    assert explore(locked, range(500)) == 500


def test_seeds_give_different_orders() -> None:
    """All orders of three ready tasks occur."""

    async def order() -> str:
        found: list[str] = []

        async def say(word: str) -> None:
            found.append(word)

        await asyncio.gather(*map(say, "abc"))
        return "".join(found)

    assert len({run(order, seed) for seed in range(100)}) == 6
    assert run(order, 7) == run(order, 7)


def test_time_is_virtual() -> None:
    """Hours pass at once, in the order of their timers; time-outs fire."""

    async def day() -> list[object]:
        loop = asyncio.get_running_loop()
        seen: list[object] = []

        async def after(hours: int) -> None:
            await asyncio.sleep(hours * 3600)
            seen.append(loop.time())

        await asyncio.gather(after(5), after(1), after(3))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        seen.append(loop.time())
        return seen

    start = time.monotonic()
    assert run(day, 1) == [3600, 10800, 18000, 18060]
    assert time.monotonic() - start < 60


def test_deadlock_is_told() -> None:
    """Tasks that wait for each other are named instead of waited for."""

    async def deadlock() -> None:
        first, second = asyncio.Lock(), asyncio.Lock()

        async def take(one: asyncio.Lock, other: asyncio.Lock) -> None:
            async with one:
                await asyncio.sleep(1)
                async with other:
                    pass

        async with asyncio.TaskGroup() as group:
            group.create_task(take(first, second), name="one way")
            group.create_task(take(second, first), name="other way")

    with pytest.raises(DeadlockError, match="one way"):
        run(deadlock, 3)


def test_endless_work_is_told() -> None:
    """A scenario that spins is stopped."""

    async def spin() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(LivelockError):
        run(spin, 1, max_steps=1_000)


def test_errors_nobody_waits_for_fail_the_run() -> None:
    """A callback that fails is not lost."""

    async def scenario() -> None:
        asyncio.get_running_loop().call_soon(lambda: [][0])
        await asyncio.sleep(1)

    with pytest.raises(ExceptionGroup) as caught:
        run(scenario, 1)
    assert caught.group_contains(IndexError)


def test_left_over_tasks_are_cancelled() -> None:
    """What still runs at the end is ended, clean-up included."""
    ended: list[str] = []

    async def scenario() -> str:
        async def background() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(1)
                ended.append("cleaned up")

        task = asyncio.create_task(background())
        await asyncio.sleep(1)
        return task.get_name()

    assert run(scenario, 1)
    assert ended == ["cleaned up"]


def test_no_loop_within_a_loop() -> None:
    """Called from async code it says what to do instead."""

    async def nested() -> None:
        with pytest.raises(RuntimeError, match="plain function"):
            run(racing_counter, 1)

    asyncio.run(nested())


REPLAY = """
import asyncio
from focal_testkit.faults.scheduler import SeededLoop

async def scenario():
    order = []
    async def work(number):
        try:
            await asyncio.sleep(number % 3)
            await asyncio.Event().wait()
        finally:
            order.append(number)
    async def fail():
        await asyncio.sleep(5)
        raise ValueError
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(work(number))
            group.create_task(fail())
    except* ValueError:
        pass
    done, _ = await asyncio.wait([asyncio.create_task(asyncio.sleep(0, n)) for n in range(9)])
    futures = [asyncio.get_running_loop().create_future() for _ in range(20)]
    for number, future in enumerate(futures):
        future.set_result(number)
    known, _ = await asyncio.wait(futures)
    return order, [task.result() for task in done], [future.result() for future in known]

padding = [object() for _ in range({padding})]
loop = SeededLoop(11)
print(loop.run_until_complete(scenario()), loop.choices)
"""


def test_replay_is_exact_in_another_process() -> None:
    """Neither addresses nor hash seeds enter the schedule: sets of tasks are walked alike everywhere."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", REPLAY.replace("{padding}", str(padding))],
            env={"PYTHONHASHSEED": str(padding), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for padding in (1, 1_001, 77_777)
    }
    assert len(printed) == 1
    assert len(printed.pop()) > 500


def test_schedule_is_recorded() -> None:
    """The loop keeps every choice it made."""
    loops = [SeededLoop(5), SeededLoop(5)]  # type: ignore[abstract]

    async def three() -> None:
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))

    for loop in loops:
        loop.run_until_complete(three())
    assert loops[0].choices == loops[1].choices
    assert max(ready for ready, _ in loops[0].choices) >= 3
