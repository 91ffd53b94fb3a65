"""Many processes migrate one empty database at once; a leader that is killed holds nobody up."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from tests.integration.postgres.seeded_rows import insert_rows

from focal_postgres import migrate
from focal_postgres.revisions import REVISIONS
from focal_postgres.settings import PostgresOptions
from focal_testkit.servers.postgres import PostgresServer, connected

pytestmark = pytest.mark.asyncio

PROCESSES = 12
ROUNDS = int(os.environ.get("FOCAL_TEST_BOOT_ROUNDS", "2"))
"""Rounds of a dozen processes; 20 for acceptance."""

BOOT = """
import asyncio, sys
from focal_postgres import migrate
from focal_postgres.settings import PostgresOptions
print("ready", flush=True)
for line in sys.stdin:
    options = PostgresOptions.model_validate({"url": line.strip()})
    try:
        done = asyncio.run(migrate.upgrade(options))
        print("done", len(done.steps), flush=True)
    except BaseException as error:
        print("failed", type(error).__name__, error, flush=True)
"""
WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'focal migration' AND wait_event_type = 'Lock'"
    " AND datname = current_database()"
)


@asynccontextmanager
async def booting() -> AsyncIterator[Process]:
    """Yield a process that migrates every address it is told, ready to do so."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BOOT, stdin=PIPE, stdout=PIPE)
    try:
        assert await answer(process) == "ready"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def tell(process: Process, url: str) -> None:
    """Tell a process to migrate a database."""
    assert process.stdin is not None
    process.stdin.write(f"{url}\n".encode())


async def answer(process: Process) -> str:
    """Return the next line a process writes."""
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 120)).decode().strip()


async def test_a_dozen_processes_boot_on_an_empty_database(postgres_server: PostgresServer) -> None:
    """In every round exactly one migrates, all succeed, and no index is invalid."""
    async with AsyncExitStack() as stack:
        processes = await asyncio.gather(*(stack.enter_async_context(booting()) for _ in range(PROCESSES)))
        for _ in range(ROUNDS):
            url = await postgres_server.create_database()
            for process in processes:
                tell(process, url)
            answers = sorted(await asyncio.gather(*map(answer, processes)))
            assert answers == [*(["done 0"] * (PROCESSES - 1)), f"done {len(REVISIONS)}"]
            state = await migrate.check(PostgresOptions.model_validate({"url": url}))
            assert state.up_to_date
            await postgres_server.drop_database(url)


async def test_leader_killed_in_mid_migration_leaves_nothing_half_done(postgres_server: PostgresServer) -> None:
    """A process killed within a revision takes its half of it along; the next one finishes the work."""
    url = await postgres_server.create_database()
    options = PostgresOptions.model_validate({"url": url})
    await migrate.upgrade(options, "001")
    async with connected(url) as busy, connected(url) as watch:
        async with booting() as leader, busy.transaction():
            await busy.execute("LOCK TABLE focal.embedding_spaces IN ACCESS EXCLUSIVE MODE")
            tell(leader, url)
            async with asyncio.timeout(60):
                while not await watch.fetchval(WAITING):  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(0.02)
            leader.kill()
            await leader.wait()
        done = await migrate.upgrade(options)
        assert (done.before, done.after) == ("001_initial_schema", REVISIONS[-1])
        assert (await migrate.check(options)).up_to_date
        await insert_rows(watch, "focal")
    await postgres_server.drop_database(url)
