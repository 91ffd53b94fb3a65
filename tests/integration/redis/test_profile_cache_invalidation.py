"""What a write ends, whoever reads, however the two overlap."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.redis.profile_caches import (
    WRITES,
    CacheCase,
    Gate,
    World,
    full,
    looked_up,
    warm,
)
from tests.integration.redis.support import AgeingClock

from focal_core.errors import StoreError
from focal_core.profile.models import CustomerProfile
from focal_redis.profile_cache import CachedProfileStore
from focal_testkit.data.profile import (
    OTHER,
    PROFILE,
    asset_id,
    consent,
    derived,
    holding,
    item,
    profile,
)
from focal_testkit.scenarios import OURS

pytestmark = pytest.mark.asyncio


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


class TestInvalidation(CacheCase):
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


class TestMergedProfiles(CacheCase):
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
