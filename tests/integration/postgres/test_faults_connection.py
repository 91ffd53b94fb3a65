"""Connections that are refused, killed, stalled in the middle of a COPY; servers that are slow or start again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio
from tests.integration.calls import GRACE, LONG, SHORT, ended, shown, until
from tests.integration.postgres.faulty import BY_NAME, METHODS, SEEDED, Lane, Worlds, open_lane, open_worlds
from tests.integration.postgres.support import SCHEMA, migrate, open_database

from focal_core.context import BackendContext
from focal_core.errors import OutcomeUnknownError, StoreUnavailableError
from focal_core.ids import uuid7
from focal_postgres.conversation import PostgresSessionStore
from focal_testkit.data.conversation import placed
from focal_testkit.data.memory import episode
from focal_testkit.faults.connection import Faults
from focal_testkit.faults.triggers import Message, stall
from focal_testkit.servers.postgres import EmbeddedPostgres, connected

pytestmark = pytest.mark.asyncio
READS = [one for one in METHODS if one.reads]
WRITES = [
    BY_NAME[name]
    for name in (
        "config.save_rule",
        "memory.add_episode",
        "memory.add_episodes",
        "sessions.save",
        "sessions.delete",
        "audit.save_turn",
        "audit.save_turns",
        "profiles.update_field",
        "profiles.merge_profiles",
    )
]
SOON = 1.0


@pytest_asyncio.fixture
async def worlds(postgres_database: str) -> AsyncIterator[Worlds]:
    """Yield seeded worlds."""
    async with open_worlds(postgres_database) as worlds:
        yield worlds


async def killed(worlds: Worlds, lane: Lane) -> int:
    """Terminate every backend of a lane, and return how many there were once they are gone."""
    name = lane.database.options.application_name
    count = await worlds.value(
        "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = $1", name
    )
    return int(count)


@asynccontextmanager
async def named_lane(worlds: Worlds, deadline: float = SHORT, **options: Any) -> AsyncIterator[Lane]:
    """Yield a lane whose backends can be told from others."""
    async with open_lane(worlds, deadline, application_name=f"lane {uuid4().hex}", **options) as lane:
        yield lane


@pytest.mark.parametrize("connect", ["refuse", "reset", "hang"])
async def test_without_a_server_every_call_is_refused_in_time(worlds: Worlds, connect: Any) -> None:
    """P4 and P6: no connection, no outcome: a plain StoreUnavailableError, and nothing is written."""
    async with open_lane(worlds) as lane:
        await lane.database.spaces.known(refresh=True)
        await lane.proxy.switch(Faults(connect=connect))
        lane.proxy.cut()
        await _settled(lane)
        for method in [*WRITES, BY_NAME["sessions.get"]]:
            tenant = await worlds.copy(method.port)
            before = await worlds.stored(method.port, tenant)
            call = method.call(lane.store(method.port), tenant, worlds.worlds[method.port])
            how = await ended(call, SHORT)
            assert isinstance(how.error, StoreUnavailableError), (method, how)
            assert not isinstance(how.error, OutcomeUnknownError), (method, how)
            assert how.error.code == "connect_failed"
            assert how.error.retryable
            assert how.late < GRACE, (method, how)
            assert await worlds.stored(method.port, tenant) == before, method
        await lane.proxy.heal()
        again = await ended(lane.database.fetchrow("probe", "SELECT 1"), SOON)
        assert again.error is None, again
        assert again.late <= 0, again


async def _settled(lane: Lane) -> None:
    """Wait until the client has noticed that its idle connections are closed."""
    await until(lambda: all(one.is_closed() for one in lane.database.primary._idle))


async def test_a_connection_killed_while_idle_costs_reads_nothing(worlds: Worlds) -> None:
    """Every read succeeds on a pool whose connections the server has all closed meanwhile."""
    async with named_lane(worlds, LONG) as lane:
        world = worlds.worlds
        for method in READS:
            store = lane.store(method.port)
            clean = await method.call(store, SEEDED, world[method.port])
            assert await killed(worlds, lane) > 0
            assert shown(await method.call(store, SEEDED, world[method.port])) == shown(clean), method


async def test_a_connection_killed_while_idle_costs_writes_nothing_once_it_is_noticed(worlds: Worlds) -> None:
    """A client whose loop has run since finds the connection closed and opens another one."""
    async with named_lane(worlds, LONG) as lane:
        for method in WRITES:
            await lane.database.fetchrow("probe", "SELECT 1")
            tenant = await worlds.copy(method.port)
            assert await killed(worlds, lane) > 0
            await _settled(lane)
            await method.call(lane.store(method.port), tenant, worlds.worlds[method.port])


async def test_a_backend_killed_in_flight_leaves_a_true_outcome(worlds: Worlds) -> None:
    """P4: killed while the statement waits for a lock: a read is repeated, a write done, not done, or unknown."""
    async with named_lane(worlds, LONG) as lane:
        for method in [*WRITES, BY_NAME["sessions.get"], BY_NAME["audit.get_turn"]]:
            tenant = await worlds.copy(method.port)
            before = await worlds.stored(method.port, tenant)
            async with locked(worlds, method.port) as waiting:
                call = asyncio.ensure_future(
                    ended(method.call(lane.store(method.port), tenant, worlds.worlds[method.port]), LONG)
                )
                await waiting(lane)
                assert await killed(worlds, lane) > 0
            how = await call
            now = await worlds.stored(method.port, tenant)
            if how.error is None:
                assert method.reads or now != before, method
            elif isinstance(how.error, OutcomeUnknownError):
                assert not method.reads, method
            else:
                assert isinstance(how.error, StoreUnavailableError), (method, how)
                assert now == before, method


async def test_the_servers_own_time_limit_ends_a_write_with_a_known_outcome(worlds: Worlds) -> None:
    """3.1: the server gives up before the client, so a slow statement ends known (57014) and unwritten."""
    async with named_lane(worlds, 2.0, pool_size=len(WRITES)) as lane:
        await lane.database.spaces.known(refresh=True)
        for port in ("sessions", "profiles"):
            methods = [one for one in WRITES if one.port == port]
            tenants = [await worlds.copy(port) for _ in methods]
            before = [await worlds.stored(port, tenant) for tenant in tenants]
            async with locked(worlds, port):
                calls = [
                    ended(method.call(lane.store(port), tenant, worlds.worlds[port]), 2.0)
                    for method, tenant in zip(methods, tenants, strict=True)
                ]
                hows = await asyncio.gather(*calls)
            for method, how in zip(methods, hows, strict=True):
                assert isinstance(how.error, StoreUnavailableError), (method, how)
                assert not isinstance(how.error, OutcomeUnknownError), (method, how)
                assert how.error.details["sqlstate"] == "57014"
            assert [await worlds.stored(port, tenant) for tenant in tenants] == before


@asynccontextmanager
async def locked(worlds: Worlds, port: str) -> AsyncIterator[Any]:
    """Hold every table of a port; yields what waits until a lane's statement waits for one of them."""
    tables = {"sessions": "sessions", "audit": "turn_records", "profiles": "customer_profiles", "config": "rules"}
    connection = await asyncpg.connect(worlds.url, statement_cache_size=0)

    async def waiting(lane: Lane) -> None:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'"
        await until(lambda: worlds.value(sql, lane.database.options.application_name))

    try:
        await connection.execute(f"BEGIN; LOCK TABLE {SCHEMA}.{tables.get(port, 'episodes')} IN ACCESS EXCLUSIVE MODE")
        yield waiting
    finally:
        await connection.close()


async def test_a_copy_into_a_network_that_stands_still_ends_in_time(worlds: Worlds) -> None:
    """P6: the client waits to write, not to read; its time is up all the same, and nothing is written."""
    async with open_lane(worlds) as lane:
        tenant, rows = uuid4(), _many()
        await lane.database.spaces.known(refresh=True)
        lane.proxy.before(_vectors, stall)
        how = await ended(lane.store("memory").add_episodes([one(tenant) for one in rows]), SHORT)
        assert isinstance(how.error, StoreUnavailableError), how
        assert not isinstance(how.error, OutcomeUnknownError), how
        assert await worlds.value(f"SELECT count(*) FROM {SCHEMA}.episodes WHERE tenant_id = $1", tenant) == 0


def _vectors(message: Message) -> bool:
    """Return whether a message is a part of the COPY that is too big for the buffers on the way."""
    return message.kind == "copy_data" and "episode_vectors" in message.text


async def _cut_while_writing(lane: Lane, tenant: UUID) -> asyncio.Task[Any]:
    """Return a bulk load whose connection was reset while it waited to write."""
    trigger = lane.proxy.before(_vectors, stall, times=None)
    call = asyncio.ensure_future(lane.store("memory").add_episodes([one(tenant) for one in _many()]))
    await trigger.wait()
    busy = lane.database.primary._busy
    sizes = [0]

    def asleep() -> bool:
        # Full, and not growing any more: until then the load may be busy making the next part.
        sizes.append(max((one._transport.get_write_buffer_size() for one in busy), default=0))
        return sizes[-1] > 65_536 and len(set(sizes[-10:])) == 1

    await until(asleep)
    lane.proxy.remove(trigger)
    lane.proxy.cut()
    return call


async def test_a_connection_lost_while_a_copy_waits_to_write_is_told_at_once(worlds: Worlds) -> None:
    """The driver would sleep on; with a deadline of minutes for bulk calls that is what the caller would wait."""
    async with open_lane(worlds, LONG, bulk_deadline=300) as lane:
        tenant = uuid4()
        call = await _cut_while_writing(lane, tenant)
        done, _ = await asyncio.wait({call}, timeout=LONG)
        assert done
        stored = await worlds.value(f"SELECT count(*) FROM {SCHEMA}.episodes WHERE tenant_id = $1", tenant)
        # Repeated inside, which is safe: either it went through then, or nothing was written.
        assert stored == (0 if call.exception() else len(_many()))


async def test_control_a_copy_left_asleep_is_reported(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control of the last one: without what wakes it, the driver does not return."""
    monkeypatch.setattr(asyncpg.Connection, "add_termination_listener", lambda self, callback: None)
    async with open_lane(worlds, LONG, bulk_deadline=300) as lane:
        call = await _cut_while_writing(lane, uuid4())
        done, _ = await asyncio.wait({call}, timeout=SOON)
        assert not done
        call.cancel()
        await asyncio.wait({call})


def _many() -> list[Any]:
    vector = [0.5] * 4_000
    return [
        lambda tenant, n=n: episode(n, tenant, id=uuid7(), embedding=vector, embedding_model="wide") for n in range(700)
    ]


async def test_calls_before_and_after_a_restart_of_the_server(private_postgres: EmbeddedPostgres) -> None:
    """Between two calls the server goes down and comes back: reads just work, writes work or may be repeated."""
    url = await private_postgres.create_database()
    await migrate(url)
    async with open_database(url, BackendContext(), pool_size=4) as database:
        store, tenant = PostgresSessionStore(database), uuid4()
        sessions = [await store.save(placed(n, tenant)) for n in range(4)]
        await asyncio.gather(*[store.get(one.session_id, tenant_id=tenant) for one in sessions])
        await asyncio.to_thread(private_postgres.restart)
        found = await asyncio.gather(*[store.get(one.session_id, tenant_id=tenant) for one in sessions])
        assert all(found)
        await asyncio.to_thread(private_postgres.restart)
        for one in sessions:
            try:
                saved = await store.save(one)
            except StoreUnavailableError as error:
                if not error.retryable:
                    raise
                saved = await store.save(one)
            assert saved.version == 2
        async with connected(url) as connection:
            assert await connection.fetchval(f"SELECT count(*) FROM {SCHEMA}.sessions WHERE version = 2") == 4
