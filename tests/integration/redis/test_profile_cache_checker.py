"""Sixteen writers and sixteen readers through two processes' caches: no read is older than a write that had ended."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import pytest
from tests.integration.postgres.support import migrate, open_database
from tests.integration.redis.profile_workload import DeletesOnly, Unhurried, Workload, with_server
from tests.integration.redis.support import open_client

from focal_core.context import BackendContext
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.store import ProfileStore
from focal_postgres.profile import PostgresProfileStore
from focal_redis.profile_cache import CachedProfileStore
from focal_testkit.data.profile import profile
from focal_testkit.scenarios import OURS
from focal_testkit.servers.postgres import Migrate, PostgresServer
from focal_testkit.servers.redis import RedisServer

pytestmark = pytest.mark.asyncio
WRITERS = READERS = 16
PROFILES = 4
CALLS = 60
"""Calls of each writer and reader."""
SHARE = 0.1
"""The part of a writer's calls that write; the others read."""


@pytest.fixture(scope="session")
def postgres_migrate() -> Migrate:
    """Return what brings an empty database to the newest schema."""
    return migrate


@pytest.fixture(params=["in memory", "postgres"])
def behind(request: pytest.FixtureRequest) -> Callable[[BackendContext], Any]:
    """Return what opens the store behind the caches, of which some calls take long."""
    chance = random.Random(5)

    async def pause() -> None:
        await asyncio.sleep(chance.choice((0, 0, 0.001, 0.03)))

    @asynccontextmanager
    async def in_memory(context: BackendContext) -> AsyncIterator[ProfileStore]:
        yield Unhurried(InMemoryProfileStore(context), pause)

    @asynccontextmanager
    async def on_postgres(context: BackendContext) -> AsyncIterator[ProfileStore]:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = await server.create_database(template=request.getfixturevalue("postgres_template"))
        try:
            async with open_database(url, context) as database:
                yield Unhurried(PostgresProfileStore(database, context), pause)
        finally:
            await server.drop_database(url)

    return in_memory if request.param == "in memory" else on_postgres


@asynccontextmanager
async def two_caches(
    server: RedisServer, prefix: str, store: ProfileStore, **options: Any
) -> AsyncIterator[list[CachedProfileStore]]:
    server.forget(prefix)
    context = store.context
    async with open_client(server.url, context) as one, open_client(server.url, context) as other:
        caches = [CachedProfileStore(store, client, key_prefix=prefix, **options) for client in (one, other)]
        yield caches
        for cache in caches:
            await cache.drain()


async def at_work(workload: Workload, caches: list[CachedProfileStore], *, cancels: bool = False) -> list[float]:
    """Let writers write and readers read through all caches, and return how long each read took."""
    choose, took = random.Random(1), []

    async def reads() -> None:
        cache, n = choose.choice(caches), workload.choose()
        started = perf_counter()
        await workload.read(cache, n)
        took.append(perf_counter() - started)

    async def writer() -> None:
        for _ in range(CALLS):
            if choose.random() > SHARE:
                await reads()
                continue
            n = workload.choose()
            writing = asyncio.create_task(workload.write(choose.choice(caches), n))
            if cancels and choose.random() < 0.3:
                await asyncio.sleep(choose.uniform(0, 0.004))
                writing.cancel()
            await asyncio.wait([writing])
            if not writing.cancelled():
                writing.result()
            # Whoever was told that it is written sees it, through whichever process.
            await workload.read(choose.choice(caches), n)

    async def reader() -> None:
        for _ in range(CALLS):
            await reads()

    await asyncio.gather(*(writer() for _ in range(WRITERS)), *(reader() for _ in range(READERS)))
    return took


async def test_no_stale_read(
    behind: Callable[[BackendContext], Any],
    redis_server: RedisServer,
    redis_prefix: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After a write has ended, no process reads what was there before, and most reads come from the cache."""
    async with behind(BackendContext()) as store, two_caches(redis_server, redis_prefix, store) as caches:
        workload = Workload(store, PROFILES, seed=1)
        await workload.seed()

        took = await at_work(workload, caches)

        assert await workload.stale_reads() == []
        for n in range(PROFILES):
            for cache in caches:
                assert await cache.get_by_id(OURS, profile(n).id) == await store.get_by_id(OURS, profile(n).id)
        ratios = [cache.hit_ratio or 0.0 for cache in caches]
        cuts = statistics.quantiles(took, n=100)
        with capsys.disabled():
            print(
                f"\n{type(store.backend).__name__}: {len(took)} reads, hit ratio {min(ratios):.2f}, "
                f"latency p50 {cuts[49] * 1000:.2f} ms, p99 {cuts[98] * 1000:.2f} ms"
            )
        assert min(ratios) > 0.1


async def test_no_stale_read_among_cancelled_writers(
    behind: Callable[[BackendContext], Any], redis_server: RedisServer, redis_prefix: str
) -> None:
    """Writers that are cancelled at any moment leave nothing old behind, for themselves or for others."""
    async with behind(BackendContext()) as store, two_caches(redis_server, redis_prefix, store) as caches:
        workload = Workload(store, PROFILES, seed=2)
        await workload.seed()

        await at_work(workload, caches, cancels=True)

        assert await workload.stale_reads() == []
        for n in range(PROFILES):
            for cache in caches:
                assert await cache.get_by_id(OURS, profile(n).id) == await store.get_by_id(OURS, profile(n).id)


async def test_control_deletes_only(
    behind: Callable[[BackendContext], Any], redis_server: RedisServer, redis_prefix: str
) -> None:
    """The checker reports stale reads of a cache that is only deleted after each write."""
    async with behind(BackendContext()) as store, two_caches(redis_server, redis_prefix, store) as caches:
        workload = Workload(store, PROFILES, seed=3)
        await workload.seed()

        await at_work(workload, [with_server(cache, DeletesOnly) for cache in caches])

        assert await workload.stale_reads()
