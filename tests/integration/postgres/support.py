"""What the contract tests of the PostgreSQL stores share: databases, emptied between tests, and opened stores."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, TypeVar

import asyncpg
import pytest
from pydantic import SecretStr

from focal_core.context import BackendContext
from focal_postgres.database import Database
from focal_postgres.migrate import upgrade
from focal_postgres.schema import metadata_for
from focal_postgres.settings import PostgresOptions
from focal_testkit.servers.postgres import PostgresServer, run

SCHEMA = "focal"
_PATIENCE: dict[str, Any] = {"connect_timeout": 30, "acquire_timeout": 30}
Result = TypeVar("Result")


async def migrate(url: str, schema: str = SCHEMA) -> None:
    """Bring an empty database to the newest schema."""
    await upgrade(PostgresOptions(url=SecretStr(url), schema_name=schema, **_PATIENCE))


@asynccontextmanager
async def open_database(
    url: str, context: BackendContext, kind: type[Database] = Database, **options: Any
) -> AsyncIterator[Database]:
    """Yield an opened Database of at most four connections, closed afterwards; options as of PostgresOptions."""
    database = kind(PostgresOptions(**{"url": url, "pool_size": 4, **_PATIENCE, **options}), context)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def empty(url: str, schema: str = SCHEMA) -> None:
    """Remove every row of every table but the embedding spaces, whatever triggers forbid it."""
    await asyncio.wrap_future(_BROOM.start(_BROOM.empty(url, schema)))


class PostgresStoreCase:
    """Gives a contract ``open_store``: an empty store of ``store_class`` on a database of the test class.

    Stores that are open at the same time get a database each, as the in-memory ones share nothing.
    """

    store_class: ClassVar[Any]
    options: ClassVar[Mapping[str, Any]] = {}
    _idle: ClassVar[list[str]]
    _template: ClassVar[str]
    _server: ClassVar[PostgresServer]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def databases(cls, postgres_server: PostgresServer, postgres_template: str) -> Iterator[None]:
        cls._server, cls._template, cls._idle = postgres_server, postgres_template, []
        yield
        for url in cls._idle:
            _BROOM.start(_BROOM.forget(url)).result()
            run(postgres_server.drop_database(url))

    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[Any]:
        idle = type(self)._idle
        url = idle.pop() if idle else await self._server.create_database(template=self._template)
        try:
            await empty(url)
            async with self.open_database(url, context) as database:
                yield self.store_class(database, context)
        finally:
            idle.append(url)

    @asynccontextmanager
    async def open_database(self, url: str, context: BackendContext) -> AsyncIterator[Database]:
        """Yield the database of a store."""
        async with open_database(url, context, **self.options) as database:
            yield database


class _Broom:
    """Empties databases over connections that outlive the tests' loops: one loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: dict[str, asyncpg.Connection[asyncpg.Record]] = {}
        self._statements: dict[str, str] = {}

    def start(self, work: Coroutine[Any, Any, Result]) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, daemon=True, name="broom").start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def empty(self, url: str, schema: str) -> None:
        connection = self._connections.get(url)
        if connection is None or connection.is_closed():
            connection = await asyncpg.connect(url, statement_cache_size=0, timeout=30)
            await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
            self._connections[url] = connection
        await connection.execute(self._statement(schema))

    def _statement(self, schema: str) -> str:
        if schema not in self._statements:
            names = [table.fullname for table in metadata_for(schema).tables.values()]
            kept = {f"{schema}.embedding_spaces"}
            self._statements[schema] = "; ".join(f"DELETE FROM {name}" for name in names if name not in kept)
        return self._statements[schema]

    async def forget(self, url: str) -> None:
        connection = self._connections.pop(url, None)
        if connection is not None:
            await connection.close(timeout=30)


_BROOM = _Broom()
