"""The PostgreSQL backend: one pool, five store ports."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pydantic import BaseModel

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError
from focal_core.health import CheckResult, HealthReport, examined
from focal_core.imports import resolve
from focal_core.plugins.backend import CONTRACT, Backend
from focal_postgres.settings import PostgresOptions

if TYPE_CHECKING:
    # The driver and the embedded server load when the backend opens, not when plugins are listed.
    from focal_postgres.database import Database
    from focal_postgres.embedded import EmbeddedServer


class PostgresBackend(Backend):
    """Every store port on PostgreSQL with pgvector."""

    name: ClassVar[str] = "postgres"
    Options: ClassVar[type[BaseModel]] = PostgresOptions
    ports: ClassVar[Mapping[str, str]] = {
        "config": "focal_postgres.config:PostgresConfigStore",
        "memory": "focal_postgres.memory:PostgresMemoryStore",
        "sessions": "focal_postgres.conversation:PostgresSessionStore",
        "audit": "focal_postgres.audit:PostgresAuditStore",
        "profiles": "focal_postgres.profile:PostgresProfileStore",
    }
    capabilities: ClassVar[frozenset[str]] = frozenset({"durable", "purge", "row_level_security", "vector_index"})
    contract: ClassVar[str] = CONTRACT

    def __init__(self, options: BaseModel, context: BackendContext) -> None:
        super().__init__(options, context)
        self._settings = cast("PostgresOptions", options)
        self._database: Database | None = None
        self._server: EmbeddedServer | None = None
        self._stores: dict[str, Any] = {}

    async def open(self) -> None:
        """Connect and check the schema, which is upgraded first where ``auto_migrate`` says so.

        Raises:
            SchemaOutdatedError: the schema is behind or ahead; names the command.
            StoreUnavailableError: the server is down, refuses the login, or lacks the database.
            SettingsError: the embedded server's wheel is not installed; or options, roles and schema disagree on
                row-level security (code ``row_level_security``).
        """
        from focal_postgres.database import Database
        from focal_postgres.preflight import check_row_security, check_schema

        database = Database(self._settings, self.context)
        try:
            url = await self._address()
            automatic = self._settings.auto_migrate
            if automatic or (automatic is None and self._server is not None):
                from focal_postgres import migrate

                await migrate.upgrade(self._settings if url is None else self._settings.at(url))
            # Afterwards: a connection learns of pgvector's type when it is made.
            await database.open(url)
            self._database = database
            await check_schema(database)
            await check_row_security(database)
        except BaseException:
            await self.close()
            raise

    async def _address(self) -> str | None:
        """Return the address of the embedded server, started or joined; None for any other."""
        folder = self._settings.embedded_folder
        if folder is None:
            return None
        from focal_postgres import embedded

        self._server = await asyncio.to_thread(embedded.join, folder)
        return self._server.url

    def port(self, name: str) -> Any:
        """Return the store of a port, made at its first use."""
        if name not in self.ports:
            raise ConfigurationError(
                f"backend 'postgres' does not serve port {name!r}", hint=f"it serves: {', '.join(self.ports)}"
            )
        if self._database is None:
            raise ConfigurationError("backend 'postgres' is not open", hint="await open() first")
        if name not in self._stores:
            self._stores[name] = resolve(self.ports[name])(self._database, self.context)
        return self._stores[name]

    async def embedding_spaces(self) -> set[tuple[str, int]]:
        """Return the (model, dims) pairs of the vectors that are stored, as far as a look at some of them tells."""
        if self._database is None:
            raise ConfigurationError("backend 'postgres' is not open", hint="await open() first")
        return await self._database.spaces.in_use()

    async def health(self) -> HealthReport:
        """Return what was seen of server, schema, pgvector, durability and indexes; ``down`` without an answer."""
        return await examined(self.name, self._look)

    async def _look(self) -> dict[str, CheckResult]:
        if self._database is None:
            raise ConfigurationError("the backend is not open")
        from focal_postgres.health import look

        return await look(self._database, self._server)

    async def close(self) -> None:
        """Drain and close the pool, and leave the embedded server; the last process to leave stops it."""
        database, self._database = self._database, None
        server, self._server = self._server, None
        stores, self._stores = self._stores, {}
        for store in stores.values():
            drain = getattr(store, "drain", None)
            if drain is not None:
                await drain()
        if database is not None:
            await database.close()
        if server is not None:
            from focal_postgres import embedded

            await asyncio.to_thread(embedded.leave, server)
