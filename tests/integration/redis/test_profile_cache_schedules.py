"""Fills against writes under thousands of schedules, in virtual time, over a server that answers at any moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

import pytest
from tests.integration.redis.profile_workload import DeletesOnly, Unhurried, Unnoticing, with_server

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.errors import OutcomeUnknownError
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_redis.client import RedisClient
from focal_redis.profile_cache import CachedProfileStore
from focal_redis.profile_cache.server import FENCE_LIFE, CacheServer
from focal_redis.script import Script
from focal_testkit.data.profile import OTHER, PROFILE, holding, item, profile
from focal_testkit.faults.scheduler import SeededLoop, explore, run
from focal_testkit.scenarios import OURS

SEEDS = 1000


class PlayedRedis:
    """What the scripts of the cache do, as the server does it: one after another, whole.

    Args:
        loses: how many replies of scripts to lose, one each third.
    """

    def __init__(self, loses: int = 0) -> None:
        self.strings: dict[bytes, bytes] = {}
        self.fences: dict[bytes, dict[bytes, float]] = {}
        self.loses, self.calls = loses, 0

    async def call(self, method: str, *command: Any, key: bytes, writes: bool = False, repeat: bool = False) -> Any:
        name, *rest = command
        return await self._answer(getattr(self, f"_{name.lower()}"), rest, writes)

    async def run(
        self, method: str, script: Script, keys: Sequence[bytes], args: Sequence[Any], *, writes: bool, repeat: bool
    ) -> Any:
        return await self._answer(getattr(self, f"_{script.name}"), [list(keys), list(args)], writes)

    async def _answer(self, act: Any, arguments: list[Any], writes: bool) -> Any:
        await asyncio.sleep(0)
        answer = act(*arguments) if act.__name__.startswith("_cache") else act(arguments)
        await asyncio.sleep(0)
        self.calls += 1
        if writes and self.loses and self.calls % 3 == 0:
            self.loses -= 1
            raise OutcomeUnknownError("lost")
        return answer

    def _mget(self, keys: list[bytes]) -> list[bytes | None]:
        return [self.strings.get(key) for key in keys]

    def _set(self, rest: list[Any]) -> None:
        self.strings[rest[0]] = rest[1]

    def _exists(self, keys: list[bytes]) -> int:
        return int(keys[0] in self.strings)

    def _unlink(self, keys: list[bytes]) -> None:
        for key in keys:
            self.strings.pop(key, None)

    def _standing(self, fence: bytes) -> dict[bytes, float]:
        now = asyncio.get_running_loop().time()
        standing = self.fences.get(fence, {})
        if max(standing.values(), default=0) <= now:
            standing = {}
        self.fences[fence] = standing
        return standing

    def _cache_lease(self, keys: list[bytes], args: list[Any]) -> list[bytes] | None:
        if any(self._standing(fence) for fence in keys[1::2]):
            return None
        for generation, token in zip(keys[::2], args[1:], strict=True):
            self.strings.setdefault(generation, token + b"0")
        return [self.strings[generation] for generation in keys[::2]]

    def _cache_fill(self, keys: list[bytes], args: list[Any]) -> int:
        if any(self.strings.get(key, b"")[:8] != token for key, token in zip(keys[1:], args[4:], strict=True)):
            return 0
        self.strings[keys[0]] = args[3]
        if args[2] == "1":
            self.strings[keys[1]] = args[4] + b"1"
        return 1

    def _cache_fence(self, keys: list[bytes], args: list[Any]) -> list[bytes | None]:
        found = [self.strings.get(key) for key in keys[1::3]]
        end = asyncio.get_running_loop().time() + args[1] / 1000
        for body, generation, fence in zip(keys[::3], keys[1::3], keys[2::3], strict=True):
            self._unlink([body, generation])
            standing = self._standing(fence)
            standing[args[0]] = end
            self.fences[fence] = dict.fromkeys(standing, end)
        return found

    def _cache_release(self, keys: list[bytes], args: list[Any]) -> list[int]:
        told = []
        for at, (body, generation, fence) in enumerate(zip(keys[::3], keys[1::3], keys[2::3], strict=True)):
            mark, token = args[2 + 2 * at : 4 + 2 * at]
            self._unlink([body, generation])
            standing = self._standing(fence)
            stood = standing.pop(args[1], None) is not None
            told += [int(stood), len(standing)]
            if mark == "x":
                del self.fences[fence]
            elif not standing:
                self.strings[generation] = token + (mark.encode() if stood else b"0")
        return told


class Scenario:
    """Two processes' caches before one store, over a played Redis.

    Args:
        server: how the caches talk to Redis.
        loses: replies that Redis loses.
    """

    def __init__(self, server: type[CacheServer], loses: int = 0) -> None:
        self.context = BackendContext(clock=ManualClock())

        chance = random.Random(cast("SeededLoop", asyncio.get_running_loop()).seed)

        async def pause() -> None:
            await asyncio.sleep(chance.choice((0, 0, 1)))

        self.behind = InMemoryProfileStore(self.context)
        self.store = Unhurried(self.behind, pause)
        self.redis = PlayedRedis(loses)
        client = cast("RedisClient", self.redis)
        self.caches = [with_server(CachedProfileStore(self.store, client), server) for _ in range(2)]

    async def seed(self) -> None:
        await self.behind.save(profile(0, fields=holding(item(0, "city"))))
        await self.behind.save(profile(1))
        for cache in self.caches:
            await cache.get_by_id(OURS, PROFILE)

    async def check(self, cache: CachedProfileStore, profile_id: Any = PROFILE) -> None:
        """Read a profile and compare it with the store: nobody is writing."""
        expected = await self.behind.get_by_id(OURS, profile_id)
        assert await cache.get_by_id(OURS, profile_id) == expected

    async def write(self, cache: CachedProfileStore, n: int) -> None:
        """Write a version, and read one that is no older."""
        await cache.update_field(OURS, PROFILE, item(n, "city"))
        found = await cache.get_by_id(OURS, PROFILE)
        assert found is not None
        versions = {one.id: one for one in await self.behind.get_field_history(OURS, PROFILE, "city")}
        passed = versions[item(n).id]
        while passed.id != found.fields["city"].id:
            assert passed.superseded_by_id is not None, "what was read is older than what was written before"
            passed = versions[passed.superseded_by_id]


def fills_against_writes(server: type[CacheServer] = CacheServer) -> Any:
    async def scenario() -> None:
        played = Scenario(server)
        await played.seed()
        one, other = played.caches
        await asyncio.gather(
            one.get_by_id(OURS, PROFILE),
            other.get_by_id(OURS, PROFILE),
            played.write(one, 1),
            played.write(other, 2),
            one.get_by_id(OURS, PROFILE),
        )
        for cache in played.caches:
            await played.check(cache)

    return scenario


def writes_against_a_merge(server: type[CacheServer] = CacheServer) -> Any:
    async def scenario() -> None:
        played = Scenario(server)
        await played.seed()
        one, other = played.caches
        await other.get_by_id(OURS, OTHER)
        await asyncio.gather(
            one.update_field(OURS, PROFILE, item(1, "city")),
            other.merge_profiles(OURS, source_profile_id=PROFILE, target_profile_id=OTHER),
            one.get_by_id(OURS, OTHER),
            other.get_by_id(OURS, OTHER),
            one.get_by_id(OURS, PROFILE),
        )
        for cache in played.caches:
            await played.check(cache, OTHER)
            await played.check(cache, PROFILE)

    return scenario


def writers_that_are_cancelled(server: type[CacheServer] = CacheServer) -> Any:
    async def scenario() -> None:
        played = Scenario(server)
        await played.seed()
        one, other = played.caches
        writing = asyncio.create_task(one.update_field(OURS, PROFILE, item(1, "city")))
        reading = [asyncio.create_task(cache.get_by_id(OURS, PROFILE)) for cache in (one, other)]

        async def kill() -> None:
            for _ in range(6):
                await asyncio.sleep(0)
            writing.cancel()

        await asyncio.gather(kill(), *reading)
        await asyncio.wait([writing])
        for cache in played.caches:
            await cache.drain()
            await played.check(cache)
        await asyncio.sleep(FENCE_LIFE / timedelta(seconds=1) + 1)
        for cache in played.caches:
            await played.check(cache)

    return scenario


def replies_that_are_lost(server: type[CacheServer] = CacheServer) -> Any:
    async def scenario() -> None:
        played = Scenario(server, loses=4)
        await played.seed()
        one, other = played.caches
        await asyncio.gather(
            one.update_field(OURS, PROFILE, item(1, "city")),
            other.get_by_id(OURS, PROFILE),
            one.get_by_id(OURS, PROFILE),
        )
        await played.check(one)
        await asyncio.sleep(10)
        assert one.pending_invalidations == 0
        for cache in played.caches:
            await played.check(cache)

    return scenario


SCENARIOS = {
    one.__name__: one
    for one in (fills_against_writes, writes_against_a_merge, writers_that_are_cancelled, replies_that_are_lost)
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_schedule(name: str) -> None:
    """Whatever the order of steps, no read after a write is older than it."""
    assert explore(SCENARIOS[name](), range(SEEDS)) == SEEDS


@pytest.mark.parametrize(
    ("name", "server"),
    [
        ("fills_against_writes", DeletesOnly),
        ("writers_that_are_cancelled", DeletesOnly),
        ("writes_against_a_merge", Unnoticing),
    ],
)
def test_controls(name: str, server: type[CacheServer]) -> None:
    """Some schedule shows what a cache gets wrong that only deletes, or does not notice what a merge did."""

    def fails(seed: int) -> bool:
        try:
            run(SCENARIOS[name](server), seed)
        except AssertionError:
            return True
        return False

    assert any(fails(seed) for seed in range(SEEDS))
