"""The cache is a profile store like any other: the whole contract runs through it, cold, warm and from two sides."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
from tests.integration.redis.support import RedisStoreCase

from focal_core.context import BackendContext
from focal_core.profile.delegation import DelegatingProfileStore
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.store import ProfileStore
from focal_redis.client import RedisClient
from focal_redis.profile_cache import CachedProfileStore
from focal_testkit.contracts.profile import ProfileStoreContract

READS = (
    "get_by_id",
    "get_by_customer_id",
    "get_by_channel_identity",
    "get_by_external_id",
    "get_field_definitions",
    "get_field_definition",
    "get_scenario_requirements",
)


class TwoSided(DelegatingProfileStore):
    """Writes through one cache, and reads three times through another: what the third look finds is from the cache."""

    def __init__(self, writer: CachedProfileStore, reader: CachedProfileStore) -> None:
        super().__init__(writer)
        self.reader = reader
        for name in READS:
            setattr(self, name, self._warmed(getattr(reader, name)))

    @staticmethod
    def _warmed(read: Any) -> Any:
        async def reads(*args: Any, **kwargs: Any) -> Any:
            for _ in range(2):
                await read(*args, **kwargs)
            return await read(*args, **kwargs)

        reads.__signature__ = inspect.signature(read)  # type: ignore[attr-defined]
        return reads


class CachedProfileCase(RedisStoreCase):
    """Gives a contract a cache before an empty in-memory store."""

    hits: ClassVar[int] = 0

    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[Any]:
        async with super().open_store(context) as store:
            yield store
            for cache in self.caches(store):
                await cache.drain()
                type(self).hits += cache.counts.get("profile_cache_hits_total", 0)
                assert not [name for name in cache.counts if name.startswith("profile_cache_errors_total")]

    def caches(self, store: Any) -> list[CachedProfileStore]:
        """Return the caches of a store under test."""
        return [store]

    def make_store(self, client: RedisClient, context: BackendContext) -> Any:
        return CachedProfileStore(self.backend(context), client, key_prefix=client.options.key_prefix)

    def backend(self, context: BackendContext) -> ProfileStore:
        """Return the store behind the cache."""
        return InMemoryProfileStore(context)


class TwoSidedCase(CachedProfileCase):
    """As ``CachedProfileCase``, with two caches before one store."""

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def hits_at_the_end(cls) -> Any:
        cls.hits = 0
        yield
        assert cls.hits > 0, "nothing was ever answered from the cache"

    def make_store(self, client: RedisClient, context: BackendContext) -> Any:
        backend = self.backend(context)
        sides = [CachedProfileStore(backend, client, key_prefix=client.options.key_prefix) for _ in range(2)]
        return TwoSided(*sides)

    def caches(self, store: Any) -> list[CachedProfileStore]:
        return [store.backend, store.reader]


class TestCachedProfiles(CachedProfileCase, ProfileStoreContract):
    """Each read looks into the cache once."""


class TestWarmProfiles(TwoSidedCase, ProfileStoreContract):
    """Each read is answered from the cache, and every write comes from elsewhere."""
