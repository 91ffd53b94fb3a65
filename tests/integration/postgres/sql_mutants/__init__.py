"""PostgreSQL stores that send broken statements, for ``--sql-mutants`` of the kit's mutant runner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import asyncpg
from asyncpg.exceptions import SyntaxOrAccessError
from tests.integration.postgres.sql_mutants import audit, config, memory, profiles, sessions
from tests.integration.postgres.support import _BROOM, PostgresStoreCase

from focal_postgres.settings import PostgresOptions
from focal_testkit.mutants.sql import SqlMutant, Trace
from focal_testkit.servers.postgres import connected, run

MUTANTS: list[SqlMutant] = [
    *config.MUTANTS,
    *memory.MUTANTS,
    *sessions.MUTANTS,
    *audit.MUTANTS,
    *profiles.MUTANTS,
]


@contextmanager
def mutated(mutant: SqlMutant, test_class: type[PostgresStoreCase]) -> Iterator[Trace]:
    """Change every statement on every connection that a Database opens, and the schema of every database."""
    trace, broken = Trace(mutant), set[str]()
    connection_class, arguments = _connection_class(trace), PostgresOptions.connect_arguments

    def connect_arguments(options: PostgresOptions, dsn: str, **given: Any) -> dict[str, Any]:
        name = urlsplit(dsn).path
        if mutant.schema and name not in broken:
            run(_execute(dsn, "; ".join(mutant.schema)))
            broken.add(name)
            trace.changed += 1
        return {**arguments(options, dsn, **given), "connection_class": connection_class}

    with patch.object(PostgresOptions, "connect_arguments", connect_arguments):
        yield trace
    for url in [url for url in test_class._idle if urlsplit(url).path in broken]:
        test_class._idle.remove(url)
        _BROOM.start(_BROOM.forget(url)).result()
        run(test_class._server.drop_database(url))


async def _execute(url: str, script: str) -> None:
    async with connected(url) as connection:
        await connection.execute(script)


def _connection_class(trace: Trace) -> type[asyncpg.Connection[asyncpg.Record]]:
    def broken(name: str) -> Callable[..., Awaitable[Any]]:
        call = getattr(asyncpg.Connection, name)

        async def run_broken(self: Any, sql: str, *args: Any, **options: Any) -> Any:
            text = trace.apply(sql)
            try:
                return await call(self, text, *args, **options)
            except (SyntaxOrAccessError, asyncpg.InterfaceError) as error:
                # A lost connection is an InterfaceError too.
                if text != sql and not self.is_closed():
                    trace.refused.append(f"{error}: {text}")
                raise

        return run_broken

    names = ("execute", "executemany", "fetch", "fetchrow", "fetchval")
    return type("BrokenConnection", (asyncpg.Connection,), {"__slots__": (), **{name: broken(name) for name in names}})
