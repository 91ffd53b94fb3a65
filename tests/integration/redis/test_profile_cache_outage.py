"""What the cache does while Redis is away, and when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.redis.profile_caches import WRITES, Gate, World, full, looked_up, warm
from tests.integration.redis.support import AgeingClock

from focal_core.errors import ConflictError, OutcomeUnknownError, StoreUnavailableError
from focal_redis.profile_cache import CachedProfileStore
from focal_testkit.data.profile import OTHER, PROFILE, definition, item, needs
from focal_testkit.scenarios import OURS
from focal_testkit.servers.redis import LocalRedis

pytestmark = pytest.mark.asyncio
SHORT: dict[str, Any] = {"connect_timeout": 0.3, "acquire_timeout": 0.3, "deadline": 0.3}


@pytest.fixture
def world(private_redis: LocalRedis) -> World:
    return World(private_redis, "outage", AgeingClock())


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def city(cache: CachedProfileStore) -> Any:
    found = await cache.get_by_id(OURS, PROFILE)
    assert found is not None
    return found.fields["city"].value


class TestFallback:
    async def test_cache_outage_fallback(self, world: World, private_redis: LocalRedis) -> None:
        """Without Redis every method is served by the store; failures are counted; with it, hits come back."""
        async with world.cache(client=SHORT) as cache:
            await world.store.save(full(0))
            await world.store.save(full(1))
            await warm(cache)
            private_redis.kill()

            assert await looked_up(cache) == await looked_up(world.store.backend)
            for name, write in WRITES.items():
                if not name.startswith(("delete", "erase", "merge", "unlink")):
                    await write(cache)
            await cache.save_field_definition(definition(0))
            await cache.save_scenario_requirement(needs(0))
            assert await looked_up(cache) == await looked_up(world.store.backend)
            assert sum(count for name, count in cache.counts.items() if "errors" in name) > 10
            assert cache.pending_invalidations

            private_redis.start()
            await until(lambda: not cache.pending_invalidations)
            with private_redis.client() as client:
                assert client.delete(*client.keys("*:fence*"))
            await warm(cache)
            world.store.calls.clear()
            assert await looked_up(cache) == await looked_up(world.store.backend)
            assert not world.store.calls

    async def test_the_old_body_is_never_read_again(self, world: World, private_redis: LocalRedis) -> None:
        """A write that Redis missed is not undone by the body that is there when it returns, in any process."""
        async with world.cache(client=SHORT) as writer, world.cache(client=SHORT) as reader:
            await world.store.save(full())
            await warm(writer)
            private_redis.kill()
            await writer.update_field(OURS, PROFILE, item(20, "city", value="new"))

            private_redis.start()
            with private_redis.client() as client:
                assert client.keys("*:body:*"), "Redis kept nothing: the test shows nothing"
            assert await city(writer) == "new"
            await until(lambda: not writer.pending_invalidations)
            with private_redis.client() as client:
                assert not client.keys("*:body:*")
            assert [await city(writer), await city(reader)] == ["new", "new"]

    async def test_write_whose_release_is_lost(self, world: World, private_redis: LocalRedis) -> None:
        """When Redis goes away within a write, the write succeeds and nothing old is read after it."""
        async with world.cache(client=SHORT) as cache:
            await world.store.save(full())
            await warm(cache)
            held = world.store.after["update_field"] = Gate()
            writing = asyncio.create_task(cache.update_field(OURS, PROFILE, item(20, "city", value="new")))
            await held.reached.wait()
            private_redis.kill()
            held.opened.set()
            await writing
            assert cache.pending_invalidations == 1
            private_redis.start()

            await until(lambda: not cache.pending_invalidations)
            for _ in range(3):
                assert await city(cache) == "new"

    async def test_write_of_a_merged_profile_during_an_outage(self, world: World, private_redis: LocalRedis) -> None:
        """A write by the id of a merged profile that Redis missed is not undone by the survivor's old body."""
        async with world.cache(client=SHORT) as cache:
            await world.store.save(full(0))
            await world.store.save(full(1))
            await world.store.merge_profiles(OURS, source_profile_id=OTHER, target_profile_id=PROFILE)
            await warm(cache)
            private_redis.kill()
            await cache.update_field(OURS, OTHER, item(20, "city", value="new"))
            private_redis.start()

            for _ in range(3):
                assert await city(cache) == "new"
            await until(lambda: not cache.pending_invalidations)
            for _ in range(3):
                assert await city(cache) == "new"

    async def test_a_silent_server_costs_one_deadline(self, world: World, private_redis: LocalRedis) -> None:
        """While Redis is silent, only who asked first waits for the deadline; all others are served at once."""
        async with world.cache(client=SHORT) as cache:
            await world.store.save(full())
            await warm(cache)
            private_redis.pause()
            try:
                await cache.get_by_id(OURS, PROFILE)
                loop = asyncio.get_running_loop()
                started = loop.time()
                for n in range(50):
                    await cache.get_by_id(OURS, PROFILE)
                    await cache.update_field(OURS, PROFILE, item(100 + n, "plan"))
                assert loop.time() - started < 1.0
            finally:
                private_redis.resume()
            await until(lambda: not cache.pending_invalidations)
            found = await cache.get_by_id(OURS, PROFILE)
            assert found is not None
            assert found.fields["plan"].value == "value 149"

    async def test_without_memory_to_spare(self, world: World, private_redis: LocalRedis) -> None:
        """A server that refuses to grow still forgets what was written."""
        async with world.cache(client=SHORT) as cache, world.cache(client=SHORT) as reader:
            await world.store.save(full())
            await warm(cache)
            private_redis.configure(maxmemory=1, maxmemory_policy="noeviction")

            await cache.update_field(OURS, PROFILE, item(20, "city", value="new"))

            assert [await city(cache), await city(reader)] == ["new", "new"]
            assert not world.keys("*:body:*")
            assert any("errors" in name for name in cache.counts), "nothing was refused: the test shows nothing"


class TestRaise:
    async def test_reads_and_writes_raise(self, world: World, private_redis: LocalRedis) -> None:
        """Without Redis a read raises StoreUnavailableError, and so does a write, before anything is written."""
        async with world.cache(client=SHORT, on_cache_error="raise") as cache:
            await world.store.save(full())
            await warm(cache)
            private_redis.kill()
            world.store.calls.clear()

            for call in (
                lambda: cache.get_by_id(OURS, PROFILE),
                lambda: cache.update_field(OURS, PROFILE, item(20, "city", value="new")),
                lambda: cache.save(full()),
            ):
                with pytest.raises(StoreUnavailableError) as caught:
                    await call()
                assert (type(caught.value), caught.value.code) == (StoreUnavailableError, "cache_unavailable")

            assert not world.store.calls

    async def test_write_whose_release_is_lost(self, world: World, private_redis: LocalRedis) -> None:
        """When Redis goes away within a write, the caller learns that it is written and the cache was not told."""
        async with world.cache(client=SHORT, on_cache_error="raise") as cache:
            await world.store.save(full())
            await warm(cache)
            held = world.store.after["update_field"] = Gate()
            writing = asyncio.create_task(cache.update_field(OURS, PROFILE, item(20, "city", value="new")))
            await held.reached.wait()
            private_redis.kill()
            held.opened.set()

            with pytest.raises(OutcomeUnknownError) as caught:
                await writing

            assert (caught.value.code, caught.value.written) == ("cache_invalidation_failed", True)
            private_redis.start()
            await until(lambda: not cache.pending_invalidations)
            for _ in range(3):
                assert await city(cache) == "new"

    async def test_the_stores_own_refusal_comes_first(self, world: World, private_redis: LocalRedis) -> None:
        """A write that the store refuses raises the store's error, whether or not the cache can be told."""
        async with world.cache(client=SHORT, on_cache_error="raise") as cache:
            await world.store.save(full())
            held = world.store.before["update_field"] = Gate()
            refused = asyncio.create_task(cache.update_field(OURS, PROFILE, item(0, "city", value="another")))
            await held.reached.wait()
            private_redis.kill()
            held.opened.set()

            with pytest.raises(ConflictError):
                await refused
