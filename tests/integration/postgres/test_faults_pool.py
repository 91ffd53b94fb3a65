"""Overload: bursts far beyond the pool are served, an exhausted pool says so in time, and no waiter is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.integration.calls import ended, until
from tests.integration.postgres.support import SCHEMA, open_database

from focal_core import pool as pool_module
from focal_core.context import BackendContext
from focal_core.errors import FocalError, StoreUnavailableError
from focal_core.ids import uuid7
from focal_postgres.conversation import PostgresSessionStore
from focal_postgres.database import Database
from focal_postgres.settings import PostgresOptions
from focal_testkit.data.conversation import placed
from focal_testkit.servers.postgres import connected

pytestmark = pytest.mark.asyncio
LIMIT = 0.3
TOLERANCE = 0.05
DEFAULT_POOL: int = PostgresOptions.model_fields["pool_size"].get_default(call_default_factory=True)


async def burst(database: Database, size: int) -> list[BaseException]:
    """Create, load, change and save so many sessions at once, and return what was raised."""
    store, tenant = PostgresSessionStore(database), uuid4()

    async def converse(n: int) -> None:
        first = await store.save(placed(n, tenant, session_id=uuid7()))
        loaded = await store.get(first.session_id, tenant_id=tenant)
        assert loaded is not None
        loaded.turn_count = n
        assert (await store.save(loaded)).version == 2

    found = await asyncio.gather(*map(converse, range(size)), return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, FocalError):
            raise one
    sql = f"SELECT count(*) FROM {SCHEMA}.sessions WHERE tenant_id = $1 AND version = 2"
    assert (await database.fetch("count", sql, tenant))[0][0] == size - sum(one is not None for one in found)
    return [one for one in found if one is not None]


@pytest.mark.parametrize("size", [1_000, 5_000])
async def test_a_burst_of_sessions_is_served_without_an_error(postgres_database: str, size: int) -> None:
    """P25: so many loads and saves at once on the pool's default size."""
    async with open_database(postgres_database, BackendContext(), pool_size=DEFAULT_POOL, deadline=60) as database:
        assert await burst(database, size) == []
        assert database.counts["busy"] == database.counts["waiting"] == 0


async def test_a_burst_without_batching_is_served_without_an_error(postgres_database: str) -> None:
    """Each call waits for a connection of its own, in order."""
    options: dict[str, Any] = {"pool_size": DEFAULT_POOL, "batching": False, "deadline": 60, "acquire_timeout": 60}
    async with open_database(postgres_database, BackendContext(), **options) as database:
        assert await burst(database, 1_000) == []


async def test_control_a_short_queue_is_reported(postgres_database: str) -> None:
    """Control of P25: with room for ten waiters most of a thousand are refused, with a code that says why."""
    options: dict[str, Any] = {"pool_size": DEFAULT_POOL, "batching": False, "max_waiters": 10, "deadline": 60}
    async with open_database(postgres_database, BackendContext(), **options) as database:
        refused = await burst(database, 1_000)
    assert len(refused) > 500
    assert {getattr(one, "code", None) for one in refused} == {"overloaded"}


@pytest_asyncio.fixture
async def exhausted(postgres_database: str) -> AsyncIterator[Database]:
    """Yield a database whose connections are all busy for longer than anybody waits."""
    options: dict[str, Any] = {"pool_size": 2, "acquire_timeout": LIMIT, "max_waiters": 5}
    async with open_database(postgres_database, BackendContext(), **options) as database:
        busy = [asyncio.ensure_future(database.fetch("sleep", "SELECT pg_sleep(60)")) for _ in range(2)]
        await until(lambda: database.counts["busy"] == 2)
        yield database
        for one in busy:
            one.cancel()
        await asyncio.wait(busy)


async def worst_wait(database: Database) -> float:
    """Return by how much the slowest of five waiters outlives the limit; endless after a second."""

    async def waits() -> Any:
        async with asyncio.timeout(LIMIT + 1):
            return await database.fetch("wait", "SELECT 1")

    found = await asyncio.gather(*[ended(waits(), LIMIT) for _ in range(5)])
    for one in found:
        assert isinstance(one.error, TimeoutError) or getattr(one.error, "code", None) == "pool_timeout", one
    return max(one.late for one in found)


async def test_an_exhausted_pool_says_so_within_50_ms_of_the_limit(exhausted: Database) -> None:
    """P25: code ``pool_timeout``, neither early nor late."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await worst_wait(exhausted) < TOLERANCE
    assert loop.time() - began >= LIMIT * 0.99
    assert exhausted.counts == {"idle": 0, "busy": 2, "waiting": 0}


async def test_control_a_pool_without_a_limit_is_reported(exhausted: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the driver's pool waits for ever."""
    monkeypatch.setattr(pool_module, "_time_out", lambda turn: None)
    assert await worst_wait(exhausted) > TOLERANCE


async def test_too_many_waiters_are_refused_at_once(exhausted: Database) -> None:
    """The sixth waiter of five is told ``overloaded``; those whose time was up no longer count."""
    for _ in range(2):
        waiting = [asyncio.ensure_future(exhausted.fetch("wait", "SELECT 1")) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailableError) as caught:
            await exhausted.fetch("wait", "SELECT 1")
        assert caught.value.code == "overloaded"
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [getattr(one, "code", None) for one in results] == ["pool_timeout"] * 5


async def test_cancelled_waiters_no_longer_count(exhausted: Database) -> None:
    """Their places are free at once."""
    for _ in range(3):
        waiting = [asyncio.ensure_future(exhausted.fetch("wait", "SELECT 1")) for _ in range(5)]
        await asyncio.sleep(0)
        assert exhausted.counts["waiting"] == 5
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        assert exhausted.counts["waiting"] == 0


async def test_a_waiter_cancelled_while_it_is_woken_does_not_swallow_the_connection(postgres_database: str) -> None:
    """10,000 times: the connection handed to a waiter that is cancelled in the same moment goes to the next one."""
    async with open_database(postgres_database, BackendContext(), pool_size=1) as database:
        pool, loop = database.primary, asyncio.get_running_loop()
        for _ in range(10_000):
            until = loop.time() + 10
            held = await pool.acquire(until)
            woken, next_one = (asyncio.ensure_future(pool.acquire(until)) for _ in range(2))
            await asyncio.sleep(0)
            pool.release(held)
            woken.cancel()
            pool.release(await next_one)
        assert pool.counts == {"idle": 1, "busy": 0, "waiting": 0}
    async with connected(postgres_database) as connection:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert await connection.fetchval(sql) == 0
