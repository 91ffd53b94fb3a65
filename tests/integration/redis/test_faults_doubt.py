"""A lost reply, and what others do before the repeat: no refusal is claimed for a save that took effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from tests.integration.calls import LONG
from tests.integration.redis.faulty import FIRST, Lane, Worlds, open_lane, open_worlds

from focal_core.errors import OutcomeUnknownError
from focal_redis.endpoint import Endpoint
from focal_testkit.data.conversation import placed
from focal_testkit.faults.connection import Faults
from focal_testkit.faults.redis import command
from focal_testkit.faults.triggers import reset
from focal_testkit.servers.redis import RedisServer

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def worlds(redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[Worlds]:
    """Yield a prefix without anything of a tenant."""
    async with open_worlds(redis_server, redis_prefix) as worlds:
        yield worlds


@pytest_asyncio.fixture
async def lane(worlds: Worlds) -> AsyncIterator[Lane]:
    """Yield a client behind a proxy, whose server knows every script that it needs."""
    async with open_lane(worlds, LONG) as lane:
        tenant = uuid4()
        for _ in range(2):
            await lane.store.save(await lane.store.save(placed(0, tenant)))
            await lane.store.delete(FIRST, tenant_id=tenant)
        yield lane


def lost_after(lane: Lane, meanwhile: Callable[[], Awaitable[Any]]) -> None:
    """Lose the reply to the next script, after others have done something that a repeat will meet."""

    async def happens(connection: Any) -> None:
        await meanwhile()
        connection.reset()

    lane.proxy.after(command("EVALSHA"), happens)


async def built_upon(worlds: Worlds, tenant: UUID) -> None:
    """Load the session elsewhere, and save it."""
    session = await worlds.direct.get(FIRST, tenant_id=tenant)
    await worlds.direct.save(session)


async def change_by_others(worlds: Worlds, lane: Lane) -> OutcomeUnknownError:
    """Save a session whose reply is lost and which others change before it is repeated; return what is raised."""
    tenant = uuid4()
    session = await lane.store.save(placed(0, tenant))
    lost_after(lane, lambda: built_upon(worlds, tenant))
    with pytest.raises(OutcomeUnknownError) as caught:
        await lane.store.save(session)
    stored = await worlds.direct.get(FIRST, tenant_id=tenant)
    assert stored.version == 3
    return caught.value


async def test_a_save_that_others_built_upon_is_not_called_stale(worlds: Worlds, lane: Lane) -> None:
    """It was written, and somebody saved the next version: a StaleVersionError would claim that nothing was written."""
    error = await change_by_others(worlds, lane)
    assert not error.retryable


async def test_a_session_deleted_meanwhile_is_not_begun_anew(worlds: Worlds, lane: Lane) -> None:
    """It was begun and removed before the client knew: sending it again would bring it back."""
    tenant = uuid4()
    lost_after(lane, lambda: worlds.direct.delete(FIRST, tenant_id=tenant))
    with pytest.raises(OutcomeUnknownError):
        await lane.store.save(placed(0, tenant))
    assert await worlds.direct.get(FIRST, tenant_id=tenant) is None


async def test_control_a_blind_repeat_begins_it_anew(
    worlds: Worlds, lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: everything is sent again."""
    submit = Endpoint.submit

    async def blind(self: Any, *args: Any, **given: Any) -> Any:
        return await submit(self, *args, **{**given, "repeat": True})

    monkeypatch.setattr(Endpoint, "submit", blind)
    tenant = uuid4()
    lost_after(lane, lambda: worlds.direct.delete(FIRST, tenant_id=tenant))
    await lane.store.save(placed(0, tenant))
    assert await worlds.direct.get(FIRST, tenant_id=tenant) is not None


async def nothing() -> None:
    """Leave everything alone."""


async def test_a_new_session_whose_reply_was_lost_is_proved_by_its_token(lane: Lane) -> None:
    """Nobody touched it: the token tells that it was written, and the caller hears nothing of the loss."""
    lost_after(lane, nothing)
    assert (await lane.store.save(placed(0, uuid4()))).version == 1


async def test_a_save_whose_reply_was_lost_is_proved_by_its_token(lane: Lane) -> None:
    """The same for the second save of a session."""
    session = await lane.store.save(placed(0, uuid4()))
    lost_after(lane, nothing)
    assert (await lane.store.save(session)).version == 2


async def test_a_server_that_goes_away_after_the_write_leaves_the_outcome_unknown(worlds: Worlds, lane: Lane) -> None:
    """A repeat finds nobody; that no connection can be made does not mean that nothing was written."""
    tenant = uuid4()
    session = await lane.store.save(placed(0, tenant))
    lost_after(lane, lambda: lane.proxy.switch(Faults(connect="refuse")))
    with pytest.raises(OutcomeUnknownError) as caught:
        await lane.store.save(session)
    assert caught.value.retryable
    await lane.proxy.heal()
    # The caller repeats, with the same object.
    assert (await lane.store.save(session)).version == 2
    assert (await worlds.direct.get(FIRST, tenant_id=tenant)).version == 2


async def test_a_delete_whose_reply_was_lost_is_not_repeated(worlds: Worlds, lane: Lane) -> None:
    """A repeat would answer that there was nothing; the caller hears that it is not known."""
    tenant = uuid4()
    await lane.store.save(placed(0, tenant))
    lost_after(lane, nothing)
    with pytest.raises(OutcomeUnknownError):
        await lane.store.delete(FIRST, tenant_id=tenant)
    assert await worlds.direct.get(FIRST, tenant_id=tenant) is None


async def test_one_lost_flight_is_told_to_each_of_its_members(worlds: Worlds) -> None:
    """3.2: readers are served again; of the writers that shared a pipeline saves are proved, deletes are unknown."""
    async with open_lane(worlds, LONG, pool_size=4) as lane:
        store, tenant = lane.store, uuid4()
        sessions = [await store.save(placed(n, tenant)) for n in range(12)]
        ids = [one.session_id for one in sessions]
        await asyncio.gather(*[lane.probe() for _ in range(20)])
        trigger = lane.proxy.after(command("EVALSHA", containing=str(ids[6])), reset)
        found: list[Any] = await asyncio.gather(
            *(store.save(one) for one in sessions[:4]),
            *(store.delete(id, tenant_id=tenant) for id in ids[4:8]),
            *(store.get(id, tenant_id=tenant) for id in ids[8:]),
            return_exceptions=True,
        )
        assert trigger.fired
        assert [getattr(one, "version", one) for one in found[:4]] == [2] * 4
        assert all(one is True or isinstance(one, OutcomeUnknownError) for one in found[4:8]), found[4:8]
        assert isinstance(found[6], OutcomeUnknownError)
        assert [getattr(one, "session_id", one) for one in found[8:]] == ids[8:]
