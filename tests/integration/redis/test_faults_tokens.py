"""Repeats under resets: each takes effect once, and the history of every session can be explained by some order.

``FOCAL_HISTORIES=5000`` checks so many; by default 500.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import RedisError
from tests.integration.calls import LONG
from tests.integration.redis.faulty import Lane, Worlds, at_work, open_lane, open_worlds
from tests.integration.repeats import not_explained, resets, until_done

from focal_core.clock import SystemClock
from focal_core.conversation import lifecycle
from focal_core.conversation.models import Session
from focal_core.errors import OutcomeUnknownError, StaleVersionError, StoreError, StoreUnavailableError
from focal_core.ids import uuid7
from focal_redis.conversation import RedisSessionStore
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import placed
from focal_testkit.faults.histories import History
from focal_testkit.faults.outcomes import unknown_outcome
from focal_testkit.faults.proxy import FaultProxy
from focal_testkit.faults.triggers import Controls
from focal_testkit.servers.redis import RedisServer

pytestmark = pytest.mark.asyncio
KEYS, CALLERS = 100, 20
HISTORIES = int(os.environ.get("FOCAL_HISTORIES", "500"))


@pytest_asyncio.fixture
async def worlds(redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[Worlds]:
    """Yield a prefix of the server of this process."""
    async with open_worlds(redis_server, redis_prefix) as worlds:
        yield worlds


@pytest_asyncio.fixture
async def lane(worlds: Worlds) -> AsyncIterator[Lane]:
    """Yield a client behind a proxy; all its calls share one moment of time, which is the hard case."""
    async with open_lane(worlds, LONG, pool_size=4) as lane:
        yield lane


@asynccontextmanager
async def losses(proxy: FaultProxy, share: float = 0.03) -> AsyncIterator[None]:
    """Reset connections meanwhile where it hurts: just before a command arrives, or just after it was answered."""
    chance = random.Random(1)

    async def sometimes(connection: Controls) -> None:
        if chance.random() < share:
            connection.reset()

    triggers = [add(at_work, sometimes, times=None) for add in (proxy.before, proxy.after)]
    try:
        yield
    finally:
        for trigger in triggers:
            proxy.remove(trigger)


async def counted(lane: Lane, keys: int, callers: int, at_least: int = 3) -> tuple[list[int], int]:
    """Let callers add one to a counter in each session until that is acknowledged; return the counters, and the cuts.

    An increment that stayed in doubt, and was made again, may have counted; then it is taken off.
    """
    doubts: Counter[UUID] = Counter()
    store, tenant = lane.store, uuid4()
    ids = [(await store.save(placed(n, tenant, session_id=uuid7()))).session_id for n in range(keys)]

    async def add(id: UUID) -> None:
        while True:
            session: Session = await until_done(lambda: store.get(id, tenant_id=tenant))
            session.turn_count += 1
            try:
                await until_done(lambda one=session: store.save(one))
            except StaleVersionError:
                continue
            except OutcomeUnknownError:
                # Not to be repeated: others have built upon it, or deleted it.
                doubts[id] += 1
                continue
            return

    rounds = 0
    async with resets(lane.proxy) as cuts:
        while rounds == 0 or len(cuts) < at_least:
            await asyncio.gather(*[add(id) for id in ids for _ in range(callers)])
            rounds += 1
    found = [await until_done(lambda id=id: store.get(id, tenant_id=tenant)) for id in ids]
    told = [rounds * callers] * keys
    return [
        one.turn_count - max(0, min(doubts[one.session_id], one.turn_count - expected)) - expected
        for one, expected in zip(found, told, strict=True)
    ], sum(cuts)


async def test_every_acknowledged_increment_counts_once(lane: Lane) -> None:
    """P5: 20 sessions x 20 callers, a reset every 120 ms: as many increments as callers, however often repeated."""
    off, cuts = await counted(lane, 20, CALLERS)
    assert off == [0] * 20
    assert cuts > 0


async def test_control_a_repeat_known_by_its_content_alone_is_reported(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P5: two that loaded the same version write the same document, and both are told it was theirs."""
    monkeypatch.setattr(lifecycle, "write_token", lambda session: b"the same")
    off, _ = await counted(lane, 10, CALLERS)
    assert any(off)


async def test_a_session_begun_by_many_callers_with_one_object_is_begun_once(lane: Lane) -> None:
    """P5: 100 new sessions x 20 callers who repeat one save under resets: stored once, and everybody is told so."""
    tenant = uuid4()
    firsts = [placed(n, tenant, session_id=uuid7()) for n in range(KEYS)]
    for one in firsts:
        # Copies of the object after its first try carry the token of that.
        lifecycle.write_token(one)

    async def begin(session: Session) -> int:
        return int((await until_done(lambda: lane.store.save(session))).version)

    async with resets(lane.proxy) as cuts:
        copies = [one.model_copy() for one in firsts for _ in range(CALLERS)]
        assert await asyncio.gather(*map(begin, copies)) == [1] * (KEYS * CALLERS)
    assert sum(cuts) > 0
    assert len(await until_done(lambda: lane.store.list_by_agent(tenant, AGENT, limit=1000))) == KEYS


async def history(store: Any, seed: int, clients: int = 4, operations: int = 5, outcome: Any = None) -> History:
    """Return what clients saw who load, save, repeat, demote and delete one session at the same time."""
    tenant, id, found = uuid4(), uuid7(), History()
    judging = {} if outcome is None else {"outcome": outcome}

    async def load() -> tuple[int, Any]:
        session = await store.get(id, tenant_id=tenant)
        return (0, None) if session is None else (session.version, session.turn_count)

    async def save(session: Session) -> int:
        doubt: OutcomeUnknownError | None = None
        for _ in range(3):
            try:
                return int((await store.save(session)).version)
            except OutcomeUnknownError as error:
                doubt = error
                # A session that was begun, and deleted by another before the repeat, would be begun a second time.
                if not error.retryable or session.version == 0:
                    raise
            except StoreError:
                # That a repeat was refused tells nothing of what was in doubt.
                if doubt is None:
                    raise
                raise doubt from None
        raise doubt or AssertionError

    async def client(number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        for step in range(operations):
            kind = chance.choices(["load", "save", "demote", "delete"], [3, 6, 1, 1])[0]
            try:
                if kind == "load":
                    await found.record("load", (), load, **judging)
                elif kind == "delete":
                    await found.record("delete", (), lambda: store.delete(id, tenant_id=tenant), **judging)
                elif kind == "demote":
                    await store.demote_to_persistent(id, tenant_id=tenant)
                else:
                    session = await store.get(id, tenant_id=tenant)
                    value = 1 + number * operations + step
                    if session is None:
                        session = placed(0, tenant, session_id=id)
                    session.turn_count = value
                    arguments = (session.version, value)
                    await found.record("save", arguments, lambda one=session: save(one), **judging)
            except (StoreUnavailableError, RedisError):
                continue

    await asyncio.gather(*map(client, range(clients)))
    return found


@pytest.mark.parametrize("batching", [True, False], ids=["shared pipelines", "one by one"])
async def test_one_session_is_linearizable(worlds: Worlds, batching: bool) -> None:
    """P7: histories of four clients under resets, with moves between the tiers: some order explains every answer."""
    async with open_lane(worlds, LONG, pool_size=20, clock=SystemClock(), batching=batching) as lane:
        make = functools.partial(history, lane.store)
        bad = await not_explained(make, HISTORIES if batching else HISTORIES // 3, losses(lane.proxy))
    assert not bad, "\n".join(bad[:5])


class _ComparesThenSets(RedisSessionStore):
    """Compares the version in one command and writes in another."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        stored = await self.get(session.session_id, tenant_id=session.tenant_id)
        actual = 0 if stored is None else stored.version
        if actual != session.version:
            raise StaleVersionError("stale", expected=session.version, actual=actual)
        return await super().save(session, force=True)


async def test_control_comparing_before_setting_is_reported(lane: Lane) -> None:
    """Control of P7: GET, compare, SET."""
    make = functools.partial(history, _ComparesThenSets(lane.client, lane.client.context))
    assert await not_explained(make, 1_000, losses(lane.proxy), one_is_enough=True)


_SWAP = """
local stored = redis.call('GET', KEYS[1])
local version = stored and tonumber(string.match(stored, '^%d+')) or 0
if version ~= tonumber(ARGV[1]) then return -1 end
redis.call('SET', KEYS[1], (version + 1) .. ' ' .. ARGV[2], 'EX', 60)
return version + 1
"""


class _Retrying:
    """A correct compare-and-swap by Lua on redis-py as it comes: it sends again what had succeeded."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis, self._prefix = redis, prefix

    async def get(self, id: UUID, *, tenant_id: UUID) -> Session | None:
        found = await self._redis.get(f"{self._prefix}:{id}")
        if found is None:
            return None
        version, count = map(int, found.split())
        session = placed(0, tenant_id, session_id=id, turn_count=count)
        session.set_stored(version=version)
        return session

    async def save(self, session: Session) -> Session:
        key = f"{self._prefix}:{session.session_id}"
        version = await self._redis.execute_command("EVAL", _SWAP, 1, key, session.version, session.turn_count)
        if version < 0:
            raise StaleVersionError("stale", expected=session.version, actual=0)
        session.set_stored(version=version)
        return session

    async def delete(self, id: UUID, *, tenant_id: UUID) -> bool:
        return bool(await self._redis.delete(f"{self._prefix}:{id}"))

    async def demote_to_persistent(self, id: UUID, *, tenant_id: UUID) -> None:
        """Do nothing: there is one tier."""


async def test_control_the_drivers_own_retries_are_reported(worlds: Worlds, lane: Lane) -> None:
    """Control of P7: redis-py tries again by itself: a save that succeeded comes back as lost."""
    parts = urlsplit(worlds.server.url)
    login = {"username": parts.username or None, "password": unquote(parts.password or "") or None}
    # As often as by default, with pauses that do not make the test last.
    retry = Retry(ExponentialBackoff(cap=0.01, base=0.001), 10)
    redis = Redis(host=lane.proxy.host, port=lane.proxy.port, max_connections=1_000, retry=retry, **login)
    store = _Retrying(redis, worlds.prefix)
    try:
        make = functools.partial(history, store, outcome=unknown_outcome)
        assert await not_explained(make, 1_000, losses(lane.proxy), one_is_enough=True)
    finally:
        await redis.aclose()
