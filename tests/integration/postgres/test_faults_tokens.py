"""Repeats under resets: each takes effect once, and the history of every session can be explained by some order."""

from __future__ import annotations

import asyncio
import functools
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from tests.integration.calls import LONG
from tests.integration.postgres.faulty import Lane, open_lane, open_worlds
from tests.integration.postgres.support import SCHEMA
from tests.integration.repeats import not_explained, resets, until_done

from focal_core.clock import SystemClock
from focal_core.conversation.models import Session
from focal_core.errors import (
    REFUSED_IN_DOUBT,
    OutcomeUnknownError,
    StaleVersionError,
    StoreError,
    StoreUnavailableError,
)
from focal_core.ids import uuid7
from focal_postgres.conversation import PostgresSessionStore
from focal_postgres.conversation import store as session_module
from focal_testkit.data.audit import event
from focal_testkit.data.conversation import placed
from focal_testkit.faults.histories import History

pytestmark = pytest.mark.asyncio
OFTEN = 0.05
KEYS, CALLERS = 100, 20


@pytest_asyncio.fixture
async def lane(postgres_database: str) -> AsyncIterator[Lane]:
    """Yield a client behind a proxy; all its calls share one moment of time, which is the hard case."""
    async with open_worlds(postgres_database, ports=()) as worlds, open_lane(worlds, LONG, pool_size=4) as lane:
        yield lane


async def test_an_event_appended_by_twenty_callers_is_stored_once(lane: Lane) -> None:
    """P5: 100 keys x 20 callers, a reset every 120 ms: 100 rows, and every caller gets the id."""
    store, tenant = lane.store("audit"), uuid4()
    events = [event(n, tenant) for n in range(KEYS)]

    async def append(n: int) -> UUID:
        answer: UUID = await until_done(lambda: store.save_event(events[n % KEYS]))
        return answer

    async with resets(lane.proxy) as cuts:
        answers = await asyncio.gather(*map(append, range(KEYS * CALLERS)))
        while len(cuts) < 3:
            await asyncio.gather(*map(append, range(KEYS)))
    assert answers == [events[n % KEYS].id for n in range(KEYS * CALLERS)]
    sql = f"SELECT count(*) FROM {SCHEMA}.audit_events WHERE tenant_id = $1"
    assert (await lane.database.fetch("count", sql, tenant))[0][0] == KEYS


async def counted(lane: Lane, keys: int, callers: int) -> list[int]:
    """Let callers add one to a counter in each session until that is acknowledged; return the counters.

    An increment that stayed in doubt, and was made again, may have counted; then it is taken off.
    """
    doubts: Counter[UUID] = Counter()
    store, tenant = lane.store("sessions"), uuid4()
    ids = [(await store.save(placed(n, tenant, session_id=uuid7()))).session_id for n in range(keys)]

    async def add(id: UUID) -> None:
        while True:
            session: Session = await until_done(lambda: store.get(id, tenant_id=tenant))
            session.turn_count += 1
            try:
                await until_done(lambda one=session: store.save(one))
            except StaleVersionError:
                continue
            except OutcomeUnknownError as error:
                if error.code != REFUSED_IN_DOUBT:
                    raise
                doubts[id] += 1
                continue
            return

    async with resets(lane.proxy):
        await asyncio.gather(*[add(id) for id in ids for _ in range(callers)])
    found = [await until_done(lambda id=id: store.get(id, tenant_id=tenant)) for id in ids]
    return [one.turn_count - max(0, min(doubts[one.session_id], one.turn_count - callers)) for one in found]


async def test_every_acknowledged_increment_counts_once(lane: Lane) -> None:
    """P5: compare-and-swap with a write token: as many increments as callers, however often each was repeated."""
    assert await counted(lane, keys=20, callers=20) == [20] * 20


async def test_control_a_repeat_known_by_its_content_alone_is_reported(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P5: two that loaded the same version write the same document, and both are told it was theirs."""
    monkeypatch.setattr(session_module.lifecycle, "write_token", lambda session: b"the same")
    assert await counted(lane, keys=10, callers=20) != [20] * 10


async def history(store: Any, seed: int, clients: int = 4, operations: int = 5) -> History:
    """Return what clients saw who load, save, repeat and delete one session at the same time."""
    tenant, id, found = uuid4(), uuid7(), History()

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
            kind = chance.choices(["load", "save", "delete"], [3, 6, 1])[0]
            if kind == "load":
                await found.record("load", (), load)
            elif kind == "delete":
                await found.record("delete", (), lambda: store.delete(id, tenant_id=tenant))
            else:
                try:
                    session = await store.get(id, tenant_id=tenant)
                except StoreUnavailableError:
                    continue
                value = 1 + number * operations + step
                if session is None:
                    session = placed(0, tenant, session_id=id)
                session.turn_count = value
                arguments = (session.version, value)
                await found.record("save", arguments, lambda one=session: save(one))

    await asyncio.gather(*map(client, range(clients)))
    return found


async def test_one_session_is_linearizable(postgres_database: str) -> None:
    """P7: 300 histories of four clients under resets: some order explains every answer of each."""
    async with (
        open_worlds(postgres_database, ports=()) as worlds,
        open_lane(worlds, LONG, pool_size=4, clock=SystemClock()) as lane,
    ):
        make = functools.partial(history, lane.store("sessions"))
        bad = await not_explained(make, 300, resets(lane.proxy, OFTEN))
    assert not bad, "\n".join(bad[:5])


class _ChecksThenWrites(PostgresSessionStore):
    """Compares the version in one statement and writes in another."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        stored = await self.get(session.session_id, tenant_id=session.tenant_id)
        actual = 0 if stored is None else stored.version
        if actual != session.version:
            raise StaleVersionError("stale", expected=session.version, actual=actual)
        return await super().save(session, force=True)


async def test_control_checking_before_writing_is_reported(lane: Lane) -> None:
    """Control of P7."""
    make = functools.partial(history, _ChecksThenWrites(lane.database, lane.database.context))
    assert await not_explained(make, 1_000, resets(lane.proxy, OFTEN), one_is_enough=True)
