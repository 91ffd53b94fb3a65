"""The tiered store when its hot tier fails: how long it waits, what it answers, what it says, and its return."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.conformance.distant import ID, Distant, World

from focal_core.clock import ManualClock
from focal_core.context import BackendContext, Isolation
from focal_core.conversation.hot_tier import FAILURES, PAUSE, READ_PATIENCE, WRITE_PATIENCE
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Session, Tier
from focal_core.conversation.store import SessionStore
from focal_core.conversation.tiered import TieredSessionStore
from focal_core.deadline import call_started
from focal_core.errors import (
    ConfigurationError,
    InvalidDataError,
    OutcomeUnknownError,
    SchemaOutdatedError,
    StoreUnavailableError,
)
from focal_testkit.contracts.conversation.reads import EVERYWHERE, found_by
from focal_testkit.data.conversation import placed
from focal_testkit.faults.scheduler import run
from focal_testkit.scenarios import OURS

both_modes = pytest.mark.parametrize("verify_hot", [True, False], ids=["verified", "believed"])


async def took(call: Coroutine[Any, Any, Any]) -> tuple[float, Any]:
    """Return the virtual seconds a call took, and its answer."""
    start = asyncio.get_running_loop().time()
    answer = await call
    return round(asyncio.get_running_loop().time() - start, 6), answer


def get(world: World) -> Coroutine[Any, Any, Session | None]:
    return world.store.get(ID, tenant_id=OURS)


@both_modes
def test_a_stalled_hot_store_holds_a_read_for_a_moment_only(verify_hot: bool) -> None:
    """Each of the first reads waits for it as long as it is patient, later ones not at all; then it is used again."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=verify_hot)
        one = await world.create()
        world.hot.fault = "stalled"
        for _ in range(FAILURES):
            assert await took(get(world)) == (READ_PATIENCE, one)
        for _ in range(5):
            assert await took(get(world)) == (0, one)
        assert world.store.counts == {"hot": 0, "durable": FAILURES + 5, "stale": 0, "hot_failures": FAILURES}

        world.hot.recover()
        await asyncio.sleep(PAUSE)
        for _ in range(2):
            assert await took(get(world)) == (0, one)
        assert world.store.counts["hot"] >= 1
        await world.alike()

    run(play, seed=1)


def test_a_stalled_hot_store_holds_a_durable_save_for_a_moment_only() -> None:
    """Saves and deletions wait for it as long as they are patient, and once it is known to fail not at all."""

    async def play() -> None:
        world = World(random.Random(1))
        one = await world.create()
        world.hot.fault = "stalled"
        for n in range(FAILURES):
            assert (await took(world.store.save(one)))[0] == WRITE_PATIENCE
            assert one.version == n + 2
        assert (await took(world.store.save(one)))[0] == 0
        assert await took(world.store.delete(ID, tenant_id=OURS)) == (0, True)
        assert await get(world) is None
        world.hot.recover()
        await world.alike()

    run(play, seed=1)


def test_a_failing_hot_store_is_tried_once_in_a_pause() -> None:
    """While it fails, one call in each pause asks it, however many there are."""

    async def play() -> None:
        world = World(random.Random(1))
        await world.create()
        world.hot.fault = "refused"
        await asyncio.gather(*(get(world) for _ in range(FAILURES)))
        for _ in range(3):
            await asyncio.sleep(PAUSE)
            before = world.hot.calls["get"]
            await asyncio.gather(*(get(world) for _ in range(50)))
            assert world.hot.calls["get"] == before + 1

    run(play, seed=1)


def test_a_hot_read_is_one_call_to_each_tier_at_the_same_time() -> None:
    """The copy and the durable version are asked for together; the session itself is not loaded."""

    async def play() -> None:
        world = World(random.Random(1), delays=(0.1,))
        one = await world.create()
        world.hot.calls.clear()
        world.durable.calls.clear()
        assert await took(get(world)) == (0.2, one)
        assert (world.hot.calls, world.durable.calls) == ({"get": 1}, {"version_of": 1})
        assert world.store.counts == {"hot": 1, "durable": 0, "stale": 0, "hot_failures": 0}

    run(play, seed=1)


def test_what_each_call_costs() -> None:
    """A miss, an absent session, an older copy: no call is made that changes nothing."""

    async def play() -> None:
        world = World(random.Random(1))

        async def calls(call: Coroutine[Any, Any, Any]) -> tuple[dict[str, int], dict[str, int]]:
            world.hot.calls, world.durable.calls = {}, {}
            await call
            return world.hot.calls, world.durable.calls

        one = placed()
        assert await calls(world.store.save(one)) == ({"put_copy": 1}, {"save": 1})
        photograph = world.hot.photograph()
        await world.store.save(one)
        photograph()
        assert await calls(get(world)) == ({"get": 1, "put_copy": 1}, {"version_of": 1, "get": 1})
        world.hot.lose_everything()
        assert await calls(get(world)) == ({"get": 1, "put_copy": 1}, {"version_of": 1, "get": 1})
        assert await calls(world.store.get(placed(7).session_id, tenant_id=OURS)) == ({"get": 1}, {"version_of": 1})
        assert await calls(world.store.delete(ID, tenant_id=OURS)) == ({"delete": 1}, {"delete": 1})

        world = World(random.Random(1), verify_hot=False)
        assert await calls(world.store.save(placed())) == ({"put_copy": 1}, {"save": 1})
        assert await calls(get(world)) == ({"get": 1}, {})
        assert world.store.counts == {"hot": 1, "durable": 0, "stale": 0, "hot_failures": 0}
        assert await calls(world.store.delete(ID, tenant_id=OURS)) == ({"put_copy": 1}, {"delete": 1})

    run(play, seed=1)


def test_a_sleeping_hot_store_holds_nothing() -> None:
    """While it is known to fail, no call waits for it."""

    async def play() -> None:
        world = World(random.Random(1))
        await world.create()
        world.hot.fault = "stalled"
        for _ in range(FAILURES):
            await get(world)
        for call in (
            get(world),
            world.store.get(ID, tenant_id=OURS, promote=False),
            world.store.get_by_channel(OURS, placed().channel, placed().user_channel_id),
            world.store.tier_of(ID, tenant_id=OURS),
            world.store.list_tenants(),
            world.store.cleanup_expired(),
            world.store.delete(ID, tenant_id=OURS),
        ):
            assert (await took(call))[0] == 0
        world.hot.recover()

    run(play, seed=1)


def test_a_read_that_a_save_overtakes_takes_the_newer_copy_for_what_it_is() -> None:
    """A copy newer than the version asked for may be right: it stays, and is not counted as old."""

    async def play() -> None:
        world = World(random.Random(1))
        one = await world.create()
        plain = world.hot.get

        async def late(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(READ_PATIENCE / 2)
            del world.hot.get
            await world.store.save(one)
            return await plain(*args, **kwargs)

        world.hot.get = late
        found = await get(world)
        assert found == one
        assert found is not None
        assert found.version == 2
        assert world.store.counts == {"hot": 0, "durable": 1, "stale": 0, "hot_failures": 0}
        assert "demote_to_persistent" not in world.hot.calls

    run(play, seed=1)


def test_nothing_is_left_in_the_hot_store_of_what_is_gone() -> None:
    """Deleted, demoted and expired sessions have no copy, whatever the durable store answers."""

    async def play() -> None:
        world = World(random.Random(1))
        await world.create()
        await world.store.demote_to_persistent(ID, tenant_id=OURS)
        assert world.hot.store._copies == {}
        await get(world)
        await world.store.delete(ID, tenant_id=OURS)
        assert world.hot.store._copies == {}
        one = await world.create()
        assert one.expires_at is not None
        assert len(world.hot.store._copies) == 1
        world.context.clock.set(one.expires_at)
        assert await world.store.cleanup_expired() == 1
        assert world.hot.store._copies == {}

    run(play, seed=1)


@both_modes
def test_the_durable_stores_own_tiers_are_left_alone(verify_hot: bool) -> None:
    """A read through the tiers is no use of the session in the durable store, which may have tiers itself."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=verify_hot)
        world.store.context = replace(world.context, isolation=Isolation.TRUSTING)
        world.durable.store.context = world.store.context
        await world.create()
        for move in (world.store.promote_to_hot, world.store.get, world.store.tier_of):
            for named in ({"tenant_id": OURS}, {}):
                await world.durable.store.demote_to_persistent(ID, tenant_id=OURS)
                world.hot.lose_everything()
                assert await move(ID, **named)
                assert await world.durable.store.tier_of(ID, tenant_id=OURS) is Tier.PERSIST

    run(play, seed=1)


def test_a_session_read_without_its_tenant_becomes_hot_too() -> None:
    """Where a tenant may be omitted the durable store says whose the session is; the copy has its tenant."""

    async def play() -> None:
        world = World(random.Random(1))
        world.durable.store.context = replace(world.context, isolation=Isolation.TRUSTING)
        one = await world.create()
        world.hot.lose_everything()
        world.hot.calls = {}
        assert await world.store.get(ID, promote=False) == one
        assert world.hot.calls == {}
        assert await world.store.get(ID) == one
        assert world.hot.calls == {"put_copy": 1}
        assert await world.store.tier_of(ID) is Tier.HOT

    run(play, seed=1)


def test_a_call_that_is_given_up_is_cancelled() -> None:
    """Nothing goes on behind a read that stopped waiting, and nothing is remembered of calls that ended."""

    async def play() -> None:
        world = World(random.Random(1))
        one = await world.create()
        ends: list[str] = []

        async def endless(*args: Any, **kwargs: Any) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ends.append("cancelled")

        world.hot.get = endless
        assert await get(world) == one
        await asyncio.sleep(0)
        assert ends == ["cancelled"]
        waiting = asyncio.ensure_future(get(world))
        await asyncio.sleep(READ_PATIENCE / 2)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0.01)
        assert ends == ["cancelled"] * 2
        assert world.store._tier._tasks == set()

    run(play, seed=1)


def test_a_cancelled_save_is_settled_behind_its_callers_back() -> None:
    """Without verify_hot a copy that may be old is fenced off; drain waits for that, and not for ever."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=False, delays=(0.02,))
        one = await world.create()
        save = asyncio.ensure_future(world.store.save(one))
        await asyncio.sleep(0.03)
        save.cancel()
        await asyncio.gather(save, return_exceptions=True)
        assert (await took(world.store.drain()))[0] == 0.04
        found = await get(world)
        assert found is not None
        assert found.version == 2

        world.hot.fault = "stalled"
        save = asyncio.ensure_future(world.store.save(found))
        await asyncio.sleep(0.03)
        save.cancel()
        await asyncio.gather(save, return_exceptions=True)
        assert (await took(world.store.drain()))[0] == WRITE_PATIENCE
        world.hot.recover()

    run(play, seed=1)


def test_a_copy_that_is_refused_is_fenced_off() -> None:
    """Without verify_hot: where the new copy is not taken, the old one is ended, and the save is done."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=False)
        one = await world.create()
        plain = world.hot.put_copy

        async def picky(session: Session) -> bool:
            if session.version == 2 and session.variables:
                raise InvalidDataError("too large")
            return bool(await plain(session))

        world.hot.put_copy = picky
        assert (await world.store.save(one)).version == 2
        found = await get(world)
        assert found == one
        assert world.store.counts["durable"] == 1

    run(play, seed=1)


def test_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins to be left alone, however many calls fail, and one more at the next outage."""

    async def play() -> None:
        world = World(random.Random(1))
        await world.create()
        for _ in range(2):
            world.hot.fault = "refused"
            for _ in range(FAILURES + 5):
                await get(world)
                await asyncio.sleep(PAUSE)
            world.hot.recover()
            await get(world)

    run(play, seed=1)
    said = [record.getMessage() for record in caplog.records if record.name == "focal.sessions"]
    assert len(said) == 2
    assert "StoreUnavailableError (connection_refused)" in said[0]


def test_a_peek_asks_the_durable_store_alone() -> None:
    """promote=False is no use of the session: the hot store need not know."""

    async def play() -> None:
        world = World(random.Random(1))
        one = await world.create()
        world.hot.calls.clear()
        assert await world.store.get(ID, tenant_id=OURS, promote=False) == one
        assert world.hot.calls == {}

    run(play, seed=1)


def test_without_the_durable_store_there_is_no_answer() -> None:
    """A copy that cannot be compared is not returned, and nobody goes on waiting for it."""

    async def play() -> None:
        world = World(random.Random(1))
        one = await world.create()
        world.hot.fault = "stalled"
        world.durable.fault = "refused"
        for call in (
            get(world),
            world.store.save(one),
            world.store.delete(ID, tenant_id=OURS),
            found_by(world.store, one),
        ):
            with pytest.raises(StoreUnavailableError) as failed:
                await call
            assert not isinstance(failed.value, OutcomeUnknownError)
        assert one.version == 1
        assert (await took(world.store.drain()))[0] == 0
        world.hot.recover()
        world.durable.recover()
        assert await get(world) == one

    run(play, seed=1)


def test_a_believed_copy_needs_no_durable_store() -> None:
    """Without verify_hot the hot store alone answers reads of what is in use."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=False)
        one = await world.create()
        world.durable.fault = "refused"
        assert await get(world) == one

    run(play, seed=1)


def test_old_data_that_comes_back_is_replaced() -> None:
    """A copy of an earlier version, or of a session deleted since, is not returned and does not stay."""

    async def play() -> None:
        world = World(random.Random(1))
        one = await world.create()
        restore = world.hot.photograph()
        await world.store.save(one)
        restore()
        assert await get(world) == one
        assert world.store.counts == {"hot": 0, "durable": 1, "stale": 1, "hot_failures": 0}
        assert await get(world) == one
        assert world.store.counts["hot"] == 1

        await world.store.delete(ID, tenant_id=OURS)
        restore()
        assert await found_by(world.store, one) == set()
        assert await world.hot.store.get(ID, tenant_id=OURS) is None

        restore()
        anew = await world.create()
        assert anew.version == 1
        assert await get(world) == anew

    run(play, seed=1)


def test_a_durable_store_that_was_set_back_decides() -> None:
    """A copy newer than what the durable store has is no session: after a restore from a backup it is dropped."""

    async def play() -> None:
        world = World(random.Random(1))
        one = await world.create()
        backup = world.durable.store._sessions.get(OURS, ID)
        for _ in range(3):
            await world.store.save(one)
        world.durable.store._sessions.put(backup)
        for version in (1, 1):
            found = await get(world)
            assert found is not None
            assert found.version == version
        assert world.store.counts == {"hot": 1, "durable": 1, "stale": 1, "hot_failures": 0}

    run(play, seed=1)


class _Unreadable(InMemorySessionStore):
    """Copies of version 1 were written by another release."""

    async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
        found = await super().get(session_id, tenant_id=tenant_id, promote=promote)
        if found is not None and found.version == 1:
            raise SchemaOutdatedError("another release's frame")
        return found


def test_an_unreadable_copy_harms_its_own_session_only() -> None:
    """The durable store answers, and the hot store goes on being used for all others."""

    async def play() -> None:
        world = World(random.Random(1), hot=_Unreadable)
        for n in range(2 * FAILURES):
            one = placed(n)
            await world.store.save(one)
            assert await world.store.get(one.session_id, tenant_id=OURS) == one
        await world.store.save(one)
        assert await world.store.get(one.session_id, tenant_id=OURS) == one
        assert world.store.counts == {"hot": 1, "durable": 6, "stale": 0, "hot_failures": 6}
        assert world.hot.calls["demote_to_persistent"] == 6

    run(play, seed=1)


def test_believed_copies_that_cannot_be_refreshed_are_told() -> None:
    """The write is durable, the error says so, and the same call again makes both tiers alike."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=False)
        one = await world.create()
        world.hot.fault = "refused"
        with pytest.raises(OutcomeUnknownError) as lost:
            await world.store.save(one)
        assert (lost.value.code, lost.value.written, lost.value.retryable) == ("hot_tier_lost", True, True)
        assert one.version == 2
        assert await world.durable.store.version_of(ID, tenant_id=OURS) == (2, one.last_activity_at)
        with pytest.raises(OutcomeUnknownError) as forced:
            await world.store.save(one, force=True)
        assert (forced.value.written, forced.value.retryable) == (True, False)
        world.hot.recover()
        await world.store.save(one)
        await world.alike()

        world.hot.fault = "stalled"
        elapsed, lost_in_time = await took(_error(world.store.delete(ID, tenant_id=OURS)))
        assert (elapsed, lost_in_time.code) == (WRITE_PATIENCE, "hot_tier_lost")
        world.hot.recover()
        assert await world.store.delete(ID, tenant_id=OURS) is False
        await world.alike()
        assert await get(world) is None

    run(play, seed=1)


def test_a_save_that_is_done_is_not_undone_by_what_follows() -> None:
    """What goes wrong after the durable save, while the copy is being put, is no error of the save."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=False)
        await world.create()
        await world.store.delete(ID, tenant_id=OURS)

        async def unavailable(*args: Any, **kwargs: Any) -> None:
            raise StoreUnavailableError("no answer")

        world.durable.get = unavailable
        anew = placed()
        assert (await world.store.save(anew)).version == 1
        del world.durable.get
        assert await get(world) == anew

    run(play, seed=1)


async def _error(call: Coroutine[Any, Any, Any]) -> OutcomeUnknownError:
    with pytest.raises(OutcomeUnknownError) as raised:
        await call
    return raised.value


@both_modes
def test_a_save_whose_reply_was_lost_is_repeated_through_the_tiers(verify_hot: bool) -> None:
    """The object keeps its write token: the repeat finds its own write, and what is copied is what the store has."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=verify_hot)
        one = await world.create()
        world.durable.fault = "lost"
        with pytest.raises(OutcomeUnknownError):
            await world.store.save(one)
        assert one.version == 1
        # Compared copies need no fence; a believed one must have gone before the caller hears of the doubt.
        assert world.hot.calls == ({"put_copy": 1} if verify_hot else {"put_copy": 2})
        world.durable.recover()
        found = await get(world)
        assert found is not None
        assert (found.version, world.store.counts["hot"]) == (2, 0)

        saved = await world.store.save(one)

        assert (saved.version, one.version) == (2, 2)
        assert await get(world) == one == saved
        assert await world.store.tier_of(ID, tenant_id=OURS) is Tier.HOT
        await world.alike()
        other = await get(world)
        assert other is not None
        other.variables["n"] = 1
        await world.store.save(other)
        assert other.version == 3

    run(play, seed=1)


def test_a_forced_save_in_doubt_ends_every_copy() -> None:
    """A forced save may have followed any version: without verify_hot no copy there is can be believed."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=False)
        old = await world.create()
        new = old.model_copy(deep=True)
        for _ in range(3):
            await world.store.save(new)
        world.durable.fault = "lost"
        with pytest.raises(OutcomeUnknownError):
            await world.store.save(old, force=True)
        world.durable.recover()
        found = await get(world)
        assert found is not None
        assert found.version == 5

    run(play, seed=1)


@both_modes
def test_erasing_a_tenant_is_told_to_be_unfinished(verify_hot: bool) -> None:
    """Copies of an erased tenant's sessions that may be left are an error, and the call again ends them."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=verify_hot)
        await world.create()
        world.hot.fault = "refused"
        lost = await _error(world.store.erase_tenant(OURS))
        assert (lost.code, lost.written, lost.retryable) == ("hot_tier_lost", True, True)
        world.hot.recover()
        assert await world.store.erase_tenant(OURS) == 0
        assert await world.hot.store.get(ID, tenant_id=OURS) is None

    run(play, seed=1)


@both_modes
def test_moving_between_tiers_needs_both(verify_hot: bool) -> None:
    """What was asked of the hot tier alone fails with it, retryably, and loses nothing."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=verify_hot)
        one = await world.create()
        world.hot.fault = "refused"
        for move in (world.store.promote_to_hot, world.store.demote_to_persistent):
            with pytest.raises(StoreUnavailableError) as failed:
                await move(ID, tenant_id=OURS)
            assert (failed.value.code, failed.value.retryable) == ("hot_tier_unavailable", True)
            assert await move(placed(5).session_id, tenant_id=OURS) is False
        assert await world.store.tier_of(ID, tenant_id=OURS) is Tier.PERSIST
        assert await found_by(world.store, one) == EVERYWHERE
        world.hot.recover()
        await asyncio.sleep(PAUSE)
        assert await world.store.promote_to_hot(ID, tenant_id=OURS) is True
        assert await world.store.tier_of(ID, tenant_id=OURS) is Tier.HOT

    run(play, seed=1)


def test_a_hot_store_whose_clock_is_behind_keeps_no_session_alive() -> None:
    """When a session ends is for the durable store to say."""

    async def play() -> None:
        clock = ManualClock()
        context = BackendContext(clock=clock)
        behind = replace(context, clock=ManualClock(clock.now() - timedelta(days=1)))
        store = TieredSessionStore(InMemorySessionStore(behind), InMemorySessionStore(context), context)
        one = placed()
        await store.save(one)
        assert one.expires_at is not None
        clock.set(one.expires_at)
        assert await found_by(store, one) == set()
        assert await store.tier_of(ID, tenant_id=OURS) is None

    run(play, seed=1)


@both_modes
def test_health_tells_of_a_failing_hot_tier_and_of_its_recovery(verify_hot: bool) -> None:
    """It is degraded from the first failure, and well again as soon as the hot store answers, without any traffic."""

    async def play() -> None:
        world = World(random.Random(1), verify_hot=verify_hot)
        await world.create()
        assert (await world.store.health_check()).ok
        world.hot.fault = "stalled"
        elapsed, failing = await took(world.store.health_check())
        assert (elapsed, failing.ok) == (WRITE_PATIENCE, False)
        assert "hot_failures 1" in (failing.detail or "")
        world.hot.recover()
        assert (await world.store.health_check()).ok

    run(play, seed=1)


def test_the_hot_tier_has_a_time_of_its_own() -> None:
    """However long the durable store took, what is asked of the hot store afterwards counts its deadline anew."""

    class Noting(InMemorySessionStore):
        begun: list[float]

        async def put_copy(self, session: Session) -> bool:
            self.begun.append(asyncio.get_running_loop().time() - call_started())
            return await super().put_copy(session)

    async def play() -> None:
        context = BackendContext()
        hot, durable = Noting(context), Distant(InMemorySessionStore(context), delays=(5.0,))
        hot.begun = []
        store = TieredSessionStore(hot, durable, context)  # type: ignore[arg-type]
        await store.save(placed())
        assert hot.begun == [0]

    run(play, seed=1)


def test_a_busy_process_is_not_held_against_the_hot_store() -> None:
    """Time in which the event loop had no time to look at answers does not count."""

    async def play() -> None:
        world = World(random.Random(1))
        one = await world.create()
        loop: Any = asyncio.get_running_loop()

        async def hog() -> None:
            for _ in range(20):
                loop._now += 2 * READ_PATIENCE
                await asyncio.sleep(0)

        busy = asyncio.ensure_future(hog())
        for _ in range(3):
            assert await get(world) == one
        await busy
        assert world.store.counts == {"hot": 3, "durable": 0, "stale": 0, "hot_failures": 0}

    for seed in range(50):
        run(play, seed=seed)


def test_a_call_the_hot_store_cancels_is_no_cancellation_of_ours() -> None:
    """A client that is shut down under a call ends it so; the caller is answered all the same."""

    class Closing(InMemorySessionStore):
        async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
            raise asyncio.CancelledError

    async def play() -> None:
        world = World(random.Random(1))
        world.store._hot = Closing(world.context)
        one = await world.create()
        assert await get(world) == one
        assert world.store.counts == {"hot": 0, "durable": 1, "stale": 0, "hot_failures": 1}

    run(play, seed=1)


def test_only_a_store_that_keeps_copies_can_be_hot() -> None:
    """What lacks the capability is refused when the tiers are put together."""

    class Plain(InMemorySessionStore):
        capabilities = frozenset({"two_tier"})

    context = BackendContext()
    with pytest.raises(ConfigurationError, match="Plain cannot be a hot tier of sessions: it lacks session_copies"):
        TieredSessionStore(Plain(context), InMemorySessionStore(context), context)


def test_the_tiered_store_can_do_what_its_durable_store_can() -> None:
    """Capabilities are the durable store's, and two tiers; copies of others it does not keep."""

    class Lasting(InMemorySessionStore):
        capabilities = frozenset({"durable", "session_copies"})

    context = BackendContext()
    store: SessionStore = TieredSessionStore(InMemorySessionStore(context), Lasting(context), context)
    assert store.capabilities == {"durable", "two_tier"}
