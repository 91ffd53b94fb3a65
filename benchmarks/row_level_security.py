"""What row-level security costs on PostgreSQL: focal behind it against a bare transaction, and the policies themselves.

The first opponent sends BEGIN, a statement written by hand and COMMIT over asyncpg. The second is focal saying the very
same, as a superuser, for whom no policy holds. One caller, the same server and tables, rows of each system's own; what
was written is counted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from harness import MUST, Given, Outcome, Server, compare, judged, main, options, table_of
from session_systems import Bare, Focal
from sessions_and_audit import World, loaded, verified

from focal_core.context import BackendContext
from focal_postgres import row_security
from focal_postgres.audit import PostgresAuditStore
from focal_postgres.conversation import PostgresSessionStore
from focal_postgres.database import Database
from focal_postgres.schema.roles import grants
from focal_testkit.servers.postgres import connected

POLICY = 0.90
"""Of the rate without policies, at least (RELIABILITY, P13)."""
SESSIONS = 500


class Transactions:
    """A pool whose connections are handed out in a transaction."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        """Yield a connection; the block is the transaction."""
        async with self._pool.acquire() as connection:
            await connection.execute("BEGIN")
            yield connection
            await connection.execute("COMMIT")

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()


class BareInTransactions(Bare):
    """asyncpg by hand, a transaction around every statement."""

    name = "bare transaction"

    @classmethod
    async def open(cls, url: str, pool_size: int) -> Self:
        """Return it, connected."""
        self = await super().open(url, pool_size)
        self._pool = Transactions(self._pool)
        return self


class WithoutPolicies(Focal):
    """Focal as a role that a backend refuses behind row-level security."""

    name = "focal, no policy"

    @classmethod
    async def open(cls, url: str, pool_size: int, **others: Any) -> Self:
        """Return it, connected."""
        self = cls()
        self._backend = Database(options(url, pool_size=pool_size, **others), BackendContext())
        await self._backend.open()
        self._sessions, self._audit = PostgresSessionStore(self._backend), PostgresAuditStore(self._backend)
        return self


@asynccontextmanager
async def secured(url: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the options of focal behind row-level security, which is put in force."""
    parts, run = urlsplit(url), uuid4().hex[:12]
    roles = f"focal_bench_application_{run}", f"focal_bench_maintenance_{run}"
    async with connected(url) as connection:
        for role, rights in zip(roles, ("", " BYPASSRLS"), strict=True):
            await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'{rights}")
            for statement in grants("focal", role, maintenance=bool(rights)):
                await connection.execute(statement)
    await row_security.switch(options(url), True)
    hosts = parts.netloc.rpartition("@")[2]
    application, maintenance = (urlunsplit(parts._replace(netloc=f"{role}:{role}@{hosts}")) for role in roles)
    try:
        yield {"url": application, "maintenance_url": maintenance, "row_level_security": True}
    finally:
        async with connected(url) as connection:
            for role in roles:
                await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def measure(server: Server, given: Given) -> Outcome:
    """Compare loading, saving and appending."""
    rounds, seconds = given.of((9, 1.0), (3, 0.2), (1, 0.02))
    comparisons = []
    async with server.database() as url, secured(url) as behind:
        focal = await Focal.open(pool_size=2, **behind)
        systems = (
            focal,
            await BareInTransactions.open(url, 2),
            await WithoutPolicies.open(pool_size=2, **{**behind, "url": url}),
        )
        worlds = [World(system, SESSIONS) for system in systems]
        for world in worlds:
            await world.fill(focal)
        async with connected(url) as connection:
            await connection.execute("VACUUM ANALYZE")
        for method in ("load", "save", "append"):
            rates = {one.system.name: loaded(one, method, "c=1", seconds, 0, server) for one in worlds}
            for about, opponent, must in (
                (method, BareInTransactions.name, MUST),
                (f"{method}, the policies", WithoutPolicies.name, POLICY),
            ):
                if given.only in about:
                    pair = {name: rates[name] for name in (focal.name, opponent)}
                    comparisons.append(await compare(about, pair, rounds, must))
        problems = await verified(url, worlds)
        for world in worlds:
            await world.system.close()
    figures = {"results": [one.as_json() for one in comparisons]}
    return Outcome([table_of(comparisons, "row-level security")], figures, problems, judged(comparisons))


if __name__ == "__main__":
    main(measure, __doc__ or "")
