"""A lost reply, and what others do before the repeat: no refusal is claimed for a write that took effect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from tests.integration.calls import LONG
from tests.integration.postgres.faulty import Lane, Worlds, open_lane, open_worlds
from tests.integration.postgres.support import SCHEMA

from focal_core.errors import REFUSED_IN_DOUBT, OutcomeUnknownError
from focal_postgres import database as database_module
from focal_testkit.data.audit import turn
from focal_testkit.data.config import rule
from focal_testkit.data.conversation import placed
from focal_testkit.faults.connection import Faults
from focal_testkit.faults.postgres import statement

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def worlds(postgres_database: str) -> AsyncIterator[Worlds]:
    """Yield a database without anything of a tenant in it."""
    async with open_worlds(postgres_database, ports=()) as worlds:
        yield worlds


@pytest_asyncio.fixture
async def lane(worlds: Worlds) -> AsyncIterator[Lane]:
    """Yield a client behind a proxy."""
    async with open_lane(worlds, LONG) as lane:
        yield lane


def lost_after(lane: Lane, pattern: str, meanwhile: Callable[[], Awaitable[Any]]) -> None:
    """Lose the reply to a statement, after others have done something that the repeat will meet."""

    async def happens(connection: Any) -> None:
        await meanwhile()
        connection.reset()

    lane.proxy.after(statement(pattern), happens)


async def change_by_others(worlds: Worlds, lane: Lane) -> OutcomeUnknownError:
    """Save a session whose reply is lost and which others change before it is repeated; return what is raised."""
    store, tenant = lane.store("sessions"), uuid4()
    session = await store.save(placed(0, tenant))
    sql = f"UPDATE {SCHEMA}.sessions SET version = version + 1 WHERE tenant_id = $1 RETURNING version"
    lost_after(lane, rf"UPDATE {SCHEMA}\.sessions", lambda: worlds.value(sql, tenant))
    with pytest.raises(OutcomeUnknownError) as caught:
        await store.save(session)
    assert await worlds.value(f"SELECT version FROM {SCHEMA}.sessions WHERE tenant_id = $1", tenant) == 3
    return caught.value


async def test_a_save_that_others_built_upon_is_not_called_stale(worlds: Worlds, lane: Lane) -> None:
    """It was written, and somebody saved the next version: a StaleVersionError would claim that nothing was written."""
    error = await change_by_others(worlds, lane)
    assert error.code == REFUSED_IN_DOUBT
    assert not error.retryable


async def test_control_a_refusal_taken_at_its_word_is_reported(
    worlds: Worlds, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: a repeat that forgets that it is one."""
    monkeypatch.setattr(database_module, "Repeated", list)
    with pytest.raises(Exception, match="version 3"):
        await change_by_others(worlds, lane)


async def test_a_rule_that_others_built_upon_is_not_called_stale(worlds: Worlds, lane: Lane) -> None:
    """The same for rows with a row_version."""
    store, tenant = lane.store("config"), uuid4()
    one = rule(0, tenant)
    await store.save_rule(one)
    one.priority += 1
    sql = f"UPDATE {SCHEMA}.rules SET row_version = row_version + 1, name = 'other' WHERE tenant_id = $1 RETURNING 1"
    lost_after(lane, rf"INSERT INTO {SCHEMA}\.rules", lambda: worlds.value(sql, tenant))
    with pytest.raises(OutcomeUnknownError):
        await store.save_rule(one)


async def test_a_session_deleted_meanwhile_is_not_begun_anew(worlds: Worlds, lane: Lane) -> None:
    """It was begun and removed before the client knew: sending it again would bring it back."""
    store, tenant = lane.store("sessions"), uuid4()
    sql = f"DELETE FROM {SCHEMA}.sessions WHERE tenant_id = $1 RETURNING 1"
    lost_after(lane, rf"INSERT INTO {SCHEMA}\.sessions", lambda: worlds.value(sql, tenant))
    with pytest.raises(OutcomeUnknownError):
        await store.save(placed(0, tenant))
    assert await worlds.value(f"SELECT count(*) FROM {SCHEMA}.sessions WHERE tenant_id = $1", tenant) == 0


async def test_a_new_session_whose_reply_was_lost_is_proved_by_reading(lane: Lane) -> None:
    """Nobody touched it: the token tells that it was written, and the caller hears nothing of the loss."""

    async def nothing() -> None:
        """Leave it alone."""

    lost_after(lane, rf"INSERT INTO {SCHEMA}\.sessions", nothing)
    saved = await lane.store("sessions").save(placed(0, uuid4()))
    assert saved.version == 1


async def test_a_server_that_goes_away_after_the_write_leaves_the_outcome_unknown(worlds: Worlds, lane: Lane) -> None:
    """The repeat finds nobody; that no connection can be made does not mean that nothing was written."""
    audit, sessions, tenant = lane.store("audit"), lane.store("sessions"), uuid4()
    session = await sessions.save(placed(0, tenant))
    saves = {
        rf"INSERT INTO {SCHEMA}\.turn_records": lambda: audit.save_turn(turn(0, tenant)),
        rf"UPDATE {SCHEMA}\.sessions": lambda: sessions.save(session),
    }
    for pattern, save in saves.items():
        lost_after(lane, pattern, lambda: lane.proxy.switch(Faults(connect="refuse")))
        with pytest.raises(OutcomeUnknownError) as caught:
            await save()
        assert caught.value.retryable
        await lane.proxy.heal()
    assert await worlds.value(f"SELECT count(*) FROM {SCHEMA}.turn_records WHERE tenant_id = $1", tenant) == 1
    assert await worlds.value(f"SELECT version FROM {SCHEMA}.sessions WHERE tenant_id = $1", tenant) == 2
