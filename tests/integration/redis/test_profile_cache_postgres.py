"""The cache before PostgreSQL: the whole contract of profiles, warm, and written to from another side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.postgres.support import PostgresStoreCase
from tests.integration.redis.test_profile_cache import TwoSidedCase

from focal_core.context import BackendContext
from focal_core.profile.store import ProfileStore
from focal_postgres.profile import PostgresProfileStore
from focal_testkit.contracts.profile import ProfileStoreContract


class TestCachedPostgresProfiles(TwoSidedCase, PostgresStoreCase, ProfileStoreContract):
    store_class = PostgresProfileStore
    _behind: ProfileStore

    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[Any]:
        async with PostgresStoreCase.open_store(self, context) as behind:
            self._behind = behind
            async with TwoSidedCase.open_store(self, context) as store:
                yield store

    def backend(self, context: BackendContext) -> ProfileStore:
        return self._behind
