"""The one way a statement runs: a connection, a deadline, an error of focal's, and a repeat where that is safe."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

import asyncpg

from focal_core.context import BackendContext
from focal_core.deadline import call_started
from focal_core.errors import (
    REFUSED_IN_DOUBT,
    FocalError,
    OutcomeUnknownError,
    SchemaOutdatedError,
    StoreUnavailableError,
)
from focal_core.pool import Pool
from focal_postgres.arrays import introduce
from focal_postgres.errors import SCHEMA_HINT, connect_failure, is_connection_loss, is_retryable_conflict, mapped
from focal_postgres.revisions import REVISIONS
from focal_postgres.settings import PostgresOptions
from focal_postgres.spaces import Spaces

T = TypeVar("T")
Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Work: TypeAlias = Callable[[Connection], Awaitable[T]]

_CONFLICT_REPEATS = 3


class Database:
    """A PostgreSQL database and focal's schema in it.

    Args:
        options: where and how.
        context: clock, limits, policies.

    Attributes:
        schema: name of the PostgreSQL schema, safe to stand in SQL text.
        spaces: the embedding spaces.
    """

    def __init__(self, options: PostgresOptions, context: BackendContext) -> None:
        self.options = options
        self.context = context
        self.schema = options.schema_name
        self.spaces = Spaces(self)
        self._primary: Pool[Connection] | None = None
        self._replica: Pool[Connection] | None = None
        self._unreplicated: set[Connection] = set()

    async def open(self, url: str | None = None) -> None:
        """Make the pools and one first connection.

        Args:
            url: the address when it is not that of the options (an embedded server's).

        Raises:
            StoreUnavailableError: no connection could be made.
        """
        primary = url or self.options.url.get_secret_value()
        self._primary = self._pool(primary)
        if self.options.read_url is not None:
            self._replica = self._pool(self.options.read_url.get_secret_value())
        loop = asyncio.get_running_loop()
        try:
            for pool in filter(None, (self._primary, self._replica)):
                pool.release(await pool.acquire(loop.time() + self.options.connect_timeout))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let running calls end, then close every connection; a second call does nothing."""
        pools, self._primary, self._replica = (self._primary, self._replica), None, None
        for pool in filter(None, pools):
            await pool.close(self.options.deadline)

    def _pool(self, dsn: str) -> Pool[Connection]:
        where = shown(dsn)

        async def connect() -> Connection:
            try:
                connection: Connection = await asyncpg.connect(**self.options.connect_arguments(dsn))
                try:
                    await introduce(connection)
                except BaseException:
                    connection.terminate()
                    raise
            except Exception as error:
                raise connect_failure(error, where) from self._cause(error)
            connection.add_log_listener(self._hear)
            # The driver leaves a COPY asleep that waits to write when its connection is lost.
            protocol = connection._protocol
            connection.add_termination_listener(lambda _: protocol.resume_writing())
            return connection

        return Pool(connect, self.options.pool_size, self.options.acquire_timeout, self.options.max_waiters)

    def _hear(self, connection: Any, message: Any) -> None:
        # A cancelled wait for a synchronous standby ends in success and this notice; its text follows the server's
        # language, the name of the function does not.
        if getattr(message, "server_source_function", None) == "SyncRepWaitForLSN":
            self._unreplicated.add(connection)

    def _cause(self, error: BaseException) -> BaseException | None:
        return error if self.options.debug_driver_errors else None

    @property
    def primary(self) -> Pool[Connection]:
        """The pool of the primary; an error of focal's when the database is not open."""
        if self._primary is None:
            raise mapped(ConnectionError(), "the database is not open")
        return self._primary

    def _reading(self, replica: bool) -> Pool[Connection]:
        return self._replica if replica and self._replica is not None else self.primary

    async def fetch(
        self, method: str, sql: str, *args: Any, replica: bool = False, search: bool = False, settles: bool = False
    ) -> list[Record]:
        """Run a statement that only reads, and return its rows.

        Repeated once, on a fresh connection, when the connection is lost.

        Args:
            method: the store's method, for errors.
            sql: one statement.
            args: its parameters.
            replica: whether a replica may answer.
            search: whether the statement needs the settings of an approximate vector search.
            settles: whether it finds out what became of a write: as long as it has not, the write may have happened.

        Raises:
            StoreError: by ``errors.mapped``; an OutcomeUnknownError only where ``settles``.
        """
        pool = self._reading(replica)
        if search and not self.options.keeps_session_state:
            begin = "; ".join(
                ["BEGIN", *(f"SET LOCAL {name} = '{value}'" for name, value in self.options.search_settings.items())]
            )
            return await self._run(
                pool, method, _in_transaction(begin, lambda found: found.fetch(sql, *args)), repeat=True
            )
        return await self._run(
            pool, method, lambda connection: connection.fetch(sql, *args), repeat=True, doubt=settles
        )

    async def fetchrow(
        self, method: str, sql: str, *args: Any, replica: bool = False, settles: bool = False
    ) -> Record | None:
        """Run a statement that only reads, and return its first row or None; as ``fetch``."""
        pool = self._reading(replica)
        return await self._run(
            pool, method, lambda connection: connection.fetchrow(sql, *args), repeat=True, doubt=settles
        )

    async def write(self, method: str, sql: str, *args: Any, repeat: bool = False, bulk: bool = False) -> list[Record]:
        """Run one writing statement in a transaction of its own, and return its rows.

        Args:
            method: the store's method, for errors.
            sql: one statement.
            args: its parameters.
            repeat: whether a second run of the same statement changes nothing and answers alike, so that it may be
                repeated once when the reply is lost; the rows are ``Repeated`` then.
            bulk: whether it may take ``bulk_deadline``.

        Raises:
            OutcomeUnknownError: the reply was lost.
            StoreError: by ``errors.mapped``; nothing was written.
        """
        if bulk:
            return await self.transaction(method, lambda connection: connection.fetch(sql, *args), bulk=True)
        return await self._run(
            self.primary, method, lambda connection: connection.fetch(sql, *args), write=True, repeat=repeat
        )

    async def script(self, method: str, sql: str) -> str:
        """Run several writing statements as one message and one transaction, and return the status of the last one.

        Each sees what others committed before it began, as in ``transaction``, but for one round trip.

        Args:
            method: the store's method, for errors.
            sql: the statements, without parameters: only ids and times, formatted from their types, stand in them.

        Raises:
            OutcomeUnknownError: the reply was lost.
            StoreError: by ``errors.mapped``; nothing was written.
        """
        return await self._run(self.primary, method, lambda connection: connection.execute(sql), write=True)

    async def transaction(self, method: str, work: Work[T], *, bulk: bool = False, repeat: bool = False) -> T:
        """Run several statements as one, and return what ``work`` returns.

        ``work`` may run again: it is repeated as a whole when the server rolled it back because of another transaction.

        Args:
            method: the store's method, for errors.
            work: runs statements on the connection it is given, and nothing else.
            bulk: whether it may take ``bulk_deadline``.
            repeat: as for ``write``.

        Raises:
            OutcomeUnknownError: the reply to COMMIT was lost.
            StoreError: by ``errors.mapped``; nothing was written.
        """
        patience = self.options.bulk_deadline if bulk else self.options.deadline
        begin = f"BEGIN; SET LOCAL statement_timeout = {max(1, int(patience * 950))}" if bulk else "BEGIN"
        committing = _Flag()
        return await self._run(
            self.primary,
            method,
            _in_transaction(begin, work, committing),
            write=True,
            repeat=repeat,
            patience=patience,
            handed_over=committing,
        )

    async def _run(
        self,
        pool: Pool[Connection],
        method: str,
        work: Work[T],
        *,
        write: bool = False,
        repeat: bool = False,
        patience: float | None = None,
        handed_over: _Flag | None = None,
        doubt: bool = False,
    ) -> T:
        loop = asyncio.get_running_loop()
        until = call_started() + (self.options.deadline if patience is None else patience)
        conflicts, repeats, fresh = 0, 1 if repeat else 0, False
        while True:
            try:
                if loop.time() >= until:
                    raise StoreUnavailableError(f"{method}: the deadline passed", code="deadline")
                connection = await pool.acquire(until, fresh=fresh)
            except StoreUnavailableError as error:
                if doubt:
                    raise _in_doubt(error, method, repeat) from self._cause(error)
                raise
            # Cutting the connection ends whatever waits for it, also where the network is dead: asyncpg's own time-outs
            # wait for a cancel request to arrive first.
            timer = loop.call_at(until, connection.terminate)
            try:
                result = await work(connection)
                if self._unreplicated and write:
                    self._check_replicated(connection, method)
                return cast("T", Repeated(result)) if doubt and write and isinstance(result, list) else result
            except asyncio.CancelledError:
                connection.terminate()
                raise
            except Exception as error:
                late = loop.time() >= until
                lost = late or connection.is_closed() or is_connection_loss(error)
                if lost:
                    connection.terminate()
                sent = write and (handed_over is None or handed_over.up)
                if lost and not late and repeats:
                    repeats, fresh, doubt = repeats - 1, True, doubt or sent
                elif is_retryable_conflict(error) and conflicts < _CONFLICT_REPEATS and not late:
                    conflicts += 1
                else:
                    known = mapped(
                        ConnectionError() if lost and not isinstance(error, OutcomeUnknownError) else error,
                        method,
                        handed_over=sent,
                        deadline_passed=late,
                    )
                    if isinstance(known, StoreUnavailableError) and (doubt or isinstance(known, OutcomeUnknownError)):
                        known = _in_doubt(known, method, repeat)
                    if known is error:
                        raise
                    raise known from self._cause(error)
            finally:
                timer.cancel()
                self._unreplicated.discard(connection)
                pool.release(connection)
            if conflicts:
                await asyncio.sleep(min(random.uniform(0.0, 0.01 * 2**conflicts), max(0.0, until - loop.time())))

    def _check_replicated(self, connection: Connection, method: str) -> None:
        if connection in self._unreplicated:
            raise OutcomeUnknownError(
                f"{method}: written, but the wait for the synchronous standby was cut short",
                code="not_replicated",
                written=True,
                hint="it is stored on the primary; check the standby",
            )

    @property
    def counts(self) -> dict[str, int]:
        """How many connections of the primary are idle and busy, and how many calls wait."""
        return self.primary.counts

    async def check_schema(self) -> None:
        """Refuse a schema that is behind or ahead of this release.

        Raises:
            SchemaOutdatedError: with the command to run.
        """
        sql = f"SELECT version_num FROM {self.schema}.alembic_version"
        try:
            rows = await self.fetch("open", sql)
        except SchemaOutdatedError:
            rows = []
        found = rows[0][0] if rows else None
        if found == REVISIONS[-1]:
            return
        if found is None:
            raise SchemaOutdatedError(f"the database has no schema {self.schema!r} of focal's", hint=SCHEMA_HINT)
        if found in REVISIONS:
            raise SchemaOutdatedError(
                f"the schema {self.schema!r} is at {found}, this release needs {REVISIONS[-1]}", hint=SCHEMA_HINT
            )
        raise SchemaOutdatedError(
            f"the schema {self.schema!r} is at {found}, which this release does not know",
            hint="upgrade focal-postgres, or `focal db downgrade` with the release that wrote it",
        )


class Repeated(list[Record]):
    """Rows of a write that was sent a second time, since the reply to the first had been lost."""


def refusal(rows: Sequence[Record], error: FocalError) -> FocalError:
    """Return the error of a write that changed nothing: ``error``, which claims so.

    Where the write was sent twice, the first may have taken effect before what stands in its way now: then the outcome
    is unknown.

    Args:
        rows: what ``Database.write`` returned.
        error: what is wrong with the write.
    """
    if not isinstance(rows, Repeated):
        return error
    return OutcomeUnknownError(
        f"{error}; an earlier try of the write may have taken effect before",
        code=REFUSED_IN_DOUBT,
        hint="read it back to see whether it was written",
        details=error.details,
    )


def _in_doubt(error: StoreUnavailableError, method: str, repeat: bool) -> OutcomeUnknownError:
    """Return the error of a write that may have taken effect, from the one that kept us from knowing."""
    if not isinstance(error, OutcomeUnknownError):
        error = OutcomeUnknownError(
            f"{method}: {error}; an earlier try of the write may have taken effect",
            code=error.code,
            hint="read it back to see whether it was written",
            details=error.details,
        )
    error.retryable = repeat
    return error


class _Flag:
    """Whether the step after which a write may have happened was begun."""

    def __init__(self) -> None:
        self.up = False


def _in_transaction(begin: str, work: Work[T], committing: _Flag | None = None) -> Work[T]:
    async def run(connection: Connection) -> T:
        if committing is not None:
            committing.up = False
        await connection.execute(begin)
        try:
            result = await work(connection)
        except Exception:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            raise
        if committing is not None:
            committing.up = True
        await connection.execute("COMMIT")
        return result

    return run


def shown(dsn: str) -> str:
    """Return host, port and database of an address, as they may stand in a message."""
    parts = urlsplit(dsn)
    return f"PostgreSQL at {parts.netloc.rpartition('@')[2] or 'the local socket'}{parts.path}"
