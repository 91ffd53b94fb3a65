"""Compare-and-swap: no update is lost, no repeat is refused, no force is silent."""

from __future__ import annotations

import asyncio

import pytest

from focal_core.clock import ManualClock
from focal_core.conversation.lifecycle import write_token
from focal_core.conversation.models import SessionStatus
from focal_core.conversation.store import SessionStore
from focal_core.errors import ConflictError, InvalidDataError, StaleVersionError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.conversation import STEP, session, visit
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

_WRITERS, _ROUNDS = 8, 4


class VersionContract(ContractBase):
    """``Session.version``, ``StaleVersionError``, ``force`` and the write token."""

    @requirement("SESSIONS-010", since="1.0")
    async def test_version_advances_in_place(self, store: SessionStore, clock: ManualClock) -> None:
        """Each save raises the version by exactly 1 and sets it, with the times, on the object passed in (INV-SE4).

        Nothing else of the object changes: containers the caller holds stay the object's own.

        If this fails: the caller must load the session again after every save.
        """
        one = session(variables={"n": 1}, step_history=[visit(STEP, clock.now())])
        began, variables, history = clock.now(), one.variables, one.step_history
        for version in (1, 2, 3):
            returned = await store.save(one)

            assert one.version == version
            assert returned == one
            assert returned is not one
            assert (one.created_at, one.last_activity_at) == (began, clock.now())
            assert one.expires_at is not None
            assert one.variables is variables
            assert one.step_history is history
            found = await store.get(one.session_id, tenant_id=OURS)
            assert found == one
            clock.advance(seconds=1)

    @requirement("SESSIONS-011", since="1.0")
    async def test_stale_save(self, store: SessionStore) -> None:
        """A save on another version than the stored one is refused with both versions told, and writes nothing.

        If this fails: the later of two writers silently undoes the earlier one.
        """
        mine = session()
        await store.save(mine)
        theirs = await store.get(mine.session_id, tenant_id=OURS)
        assert theirs is not None
        theirs.variables["by"] = "the other"
        await store.save(theirs)
        mine.variables["by"] = "me"

        with pytest.raises(StaleVersionError) as refused:
            await store.save(mine)

        assert (refused.value.expected, refused.value.actual, refused.value.retryable) == (1, 2, False)
        assert await store.get(mine.session_id, tenant_id=OURS) == theirs

    @requirement("SESSIONS-012", since="1.0")
    async def test_new_with_existing_id_stale(self, store: SessionStore) -> None:
        """Version 0 stands for "not stored yet", and a version above it for "stored": both are held to it.

        If this fails: a new session replaces one that has its id, or a deleted one comes back.
        """
        await store.save(session(variables={"first": 1}))
        await store.save(session(2, THEIRS))

        with pytest.raises(StaleVersionError) as new:
            await store.save(session())
        with pytest.raises(StaleVersionError) as old:
            await store.save(session(2, version=1))

        assert (new.value.expected, new.value.actual) == (0, 1)
        assert (old.value.expected, old.value.actual) == (1, 0)
        found = await store.get(session().session_id, tenant_id=OURS)
        assert found is not None
        assert found.variables == {"first": 1}
        assert await store.get(session(2).session_id, tenant_id=OURS) is None

    @requirement("SESSIONS-013", since="1.0")
    async def test_lost_update_prevented(self, store: SessionStore) -> None:
        """Of any number of concurrent writers that load, change and save again until it succeeds, none is lost.

        If this fails: comparing and writing are two steps, or equal content passes for one's own write.
        """
        await store.save(session())

        async def write() -> None:
            done = 0
            while done < _ROUNDS:
                loaded = await store.get(session().session_id, tenant_id=OURS)
                assert loaded is not None
                await asyncio.sleep(0)
                loaded.turn_count += 1
                try:
                    await store.save(loaded)
                except StaleVersionError:
                    continue
                done += 1

        await asyncio.gather(*(write() for _ in range(_WRITERS)))

        found = await store.get(session().session_id, tenant_id=OURS)
        assert found is not None
        assert (found.turn_count, found.version) == (_WRITERS * _ROUNDS, _WRITERS * _ROUNDS + 1)

    @requirement("SESSIONS-014", since="1.0")
    async def test_force_last_write_wins(self, store: SessionStore, clock: ManualClock) -> None:
        """A forced save is stored whatever version is there, and gets the version after it; also when none is there.

        If this fails: force is ignored, or sets the version back so that a stale writer passes.
        """
        old = session()
        await store.save(old)
        newer = await store.get(old.session_id, tenant_id=OURS)
        assert newer is not None
        for _ in range(3):
            await store.save(newer)
        old.variables["forced"] = True

        returned = await store.save(old, force=True)

        assert returned.version == old.version == 5
        found = await store.get(old.session_id, tenant_id=OURS)
        assert found == old
        assert found is not None
        assert found.variables == {"forced": True}
        with pytest.raises(StaleVersionError):
            await store.save(newer)
        clock.advance(seconds=1)
        anew = session(variables={"anew": 1})
        await store.save(anew, force=True)
        assert (anew.version, anew.created_at) == (6, old.created_at)
        unknown = session(9, version=7)
        assert (await store.save(unknown, force=True)).version == 1

    @requirement("SESSIONS-015", since="1.0")
    async def test_lost_reply_retry_succeeds(self, store: SessionStore, clock: ManualClock) -> None:
        """A save repeated because its reply was lost succeeds without a second effect.

        If this fails: the write token is not stored beside the version, or not compared.
        """
        one = session(variables={"n": 1})
        for version in (1, 2):
            write_token(one)
            without_reply = one.model_copy(deep=True)
            await store.save(one)
            clock.advance(seconds=3)

            returned = await store.save(without_reply)

            assert returned == one == without_reply
            assert returned.version == version
            assert await store.get(one.session_id, tenant_id=OURS) == one
            one = without_reply
            one.variables["n"] += 1
        assert (await store.save(one)).version == 3

    @requirement("SESSIONS-016", since="1.0")
    async def test_equal_content_is_no_proof(self, store: SessionStore) -> None:
        """Two writers that write equal content from one version at one instant are two: the second is refused.

        If this fails: a counter that both of them raised is raised once, and both are told that it worked.
        """
        await store.save(session())
        first = await store.get(session().session_id, tenant_id=OURS)
        second = await store.get(session().session_id, tenant_id=OURS)
        assert first is not None
        assert second is not None
        for one in (first, second):
            one.turn_count += 1
        await store.save(first)

        with pytest.raises(StaleVersionError):
            await store.save(second)

        with pytest.raises(StaleVersionError):
            await store.save(session())

    @requirement("SESSIONS-017", since="1.0")
    async def test_token_alone_is_no_proof(self, store: SessionStore) -> None:
        """A repeat with other content, or after a further save, is refused; from then on it is no repeat any more.

        If this fails: a change made between the tries is dropped in silence, or an old write counts as the present.
        """
        one = session(variables={"n": 1})
        write_token(one)
        changed, late, elsewhere = (one.model_copy(deep=True) for _ in range(3))
        await store.save(one)
        elsewhere.version = 5
        with pytest.raises(StaleVersionError):
            await store.save(elsewhere)
        changed.variables["n"] = 2
        with pytest.raises(StaleVersionError):
            await store.save(changed)
        changed.variables["n"] = 1
        with pytest.raises(StaleVersionError):
            await store.save(changed)
        await store.save(one)

        with pytest.raises(StaleVersionError) as refused:
            await store.save(late)

        assert (refused.value.expected, refused.value.actual) == (0, 2)
        found = await store.get(one.session_id, tenant_id=OURS)
        assert found == one

    @requirement("SESSIONS-018", since="1.0")
    async def test_failed_save_changes_nothing(self, store: SessionStore, clock: ManualClock) -> None:
        """A refused save leaves the object passed in as it was, ready to be looked at.

        If this fails: version or times are set before the write is certain.
        """
        stored = session(status=SessionStatus.CLOSED)
        await store.save(stored)
        clock.advance(seconds=9)
        stale = session(variables={"mine": 1})
        reopened = stored.model_copy(deep=True)
        reopened.status = SessionStatus.IDLE
        too_long = session(5, variables={"long": "x" * 2_000_000})
        for one, error in ((stale, StaleVersionError), (reopened, ConflictError), (too_long, InvalidDataError)):
            before = one.model_dump()

            with pytest.raises(error):
                await store.save(one)

            assert one.model_dump() == before
        assert await store.get(stored.session_id, tenant_id=OURS) == stored
        assert await store.get(too_long.session_id, tenant_id=OURS) is None

    @requirement("SESSIONS-019", since="1.0")
    async def test_saves_of_two_tenants(self, store: SessionStore) -> None:
        """Saving a session again leaves another tenant's of the same id, agent and version as it was.

        If this fails: the statement that replaces a session does not carry the tenant.
        """
        mine, theirs = session(), session(tenant=THEIRS)
        for one in (mine, theirs):
            await store.save(one)
        theirs.variables["by"] = "the other"

        await store.save(theirs)

        assert await store.get(mine.session_id, tenant_id=OURS) == mine
        assert await store.get(theirs.session_id, tenant_id=THEIRS) == theirs
