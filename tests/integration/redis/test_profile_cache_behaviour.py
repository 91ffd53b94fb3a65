"""What the cache answers, what it keeps, and what it must never keep."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.redis.profile_caches import Gate, World, count_round_trips, followed
from tests.integration.redis.support import AgeingClock

from focal_core.conversation.models import Channel
from focal_core.errors import StoreError, StoreUnavailableError
from focal_core.profile.models import CustomerProfile, MergePolicy, OnDependents, VerificationLevel
from focal_core.profile.store import ProfileStore
from focal_redis.profile_cache import CachedProfileStore
from focal_testkit.data.audit import AGENT
from focal_testkit.data.profile import (
    OTHER,
    OTHER_AGENT,
    OTHER_SCENARIO,
    PROFILE,
    SCENARIO,
    STEP,
    USER,
    asset,
    asset_id,
    consent,
    definition,
    derived,
    field_id,
    holding,
    identity,
    item,
    needs,
    profile,
)
from focal_testkit.scenarios import OURS, THEIRS
from focal_testkit.servers.redis import RedisServer

pytestmark = pytest.mark.asyncio
HITS, MISSES = "profile_cache_hits_total", 'profile_cache_misses_total{kind="profile"}'


@pytest.fixture
def world(redis_server: RedisServer, redis_prefix: str, request: pytest.FixtureRequest) -> World:
    redis_server.forget(redis_prefix)
    return World(redis_server, redis_prefix, AgeingClock((redis_server, redis_prefix)))


@pytest_asyncio.fixture
async def cache(world: World) -> AsyncIterator[CachedProfileStore]:
    async with world.cache() as cache:
        yield cache


def full(n: int = 0, **fields: Any) -> CustomerProfile:
    """Return a profile that every look-up finds."""
    given: dict[str, Any] = {
        "external_id": f"customer-{n}",
        "channel_identities": [identity(n)],
        "fields": holding(item(10 * n, "city"), item(10 * n + 1, "plan")),
        "assets": [asset(n)],
    }
    return profile(n, **{**given, **fields})


async def looked_up(store: ProfileStore, n: int = 0) -> list[CustomerProfile | None]:
    """Return what each look-up finds of a profile."""
    made = profile(n)
    return [
        await store.get_by_id(OURS, made.id),
        await store.get_by_customer_id(OURS, made.customer_id),
        await store.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}{n}"),
        await store.get_by_external_id(OURS, f"customer-{n}"),
    ]


async def warm(cache: CachedProfileStore, *profiles: int) -> None:
    """Have every look-up answered from the cache."""
    for n in profiles or (0,):
        for _ in range(3):
            await looked_up(cache, n)


class TestReading:
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


WRITES: dict[str, Callable[[ProfileStore], Awaitable[Any]]] = {
    "save": lambda store: store.save(full(fields=holding(item(20, "city", value="new")))),
    "delete": lambda store: store.delete(OURS, PROFILE),
    "erase_profile": lambda store: store.erase_profile(OURS, PROFILE),
    "erase_tenant": lambda store: store.erase_tenant(OURS),
    "update_field": lambda store: store.update_field(OURS, PROFILE, item(21, "city", value="new")),
    "delete_field": lambda store: store.delete_field(OURS, PROFILE, field_id(1)),
    "delete_field, orphaning elsewhere": lambda store: store.delete_field(
        OURS, OTHER, field_id(10), on_dependents=OnDependents.ORPHAN
    ),
    "add_asset": lambda store: store.add_asset(OURS, PROFILE, asset(5)),
    "delete_asset": lambda store: store.delete_asset(OURS, PROFILE, asset_id(0)),
    "delete_asset, orphaning elsewhere": lambda store: store.delete_asset(
        OURS, OTHER, asset_id(1), on_dependents=OnDependents.ORPHAN
    ),
    "link_channel": lambda store: store.link_channel(OURS, PROFILE, identity(7)),
    "unlink_channel": lambda store: store.unlink_channel(OURS, PROFILE, Channel.WEBCHAT, f"{USER}0"),
    "merge_profiles, as source": lambda store: store.merge_profiles(
        OURS, source_profile_id=PROFILE, target_profile_id=OTHER
    ),
    "merge_profiles, as target": lambda store: store.merge_profiles(
        OURS, source_profile_id=OTHER, target_profile_id=PROFILE, policy=MergePolicy.SOURCE_WINS
    ),
    "record_consent": lambda store: store.record_consent(OURS, PROFILE, consent(1)),
    "set_verification_level": lambda store: store.set_verification_level(OURS, PROFILE, VerificationLevel.KYC_COMPLETE),
    "expire_stale_fields": lambda store: store.expire_stale_fields(OURS, PROFILE),
    "expire_stale_fields of all": lambda store: store.expire_stale_fields(OURS),
    "mark_orphaned_items": lambda store: store.mark_orphaned_items(OURS, PROFILE),
    "mark_orphaned_items of all": lambda store: store.mark_orphaned_items(OURS),
}


async def _seed(world: World, cache: CachedProfileStore) -> None:
    """Store two profiles; one has something derived from the other, from what is gone, and what expires soon."""
    donor, gift = profile(2), item(30, "gift")
    await world.store.save(profile(2, fields=holding(gift)))
    other = full(1)
    await world.store.save(other)
    passport = {"source_item_id": asset_id(1), "source_item_type": "profile_asset"}
    given = full()
    soon = world.clock.now() + timedelta(seconds=30)
    fields = holding(
        *given.fields.values(),
        derived(40, other.fields["city"]),
        derived(41, gift),
        item(42, "from_asset", **passport),
        item(43, "pin", expires_at=soon),
    )
    await world.store.save(full(fields=fields))
    await world.store.erase_profile(OURS, donor.id)
    await warm(cache, 0, 1)


class TestInvalidation:
    @pytest.mark.parametrize("name", WRITES)
    async def test_cache_invalidated_for_every_lookup_path(self, world: World, name: str) -> None:
        """After a write by one process, every look-up of another finds what the store has; nothing waits for a TTL."""
        async with world.cache() as reader, world.cache() as writer:
            await _seed(world, reader)
            if name.startswith("expire"):
                world.clock._now += timedelta(seconds=60)  # The keys do not age with it.
            before = [await looked_up(reader, n) for n in (0, 1)]

            await WRITES[name](writer)

            for _ in range(3):
                found = [await looked_up(reader, n) for n in (0, 1)]
                assert found == [await looked_up(world.store.backend, n) for n in (0, 1)]
            if not name.startswith("expire"):
                assert found != before, "the write changed nothing: the test shows nothing"

    async def test_sweep_reaches_a_process_whose_clock_is_behind(self, world: World) -> None:
        """What a sweep has marked expired is gone for every process, also where its time has not yet come."""
        async with world.cache() as writer, world.cache() as reader:
            reader._answers._clock = AgeingClock(start=world.clock.now() + timedelta(seconds=10))
            await _seed(world, reader)
            world.clock._now += timedelta(seconds=60)

            assert await writer.expire_stale_fields(OURS) == 1

            found = await reader.get_by_id(OURS, PROFILE)
            assert found is not None
            assert "pin" not in found.fields

    async def test_cache_fill_race(self, world: World) -> None:
        """A reader that read before a write and fills after it fills nothing."""
        async with world.cache() as slow, world.cache() as writer:
            await world.store.save(full())
            held = world.store.after["get_by_id"] = Gate()
            reading = asyncio.create_task(slow.get_by_id(OURS, PROFILE))
            await held.reached.wait()

            await writer.update_field(OURS, PROFILE, item(20, "city", value="new"))
            held.opened.set()
            await reading

            assert not world.keys("*:body:*")
            found = await slow.get_by_id(OURS, PROFILE)
            assert found is not None
            assert found.fields["city"].value == "new"

    async def test_nothing_is_filled_while_a_write_is_under_way(self, world: World) -> None:
        """Between a write in the store and its end nobody fills, so that a writer that dies leaves nothing old."""
        async with world.cache() as reader, world.cache() as writer:
            await world.store.save(full())
            await warm(reader)
            held = world.store.before["update_field"] = Gate()
            writing = asyncio.create_task(writer.update_field(OURS, PROFILE, item(20, "city", value="new")))
            await held.reached.wait()

            for _ in range(3):
                found = await reader.get_by_id(OURS, PROFILE)
                assert found is not None
                assert found.fields["city"].value == "value 0"
            assert not world.keys("*:body:*")

            held.opened.set()
            await writing
            await warm(reader)
            assert len(world.keys("*:body:*")) == 1

    async def test_two_writers_have_a_fence_each(self, world: World) -> None:
        """The end of one write does not take the fence of another away."""
        async with world.cache() as reader, world.cache() as writer:
            await world.store.save(full())
            await warm(reader)
            held = world.store.before["record_consent"] = Gate()
            writing = asyncio.create_task(writer.record_consent(OURS, PROFILE, consent(0)))
            await held.reached.wait()

            await reader.update_field(OURS, PROFILE, item(20, "city", value="new"))
            await warm(reader)

            assert not world.keys("*:body:*")
            held.opened.set()
            await writing
            await warm(reader)
            assert world.keys("*:body:*")

    async def test_dead_writer(self, world: World) -> None:
        """A writer that dies after the store wrote leaves the profile out of the cache until its fence has expired."""
        async with world.cache() as reader, world.cache() as writer:
            await world.store.save(full())
            await warm(reader)
            held = world.store.after["update_field"] = Gate()
            writing = asyncio.create_task(writer.update_field(OURS, PROFILE, item(20, "city", value="new")))
            await held.reached.wait()
            writing.cancel()
            await asyncio.wait([writing])

            await warm(reader)
            assert not world.keys("*:body:*")
            found = await reader.get_by_id(OURS, PROFILE)
            assert found is not None
            assert found.fields["city"].value == "new"

            world.clock.advance(seconds=31)
            await warm(reader)
            assert world.keys("*:body:*")

    async def test_refused_write_leaves_the_fence_down(self, world: World, cache: CachedProfileStore) -> None:
        """A write that the store refuses does not keep the profile out of the cache."""
        await world.store.save(full())
        await warm(cache)

        with pytest.raises(StoreError):
            await cache.update_field(OURS, PROFILE, item(0, "city", value="another"))

        await warm(cache)
        assert not world.keys("*:fence:*")
        assert world.keys("*:body:*")

    async def test_lost_generations_are_no_proof(self, world: World, cache: CachedProfileStore) -> None:
        """Without its generations, evicted or flushed, no entry counts and no fill succeeds."""
        await world.store.save(full())
        await warm(cache)
        for pattern in ("*:gen:*", "*:profile:gen"):
            with world.server.client() as client:
                client.delete(*world.keys(pattern))
            world.store.calls.clear()
            assert await cache.get_by_id(OURS, PROFILE)
            assert world.store.calls["get_by_id"] == 1
        held = world.store.after["get_by_id"] = Gate()
        with world.server.client() as client:
            client.delete(*world.keys())
        reading = asyncio.create_task(cache.get_by_id(OURS, PROFILE))
        await held.reached.wait()
        with world.server.client() as client:
            client.delete(*world.keys())
        held.opened.set()
        await reading
        assert not world.keys("*:body:*")

    async def test_older_version_does_not_replace_a_newer_one(self, world: World, cache: CachedProfileStore) -> None:
        """Of two fills under one generation the higher row_version stays: a reader of a lagging replica loses."""
        await world.store.save(full())
        old = await world.store.get_by_id(OURS, PROFILE)
        held = world.store.after["get_by_id"] = Gate()
        reading = asyncio.create_task(cache.get_by_id(OURS, PROFILE))
        await held.reached.wait()
        assert old is not None
        newer = old.model_copy(deep=True)
        newer.row_version = 7
        async with world.cache() as ahead:

            async def answer(*_: Any, **__: Any) -> CustomerProfile:
                return newer

            world.store.get_by_id = answer  # type: ignore[method-assign]
            await ahead.get_by_id(OURS, PROFILE)
            held.opened.set()
            await reading

            found = await ahead.get_by_id(OURS, PROFILE)

        assert found is not None
        assert found.row_version == 7


class TestMergedProfiles:
    async def test_ids_of_a_merged_profile_hit(self, world: World, cache: CachedProfileStore) -> None:
        """Reads by the ids of a merged profile are answered from the survivor's body."""
        await world.store.save(full(0))
        await world.store.save(full(1, external_id=None))
        await cache.merge_profiles(OURS, source_profile_id=PROFILE, target_profile_id=OTHER)
        await warm(cache)
        world.store.calls.clear()

        found = await looked_up(cache)

        assert not world.store.calls
        assert [one.id for one in found if one is not None] == [OTHER] * 4

    async def test_write_by_the_id_of_a_merged_profile(self, world: World) -> None:
        """A write by the id of a merged profile invalidates the survivor, though the writer knows nothing of it."""
        async with world.cache() as reader, world.cache() as writer:
            await world.store.save(full(0))
            await world.store.save(full(1))
            await world.store.merge_profiles(OURS, source_profile_id=PROFILE, target_profile_id=OTHER)
            await warm(reader, 1)

            await writer.update_field(OURS, PROFILE, item(20, "city", value="new"))

            found = await reader.get_by_id(OURS, OTHER)
            assert found is not None
            assert found.fields["city"].value == "new"

    @pytest.mark.parametrize("cancelled", [False, True])
    async def test_write_overtaken_by_a_merge(self, world: World, cancelled: bool) -> None:
        """A write to a profile that is merged before it reaches the store invalidates the one it lands in."""
        async with world.cache() as reader, world.cache() as writer, world.cache() as merger:
            await world.store.save(full(0))
            await world.store.save(full(1))
            await warm(writer, 0, 1)
            before, after = Gate(), Gate()
            world.store.before["update_field"], world.store.after["update_field"] = before, after
            writing = asyncio.create_task(writer.update_field(OURS, PROFILE, item(20, "city", value="new")))
            await before.reached.wait()

            await merger.merge_profiles(OURS, source_profile_id=PROFILE, target_profile_id=OTHER)
            await warm(reader, 1)
            before.opened.set()
            await after.reached.wait()
            if cancelled:
                writing.cancel()
                await asyncio.wait([writing])
            else:
                after.opened.set()
                await writing

            found = await reader.get_by_id(OURS, OTHER)
            assert found is not None
            assert found.fields["city"].value == "new"

    async def test_erased_and_made_anew_under_the_same_ids(self, world: World, cache: CachedProfileStore) -> None:
        """What once stood for a survivor stands for itself when both were erased and made again."""
        await cache.save(full(0))
        await cache.save(full(1))
        await cache.merge_profiles(OURS, source_profile_id=PROFILE, target_profile_id=OTHER)
        await warm(cache, 0, 1)
        await cache.erase_profile(OURS, PROFILE)
        await cache.save(full(1))
        await warm(cache, 1)
        await cache.save(full(0))

        found = await looked_up(cache)

        assert {one.id for one in found if one is not None} == {PROFILE}


class TestLifetimes:
    async def test_life_is_capped_by_what_expires_first(self, world: World, cache: CachedProfileStore) -> None:
        """A body lives no longer than its first field or asset, and never longer than cache_ttl."""
        soon = world.clock.now() + timedelta(minutes=5)
        await world.store.save(full(0, fields=holding(item(0, "pin", expires_at=soon))))
        await world.store.save(full(1, assets=[asset(1, expires_at=soon + timedelta(minutes=1))]))
        await world.store.save(full(2))
        await warm(cache, 0, 1, 2)

        with world.server.client() as client:
            lives = [client.pttl(cache._keys.body(OURS, profile(n).id).key) for n in range(3)]

        assert [round(life / 60_000) for life in lives] == [5, 6, 30]

    async def test_expiry_is_judged_when_read(self, world: World, cache: CachedProfileStore) -> None:
        """A field or asset past its time does not come out of the cache, whether or not the body lives on."""
        soon = world.clock.now() + timedelta(minutes=5)
        pin = item(0, "pin", expires_at=soon)
        await world.store.save(full(fields=holding(pin, item(1, "city")), assets=[asset(0, expires_at=soon), asset(1)]))
        await warm(cache)
        world.clock._now = soon  # The keys do not age with it.
        world.store.calls.clear()

        found = await cache.get_by_id(OURS, PROFILE)

        assert not world.store.calls
        assert found == await world.store.backend.get_by_id(OURS, PROFILE)
        assert found is not None
        assert (list(found.fields), [one.id for one in found.assets]) == (["city"], [asset_id(1)])

    @pytest.mark.parametrize("step", [timedelta(minutes=31), timedelta(hours=-1)])
    async def test_bodies_of_another_time_do_not_count(
        self, world: World, cache: CachedProfileStore, step: timedelta
    ) -> None:
        """By the clock a body counts from when it was filled until its TTL ends, whatever Redis says."""
        await world.store.save(full())
        await warm(cache)
        world.clock._now += step
        world.store.calls.clear()

        await cache.get_by_id(OURS, PROFILE)

        assert world.store.calls["get_by_id"] == 1

    async def test_cache_negative_definitions(self, world: World, cache: CachedProfileStore) -> None:
        """That there is no definition or requirement is believed for 60 seconds; what there is for an hour."""
        reads: list[Callable[[], Awaitable[Any]]] = [
            lambda: cache.get_field_definition(OURS, AGENT, "email"),
            lambda: cache.get_field_definitions(OURS, AGENT, enabled_only=False),
            lambda: cache.get_scenario_requirements(OURS, SCENARIO),
        ]
        for read in reads:
            assert not await read()
        around = world.store.backend
        await around.save_field_definition(definition(0))
        await around.save_scenario_requirement(needs(0))
        world.clock.advance(seconds=59)
        for read in reads:
            assert not await read()

        world.clock.advance(seconds=2)

        for read in reads:
            assert await read()
        await around.delete_field_definition(OURS, AGENT, "email")
        await around.delete_scenario_requirements(OURS, SCENARIO)
        world.clock.advance(timedelta(minutes=59))
        for read in reads:
            assert await read()
        world.clock.advance(timedelta(minutes=2))
        for read in reads:
            assert not await read()

    async def test_rows_that_change_their_place(self, world: World) -> None:
        """A definition or requirement saved under another agent, scenario or name is gone from its old place."""
        async with world.cache() as reader, world.cache() as writer:
            await writer.save_field_definition(definition(0))
            await writer.save_scenario_requirement(needs(0))
            world.clock.advance(seconds=31)
            for _ in range(2):
                assert await reader.get_field_definition(OURS, AGENT, "email")
                assert await reader.get_field_definitions(OURS, AGENT)
                assert await reader.get_scenario_requirements(OURS, SCENARIO, step_id=STEP)
                assert not await reader.get_scenario_requirements(OURS, OTHER_SCENARIO)

            await writer.save_field_definition(definition(0, agent_id=OTHER_AGENT))
            await writer.save_scenario_requirement(needs(0, scenario_id=OTHER_SCENARIO))

            assert not await reader.get_field_definition(OURS, AGENT, "email")
            assert not await reader.get_field_definitions(OURS, AGENT)
            assert not await reader.get_scenario_requirements(OURS, SCENARIO, step_id=STEP)
            assert await reader.get_scenario_requirements(OURS, OTHER_SCENARIO)

    async def test_lists_are_kept_again_when_replicas_have_caught_up(self, world: World) -> None:
        """What a store reads from a replica soon after a write is not kept: the replica may lag behind."""
        async with world.cache() as reader, world.cache() as writer:
            await writer.save_scenario_requirement(needs(0))
            lagging = world.store.get_scenario_requirements

            async def nothing(*_: Any, **__: Any) -> list[Any]:
                return []

            world.store.get_scenario_requirements = nothing  # type: ignore[method-assign]
            assert not await reader.get_scenario_requirements(OURS, SCENARIO)
            world.store.get_scenario_requirements = lagging  # type: ignore[method-assign]

            assert await reader.get_scenario_requirements(OURS, SCENARIO)
            world.clock.advance(seconds=31)
            world.store.calls.clear()
            for _ in range(2):
                assert await reader.get_scenario_requirements(OURS, SCENARIO)
            assert world.store.calls["get_scenario_requirements"] == 1

    async def test_missing_fields_come_from_the_cache(self, world: World, cache: CachedProfileStore) -> None:
        """What a profile lacks is told from cached requirements and definitions."""
        await cache.save_field_definition(definition(0, required_verification=True))
        await cache.save_scenario_requirement(needs(0))
        world.clock.advance(seconds=31)
        given = profile(fields=holding(item(0)))
        for _ in range(2):
            missing = await cache.get_missing_fields(OURS, given, SCENARIO)
            assert [one.field_name for one in missing] == ["email"]
            world.store.calls.clear()

        await cache.get_missing_fields(OURS, given, SCENARIO)

        assert not world.store.calls


class Base64Cipher:
    """A cipher that shows what it was given, and no attacker would mind."""

    def seal(self, value: Any, *, aad: bytes) -> dict[str, Any]:
        return {"sealed": json.dumps(value).encode().hex(), "at": aad.hex()}

    def open(self, sealed: dict[str, Any], *, aad: bytes) -> Any:
        if sealed["at"] != aad.hex():
            raise StoreError("another place", code="decrypt_failed")
        return json.loads(bytes.fromhex(sealed["sealed"]))


class TestPersonalData:
    SECRET = "123-45-6789"

    async def _save(self, world: World, **fields: Any) -> None:
        secret = item(0, "ssn", value=self.SECRET, **fields)
        await world.store.save(full(fields=holding(secret, item(1, "city"))))

    def _leaks(self, world: World) -> list[bytes]:
        return [name for name, value in world.keys().items() if self.SECRET.encode() in (value or b"")]

    @pytest.mark.parametrize("agent_id", [AGENT, OTHER_AGENT])
    @pytest.mark.parametrize("enabled", [True, False])
    async def test_cache_no_plain_pii(
        self, world: World, cache: CachedProfileStore, agent_id: Any, enabled: bool
    ) -> None:
        """A profile with a field that any agent calls personal, enabled or not, is not kept."""
        await world.store.save_field_definition(definition(0, "ssn", agent_id=agent_id, is_pii=True, enabled=enabled))
        await self._save(world)

        await warm(cache)

        assert await looked_up(cache) == await looked_up(world.store.backend)
        assert not self._leaks(world)
        assert not world.keys("*:body:*")

    async def test_a_field_that_becomes_personal(self, world: World) -> None:
        """From when a field is defined as personal, by any process, what was kept is neither read nor kept again."""
        async with world.cache() as reader, world.cache() as writer:
            await self._save(world)
            await warm(reader)
            assert self._leaks(world)

            await writer.save_field_definition(definition(0, "ssn", is_pii=True))
            world.store.calls.clear()
            await reader.get_by_id(OURS, PROFILE)
            assert world.store.calls["get_by_id"] == 1
            await writer.update_field(OURS, PROFILE, item(30, "city"))
            await warm(reader)

            assert not self._leaks(world)

    async def test_store_that_cannot_tell(self, world: World, cache: CachedProfileStore) -> None:
        """Without a list of personal fields a profile is kept only when each field names a definition that is not."""

        async def unknown(tenant_id: Any) -> None:
            return None

        world.store.list_pii_fields = unknown  # type: ignore[method-assign]
        await self._save(world)
        await warm(cache)
        assert not world.keys("*:body:*")

        for n, name in enumerate(("ssn", "city")):
            await world.store.save_field_definition(definition(n, name, is_pii=name == "ssn"))
        named = [item(n, name, field_definition_id=definition(n).id) for n, name in ((50, "city"), (51, "ssn"))]
        named[0].field_definition_id = definition(1).id
        named[1].field_definition_id = definition(0).id
        await cache.save(full(2, fields=holding(named[0])))
        await cache.save(full(3, fields=holding(named[1])))
        await warm(cache, 2, 3)

        assert list(world.keys("*:body:*")) == [cache._keys.body(OURS, profile(2).id).key]

    async def test_definitions_out_of_reach(self, world: World, cache: CachedProfileStore) -> None:
        """When the store cannot be asked for the definitions, the read answers and nothing is kept."""
        await self._save(world)
        world.store.failing["list_pii_fields"] = StoreUnavailableError("down")

        assert await cache.get_by_id(OURS, PROFILE)

        assert not world.keys("*:body:*")

    async def test_sealed_profiles_are_kept(self, world: World) -> None:
        """With a cipher personal data is kept, sealed, bound to its key, and lost on whoever has no cipher."""
        await world.store.save_field_definition(definition(0, "ssn", is_pii=True))
        await self._save(world)
        async with world.cache(cipher=Base64Cipher()) as cache, world.cache() as without:
            await warm(cache)
            world.store.calls.clear()
            assert await looked_up(cache) == await looked_up(world.store.backend)
            assert not world.store.calls
            assert not self._leaks(world)

            (key,) = world.keys("*:body:*")
            with world.server.client() as client:
                client.copy(key, cache._keys.body(OURS, OTHER).key)
                client.set(
                    cache._keys.profile(OURS, OTHER).generation,
                    client.get(cache._keys.profile(OURS, PROFILE).generation),
                )
            assert await cache.get_by_id(OURS, OTHER) is None

            assert await without.get_by_id(OURS, PROFILE) == await world.store.backend.get_by_id(OURS, PROFILE)

    @pytest.mark.parametrize("erase", ["erase_profile", "erase_tenant"])
    async def test_erased_bytes_are_gone(self, world: World, cache: CachedProfileStore, erase: str) -> None:
        """After an erasure no key of Redis holds a value of the profile, or points to it."""
        await self._save(world)
        await world.store.save(full(1))
        await cache.merge_profiles(OURS, source_profile_id=OTHER, target_profile_id=PROFILE)
        await warm(cache, 0, 1)
        assert self._leaks(world)

        await (cache.erase_tenant(OURS) if erase == "erase_tenant" else cache.erase_profile(OURS, OTHER))

        assert not self._leaks(world)
        assert not world.keys("*:body:*")
        pointing = [name for name, value in world.keys("*:by-*").items() if PROFILE.bytes in (value or b"")]
        merged = [cache._keys.by_customer(OURS, profile(1).customer_id), cache._keys.by_source(OURS, OTHER)]
        assert set(pointing) <= (set() if erase == "erase_tenant" else set(merged))
        assert await looked_up(cache) == [None] * 4


class TestStampede:
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


class TestUnreadable:
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
