"""The cancel storm: a careful client passes, each careless one is told what it did."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from focal_testkit.faults.cancel import StormReport, cancel_storm
from focal_testkit.faults.connection import Faults
from focal_testkit.faults.proxy import FaultProxy

pytestmark = pytest.mark.asyncio


class Pool:
    """Three connections to a server that echoes numbers.

    Args:
        port: of the server.
        discards: a connection whose call was cancelled is closed, not used again.
    """

    def __init__(self, port: int, *, discards: bool) -> None:
        self.port, self.discards = port, discards
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.free = asyncio.Semaphore(3)
        self.writers: list[asyncio.StreamWriter] = []

    async def echo(self, number: int) -> int:
        async with self.free:
            connection = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = connection
            self.writers.append(writer)
            clean = False
            try:
                writer.write(b"%d\n" % number)
                answer = int(await reader.readline())
                clean = True
                return answer
            finally:
                if clean or not self.discards:
                    self.idle.append(connection)
                else:
                    writer.transport.abort()

    def close(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(line)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with FaultProxy("127.0.0.1", port, faults=Faults(jitter_seconds=0.002)) as opened:
        yield opened
    server.close()


async def storm(call: object, **options: object) -> StormReport:
    settings: dict[str, object] = {
        "rounds": 300,
        "concurrency": 10,
        "seed": 3,
        "max_delay_seconds": 0.01,
        "timeout_seconds": 5.0,
    }
    settings["expected_task"] = lambda task: "echo" in repr(task.get_coro())
    return await cancel_storm([call], **{**settings, **options})  # type: ignore[arg-type, list-item]


async def test_pool_that_discards_passes(proxy: FaultProxy) -> None:
    """Every call ends as cancelled or with its own answer, and nothing is left."""
    pool = Pool(proxy.port, discards=True)
    report = await storm(pool.echo)
    pool.close()
    report.assert_clean(extra_files=30)
    assert report.started == 350
    assert report.answered + report.cancelled == 350
    assert report.cancelled > 100
    assert report.answered >= 50


async def test_pool_that_keeps_the_socket_crosses_answers(proxy: FaultProxy) -> None:
    """The answer to a cancelled call reaches the next caller, and is told."""
    pool = Pool(proxy.port, discards=False)
    # Two readers of one stream at once fail as well; the crossed answers are what matters here.
    report = await storm(pool.echo)
    pool.close()
    assert report.crossed
    assert all(own != answer for own, answer in report.crossed)
    with pytest.raises(AssertionError, match="seed=3"):
        report.assert_clean(extra_files=1_000)


async def test_leaked_tasks_are_told() -> None:
    """A call whose inner task survives its caller leaves it behind."""
    forever = asyncio.Event()

    async def inner(number: int) -> int:
        await forever.wait()
        return number

    async def leaks(number: int) -> int:
        if number == 5:
            task = asyncio.create_task(inner(number), name="left behind")
            return await asyncio.shield(task)
        return number

    report = await storm(leaks, rounds=20, spared=0.0, afterwards=0, timeout_seconds=0.2)
    forever.set()
    assert len(report.leaked_tasks) == 1
    assert "left behind" in report.leaked_tasks[0]
    with pytest.raises(AssertionError, match="left behind"):
        report.assert_clean()


async def test_stuck_calls_are_told() -> None:
    """A call that swallows its cancellation and waits on is not waited for."""
    over = asyncio.Event()

    async def swallows(number: int) -> int:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue
        return number

    waiting = asyncio.create_task(storm(swallows, rounds=2, spared=0.0, afterwards=0, timeout_seconds=0.05))
    report = await waiting
    over.set()
    assert sorted(report.stuck) == [0, 1]
    with pytest.raises(AssertionError):
        report.assert_clean()


async def test_some_are_cancelled_twice() -> None:
    """A second cancellation meets calls that are cleaning up."""
    cancelled: dict[int, int] = {}

    async def slow_to_clean_up(number: int) -> int:
        for _ in range(2):
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                cancelled[number] = cancelled.get(number, 0) + 1
        return number

    await storm(slow_to_clean_up, rounds=60, afterwards=0, twice=0.5)
    assert sorted(set(cancelled.values())) == [1, 2]
    cancelled.clear()
    await storm(slow_to_clean_up, rounds=60, afterwards=0, twice=0.0)
    assert set(cancelled.values()) == {1}


async def test_failures_and_descriptors_are_told() -> None:
    """Foreign errors are counted by name; files left open count as a leak."""
    opened: list[int] = []

    async def careless(number: int) -> int:
        opened.append(os.open(os.devnull, os.O_RDONLY))
        if number == 0:
            raise KeyError(number)
        return number

    report = await storm(careless, rounds=3, spared=1.0, afterwards=0)
    for descriptor in opened:
        os.close(descriptor)
    assert report.failed == {"KeyError": 1}
    assert (report.open_files_after or 0) - (report.open_files_before or 0) == 3
    report.failed.clear()
    with pytest.raises(AssertionError, match="3 descriptors more"):
        report.assert_clean(extra_files=2)
    report.assert_clean(extra_files=3)


async def test_delays_repeat_by_seed() -> None:
    """The same seed cancels the same calls after the same number of passes."""

    async def outcomes(seed: int) -> tuple[int, int]:
        async def passes(number: int) -> int:
            for _ in range(6):
                await asyncio.sleep(0)
            return number

        # Delays in time are as long as the whole call or far longer: which calls end is up to the seed alone.
        report = await storm(passes, seed=seed, concurrency=1, max_delay_seconds=1e-9, rounds=200, afterwards=0)
        return report.answered, report.cancelled

    first = await outcomes(1)
    assert first == await outcomes(1)
    assert min(first) > 10
