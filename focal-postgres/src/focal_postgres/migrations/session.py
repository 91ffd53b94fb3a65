"""The one connection a migration runs on: direct, locked against other migrations, with pgvector and valid indexes."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import StaticPool

from focal_core.errors import ConfigurationError, FocalError, SettingsError, StoreError, StoreUnavailableError
from focal_postgres.database import shown
from focal_postgres.errors import connect_failure, mapped
from focal_postgres.settings import PostgresOptions

T = TypeVar("T")
Connection = Any
"""asyncpg's connection."""

POLL_SECONDS = 0.15
LOCK_TIMEOUT_SECONDS = 2.0
"""How long a statement waits for a table lock before it lets the application go on, and tries again."""

_POOLER_HINT = "set migration_url to the address of the server itself"
_TRIED_AGAIN = frozenset({"55P03", "40P01"})
"""A lock was not to be had in time; deadlock."""
_ALEMBIC = threading.Lock()
"""Alembic keeps what it works on in module globals: one command at a time in a process."""

_INVALID = """
SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND NOT (i.indisvalid AND i.indisready)
AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
ORDER BY c.relname
"""
_HOLDER = """
SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND ((l.classid::bigint << 32) | l.objid::bigint) = $1
"""


class MigrationSession:
    """A direct connection to the database whose schema is migrated.

    Attributes:
        options: where and how.
        schema: the schema.
        connection: asyncpg's connection, in no transaction.
    """

    def __init__(self, options: PostgresOptions, connection: Connection) -> None:
        self.options = options
        self.schema = options.schema_name
        self.connection = connection

    async def current(self) -> str | None:
        """Return the revision the schema is at, or None where there is none of focal's."""
        try:
            return await self.connection.fetchval(f"SELECT version_num FROM {self.schema}.alembic_version")  # type: ignore[no-any-return]
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            return None
        except Exception as error:
            raise self.ours(error) from None

    async def invalid_indexes(self) -> dict[str, str]:
        """Return name -> definition of the indexes an interrupted build has left; not those being built right now."""
        try:
            return {row["name"]: row["definition"] for row in await self.connection.fetch(_INVALID, self.schema)}
        except Exception as error:
            raise self.ours(error) from None

    async def rebuild_invalid(self) -> list[str]:
        """Rebuild every invalid index, and return their names.

        Raises:
            StoreError: code ``index_invalid``: a rebuilt index is not valid either.
        """
        invalid = await self.invalid_indexes()
        try:
            if invalid:
                await self.connection.execute("SET lock_timeout = 0")
            for name, definition in invalid.items():
                await self.connection.execute(f"DROP INDEX CONCURRENTLY {self.schema}.{name}")
                # What REINDEX CONCURRENTLY leaves is a copy: the original is still there.
                if not re.search(r"_cc(new|old)\d*$", name):
                    await self.connection.execute(re.sub(r" INDEX ", " INDEX CONCURRENTLY ", definition, count=1))
            if invalid:
                await self.connection.execute(f"SET lock_timeout = {int(LOCK_TIMEOUT_SECONDS * 1000)}")
        except Exception as error:
            raise self.ours(error) from None
        await self.require_valid()
        return list(invalid)

    async def require_valid(self) -> None:
        """Refuse indexes that are not valid.

        Raises:
            StoreError: code ``index_invalid``.
        """
        if invalid := await self.invalid_indexes():
            raise StoreError(
                f"indexes are not valid after their build: {', '.join(invalid)}",
                code="index_invalid",
                hint="run `focal db upgrade` again",
            )

    async def prepare(self) -> None:
        """Make sure of the schema and of pgvector.

        Raises:
            StoreError: codes ``extension_missing``, ``extension_denied``, ``extension_unreachable``,
                ``permission_denied``.
        """
        try:
            if not await self.connection.fetchval("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"):
                await self._create_extension()
            if await self.connection.fetchval("SELECT to_regtype('vector') IS NULL"):
                raise StoreError(
                    "the extension vector is in a schema that is not on the search_path",
                    code="extension_unreachable",
                    hint="ALTER EXTENSION vector SET SCHEMA public, or ALTER ROLE ... SET search_path",
                )
            exists = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"
            if not await self.connection.fetchval(exists, self.schema):
                await self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self.schema}")
        except FocalError:
            raise
        except Exception as error:
            raise self.ours(error) from None

    async def _create_extension(self) -> None:
        if not await self.connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name='vector')"
        ):
            raise StoreError(
                "the server does not have the extension vector (pgvector)",
                code="extension_missing",
                hint="install pgvector 0.8 or later on the server, such as the package postgresql-18-pgvector",
            )
        try:
            # A role named like the schema has the schema first on its search_path: others would not find the types.
            public = await self.connection.fetchval("SELECT 'public' = ANY (current_schemas(false))")
            await self.connection.execute(f"CREATE EXTENSION IF NOT EXISTS vector{' SCHEMA public' if public else ''}")
        except asyncpg.InsufficientPrivilegeError:
            raise StoreError(
                "the database user may not create the extension vector (pgvector)",
                code="extension_denied",
                hint="let a superuser run `CREATE EXTENSION vector` in this database, then try again",
            ) from None
        except (asyncpg.UniqueViolationError, asyncpg.DuplicateObjectError):
            # Another schema of this database is being migrated, and came first.
            return

    async def run(self, command: Callable[[SyncConnection], T]) -> T:
        """Run an Alembic command on this connection, again while a table it needs is locked.

        Raises:
            StoreUnavailableError: code ``lock_timeout``: the table stayed locked.
            FocalError: what the command raised.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self.options.migration_lock_timeout

        async def connection() -> Connection:
            return self.connection

        # A static pool does not close the connection when the command is through.
        engine = create_async_engine(
            "postgresql+asyncpg://", async_creator=connection, poolclass=StaticPool, hide_parameters=True
        )
        async with engine.connect() as wrapped:
            while True:
                try:
                    async with alembic(until):
                        return await wrapped.run_sync(command)
                except FocalError:
                    raise
                except Exception as error:
                    cause = error.orig if isinstance(error, DBAPIError) else None
                    if getattr(cause, "sqlstate", None) not in _TRIED_AGAIN:
                        raise self.ours(error) from (None if isinstance(error, DBAPIError) else error)
                    if loop.time() >= until:
                        raise StoreUnavailableError(
                            "a table stayed locked by another transaction",
                            code="lock_timeout",
                            hint="look at pg_stat_activity for long transactions, end them, and try again",
                        ) from None
                await wrapped.rollback()
                await asyncio.sleep(POLL_SECONDS)
                await self.rebuild_invalid()

    def ours(self, error: Exception) -> FocalError:
        """Return focal's error for the driver's."""
        if self.connection.is_closed():
            return StoreUnavailableError(
                "the connection was lost during the migration",
                code="connection_lost",
                hint="migrate again: a revision that was not finished was rolled back",
            )
        if isinstance(error, DBAPIError) and error.orig is not None and isinstance(error.orig.__cause__, Exception):
            error = error.orig.__cause__
        # Its text follows the server's language, the name of the function does not.
        if getattr(error, "server_source_function", None) == "check_enable_rls":
            return StoreError(
                "row-level security hides rows from the database user that the command has to see",
                code="permission_denied",
                hint="set migration_url to a role with BYPASSRLS",
            )
        if isinstance(error, asyncpg.InsufficientPrivilegeError):
            return StoreError(
                f"the database user lacks a right that migrations need: {error.args[0]}",
                code="permission_denied",
                hint=f"migrate as the owner of schema {self.schema}, or GRANT CREATE ON DATABASE to this user",
            )
        if isinstance(error, asyncpg.PostgresError) and not (error.sqlstate or "").startswith(("08", "57")):
            return StoreError(f"the migration failed: {error.args[0]}", code="migration_failed")
        return mapped(error, "migration")


@asynccontextmanager
async def alembic(until: float) -> AsyncIterator[None]:
    """Have Alembic for oneself, for as long as the block lasts.

    Args:
        until: when to give up, by the loop's clock.

    Raises:
        StoreUnavailableError: code ``migration_running``: another migration of this process did not end in time.
    """
    while not _ALEMBIC.acquire(blocking=False):
        if asyncio.get_running_loop().time() >= until:
            raise StoreUnavailableError(
                "another migration of this process did not end in time",
                code="migration_running",
                hint="wait for it, or raise migration_lock_timeout",
            )
        await asyncio.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        _ALEMBIC.release()


@asynccontextmanager
async def connected(options: PostgresOptions) -> AsyncIterator[MigrationSession]:
    """Connect directly to the database, for as long as the block lasts.

    Raises:
        SettingsError: code ``pooler_refused``: the address is that of a transaction pooler.
        StoreUnavailableError: there is no connection to be had.
    """
    if options.embedded_folder is not None and options.migration_url is None:
        from focal_postgres import embedded

        server = await asyncio.to_thread(embedded.join, options.embedded_folder)
        try:
            async with _session(options, server.url) as session:
                yield session
        finally:
            await asyncio.to_thread(embedded.leave, server)
        return
    if options.pgbouncer and options.migration_url is None:
        raise _pooler_refused("pgbouncer is set")
    async with _session(options, (options.migration_url or options.url).get_secret_value()) as session:
        yield session


@asynccontextmanager
async def _session(options: PostgresOptions, dsn: str) -> AsyncIterator[MigrationSession]:
    arguments = options.connect_arguments(dsn)
    arguments["server_settings"] = {
        "application_name": f"{options.application_name} migration"[:63],
        "lock_timeout": str(int(LOCK_TIMEOUT_SECONDS * 1000)),
        "statement_timeout": "0",
        "client_min_messages": "warning",
        # Rows that a policy hides are an error, not absent: a migration that counts none would drop them all.
        "row_security": "off",
    }
    try:
        connection = await asyncpg.connect(**arguments)
    except Exception as error:
        # PgBouncer takes none of these settings, a session of its own being what they need.
        if getattr(error, "sqlstate", None) == "08P01" and "startup parameter" in str(error):
            raise _pooler_refused(f"{shown(dsn)} is a connection pooler") from None
        raise connect_failure(error, shown(dsn)) from None
    try:
        if await connection.fetchval("SELECT current_setting('lock_timeout')") != f"{LOCK_TIMEOUT_SECONDS:g}s":
            raise _pooler_refused(f"{shown(dsn)} drops the settings of a session, as a connection pooler may")
        yield MigrationSession(options, connection)
    except asyncio.CancelledError:
        connection.terminate()
        raise
    finally:
        if not connection.is_closed():
            await connection.close(timeout=options.connect_timeout)


def _pooler_refused(reason: str) -> SettingsError:
    return SettingsError(
        f"migrations need a connection of their own: {reason}", code="pooler_refused", hint=_POOLER_HINT
    )


@asynccontextmanager
async def locked(options: PostgresOptions) -> AsyncIterator[MigrationSession]:
    """Connect, and keep every other migration of this schema out for as long as the block lasts.

    The lock is asked for again and again: waiting for it would keep a snapshot that a concurrent index build of the
    holder waits for in turn.

    Raises:
        StoreUnavailableError: code ``migration_running``: another migration did not end in time.
    """
    async with connected(options) as session:
        loop = asyncio.get_running_loop()
        until = loop.time() + options.migration_lock_timeout
        key = lock_key(session.schema)
        while not await session.connection.fetchval("SELECT pg_try_advisory_lock($1)", key):
            if loop.time() >= until:
                holder = await session.connection.fetchrow(_HOLDER, key)
                by = f"pid {holder['pid']} ({holder['application_name'] or 'unnamed'})" if holder else "unknown"
                raise StoreUnavailableError(
                    f"another migration of schema {session.schema} did not end within "
                    f"{options.migration_lock_timeout:g} s; holder: {by}",
                    code="migration_running",
                    hint="wait for it, or end it with SELECT pg_terminate_backend(pid)",
                    details={"pid": holder["pid"] if holder else None},
                )
            await asyncio.sleep(POLL_SECONDS)
        yield session


def lock_key(schema: str) -> int:
    """Return the advisory lock of a schema, 64 bits."""
    return int.from_bytes(hashlib.sha256(f"focal migrations {schema}".encode()).digest()[:8], "big", signed=True)


def resolve_revision(revision: str, revisions: Iterable[str], current: str | None) -> str:
    """Return the full name of a revision, or ``base``.

    Args:
        revision: a name or its beginning, ``head``, ``base``, or ``+n`` or ``-n`` counted from ``current``.
        revisions: all names, oldest first.
        current: where the schema is.

    Raises:
        ConfigurationError: code ``revision_unknown``.
    """
    steps = ["base", *revisions]
    if revision == "head":
        return steps[-1]
    if re.fullmatch(r"[+-]\d+", revision) and (current is None or current in steps):
        at = steps.index(current or "base") + int(revision)
        if 0 <= at < len(steps):
            return steps[at]
    found = [one for one in steps if one == revision or (revision.isdigit() and one.startswith(f"{revision:0>3}_"))]
    if len(found) == 1:
        return found[0]
    raise ConfigurationError(
        f"there is no revision {revision!r}",
        code="revision_unknown",
        hint=f"one of: {', '.join(steps)}, head, +1, -1",
    )
