"""What the cache answers, for whom the store is asked once, and what becomes of what cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.integration.redis.profile_caches import (
    CacheCase,
    Gate,
    World,
    count_round_trips,
    followed,
    full,
    looked_up,
    warm,
)

from focal_core.conversation.models import Channel
from focal_core.errors import StoreUnavailableError
from focal_redis.profile_cache import CachedProfileStore
from focal_testkit.data.audit import AGENT
from focal_testkit.data.profile import (
    PROFILE,
    SCENARIO,
    STEP,
    USER,
    definition,
    field_id,
    item,
    needs,
    profile,
)
from focal_testkit.scenarios import OURS, THEIRS

pytestmark = pytest.mark.asyncio
HITS, MISSES = "profile_cache_hits_total", 'profile_cache_misses_total{kind="profile"}'


class TestReading(CacheCase):
    async def test_cache_read_through(self, world: World, cache: CachedProfileStore) -> None:
        """What was read once is answered without the store, by every look-up, and equals what the store answers."""
        await world.store.save(full())
        await warm(cache)
        world.store.calls.clear()

        found = await looked_up(cache)

        assert not world.store.calls
        assert found == await looked_up(world.store.backend)
        assert (await cache.get_or_create(OURS, Channel.WEBCHAT, f"{USER}0")) == found[0]
        assert cache.hit_ratio is not None
        assert cache.counts[HITS] >= 5
        assert cache.counts[MISSES] >= 1

    async def test_round_trips_of_a_hit(self, world: World, cache: CachedProfileStore) -> None:
        """A hit is one round trip by id and two by any pointer; one for definitions and requirements."""
        await world.store.save(full())
        await world.store.save_field_definition(definition(0))
        await world.store.save_scenario_requirement(needs(0))
        reads: dict[str, tuple[int, Callable[[], Awaitable[Any]]]] = {
            "get_by_id": (1, lambda: cache.get_by_id(OURS, PROFILE)),
            "get_by_customer_id": (2, lambda: cache.get_by_customer_id(OURS, profile().customer_id)),
            "get_by_channel_identity": (2, lambda: cache.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}0")),
            "get_by_external_id": (2, lambda: cache.get_by_external_id(OURS, "customer-0")),
            "get_or_create": (2, lambda: cache.get_or_create(OURS, Channel.WEBCHAT, f"{USER}0")),
            "get_field_definitions": (1, lambda: cache.get_field_definitions(OURS, AGENT)),
            "get_field_definition": (1, lambda: cache.get_field_definition(OURS, AGENT, "email")),
            "get_scenario_requirements": (1, lambda: cache.get_scenario_requirements(OURS, SCENARIO)),
        }
        for name, (trips, read) in reads.items():
            for _ in range(3):
                await read()
            seen = count_round_trips(cache._server._client)
            assert await read(), name
            assert len(seen) == trips, name

    async def test_a_write_costs_two_round_trips(self, world: World, cache: CachedProfileStore) -> None:
        """A write adds a fence before and a release after, and looks the profile up in the store only when it must."""
        await world.store.save(full())
        await cache.update_field(OURS, PROFILE, item(19))
        await warm(cache)
        world.store.calls.clear()
        seen = count_round_trips(cache._server._client)

        for n in range(20, 23):
            await cache.update_field(OURS, PROFILE, item(n))

        assert len(seen) == 6
        assert world.store.calls == {"update_field": 3}

    async def test_histories_and_lineage_are_the_stores(self, world: World, cache: CachedProfileStore) -> None:
        """Reads of histories, lineage, lists and counts are asked of the store every time."""
        await world.store.save(full())
        await warm(cache)
        world.store.calls.clear()

        for _ in range(2):
            await cache.get_by_id(OURS, PROFILE, include_history=True)
            await cache.get_by_customer_id(OURS, profile().customer_id, include_history=True)
            await cache.get_by_external_id(OURS, "customer-0", include_history=True)
            await cache.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}0", include_history=True)
            await cache.get_field_history(OURS, PROFILE, "city")
            await cache.get_derivation_chain(OURS, field_id(0), "profile_field")
            await cache.get_derived_items(OURS, field_id(0))
            await cache.list_profiles(OURS)
            await cache.count_fields_by_status(OURS)
            await cache.get_field_definitions(OURS, AGENT, limit=5)

        assert set(world.store.calls.values()) == {2}
        assert len(world.store.calls) == 10

    async def test_keys_of_a_tenant_share_a_slot(self, world: World, cache: CachedProfileStore) -> None:
        """Every key carries the tenant's hash tag, has a time to live, and names no account or external id."""
        await cache.save(full())
        await warm(cache)
        await cache.get_field_definition(OURS, AGENT, "email")
        await cache.get_scenario_requirements(OURS, SCENARIO, step_id=STEP)

        names = world.keys()
        with world.server.client() as client:
            assert all(client.pttl(name) > 0 for name in names)
        assert len(names) >= 9
        assert all(name.startswith(f"{world.prefix}:{{{OURS}}}:".encode()) for name in names)
        assert not any(USER.encode() in name or b"customer-0" in name for name in names)

    async def test_tenants_are_apart(self, world: World, cache: CachedProfileStore) -> None:
        """The same ids of another tenant lead to that tenant's profile."""
        await world.store.save(full())
        await world.store.save(full(tenant=THEIRS, external_id="theirs"))
        for _ in range(3):
            ours, theirs = [await cache.get_by_id(tenant, PROFILE) for tenant in (OURS, THEIRS)]

        assert ours is not None
        assert theirs is not None
        assert (ours.external_id, theirs.external_id) == ("customer-0", "theirs")


class TestStampede(CacheCase):
    async def test_concurrent_misses_are_one_look(self, world: World, cache: CachedProfileStore) -> None:
        """However many miss an entry at once, the store is asked once, and each gets a profile of its own."""
        await world.store.save(full())
        held = world.store.after["get_by_id"] = Gate()
        reading = [asyncio.create_task(cache.get_by_id(OURS, PROFILE)) for _ in range(50)]
        await held.reached.wait()
        await followed(cache, 49)

        held.opened.set()
        found = await asyncio.gather(*reading)

        assert world.store.calls["get_by_id"] == 1
        assert len({id(one) for one in found}) == len({id(one.fields) for one in found if one is not None}) == 50

    async def test_cancelled_leader_hands_over(self, world: World, cache: CachedProfileStore) -> None:
        """When the caller whose look is shared is cancelled, one of the others looks, and all of them are answered."""
        await world.store.save(full())
        held = world.store.after["get_by_id"] = Gate()
        leader = asyncio.create_task(cache.get_by_id(OURS, PROFILE))
        await held.reached.wait()
        followers = [asyncio.create_task(cache.get_by_id(OURS, PROFILE)) for _ in range(10)]
        await followed(cache, 10)

        leader.cancel()
        found = await asyncio.gather(*followers)

        assert world.store.calls["get_by_id"] == 2
        assert all(found)
        assert leader.cancelled()

    async def test_failed_leader_fails_alone(self, world: World, cache: CachedProfileStore) -> None:
        """When the look that is shared fails, its caller is told, and the others look for themselves."""
        await world.store.save(full())
        held = world.store.before["get_by_id"] = Gate()
        world.store.failing["get_by_id"] = StoreUnavailableError("down")
        leader = asyncio.create_task(cache.get_by_id(OURS, PROFILE))
        await held.reached.wait()
        followers = [asyncio.create_task(cache.get_by_id(OURS, PROFILE)) for _ in range(10)]
        await followed(cache, 10)

        held.opened.set()
        with pytest.raises(StoreUnavailableError):
            await leader

        assert all(await asyncio.gather(*followers))
        assert world.store.calls["get_by_id"] == 11

    async def test_a_look_is_not_shared_across_a_write(self, world: World) -> None:
        """A reader that starts after a write does not take the answer of a look that began before it."""
        async with world.cache() as reader, world.cache() as writer:
            await world.store.save(full())
            held = world.store.after["get_by_id"] = Gate()
            early = asyncio.create_task(reader.get_by_id(OURS, PROFILE))
            await held.reached.wait()
            await writer.update_field(OURS, PROFILE, item(20, "city", value="new"))

            late = await reader.get_by_id(OURS, PROFILE)
            held.opened.set()
            await early

            assert late is not None
            assert late.fields["city"].value == "new"


class TestUnreadable(CacheCase):
    @pytest.mark.parametrize("damage", ["empty", "cut", "garbage", "format", "field"])
    async def test_what_does_not_decode_is_dropped(self, world: World, cache: CachedProfileStore, damage: str) -> None:
        """Bytes that cannot be read are removed, counted, never repaired, and the store answers."""
        await world.store.save(full())
        await warm(cache)
        (key,) = world.keys("*:body:*")
        whole = world.keys("*:body:*")[key]
        assert whole is not None
        broken = {
            "empty": b"",
            "cut": whole[: len(whole) // 2],
            "garbage": whole[:37] + b"{not json",
            "format": b"\x00\x00\x00\x00" + whole[4:],
            "field": whole.replace(b'"fields"', b'"felder"'),
        }[damage]
        with world.server.client() as client:
            client.set(key, broken, px=60_000)

        found = [await cache.get_by_id(OURS, PROFILE) for _ in range(2)]

        assert found == [await world.store.backend.get_by_id(OURS, PROFILE)] * 2
        assert cache.counts['profile_cache_errors_total{step="decode"}'] == 1
        assert world.keys("*:body:*")[key] not in (broken, None)
