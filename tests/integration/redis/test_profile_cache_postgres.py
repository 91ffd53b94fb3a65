"""The cache before PostgreSQL: the whole contract of profiles, warm, and written to from another side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from tests.integration.postgres.support import PostgresStoreCase, migrate
from tests.integration.redis.test_profile_cache import TwoSidedCase

from focal_core.context import BackendContext
from focal_core.profile.store import ProfileStore
from focal_postgres.profile import PostgresProfileStore
from focal_postgres.profile.tables import DEFINITIONS
from focal_testkit.contracts.profile import ProfileStoreContract
from focal_testkit.servers.postgres import Migrate


@pytest.fixture(scope="session")
def postgres_migrate() -> Migrate:
    """Return what brings an empty database to the newest schema."""
    return migrate


class TellingProfileStore(PostgresProfileStore):
    """A store that knows which fields are personal."""

    async def list_pii_fields(self, tenant_id: UUID) -> frozenset[str] | None:
        rows = await self.database.fetch(
            "list_pii_fields",
            f"SELECT DISTINCT r.name FROM {DEFINITIONS.source(self.schema)} WHERE r.tenant_id = $1 AND r.is_pii",
            tenant_id,
        )
        return frozenset(row["name"] for row in rows)


class TestCachedPostgresProfiles(TwoSidedCase, PostgresStoreCase, ProfileStoreContract):
    store_class = TellingProfileStore
    _behind: ProfileStore

    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[Any]:
        async with PostgresStoreCase.open_store(self, context) as behind:
            self._behind = behind
            async with TwoSidedCase.open_store(self, context) as store:
                yield store

    def backend(self, context: BackendContext) -> ProfileStore:
        return self._behind
