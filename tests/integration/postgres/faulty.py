"""What the fault tests share: the five ports, copies of a seeded world, what is stored of it, and what a call did."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
from tests.integration.calls import SHORT
from tests.integration.judging import served
from tests.integration.postgres.support import SCHEMA, open_database

from focal_core.clock import Clock, ManualClock
from focal_core.context import BackendContext
from focal_core.conversation.models import Channel
from focal_postgres.audit import PostgresAuditStore
from focal_postgres.config import PostgresConfigStore
from focal_postgres.conversation import PostgresSessionStore
from focal_postgres.database import Database
from focal_postgres.memory import PostgresMemoryStore
from focal_postgres.profile import PostgresProfileStore
from focal_testkit.contracts.audit.scenarios import AuditScenarios
from focal_testkit.contracts.config.kit_scenarios import ConfigScenarios
from focal_testkit.contracts.conversation.scenarios import SessionScenarios
from focal_testkit.contracts.memory.scenarios import MemoryScenarios
from focal_testkit.contracts.profile.scenarios import ProfileScenarios
from focal_testkit.data.conversation import placed
from focal_testkit.data.memory import relationship
from focal_testkit.faults.postgres import PostgresFraming, statement
from focal_testkit.faults.proxy import FaultProxy

SEEDED = UUID("0190a000-0000-7000-8000-00000000fa01")
"""The tenant whose rows the others are copies of."""

SCENARIOS = {
    "config": (PostgresConfigStore, ConfigScenarios()),
    "memory": (PostgresMemoryStore, MemoryScenarios()),
    "sessions": (PostgresSessionStore, SessionScenarios()),
    "audit": (PostgresAuditStore, AuditScenarios()),
    "profiles": (PostgresProfileStore, ProfileScenarios()),
}
SIDE_TABLES = {
    "config": ("rule_vectors", "scenario_vectors"),
    "memory": ("episode_vectors", "entity_vectors"),
}


async def _save_again(store: Any, tenant: UUID, world: Any) -> Any:
    """Save a session that was loaded: a compare-and-swap that succeeds."""
    session = await store.get(world, tenant_id=tenant)
    assert session is not None
    session.turn_count += 1
    return await store.save(session)


async def _save_by_force(store: Any, tenant: UUID, world: Any) -> Any:
    return await store.save(placed(1, tenant), force=True)


async def _new_person(store: Any, tenant: UUID, world: Any) -> Any:
    return await store.get_or_create(tenant, Channel.EMAIL, "somebody new")


async def _relate(store: Any, tenant: UUID, world: Any) -> Any:
    return await store.add_relationship(relationship(7, 0, 2, tenant, relation_type="likes"))


async def _erase(store: Any, tenant: UUID, world: Any) -> Any:
    return await store.erase_tenant(tenant)


EXTRA: Mapping[str, Callable[[Any, UUID, Any], Awaitable[Any]]] = {
    "sessions.save, again": _save_again,
    "sessions.save, by force": _save_by_force,
    "profiles.get_or_create, new": _new_person,
    "memory.add_relationship": _relate,
    **{f"{port}.erase_tenant": _erase for port in SCENARIOS},
}
UNLIKE = "write_token,digest,content_tsv,scenario_data"
"""Columns that differ from call to call or from tenant to tenant: drawn, hashed, or dated by the model."""
READS = ("get_", "version_", "list_", "vector_", "text_", "search_", "traverse_", "check_", "count_")


@dataclass(frozen=True)
class Method:
    """A public method of a port with a call of it on a seeded tenant.

    Attributes:
        name: port and method.
        port: the port.
        call: ``(store, tenant, world)``.
        reads: whether it only reads.
    """

    name: str
    port: str
    call: Callable[[Any, UUID, Any], Awaitable[Any]]
    reads: bool

    def __str__(self) -> str:
        return self.name


def _methods() -> list[Method]:
    found = []
    for port, (store_class, scenarios) in SCENARIOS.items():
        undeclared = {
            name
            for capability, names in scenarios.capability_calls.items()
            if capability not in store_class.capabilities
            for name in names
        }
        with_default = {
            name for name in vars(type(scenarios)) if inspect.iscoroutinefunction(getattr(store_class, name, None))
        }
        for name in sorted({*scenarios.methods(), *with_default} - undeclared):
            if not name.startswith("_") and f"{port}.{name}" not in EXTRA:
                reads = name == "get" or (name.startswith(READS) and name != "get_or_create")
                found.append(Method(f"{port}.{name}", port, getattr(scenarios, name), reads))
    return found + [Method(name, name.partition(".")[0], call, False) for name, call in EXTRA.items()]


METHODS = _methods()
BY_NAME = {method.name: method for method in METHODS}


class Ids:
    """Ids in a fixed order, so that what a call stores can be foretold."""

    def __init__(self) -> None:
        self.next = 0

    def __call__(self) -> UUID:
        """Return the next one."""
        self.next += 1
        return UUID(int=(0x0190B000_0000_7000_8000 << 48) | self.next)


@dataclass
class Worlds:
    """Seeded tenants on one database, over connections that no fault touches.

    Attributes:
        url: of the database.
        worlds: what each port's scenarios need.
        clock: of every store.
    """

    url: str
    clock: ManualClock
    worlds: dict[str, Any]
    _pool: asyncpg.Pool[asyncpg.Record]
    _copying: Mapping[str, str]

    async def copy(self, port: str, tenant: UUID | None = None) -> UUID:
        """Return a tenant that has what the seeded one has of a port."""
        new = tenant or uuid4()
        # Neither foreign keys nor append-only triggers are asked: what is copied was accepted before.
        copying = "".join(self._copying[table] for table in tables(port)).replace("{new}", str(new))
        async with self._pool.acquire() as connection:
            await connection.execute(f"BEGIN; SET LOCAL session_replication_role = replica; {copying} COMMIT")
        return new

    async def stored(self, port: str, tenant: UUID) -> str:
        """Return what is stored of a tenant in the tables of a port, in words that equal worlds of tenants share."""
        rows = " UNION ALL ".join(
            f"SELECT '{table} ' || replace((to_jsonb(t) - '{{{UNLIKE}}}'::text[])::text, '{tenant}', '') AS row"
            f" FROM {table} t WHERE tenant_id = '{tenant}'"
            for table in tables(port)
        )
        text: str = await self.value(f"SELECT coalesce(string_agg(row, E'\\n' ORDER BY row), '') FROM ({rows}) r")
        return text

    async def value(self, sql: str, *args: Any) -> Any:
        """Return the single value of a statement of the test's own."""
        async with self._pool.acquire() as connection:
            return await connection.fetchval(sql, *args)


def tables(port: str) -> list[str]:
    """Return the tables of a port with their schema."""
    store_class, _ = SCENARIOS[port]
    own = [name for cls in store_class.__mro__ for name in vars(cls).get("tables", ())]
    return [f"{SCHEMA}.{name}" for name in dict.fromkeys((*own, *SIDE_TABLES.get(port, ())))]


@asynccontextmanager
async def open_worlds(url: str, ports: tuple[str, ...] = tuple(SCENARIOS)) -> AsyncIterator[Worlds]:
    """Yield the seeded worlds of a migrated database."""
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(_quick_login(url))
        pool = await stack.enter_async_context(
            asyncpg.create_pool(url, min_size=0, max_size=4, statement_cache_size=0, reset=_nothing)
        )
        database = await stack.enter_async_context(open_database(url, BackendContext(clock=clock, id_factory=Ids())))
        worlds = {}
        for port in ports:
            store_class, scenarios = SCENARIOS[port]
            worlds[port] = await scenarios.seed(store_class(database, database.context), SEEDED)
        yield Worlds(
            url, clock, worlds, pool, {row[0]: row[1] for row in await pool.fetch(_COPYING, SCHEMA, str(SEEDED))}
        )


_COPYING = """
SELECT format('%I.%I', $1::text, c.relname),
       format('INSERT INTO %I.%I (%s) SELECT %s FROM %I.%I WHERE tenant_id = %L; ', $1, c.relname,
       string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
       string_agg(format('replace(%I::text, %L, ''{new}'')::%s', a.attname, $2::text,
                         format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum), $1, c.relname, $2)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  AND c.relnamespace = $1::regnamespace AND c.relkind = 'r' GROUP BY c.relname
"""
"""Table -> the statement that copies the rows of the seeded tenant to another one, whose id stands wherever that of the
first one stood."""


@asynccontextmanager
async def _quick_login(url: str) -> AsyncIterator[str]:
    """Yield the address with a role whose login costs next to nothing: here thousands of connections are lost."""
    parts, name = urlsplit(url), f"focal_test_{uuid4().hex}"
    connection = await asyncpg.connect(url, statement_cache_size=0)
    if connection.get_server_version().major >= 16:
        await connection.execute(
            f"BEGIN; SET LOCAL scram_iterations = 1; CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{name}'; COMMIT"
        )
        host = parts.netloc.rpartition("@")[2]
        yield urlunsplit(parts._replace(netloc=f"{name}:{name}@{host}"))
        await connection.execute(f"DROP ROLE {name}")
    else:
        yield url
    await connection.close()


async def _nothing(connection: object) -> None:
    """Leave a connection as it is."""


@dataclass
class Lane:
    """A client behind a proxy of its own, which makes one call after the other.

    Attributes:
        proxy: in front of the server.
        database: behind the proxy.
        stores: of each port.
        ids: from which its stores draw.
    """

    proxy: FaultProxy
    database: Database
    ids: Ids
    stores: dict[str, Any] = field(default_factory=dict)

    def store(self, port: str) -> Any:
        """Return the store of a port."""
        if port not in self.stores:
            self.stores[port] = SCENARIOS[port][0](self.database, self.database.context)
        return self.stores[port]

    async def steps(self, method: Method, tenant: UUID, world: Any) -> tuple[int, Any]:
        """Return how many statements a call without faults sends, and its answer."""
        self.ids.next = 0
        counting = self.proxy.before(statement(r".*"), _never, nth=10**9)
        answer = await method.call(self.store(method.port), tenant, world)
        self.proxy.remove(counting)
        return counting.matched, answer


async def _never(connection: object) -> None:
    raise AssertionError("a trigger that only counts has fired")


@asynccontextmanager
async def open_lane(
    worlds: Worlds, deadline: float = SHORT, *, clock: Clock | None = None, **options: Any
) -> AsyncIterator[Lane]:
    """Yield a client behind a proxy of its own; options as of PostgresOptions."""
    parts, ids = urlsplit(worlds.url), Ids()
    given = {
        "deadline": deadline,
        "bulk_deadline": deadline,
        "acquire_timeout": deadline,
        "connect_timeout": deadline,
        "pool_size": 2,
        **options,
    }
    context = BackendContext(clock=clock or worlds.clock, id_factory=ids)
    async with (
        FaultProxy(parts.hostname or "127.0.0.1", parts.port or 5432, framing=PostgresFraming) as proxy,
        AsyncExitStack() as stack,
    ):
        url = proxy.url(worlds.url)
        database = await served(lambda: stack.enter_async_context(open_database(url, context, **given)))
        yield Lane(proxy, database, ids)
