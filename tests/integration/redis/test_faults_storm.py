"""Cancelling leaks no connection and no task, and nobody gets another's answer.

``FOCAL_CANCELS=20000`` cancels so many; by default 5,000.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from redis.asyncio.connection import AbstractConnection
from tests.integration.calls import LONG, shown, until
from tests.integration.redis.faulty import METHODS, READS, SECOND, Lane, Method, Worlds, open_lane, open_worlds

from focal_core.errors import FocalError
from focal_redis.connection import Link
from focal_testkit.faults.cancel import Numbered, StormReport, cancel_storm
from focal_testkit.faults.connection import Faults
from focal_testkit.servers.redis import RedisServer

pytestmark = pytest.mark.asyncio
TENANTS = 8
CANCELS = int(os.environ.get("FOCAL_CANCELS", "5000"))
JITTER = 0.004
POOL = 8


@pytest_asyncio.fixture
async def worlds(redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[Worlds]:
    """Yield seeded worlds."""
    async with open_worlds(redis_server, redis_prefix) as worlds:
        yield worlds


@dataclass(frozen=True)
class Answers:
    """What each tenant is answered by each reading method, in words."""

    tenants: list[UUID]
    expected: dict[str, list[str]]


async def answers(lane: Lane, worlds: Worlds) -> Answers:
    """Return the right answers for tenants whose sessions tell whose they are."""
    tenants = [await worlds.tenant() for _ in range(TENANTS)]
    expected = {}
    for method in READS:
        if method.name != "tier_of":
            expected[method.name] = [shown(await method.call(lane.store, one)) for one in tenants]
    return Answers(tenants, expected)


def numbered(lane: Lane, method: Method, right: Answers) -> Numbered:
    """Return the call of a method that answers with its caller's number if the answer is its tenant's."""

    async def read(number: int) -> int:
        if method.demoted:
            await lane.store.demote_to_persistent(SECOND, tenant_id=right.tenants[number % TENANTS])
        answer = await method.call(lane.store, right.tenants[number % TENANTS])
        expected = right.expected.get(method.name)
        return number if expected is None or shown(answer) == expected[number % TENANTS] else -1

    async def write(number: int) -> int:
        # A tenant of its own: what it is answered is of nobody else.
        tenant = uuid4()
        try:
            answer = await method.call(lane.store, tenant)
        except (FocalError, AttributeError):
            # Nothing is stored of it: there is nothing to load, or to change.
            return number
        others = [one for one in right.tenants if str(one) in shown(answer)]
        return -1 if others else number

    return read if method.reads else write


async def storm(lane: Lane, worlds: Worlds, methods: list[Method], cancels: int, seed: int) -> StormReport:
    """Cancel calls of methods through a jittering network, and return what was left."""
    right = await answers(lane, worlds)
    calls = [numbered(lane, method, right) for method in methods]
    await lane.proxy.switch(Faults(jitter_seconds=JITTER))
    # The pool is full before and after, so that descriptors can be compared.
    await full(lane)
    report = await cancel_storm(
        calls, rounds=int(cancels / 0.6), seed=seed, max_delay_seconds=0.02, timeout_seconds=LONG, spared=0.1
    )
    await lane.proxy.heal()
    return report


async def full(lane: Lane) -> None:
    """Open every connection the pool may have."""
    (endpoint,) = lane.client.endpoints
    loop = asyncio.get_running_loop()
    taken = [await endpoint.pool.acquire(loop.time() + LONG) for _ in range(POOL)]
    for one in taken:
        endpoint.pool.release(one)


async def left_behind(lane: Lane, worlds: Worlds) -> list[str]:
    """Return what a storm left: connections that are neither idle nor closed, on our side and on the server's."""
    await full(lane)
    found = []
    if lane.client.counts != {"idle": POOL, "busy": 0, "waiting": 0}:
        found.append(f"pool: {lane.client.counts}")
    name = f"name={lane.client.options.client_name} "

    def connections() -> int:
        with worlds.server.client() as redis:
            return sum(name in f"{one} " for one in _lines(redis))

    # What was cut ends when the server notices; what leaked stays.
    try:
        await until(lambda: connections() <= POOL, 5.0)
    except TimeoutError:
        found.append(f"server: {connections()} connections")
    return found


def _lines(redis: Any) -> list[str]:
    redis.response_callbacks.clear()
    return str(redis.execute_command("CLIENT", "LIST"), "utf-8").splitlines()


@pytest.mark.parametrize("batching", [True, False], ids=["shared pipelines", "one by one"])
async def test_cancelling_every_method_leaves_everything_whole(worlds: Worlds, batching: bool) -> None:
    """P11: cancels, once and twice, through 4 ms of jitter: nothing crossed, leaked or left open."""
    name, cancels = f"storm-{uuid4().hex}", CANCELS if batching else CANCELS // 5
    async with open_lane(worlds, 60.0, pool_size=POOL, client_name=name, batching=batching) as lane:
        report = await storm(lane, worlds, METHODS, cancels, seed=11)
        assert report.cancelled >= cancels, report
        # A proxy holds two descriptors for a connection; one more may be on its way in or out.
        report.assert_clean(extra_files=3 * POOL)
        assert await left_behind(lane, worlds) == []


async def test_control_a_connection_kept_after_a_cancel_is_reported(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P11: a connection that is cancelled in mid-reply goes back to the pool, and answers the next caller.

    What redis-py 4.5.3 did.
    """
    kept: set[Link] = set()

    async def stays(self: Any, *args: Any, **given: Any) -> None:
        """Leave the socket as it is."""

    async with open_lane(worlds, 60.0, pool_size=POOL, batching=False) as lane:
        await lane.proxy.switch(Faults(jitter_seconds=JITTER))

        async def echo(number: int) -> int:
            return int(await lane.client.call("echo", "ECHO", number, key=b""))

        with monkeypatch.context() as patch:
            patch.setattr(Link, "terminate", lambda self: kept.add(self))
            patch.setattr(Link, "is_closed", lambda self: False)
            patch.setattr(AbstractConnection, "disconnect", stays)
            report = await cancel_storm(
                [echo], rounds=300, concurrency=POOL, seed=3, max_delay_seconds=0.01, timeout_seconds=1.0, afterwards=20
            )
        await lane.proxy.heal()
        for link in kept:
            link.terminate()
    assert report.crossed, report


@pytest.mark.parametrize("moment", ["waiting for a connection", "in a pipeline that has left"])
async def test_a_cancelled_caller_leaves_the_others_alone(worlds: Worlds, moment: str) -> None:
    """P11: who shares a pipeline with a cancelled caller gets his own answer, and who waits behind him his turn."""
    async with open_lane(worlds, LONG, pool_size=1) as lane:
        await lane.proxy.switch(Faults(latency_seconds=0.02))

        async def echo(number: int) -> int:
            return int(await lane.client.call("echo", "ECHO", number, key=b""))

        tasks = [asyncio.ensure_future(echo(n)) for n in range(60)]
        await asyncio.sleep(0 if moment == "waiting for a connection" else 0.03)
        for task in tasks[::3]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for n, one in enumerate(found):
            assert isinstance(one, asyncio.CancelledError) if n % 3 == 0 and not isinstance(one, int) else one == n
        assert lane.client.counts == {"idle": 1, "busy": 0, "waiting": 0}


async def test_closing_during_a_storm_ends_in_time(worlds: Worlds) -> None:
    """3.7: ``close`` answers what runs, refuses what waits (``closed``), and leaves no connection."""
    name = f"storm-{uuid4().hex}"
    async with open_lane(worlds, 2.0, pool_size=POOL, client_name=name) as lane:
        right = await answers(lane, worlds)
        await lane.proxy.switch(Faults(jitter_seconds=JITTER))
        calls = [numbered(lane, one, right) for one in METHODS]
        tasks = [asyncio.ensure_future(calls[n % len(calls)](n)) for n in range(500)]
        await asyncio.sleep(0.02)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await lane.client.close()
        assert loop.time() - began < 2.0 + 1.0
        found = await asyncio.gather(*tasks, return_exceptions=True)
    for n, one in enumerate(found):
        assert one == n or getattr(one, "code", None) == "closed", (n, one)

    def gone() -> bool:
        with worlds.server.client() as redis:
            return not any(f"name={name} " in f"{line} " for line in _lines(redis))

    await until(gone)
