"""How long the cache keeps what, and what it never keeps."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.redis.profile_caches import (
    CacheCase,
    World,
    full,
    looked_up,
    warm,
)

from focal_core.errors import StoreError, StoreUnavailableError
from focal_redis.profile_cache import CachedProfileStore
from focal_testkit.data.audit import AGENT
from focal_testkit.data.profile import (
    OTHER,
    OTHER_AGENT,
    OTHER_SCENARIO,
    PROFILE,
    SCENARIO,
    STEP,
    asset,
    asset_id,
    definition,
    holding,
    item,
    needs,
    profile,
)
from focal_testkit.scenarios import OURS

pytestmark = pytest.mark.asyncio


class TestLifetimes(CacheCase):
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


class TestPersonalData(CacheCase):
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
