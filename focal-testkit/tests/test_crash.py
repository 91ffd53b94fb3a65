"""Kill and restart: a durable store passes, each broken promise is told; then a real server is killed."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from focal_core.errors import OutcomeUnknownError, StoreUnavailableError
from focal_testkit.faults.crash import CrashReport, Found, crash_run
from focal_testkit.faults.outcomes import Outcome, unknown_outcome
from focal_testkit.servers import ServerMissing, missing
from focal_testkit.servers.postgres import EmbeddedPostgres, PostgresServer, connected

if TYPE_CHECKING:
    from asyncpg import Connection


class Machine:
    """A server with a disk and a memory, in which a write is two rows.

    Args:
        syncs: an acknowledged write is on disk; otherwise every tenth write goes there with what came before it.
        atomic: both rows go to disk at once.
        honest: an error after the write reached the disk is said to be an unknown outcome.
        counts: a repeated write takes effect again.
    """

    def __init__(self, *, syncs: bool = True, atomic: bool = True, honest: bool = True, counts: bool = False) -> None:
        self.syncs, self.atomic, self.honest, self.counts = syncs, atomic, honest, counts
        self.disk: list[tuple[int, str]] = []
        self.memory: list[tuple[int, str]] = []
        self.life = 0
        self.up = True
        self.chance = random.Random(5)

    async def step(self, life: int) -> None:
        """Take a while, and fail if the machine was killed meanwhile."""
        for _ in range(self.chance.randrange(1, 6)):
            await asyncio.sleep(0)
        if life != self.life:
            raise (OutcomeUnknownError if self.honest else StoreUnavailableError)("gone")

    async def kill(self) -> None:
        self.up, self.memory, self.life = False, [], self.life + 1

    async def restart(self) -> None:
        await asyncio.sleep(0.05)
        self.up = True

    async def write(self, number: int) -> None:
        if not self.up:
            raise StoreUnavailableError("down")
        life = self.life
        if (number, "right") not in self.disk or self.counts:
            for side in ("left", "right"):
                self.memory.append((number, side))
                if not self.atomic:
                    self.flush()
                    await self.step(life)
        if self.syncs or number % 10 == 0:
            self.flush()
        await self.step(life)

    def flush(self) -> None:
        self.disk += self.memory
        self.memory = []

    async def read(self) -> Mapping[int, Found]:
        stored: dict[int, list[str]] = {}
        for number, side in self.disk:
            stored.setdefault(number, []).append(side)
        return {number: count(sides) for number, sides in stored.items()}

    async def crash(self, *, repeat: bool = False) -> CrashReport:
        return await crash_run(
            self, self.write, self.read, writers=8, kills=6, acknowledgements_per_kill=30, seed=1, repeat=repeat
        )


def count(sides: list[str]) -> Found:
    if len(sides) > 2:
        return Found.TWICE
    return Found.WHOLE if len(sides) == 2 else Found.HALF


@pytest.mark.asyncio
async def test_durable_machine_keeps_its_word() -> None:
    """Nothing acknowledged is missing, doubtful writes are whole or absent, repeating them settles it."""
    report = await Machine().crash(repeat=True)
    report.assert_kept()
    assert len(report.numbers(Outcome.DONE)) >= 180
    assert len(report.recovery_seconds) == 6
    assert report.numbers(Outcome.UNKNOWN)
    assert report.errors["OutcomeUnknownError"]
    assert report.errors["StoreUnavailableError"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("machine", "broken"),
    [
        (Machine(syncs=False), "lost"),
        (Machine(atomic=False), "halves"),
        (Machine(honest=False), "betrayed"),
        (Machine(counts=True), "doubles"),
    ],
    ids=["lost", "halves", "betrayed", "doubles"],
)
async def test_broken_machines_are_told(machine: Machine, broken: str) -> None:
    """Each way to break the promise is called by its name."""
    report = await machine.crash(repeat=broken == "doubles")
    assert getattr(report, broken)
    with pytest.raises(AssertionError, match=f"'{broken}'"):
        report.assert_kept()


@pytest.mark.asyncio
async def test_server_that_stays_down_is_told() -> None:
    """Writers that are never acknowledged again end the run in time."""
    machine = Machine()

    async def write(number: int) -> None:
        await machine.write(number)
        if machine.life:
            raise StoreUnavailableError("still down")

    with pytest.raises(TimeoutError):
        await crash_run(
            machine, write, machine.read, writers=2, kills=1, acknowledgements_per_kill=5, recovery_timeout_seconds=0.2
        )


@pytest.fixture(scope="module")
def durable() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="focal-crash-") as folder:
        Path(folder).chmod(0o711)
        try:
            server = EmbeddedPostgres(Path(folder) / "postgres", {})
        except (ServerMissing, ImportError) as error:
            missing("postgres", str(error))
        yield server
        server.close()


@pytest_asyncio.fixture
async def table(durable: PostgresServer) -> AsyncIterator[str]:
    async with connected(durable.url) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS t (n int, side text, PRIMARY KEY (n, side)); TRUNCATE t")
    yield durable.url


async def kill_under_writers(server: PostgresServer, *, synchronous_commit: str) -> CrashReport:
    """Write transactions of two rows while the server is killed twice."""
    connections: asyncio.Queue[Connection] = asyncio.Queue()

    async def write(number: int) -> None:
        import asyncpg

        connection = connections.get_nowait() if not connections.empty() else None
        if connection is None or connection.is_closed():
            settings = {"synchronous_commit": synchronous_commit}
            connection = await asyncpg.connect(server.url, timeout=5, server_settings=settings)
        try:
            async with connection.transaction():
                for side in ("left", "right"):
                    await connection.execute("INSERT INTO t VALUES ($1, $2)", number, side)
        except BaseException:
            connection.terminate()
            raise
        connections.put_nowait(connection)

    async def read() -> Mapping[int, Found]:
        async with connected(server.url) as connection:
            rows = await connection.fetch("SELECT n, array_agg(side) AS sides FROM t GROUP BY n")
        return {row["n"]: count(row["sides"]) for row in rows}

    report = await crash_run(
        server, write, read, writers=8, kills=2, acknowledgements_per_kill=100, outcome=unknown_outcome
    )
    while not connections.empty():
        connections.get_nowait().terminate()
    return report


@pytest.mark.asyncio
async def test_postgres_killed_under_writers_keeps_its_word(durable: PostgresServer, table: str) -> None:
    """Acknowledged transactions of two rows survive SIGKILL; doubtful ones are whole or absent."""
    report = await kill_under_writers(durable, synchronous_commit="on")
    report.assert_kept()
    assert report.errors
    assert len(report.numbers(Outcome.DONE)) >= 200


@pytest.mark.asyncio
async def test_postgres_that_does_not_wait_for_its_log_is_caught(durable: PostgresServer, table: str) -> None:
    """The red control: without synchronous commit acknowledged transactions are gone, and none is half."""
    report = await kill_under_writers(durable, synchronous_commit="off")
    assert report.lost
    assert not report.halves
