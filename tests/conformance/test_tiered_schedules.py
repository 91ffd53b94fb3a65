"""The tiered store under every order of events: what is read is always explained by what was saved and deleted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from tests.conformance.distant import World, flawed, schedules

from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Session
from focal_core.conversation.tiered import TieredSessionStore

QUICK, SLOW = (0,), (0, 0, 0, 0, 0.09)
"""Seconds a way over the network may take; there and back is less than the tiered store waits for its hot tier."""

Story = Callable[[World], Coroutine[Any, Any, None]]


class Careless(TieredSessionStore):
    """Nothing keeps late copies out."""

    async def _fence(self, tenant_id: UUID, session_id: UUID, version: int) -> bool:
        return await self._end_copy(tenant_id, session_id)


class Undoubting(TieredSessionStore):
    """A write of unknown outcome is taken for one that did nothing."""

    @asynccontextmanager
    async def _fenced_in_doubt(self, tenant_id: UUID, session_id: UUID, version: int) -> AsyncIterator[None]:
        yield


class LastCopyWins(InMemorySessionStore):
    """Copies take each other's place as they come."""

    async def put_copy(self, session: Session) -> bool:
        self._cool(session.tenant_id, session.session_id)
        return await super().put_copy(session)


async def fill_against_save(world: World) -> None:
    """Readers that find the hot store empty, and writers."""
    await world.create()
    world.hot.lose_everything()
    await asyncio.gather(world.load(), world.update(), world.load(), world.update(), world.load())
    await asyncio.gather(world.load(), world.update())


async def fill_against_delete(world: World) -> None:
    """Readers that find the hot store empty, a writer and a deletion."""
    await world.create()
    world.hot.lose_everything()
    await asyncio.gather(world.load(), world.update(), world.delete(), world.load())
    await asyncio.gather(world.load(), world.load())


async def used_again(world: World) -> None:
    """The id of a deleted session is used again while its last readers and writers are on their way."""
    await world.create()

    async def again() -> None:
        await world.delete()
        await world.create()
        await world.update()

    await asyncio.gather(world.load(), world.update(), again(), world.load())
    await world.load()


async def demotion(world: World) -> None:
    """A session is saved and demoted while readers that found the hot store empty are on their way."""
    await world.create()
    world.hot.lose_everything()

    async def save_and_demote() -> None:
        await world.update()
        await world.demote()

    await asyncio.gather(world.load(), save_and_demote(), world.load())
    await asyncio.gather(world.load(), world.demote(), world.update())
    await world.load()


async def cancelled_save(world: World) -> None:
    """A save is cancelled at some point, while others read."""
    await world.create()
    one = await world.load()
    assert one is not None
    save = asyncio.ensure_future(world.save(one))
    loads = asyncio.gather(world.load(), world.load())
    for _ in range(world.chance.randrange(20)):
        await asyncio.sleep(0)
    save.cancel()
    await asyncio.gather(save, loads, return_exceptions=True)
    await world.store.drain()
    await world.load()


async def cancelled_deletion(world: World) -> None:
    """A deletion is cancelled at some point, while others read and save."""
    await world.create()
    deletion = asyncio.ensure_future(world.delete())
    others = asyncio.gather(world.load(), world.update())
    for _ in range(world.chance.randrange(20)):
        await asyncio.sleep(0)
    deletion.cancel()
    await asyncio.gather(deletion, others, return_exceptions=True)
    await world.store.drain()
    await world.load()


async def lost_reply(world: World) -> None:
    """The durable store saves or deletes, and its reply is lost, while others read; some repeat what was in doubt."""
    await world.create()
    one = await world.load()
    assert one is not None
    world.durable.fault = "lost"
    write = world.delete() if world.chance.random() < 0.3 else world.save(one)
    await asyncio.gather(write, world.load())
    world.durable.recover()
    if world.chance.random() < 0.5:
        await world.save(one, again=True)
    await asyncio.gather(world.load(), world.load())


async def unreliable_hot_store(world: World) -> None:
    """The hot store refuses, stalls, loses replies and comes back with nothing or with what it had long ago."""
    await world.create()
    restore = world.hot.photograph()

    async def weather() -> None:
        for _ in range(4):
            world.hot.fault = world.chance.choice(["", "refused", "stalled", "lost"])
            await asyncio.sleep(world.chance.choice([0, 0.1, 0.6]))
            world.chance.choice([restore, world.hot.lose_everything, lambda: None])()
            world.hot.recover()
            await asyncio.sleep(world.chance.choice([0, 0.1, 1.2]))

    async def user() -> None:
        for _ in range(4):
            await world.update()
            await asyncio.sleep(world.chance.choice([0, 0.3]))

    async def ending() -> None:
        await asyncio.sleep(1)
        await world.delete()
        await world.create()

    await asyncio.gather(weather(), user(), user(), ending())


def _scenario(story: Story, *args: Any, **kwargs: Any) -> Callable[[random.Random], Coroutine[Any, Any, None]]:
    async def run(chance: random.Random) -> None:
        world = World(chance, *args, **kwargs)
        await story(world)
        await world.end()

    return run


ALWAYS = [fill_against_save, fill_against_delete, used_again, demotion, cancelled_save, cancelled_deletion, lost_reply]


@pytest.mark.parametrize("delays", [QUICK, SLOW], ids=["quick", "slow"])
@pytest.mark.parametrize("story", [*ALWAYS, unreliable_hot_store])
def test_compared_copies_never_show_an_old_state(story: Story, delays: tuple[float, ...]) -> None:
    """With verify_hot every answer is explained by one order of the calls, whatever the hot store does."""
    schedules(_scenario(story, delays=delays))


@pytest.mark.parametrize("delays", [QUICK, SLOW], ids=["quick", "slow"])
@pytest.mark.parametrize("story", ALWAYS)
def test_believed_copies_show_no_old_state_while_the_hot_store_works(story: Story, delays: tuple[float, ...]) -> None:
    """Without verify_hot it is so too, but for an id that is used again while its old copies are on a slow way."""
    schedules(_scenario(story, verify_hot=False, delays=QUICK if story is used_again else delays))


@pytest.mark.parametrize("story", [*ALWAYS[1:6], unreliable_hot_store])
def test_control_unsafe_copies_are_noticed(story: Story) -> None:
    """The stories see a tiered store that believes copies and keeps none of the late ones out."""
    assert flawed(_scenario(story, Careless, verify_hot=False, delays=SLOW))


def test_control_a_write_in_doubt_is_noticed() -> None:
    """The story of the lost reply sees a tiered store that leaves the old copy where it is."""
    assert flawed(_scenario(lost_reply, Undoubting, verify_hot=False))


def test_a_hot_store_that_keeps_no_order_is_harmless_where_copies_are_compared() -> None:
    """put_copy's order is what believed copies rest on; compared ones do without."""
    schedules(_scenario(fill_against_save, hot=LastCopyWins))
    assert flawed(_scenario(fill_against_save, hot=LastCopyWins, verify_hot=False))
