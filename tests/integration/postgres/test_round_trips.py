"""How often each method waits for the network, counted on the wire: the performance test that no load disturbs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.integration.calls import LONG
from tests.integration.postgres.faulty import BY_NAME, METHODS, SEEDED, Lane, Method, Worlds, open_lane, open_worlds

from focal_core.audit.models import TurnRecord
from focal_core.conversation.models import Session
from focal_core.errors import StaleVersionError
from focal_core.ids import uuid7
from focal_core.memory.models import Episode
from focal_postgres import spaces
from focal_testkit.data.audit import turn
from focal_testkit.data.conversation import placed
from focal_testkit.data.memory import at, episode
from focal_testkit.data.profile import OTHER, PROFILE, holding, item, profile
from focal_testkit.faults.round_trips import AtMost, round_trips

pytestmark = pytest.mark.asyncio
RUNS = 5
"""Counted calls of a write, each on a world of its own; reads are counted twenty times."""

BUDGETS = {
    "config.purge_archives": 3,
    "config.save_rules": 3,
    "config.erase_tenant": 10,
    "memory.add_episodes": 4,
    "memory.delete_by_group": 3,
    "memory.erase_tenant": 5,
    "sessions.cleanup_expired": 3,
    "sessions.erase_tenant": 3,
    "sessions.save, again": 2,  # with the load before it
    "audit.purge": 4,
    "audit.save_turns": 3,
    "audit.erase_tenant": 3,
    "profiles.add_asset": 4,
    "profiles.delete_asset": 4,
    "profiles.delete_field": 4,
    "profiles.erase_profile": 6,
    "profiles.erase_tenant": 3,
    "profiles.get_or_create, new": 2,
    "profiles.merge_profiles": 7,
    "profiles.save": 6,
}
"""Methods that take more than one round trip. A lower number is a reason to lower it here."""


@pytest_asyncio.fixture
async def worlds(postgres_database: str) -> AsyncIterator[Worlds]:
    """Yield seeded worlds."""
    async with open_worlds(postgres_database) as worlds:
        yield worlds


@pytest_asyncio.fixture
async def lane(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lane]:
    """Yield a client of one connection that forgets nothing it has learnt."""
    monkeypatch.setattr(spaces, "LIFETIME", 1e9)
    async with open_lane(worlds, LONG, pool_size=1) as lane:
        yield lane


async def counted(lane: Lane, worlds: Worlds, method: Method) -> int:
    """Return the most round trips one call of a method takes, warm."""
    tenants = [SEEDED] if method.reads else [await worlds.copy(method.port) for _ in range(2 + RUNS)]
    unused = iter(tenants)

    async def call() -> Any:
        tenant = SEEDED if method.reads else next(unused)
        return await method.call(lane.store(method.port), tenant, worlds.worlds[method.port])

    found = await round_trips(lane.proxy, {method.name: call}, runs=20 if method.reads else RUNS)
    return found[method.name]


@pytest.mark.parametrize("port", ["config", "memory", "sessions", "audit", "profiles"])
async def test_every_method_keeps_its_budget(lane: Lane, worlds: Worlds, port: str) -> None:
    """PERFORMANCE 1.3: one round trip for a method of one statement, and the table above for the others."""
    methods = [one for one in METHODS if one.port == port]
    found = {one.name: await counted(lane, worlds, one) for one in methods}
    assert found == {one.name: BUDGETS.get(one.name, 1) for one in methods}


async def test_a_refused_save_costs_two_at_most(lane: Lane) -> None:
    """A compare-and-swap that lost is looked at once more, to tell why."""
    store, tenant = lane.store("sessions"), uuid4()
    first = await store.save(placed(0, tenant))
    stale: Session = first.model_copy(deep=True)
    await store.save(first)

    async def refused() -> None:
        with pytest.raises(StaleVersionError):
            await store.save(stale.model_copy(deep=True))

    assert await round_trips(lane.proxy, {"save": refused}) == {"save": AtMost(2)}


async def test_the_number_of_rows_does_not_matter(lane: Lane) -> None:
    """``save_turns`` and ``add_episodes`` take as many round trips for 200 rows as for 2."""
    audit, memory, tenant = lane.store("audit"), lane.store("memory"), uuid4()

    def turns(count: int) -> Callable[[], Awaitable[Any]]:
        def make(session_id: Any) -> list[TurnRecord]:
            return [turn(n, tenant, id=uuid7(), session_id=session_id) for n in range(count)]

        return lambda: audit.save_turns(make(uuid7()))

    def episodes(count: int) -> Callable[[], Awaitable[Any]]:
        def make() -> list[Episode]:
            return [episode(n, tenant, id=uuid7(), embedding=at(1.0), embedding_model="m") for n in range(count)]

        return lambda: memory.add_episodes(make())

    calls = {f"{name} {n}": make(n) for n in (2, 200) for name, make in (("turns", turns), ("episodes", episodes))}
    found = await round_trips(lane.proxy, calls, runs=5)
    assert found["turns 2"] == found["turns 200"]
    assert found["episodes 2"] == found["episodes 200"]


async def test_merging_more_takes_no_more(lane: Lane, worlds: Worlds) -> None:
    """Merging profiles of many fields stays within the budget of eight."""
    store = lane.store("profiles")

    async def merge() -> None:
        tenant = uuid4()
        for id, first in ((PROFILE, 0), (OTHER, 100)):
            fields = holding(*(item(first + n, f"field_{n + first // 2}") for n in range(40)))
            await direct.save(profile(tenant=tenant, id=id, customer_id=uuid7(), fields=fields))
        await store.merge_profiles(tenant, source_profile_id=OTHER, target_profile_id=PROFILE)

    async with open_lane(worlds, LONG) as elsewhere:
        direct = elsewhere.store("profiles")
        assert await round_trips(lane.proxy, {"merge": merge}, runs=3) == {"merge": AtMost(8)}


async def test_control_one_round_trip_more_is_reported(lane: Lane, worlds: Worlds) -> None:
    """Control: a method that looks before it reads."""
    one = BY_NAME["sessions.get"]

    async def cautious(store: Any, tenant: Any, world: Any) -> Any:
        await lane.database.fetchrow("look", "SELECT 1")
        return await one.call(store, tenant, world)

    assert await counted(lane, worlds, Method(one.name, one.port, cautious, True)) == 2
