"""Overload: bursts far beyond the pool are served, an exhausted pool says so in time, and no waiter is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import MaxConnectionsError
from tests.integration.calls import ended, until
from tests.integration.redis.support import open_client

from focal_core import pool as pool_module
from focal_core.context import BackendContext
from focal_core.errors import FocalError, StoreUnavailableError
from focal_core.ids import uuid7
from focal_redis.client import RedisClient
from focal_redis.conversation import RedisSessionStore
from focal_redis.settings import RedisOptions
from focal_testkit.data.conversation import placed
from focal_testkit.servers.redis import RedisServer
from focal_testkit.servers.redis_cluster import RedisCluster

pytestmark = pytest.mark.asyncio
LIMIT = 0.3
TOLERANCE = 0.05
DEFAULT_POOL: int = RedisOptions.model_fields["pool_size"].get_default(call_default_factory=True)


async def burst(client: RedisClient, size: int, tenants: int = 1) -> list[BaseException]:
    """Create, load, change and save so many sessions at once, and return what was raised."""
    store, owners = RedisSessionStore(client, client.context), [uuid4() for _ in range(tenants)]
    ids = [uuid7() for _ in range(size)]

    async def converse(n: int) -> None:
        tenant = owners[n % tenants]
        first = await store.save(placed(n, tenant, session_id=ids[n]))
        loaded = await store.get(first.session_id, tenant_id=tenant)
        assert loaded is not None
        loaded.turn_count = n
        assert (await store.save(loaded)).version == 2

    found = await asyncio.gather(*map(converse, range(size)), return_exceptions=True)
    for n, one in enumerate(found):
        if one is None:
            stored = await store.get(ids[n], tenant_id=owners[n % tenants])
            assert stored is not None
            assert (stored.version, stored.turn_count) == (2, n)
        elif not isinstance(one, FocalError):
            raise one
    return [one for one in found if one is not None]


def default(redis_prefix: str, **others: Any) -> dict[str, Any]:
    """Return options with the default pool and a patience that tests on a busy machine need."""
    return {"key_prefix": redis_prefix, "pool_size": DEFAULT_POOL, "deadline": 60, **others}


@pytest.mark.parametrize("size", [1_000, 5_000])
async def test_a_burst_of_sessions_is_served_without_an_error(
    redis_server: RedisServer, redis_prefix: str, size: int
) -> None:
    """P25: so many loads and saves at once on the pool's default size."""
    async with open_client(redis_server.url, BackendContext(), **default(redis_prefix)) as client:
        assert await burst(client, size) == []
        assert client.counts["busy"] == client.counts["waiting"] == 0


async def test_a_burst_without_pipelining_is_served_without_an_error(
    redis_server: RedisServer, redis_prefix: str
) -> None:
    """Each call waits for a connection of its own, in order."""
    options = default(redis_prefix, batching=False, acquire_timeout=60)
    async with open_client(redis_server.url, BackendContext(), **options) as client:
        assert await burst(client, 1_000) == []


async def test_a_burst_on_a_cluster_is_served_without_an_error(redis_cluster: RedisCluster) -> None:
    """P25: the same over three primaries."""
    prefix = redis_cluster.new_prefix()
    async with open_client(redis_cluster.url, BackendContext(), **default(prefix)) as client:
        assert await burst(client, 1_000, tenants=20) == []
    redis_cluster.forget(prefix)


async def test_control_the_drivers_default_pool_is_reported(redis_server: RedisServer, redis_prefix: str) -> None:
    """Control of P25: redis-py as it comes refuses most of a thousand callers."""
    redis = Redis.from_url(redis_server.url)
    found = await asyncio.gather(
        *[redis.set(f"{redis_prefix}-{n}", n, ex=60) for n in range(1_000)], return_exceptions=True
    )
    await redis.aclose()
    refused = [one for one in found if isinstance(one, MaxConnectionsError)]
    assert len(refused) > 500, found[:3]


async def test_control_a_short_queue_is_reported(redis_server: RedisServer, redis_prefix: str) -> None:
    """Control of P25: with room for ten waiters most of a thousand are refused, with a code that says why."""
    options = default(redis_prefix, batching=False, max_waiters=10)
    async with open_client(redis_server.url, BackendContext(), **options) as client:
        refused = await burst(client, 1_000)
    assert len(refused) > 500
    assert {getattr(one, "code", None) for one in refused} == {"overloaded"}


@pytest_asyncio.fixture
async def exhausted(redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[RedisClient]:
    """Yield a client whose connections are all busy for longer than anybody waits."""
    options: dict[str, Any] = {"pool_size": 2, "acquire_timeout": LIMIT, "max_waiters": 5, "batching": False}
    async with open_client(redis_server.url, BackendContext(), **options) as client:
        waits = f"{redis_prefix}-nothing"
        busy = [asyncio.ensure_future(client.call("wait", "BLPOP", waits, 0, key=b"")) for _ in range(2)]
        await until(lambda: client.counts["busy"] == 2)
        yield client
        for one in busy:
            one.cancel()
        await asyncio.wait(busy)


async def worst_wait(client: RedisClient) -> float:
    """Return by how much the slowest of five waiters outlives the limit; endless after a second."""

    async def waits() -> Any:
        async with asyncio.timeout(LIMIT + 1):
            return await client.call("wait", "PING", key=b"")

    found = await asyncio.gather(*[ended(waits(), LIMIT) for _ in range(5)])
    for one in found:
        assert isinstance(one.error, TimeoutError) or getattr(one.error, "code", None) == "pool_timeout", one
    return max(one.late for one in found)


async def test_an_exhausted_pool_says_so_within_50_ms_of_the_limit(exhausted: RedisClient) -> None:
    """P25: code ``pool_timeout``, neither early nor late."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await worst_wait(exhausted) < TOLERANCE
    assert loop.time() - began >= LIMIT * 0.99
    assert exhausted.counts == {"idle": 0, "busy": 2, "waiting": 0}


async def test_control_a_pool_without_a_limit_is_reported(
    exhausted: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: without the limit a waiter waits for ever."""
    monkeypatch.setattr(pool_module, "_time_out", lambda turn: None)
    assert await worst_wait(exhausted) > TOLERANCE


async def test_too_many_waiters_are_refused_at_once(exhausted: RedisClient) -> None:
    """The sixth waiter of five is told ``overloaded``; those whose time was up no longer count."""
    for _ in range(2):
        waiting = [asyncio.ensure_future(exhausted.call("wait", "PING", key=b"")) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailableError) as caught:
            await exhausted.call("wait", "PING", key=b"")
        assert caught.value.code == "overloaded"
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [getattr(one, "code", None) for one in results] == ["pool_timeout"] * 5


async def test_a_waiter_cancelled_while_it_is_woken_does_not_swallow_the_connection(redis_server: RedisServer) -> None:
    """10,000 times: the connection handed to a waiter that is cancelled in the same moment goes to the next one."""
    async with open_client(redis_server.url, BackendContext(), pool_size=1) as client:
        (endpoint,), loop = client.endpoints, asyncio.get_running_loop()
        pool = endpoint.pool
        for _ in range(10_000):
            until = loop.time() + 10
            held = await pool.acquire(until)
            woken, next_one = (asyncio.ensure_future(pool.acquire(until)) for _ in range(2))
            await asyncio.sleep(0)
            pool.release(held)
            woken.cancel()
            pool.release(await next_one)
        assert pool.counts == {"idle": 1, "busy": 0, "waiting": 0}
