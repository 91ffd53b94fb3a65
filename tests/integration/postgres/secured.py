"""Databases behind row-level security: an owner, an application and a maintenance role, none of them a superuser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from tests.integration.postgres.support import SCHEMA, PostgresStoreCase, migrate, open_database

from focal_core.context import BackendContext, Isolation
from focal_postgres import row_security
from focal_postgres.database import Database
from focal_postgres.schema.roles import grants
from focal_postgres.settings import PostgresOptions
from focal_testkit.servers.postgres import PostgresServer, connected


@dataclass(frozen=True)
class Secured:
    """A database to copy, and the roles that may use its copies.

    Attributes:
        template: address of the database.
        owner: of its tables and functions.
        application: sees one tenant at a time.
        maintenance: has BYPASSRLS.
    """

    template: str
    owner: str
    application: str
    maintenance: str

    def options(self, url: str, **others: Any) -> dict[str, Any]:
        """Return the options of a copy that an application would have."""
        return {
            "url": as_role(url, self.application),
            "maintenance_url": as_role(url, self.maintenance),
            "row_level_security": True,
            **others,
        }


def as_role(url: str, role: str) -> str:
    """Return an address for a role whose password is its name."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{role}:{role}@{parts.netloc.rpartition('@')[2]}"))


async def secure(server: PostgresServer) -> Secured:
    """Return a new migrated database with row-level security on, and its roles."""
    suffix, url = uuid4().hex[:12], await server.create_database()
    found = Secured(url, *(f"focal_test_{kind}_{suffix}" for kind in ("owner", "application", "maintenance")))
    async with connected(url) as connection:
        for role in (found.owner, found.application, found.maintenance):
            bypass = " BYPASSRLS" if role == found.maintenance else ""
            await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}'{bypass}")
        await connection.execute("CREATE EXTENSION vector")
        await connection.execute(f'GRANT CREATE ON DATABASE "{urlsplit(url).path[1:]}" TO {found.owner}')
    await migrate(as_role(url, found.owner))
    async with connected(as_role(url, found.owner)) as connection:
        for role in (found.application, found.maintenance):
            for statement in grants(SCHEMA, role, maintenance=role == found.maintenance):
                await connection.execute(statement)
    await row_security.switch(PostgresOptions.model_validate({"url": as_role(url, found.owner)}), True)
    return found


async def forget(server: PostgresServer, found: Secured) -> None:
    """Drop the database and its roles; copies must be gone."""
    await server.drop_database(found.template)
    async with connected(server.url) as connection:
        for role in (found.application, found.maintenance, found.owner):
            await connection.execute(f"DROP ROLE {role}")


class SecuredStoreCase(PostgresStoreCase):
    """Gives a contract stores behind row-level security."""

    _secured: ClassVar[Secured]
    database_class: ClassVar[type[Database]] = Database

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def secured(cls, secured_postgres: Secured, databases: None) -> None:
        cls._secured, cls._template = secured_postgres, secured_postgres.template

    @asynccontextmanager
    async def open_database(self, url: str, context: BackendContext) -> AsyncIterator[Database]:
        if context.isolation is not Isolation.STRICT:
            pytest.skip("trusting isolation and row-level security exclude each other")
        options = self._secured.options(url, **self.options)
        async with open_database(context=context, kind=self.database_class, **options) as database:
            yield database
