"""The one way a statement runs: a connection, a deadline, an error of focal's, and a repeat where that is safe."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import asyncpg

from focal_core.context import BackendContext
from focal_core.deadline import call_started
from focal_core.errors import (
    REFUSED_IN_DOUBT,
    FocalError,
    OutcomeUnknownError,
    StoreUnavailableError,
)
from focal_core.pool import Pool
from focal_postgres.arrays import introduce
from focal_postgres.errors import connect_failure, is_connection_loss, is_retryable_conflict, mapped
from focal_postgres.settings import PostgresOptions
from focal_postgres.spaces import Spaces
from focal_postgres.transaction import Connection, Flag, Record, Work, in_transaction, settings

T = TypeVar("T")

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
        self._maintenance: Pool[Connection] | None = None
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
        if self.options.maintenance_url is not None:
            self._maintenance = self._pool(self.options.maintenance_url.get_secret_value())
        loop = asyncio.get_running_loop()
        try:
            for pool in filter(None, (self._primary, self._replica, self._maintenance)):
                pool.release(await pool.acquire(loop.time() + self.options.connect_timeout))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Let running calls end, then close every connection; a second call does nothing."""
        pools = self._primary, self._replica, self._maintenance
        self._primary = self._replica = self._maintenance = None
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

    def _pool_for(self, *, replica: bool = False, maintenance: bool = False) -> Pool[Connection]:
        return (maintenance and self._maintenance) or (replica and self._replica) or self.primary

    def _reading(self, work: Work[T], *, search: bool = False) -> Work[T]:
        """Return work that reads, in a transaction where the server is to be told something."""
        told = settings(self.options, search=search)
        return in_transaction(work, told) if told else work

    async def fetch(
        self,
        method: str,
        sql: str,
        *args: Any,
        replica: bool = False,
        search: bool = False,
        settles: bool = False,
        maintenance: bool = False,
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
            maintenance: whether it is for the maintenance role, where there is one.

        Raises:
            StoreError: by ``errors.mapped``; an OutcomeUnknownError only where ``settles``.
        """
        work = self._reading(lambda connection: connection.fetch(sql, *args), search=search)
        pool = self._pool_for(replica=replica, maintenance=maintenance)
        return await self._run(pool, method, work, repeat=True, doubt=settles)

    async def fetchrow(
        self, method: str, sql: str, *args: Any, replica: bool = False, settles: bool = False
    ) -> Record | None:
        """Run a statement that only reads, and return its first row or None; as ``fetch``."""
        work = self._reading(lambda connection: connection.fetchrow(sql, *args))
        return await self._run(self._pool_for(replica=replica), method, work, repeat=True, doubt=settles)

    async def write(
        self,
        method: str,
        sql: str,
        *args: Any,
        repeat: bool = False,
        bulk: bool = False,
        maintenance: bool = False,
    ) -> list[Record]:
        """Run one writing statement in a transaction of its own, and return its rows.

        Args:
            method: the store's method, for errors.
            sql: one statement.
            args: its parameters.
            repeat: whether a second run of the same statement changes nothing and answers alike, so that it may be
                repeated once when the reply is lost; the rows are ``Repeated`` then.
            bulk: whether it may take ``bulk_deadline``.
            maintenance: as for ``fetch``.

        Raises:
            OutcomeUnknownError: the reply was lost.
            StoreError: by ``errors.mapped``; nothing was written.
        """

        async def work(connection: Connection) -> list[Record]:
            rows: list[Record] = await connection.fetch(sql, *args)
            return rows

        if bulk:
            return await self.transaction(method, work, bulk=True, maintenance=maintenance)
        told = settings(self.options)
        committing = Flag() if told else None
        return await self._run(
            self._pool_for(maintenance=maintenance),
            method,
            in_transaction(work, told, committing) if told else work,
            write=True,
            repeat=repeat,
            handed_over=committing,
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
        whole = "; ".join([*settings(self.options), sql])
        return await self._run(self.primary, method, lambda connection: connection.execute(whole), write=True)

    async def transaction(
        self, method: str, work: Work[T], *, bulk: bool = False, repeat: bool = False, maintenance: bool = False
    ) -> T:
        """Run several statements as one, and return what ``work`` returns.

        ``work`` may run again: it is repeated as a whole when the server rolled it back because of another transaction.

        Args:
            method: the store's method, for errors.
            work: runs statements on the connection it is given, and nothing else.
            bulk: whether it may take ``bulk_deadline``.
            repeat: as for ``write``.
            maintenance: as for ``fetch``.

        Raises:
            OutcomeUnknownError: the reply to COMMIT was lost.
            StoreError: by ``errors.mapped``; nothing was written.
        """
        patience = self.options.bulk_deadline if bulk else self.options.deadline
        committing = Flag()
        return await self._run(
            self._pool_for(maintenance=maintenance),
            method,
            in_transaction(work, settings(self.options, patience=patience if bulk else None), committing),
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
        handed_over: Flag | None = None,
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

    def ready(self) -> bool:
        """Return whether a statement could be sent to the primary at once."""
        return self._primary is not None and self._primary.ready

    @property
    def counts(self) -> dict[str, int]:
        """How many connections of the primary are idle and busy, and how many calls wait."""
        return self.primary.counts


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


def shown(dsn: str) -> str:
    """Return host, port and database of an address, as they may stand in a message."""
    parts = urlsplit(dsn)
    return f"PostgreSQL at {parts.netloc.rpartition('@')[2] or 'the local socket'}{parts.path}"
