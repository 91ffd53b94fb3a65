"""How often each method waits for the network, counted on the wire: the performance test that no load disturbs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.integration.calls import LONG
from tests.integration.redis.faulty import BY_NAME, METHODS, SECOND, Lane, Method, Worlds, open_lane, open_worlds

from focal_core.conversation.models import Session
from focal_core.errors import StaleVersionError
from focal_core.ids import uuid7
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_redis.profile_cache import CachedProfileStore
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import placed
from focal_testkit.data.profile import identity, profile
from focal_testkit.faults.round_trips import round_trips
from focal_testkit.servers.redis import RedisServer

pytestmark = pytest.mark.asyncio
RUNS = 5
"""Counted calls of a method that changes something, each on sessions of its own; reads are counted twenty times."""

BUDGETS = {
    "get, demoted": 2,  # the hot tier is asked first
    "get, absent": 2,
    "get, demoted, no promotion": 2,
    "save, again": 2,  # with the load before it
    "save, again, demoted": 3,
    "save, moved": 2,
    "save, by force": 2,
    "demote_to_persistent": 2,
}
"""Methods that take more than one round trip. A lower number is a reason to lower it here."""


@pytest_asyncio.fixture
async def worlds(redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[Worlds]:
    """Yield seeded worlds."""
    async with open_worlds(redis_server, redis_prefix) as worlds:
        yield worlds


@pytest_asyncio.fixture
async def lane(worlds: Worlds) -> AsyncIterator[Lane]:
    """Yield a client of one connection."""
    async with open_lane(worlds, LONG, pool_size=1) as lane:
        yield lane


async def counted(lane: Lane, worlds: Worlds, method: Method) -> int:
    """Return the most round trips one call of a method takes, warm."""
    tenants = [await worlds.tenant(method) for _ in range(2 + RUNS)]
    for tenant in tenants:
        # Once in a process, the first save of a tenant registers it: of another session, so that nothing else changes.
        kept = placed(9, tenant, session_id=uuid7())
        await lane.store.save(kept)
        await lane.store.delete(kept.session_id, tenant_id=tenant)
    unused = iter(tenants)
    found = await round_trips(lane.proxy, {method.name: lambda: method.call(lane.store, next(unused))}, runs=RUNS)
    return found[method.name]


async def test_every_method_keeps_its_budget(lane: Lane, worlds: Worlds) -> None:
    """PERFORMANCE 1.3: one round trip for a method of one command, and the table above for the others."""
    # Erasing looks at every key of the server, so that it depends on what else is there.
    methods = [one for one in METHODS if one.name != "erase_tenant"]
    found = {one.name: await counted(lane, worlds, one) for one in methods}
    assert found == {one.name: BUDGETS.get(one.name, 1) for one in methods}


async def test_a_hot_read_and_a_save_cost_one(lane: Lane, worlds: Worlds) -> None:
    """The two methods of every turn, twenty times: a hot read, and the save of what was read."""
    tenant = await worlds.tenant()
    session: Session = await lane.store.get(SECOND, tenant_id=tenant)

    async def load() -> None:
        nonlocal session
        session = await lane.store.get(SECOND, tenant_id=tenant)

    async def save() -> None:
        session.turn_count += 1
        await lane.store.save(session)

    assert await round_trips(lane.proxy, {"load": load, "save": save}) == {"load": 1, "save": 1}


async def test_a_refused_save_costs_one(lane: Lane, worlds: Worlds) -> None:
    """The script that refuses tells what is stored."""
    tenant = await worlds.tenant()
    stale: Session = await lane.store.get(SECOND, tenant_id=tenant)
    await lane.store.save(await lane.store.get(SECOND, tenant_id=tenant))

    async def refused() -> None:
        with pytest.raises(StaleVersionError):
            await lane.store.save(stale.model_copy(deep=True))

    assert await round_trips(lane.proxy, {"save": refused}) == {"save": 1}


async def test_the_number_of_sessions_does_not_matter(lane: Lane, worlds: Worlds) -> None:
    """A page of 100 costs what a page of 2 costs."""
    tenant = uuid4()
    for n in range(120):
        await worlds.direct.save(placed(n, tenant, session_id=uuid7()))

    def page(limit: int) -> Any:
        return lambda: lane.store.list_by_agent(tenant, AGENT, limit=limit)

    assert await round_trips(lane.proxy, {"2": page(2), "100": page(100)}) == {"2": 1, "100": 1}


async def test_what_is_cached_costs_one_or_two(lane: Lane) -> None:
    """A cached profile: one round trip by its id, two by whatever leads to it."""
    one = profile(channel_identities=[identity()], external_id="CRM-7")
    backend = InMemoryProfileStore(lane.client.context)
    await backend.save(one)
    cache = CachedProfileStore(backend, lane.client, key_prefix=lane.client.options.key_prefix)
    tenant = one.tenant_id
    found = await round_trips(
        lane.proxy,
        {
            "by id": lambda: cache.get_by_id(tenant, one.id),
            "by customer": lambda: cache.get_by_customer_id(tenant, one.customer_id),
            "by channel": lambda: cache.get_by_channel_identity(tenant, identity().channel, identity().channel_user_id),
            "by external id": lambda: cache.get_by_external_id(tenant, "CRM-7"),
        },
    )
    await cache.drain()
    assert found == {"by id": 1, "by customer": 2, "by channel": 2, "by external id": 2}


async def test_control_one_round_trip_more_is_reported(lane: Lane, worlds: Worlds) -> None:
    """Control: a method that looks before it reads."""
    one = BY_NAME["get"]

    async def cautious(store: Any, tenant: Any) -> Any:
        await lane.probe()
        return await one.call(store, tenant)

    assert await counted(lane, worlds, Method(one.name, cautious, True)) == 2
