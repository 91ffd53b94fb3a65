"""Work in a transaction, and what a transaction tells the server for its own length."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, TypeVar

import asyncpg

from focal_postgres.row_security import tenant_setting
from focal_postgres.settings import PostgresOptions

T = TypeVar("T")
Record: TypeAlias = asyncpg.Record
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Work: TypeAlias = Callable[[Connection], Awaitable[T]]


def settings(options: PostgresOptions, *, search: bool = False, patience: float | None = None) -> list[str]:
    """Return the statements at the beginning of a transaction; none where there is nothing to tell.

    Args:
        options: of the database.
        search: whether it needs the settings of an approximate vector search.
        patience: seconds its statements may take, where these are not the usual ones.
    """
    told = []
    if patience is not None:
        told.append(f"SET LOCAL statement_timeout = {max(1, int(patience * 950))}")
    if search and not options.keeps_session_state:
        told += [f"SET LOCAL {name} = '{value}'" for name, value in options.search_settings.items()]
    if options.row_level_security and (tenant := tenant_setting()) is not None:
        told.append(tenant)
    return told


class Flag:
    """Whether the step after which a write may have happened was begun."""

    def __init__(self) -> None:
        self.up = False


def in_transaction(work: Work[T], told: Sequence[str], committing: Flag | None = None) -> Work[T]:
    """Return work as one transaction.

    Args:
        work: runs statements on the connection it is given.
        told: statements that are sent with BEGIN, in one message.
        committing: raised when COMMIT is about to be sent.
    """
    begin = "; ".join(["BEGIN", *told])

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
