"""Cancelling leaks no connection and no transaction, and nobody gets another's answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from tests.integration.calls import LONG, shown, until
from tests.integration.postgres.faulty import METHODS, Lane, Method, Worlds, open_lane, open_worlds

from focal_core.errors import FocalError
from focal_postgres import database as database_module
from focal_testkit.faults.cancel import Numbered, StormReport, cancel_storm
from focal_testkit.faults.connection import Faults

pytestmark = pytest.mark.asyncio
TENANTS = 8
CANCELS = 5_000
JITTER = 0.004
POOL = 8


@pytest_asyncio.fixture
async def worlds(postgres_database: str) -> AsyncIterator[Worlds]:
    """Yield seeded worlds."""
    async with open_worlds(postgres_database) as worlds:
        yield worlds


@dataclass(frozen=True)
class Answers:
    """What each tenant is answered by each reading method, in words."""

    tenants: list[UUID]
    expected: dict[str, list[str]]


async def answers(lane: Lane, worlds: Worlds) -> Answers:
    """Return the right answers for tenants whose worlds differ by their names."""
    tenants = [uuid4() for _ in range(TENANTS)]
    for tenant in tenants:
        for port in worlds.worlds:
            await worlds.copy(port, tenant)
    expected = {}
    for method in METHODS:
        if method.reads:
            calls = [method.call(lane.store(method.port), one, worlds.worlds[method.port]) for one in tenants]
            expected[method.name] = [shown(await call) for call in calls]
    return Answers(tenants, expected)


def numbered(lane: Lane, worlds: Worlds, method: Method, right: Answers) -> Numbered:
    """Return the call of a method that answers with its caller's number if the answer is its tenant's."""

    async def read(number: int) -> int:
        tenant = right.tenants[number % TENANTS]
        answer = await method.call(lane.store(method.port), tenant, worlds.worlds[method.port])
        return number if shown(answer) == right.expected[method.name][number % TENANTS] else -1

    async def write(number: int) -> int:
        # A tenant of its own: what it is answered is of nobody else.
        tenant = uuid4()
        try:
            answer = await method.call(lane.store(method.port), tenant, worlds.worlds[method.port])
        except (FocalError, AssertionError):
            return number
        others = [one for one in right.tenants if str(one) in shown(answer)]
        return -1 if others else number

    return read if method.reads else write


async def storm(lane: Lane, worlds: Worlds, methods: list[Method], cancels: int, seed: int) -> StormReport:
    """Cancel calls of methods through a jittering network, and return what was left."""
    right = await answers(lane, worlds)
    calls = [numbered(lane, worlds, method, right) for method in methods]
    await lane.proxy.switch(Faults(jitter_seconds=JITTER))
    # The pool is full before and after, so that descriptors can be compared.
    await full(lane)
    report = await cancel_storm(
        calls, rounds=int(cancels / 0.8), seed=seed, max_delay_seconds=0.03, timeout_seconds=LONG, spared=0.1
    )
    await lane.proxy.heal()
    return report


async def full(lane: Lane) -> None:
    """Open every connection the pool may have."""
    await asyncio.gather(*[lane.database.fetch("full", "SELECT pg_sleep(0.02)") for _ in range(2 * POOL)])


async def left_behind(lane: Lane, worlds: Worlds) -> list[str]:
    """Return what a storm left: connections that are neither idle nor closed, transactions, sessions."""
    await full(lane)
    found = []
    if lane.database.counts != {"idle": POOL, "busy": 0, "waiting": 0}:
        found.append(f"pool: {lane.database.counts}")
    sql = (
        "SELECT state, count(*) FROM pg_stat_activity WHERE application_name = $1 AND pid <> pg_backend_pid()"
        " GROUP BY state"
    )

    async def states() -> dict[str, int]:
        rows = await lane.database.fetch("states", sql, lane.database.options.application_name)
        return {row[0]: row[1] for row in rows}

    # What was cut ends when the server notices; what leaked stays.
    async def settled() -> bool:
        now = await states()
        return now.get("idle", 0) <= POOL and not now.get("active")

    await until(settled)
    now = await states()
    if any(state.startswith("idle in transaction") for state in now):
        found.append(f"sessions: {now}")
    return found


async def test_cancelling_every_method_leaves_everything_whole(worlds: Worlds) -> None:
    """P11: 5,000 cancels, once and twice, through 4 ms of jitter, batching on: nothing crossed, leaked or left open."""
    name = f"storm {uuid4().hex}"
    async with open_lane(worlds, 60.0, pool_size=POOL, application_name=name) as lane:
        report = await storm(lane, worlds, METHODS, CANCELS, seed=11)
        assert report.cancelled >= CANCELS, report
        # A proxy holds two descriptors for a connection; one more may be on its way in or out.
        report.assert_clean(extra_files=3 * POOL)
        assert await left_behind(lane, worlds) == []


async def test_control_a_connection_kept_after_a_cancel_is_reported(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P11: a transaction that is cancelled goes back to the pool as it is, open."""

    taken: set[Any] = set()

    async def keeping(self: Any, pool: Any, method: str, work: Any, **_: Any) -> Any:
        connection = await pool.acquire(asyncio.get_running_loop().time() + LONG)
        taken.add(connection)
        try:
            return await work(connection)
        finally:
            pool._hand_over(connection)

    method = next(one for one in METHODS if one.name == "profiles.merge_profiles")
    tenants = [await worlds.copy(method.port) for _ in range(40)]
    name = f"storm {uuid4().hex}"
    async with open_lane(worlds, 60.0, pool_size=POOL, application_name=name) as lane:
        monkeypatch.setattr(database_module.Database, "_run", keeping)

        async def merge(number: int) -> int:
            await method.call(lane.store(method.port), tenants[number % 40], worlds.worlds[method.port])
            return number

        await lane.proxy.switch(Faults(jitter_seconds=JITTER))
        await cancel_storm(
            [merge], rounds=300, concurrency=POOL, seed=3, max_delay_seconds=0.05, timeout_seconds=2.0, afterwards=0
        )
        await lane.proxy.heal()
        sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND state LIKE 'idle in transaction%'"
        assert await worlds.value(sql, name) > 0
        for connection in taken:
            connection.terminate()
