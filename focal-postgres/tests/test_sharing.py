"""Calls for one thing at the same time share runs, without stale answers and without each other's failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from focal_core.errors import StoreUnavailableError
from focal_postgres.profile.sharing import SharedCalls


class Work:
    """Something to run: each run answers its number when it is let go."""

    def __init__(self) -> None:
        self.runs = 0
        self.failing: set[int] = set()
        self.gate = asyncio.Event()

    async def __call__(self, take_along: Callable[[], None]) -> list[int]:
        take_along()
        self.runs += 1
        run = self.runs
        await self.gate.wait()
        if run in self.failing:
            raise RuntimeError(f"run {run}")
        return [run]


def shared(patience: float = 5.0) -> SharedCalls[list[int]]:
    return SharedCalls(list, patience)


async def begun(calls: SharedCalls[list[int]], work: Work, count: int) -> list[asyncio.Task[list[int]]]:
    tasks = [asyncio.create_task(calls.run("key", work)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


@pytest.mark.asyncio
async def test_a_thousand_calls_are_two_runs() -> None:
    """Those that come while one runs share the next run, and none gets the answer of the run that had begun."""
    calls, work = shared(), Work()
    tasks = await begun(calls, work, 1000)
    work.gate.set()

    answers = await asyncio.gather(*tasks)

    assert work.runs == 2
    assert answers == [[1]] + [[2]] * 999
    assert len({id(answer) for answer in answers}) == 1000


@pytest.mark.asyncio
async def test_a_second_statement_takes_along_who_has_come() -> None:
    """A run that asks again shares its answer with the calls that came before it asked, not with later ones."""
    calls, asked, first, second = shared(), [], asyncio.Event(), asyncio.Event()

    async def work(take_along: Callable[[], None]) -> list[int]:
        for gate in (first, second):
            take_along()
            asked.append(gate)
            await gate.wait()
        return [len(asked)]

    early = [asyncio.create_task(calls.run("key", work)) for _ in range(10)]
    await asyncio.sleep(0)
    first.set()
    await asyncio.sleep(0)
    late = asyncio.create_task(calls.run("key", work))
    await asyncio.sleep(0)
    second.set()

    assert await asyncio.gather(*early) == [[2]] * 10
    assert await late == [4]


@pytest.mark.asyncio
async def test_keys_do_not_wait_for_each_other() -> None:
    """A call for another key runs at once."""
    calls, work, other = shared(), Work(), Work()
    tasks = await begun(calls, work, 1)
    other.gate.set()

    assert await calls.run("other", other) == [1]

    work.gate.set()
    assert await tasks[0] == [1]


@pytest.mark.asyncio
async def test_a_failed_run_fails_its_leader_alone() -> None:
    """The error of a run is its leader's; the others share another run."""
    calls, work = shared(), Work()
    work.failing = {1, 2}
    tasks = await begun(calls, work, 4)
    work.gate.set()

    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(answer) for answer in answers] == ["run 1", "run 2", "[3]", "[3]"]


@pytest.mark.asyncio
async def test_a_cancelled_leader_hands_over() -> None:
    """When the leader is cancelled, in its run or before it could begin it, another call leads."""
    calls, work = shared(), Work()
    first, second, third, fourth = await begun(calls, work, 4)
    first.cancel()
    await asyncio.wait([first])
    second.cancel()
    await asyncio.wait([second])
    work.gate.set()

    assert [await third, await fourth] == [[work.runs]] * 2
    assert first.cancelled()
    assert second.cancelled()
    assert await calls.run("key", work) == [work.runs]


@pytest.mark.asyncio
async def test_a_cancelled_follower_leaves_the_others_alone() -> None:
    """A call that is cancelled while it waits is not waited for, and the run goes on."""
    calls, work = shared(), Work()
    first, second, third = await begun(calls, work, 3)
    second.cancel()
    await asyncio.wait([second])
    work.gate.set()

    assert [await first, await third] == [[1], [2]]


@pytest.mark.asyncio
async def test_waiting_ends() -> None:
    """A call waits for the runs of others no longer than its patience; the leader is not disturbed."""
    calls, work = shared(patience=0.01), Work()
    first, second = await begun(calls, work, 2)

    with pytest.raises(StoreUnavailableError) as caught:
        await second

    assert caught.value.code == "deadline"
    work.gate.set()
    assert await first == [1]
