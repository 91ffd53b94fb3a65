"""``version_of``, and capability ``session_copies``: copies of what another store owns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.conversation.models import Session, Tier
from focal_core.conversation.policy import SessionPolicy
from focal_core.conversation.store import SessionStore
from focal_core.errors import InvalidDataError, TenantRequiredError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.conversation.reads import found_by
from focal_testkit.data.conversation import copied, placed
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

HOT = SessionPolicy().hot_ttl_seconds


async def _get(store: SessionStore, session: Session, **options: Any) -> Session | None:
    return await store.get(session.session_id, tenant_id=session.tenant_id, **options)


async def _tier(store: SessionStore, session: Session) -> Tier | None:
    return await store.tier_of(session.session_id, tenant_id=session.tenant_id)


class CopyContract(ContractBase):
    """``version_of`` and ``put_copy``."""

    @requirement("SESSIONS-060", since="1.1")
    async def test_version_of(self, store: SessionStore, clock: ManualClock) -> None:
        """The version of a session comes with its last activity, as ``get`` would show them; None without a session.

        If this fails: a copy kept elsewhere is taken for the present state, or the present state for another one.
        """
        one = placed()
        assert await store.version_of(one.session_id, tenant_id=OURS) is None
        for version in (1, 2):
            await store.save(one)
            assert await store.version_of(one.session_id, tenant_id=OURS) == (version, clock.now())
            clock.advance(seconds=1)
        assert await store.version_of(one.session_id, tenant_id=THEIRS) is None
        with pytest.raises(TenantRequiredError):
            await store.version_of(one.session_id)

        await store.delete(one.session_id, tenant_id=OURS)
        assert await store.version_of(one.session_id, tenant_id=OURS) is None
        anew = placed()
        await store.save(anew)
        assert await store.version_of(one.session_id, tenant_id=OURS) == (1, clock.now())
        assert anew.expires_at is not None
        clock.set(anew.expires_at)
        assert await store.version_of(one.session_id, tenant_id=OURS) is None

    @requirement("SESSIONS-061", since="1.1", needs="two_tier")
    async def test_version_of_moves_nothing(self, store: SessionStore, clock: ManualClock) -> None:
        """Asking for the version is no use: a cooled session stays cool, a hot one cools in its time.

        If this fails: whoever compares versions keeps every session hot.
        """
        one = placed()
        await store.save(one)
        clock.advance(seconds=HOT - 1)
        assert await store.version_of(one.session_id, tenant_id=OURS) is not None
        clock.advance(seconds=1)
        assert await store.version_of(one.session_id, tenant_id=OURS) is not None

        assert await _tier(store, one) is Tier.PERSIST

    @requirement("SESSIONS-062", since="1.1", needs="session_copies")
    async def test_put_copy(self, store: SessionStore, clock: ManualClock) -> None:
        """A copy is found by its id as it was put, version and times included; nothing that lists knows of it.

        If this fails: a copy is taken for a session of this store, or comes back as another version.
        """
        one = copied(clock, version=7, variables={"n": 1})
        expected = one.model_copy(deep=True)

        assert await store.put_copy(one) is True

        one.variables["n"] = 2
        found = await _get(store, expected)
        assert found == expected
        assert (found.version, found.last_activity_at) == (7, expected.last_activity_at)
        found.variables["n"] = 3
        assert await _get(store, expected, promote=False) == expected
        assert await store.version_of(one.session_id, tenant_id=OURS) == (7, expected.last_activity_at)
        assert await _tier(store, one) is Tier.HOT
        assert await found_by(store, one) == {"get"}
        assert await store.list_tenants() == []

    @requirement("SESSIONS-063", since="1.1", needs="session_copies")
    async def test_copy_is_hot_only(self, store: SessionStore, clock: ManualClock) -> None:
        """A copy is gone the hot time after it was put, promoted or read; a peek or a question does not keep it.

        If this fails: copies pile up, or what is in use is dropped.
        """
        one = copied(clock)
        await store.put_copy(one)
        assert await store.cleanup_expired() == 0
        for use in (_get(store, one), store.promote_to_hot(one.session_id, tenant_id=OURS), store.put_copy(one)):
            clock.advance(seconds=HOT - 1)
            assert await use
        clock.advance(seconds=HOT - 1)
        assert await _get(store, one, promote=False) == one
        assert await store.version_of(one.session_id, tenant_id=OURS) is not None
        assert await _tier(store, one) is Tier.HOT

        clock.advance(seconds=1)

        assert await _get(store, one) is None
        assert await _tier(store, one) is None
        assert await store.promote_to_hot(one.session_id, tenant_id=OURS) is False
        assert await store.cleanup_expired() == 0
        assert await store.put_copy(one) is True

    @requirement("SESSIONS-064", since="1.1", needs="session_copies")
    async def test_copy_ends_with_its_session(self, store: SessionStore, clock: ManualClock) -> None:
        """No copy is found past its session's end, however lately it was used, and none is kept that has ended.

        If this fails: a session outlives its maximum age in the hot tier.
        """
        one = copied(clock, expires_at=clock.now() + timedelta(seconds=HOT // 2))
        assert await store.put_copy(one) is True
        clock.advance(seconds=HOT // 2 - 1)
        assert await _get(store, one) == one

        clock.advance(seconds=1)

        assert await _get(store, one) is None
        assert await store.version_of(one.session_id, tenant_id=OURS) is None
        assert await store.put_copy(one) is False
        assert await _get(store, one) is None
        assert await store.cleanup_expired() == 0
        assert await store.delete(one.session_id, tenant_id=OURS) is False
        anew = copied(clock, version=1)
        assert await store.put_copy(anew) is True
        assert await _get(store, anew) == anew

    @requirement("SESSIONS-065", since="1.1", needs="session_copies")
    async def test_newer_copy_is_kept(self, store: SessionStore, clock: ManualClock) -> None:
        """A copy takes the place of an older or equal version, in full, and never that of a newer one.

        If this fails: of two copies that arrive in the wrong order the older one stays.
        """
        for version, content, kept in (
            (2, "a", True),
            (3, "b", True),
            (2, "c", False),
            (3, "d", True),
            (1, "e", False),
        ):
            assert await store.put_copy(copied(clock, version=version, variables={"by": content})) is kept
            clock.advance(seconds=1)

        found = await _get(store, placed())
        assert found is not None
        assert (found.version, found.variables) == (3, {"by": "d"})

    @requirement("SESSIONS-066", since="1.1", needs="session_copies")
    async def test_copy_of_nothing_refused(self, store: SessionStore, clock: ManualClock) -> None:
        """What was never saved, or is invalid, is refused as a copy and leaves the one there is.

        If this fails: an object that no store has is read as a session.
        """
        one = copied(clock)
        await store.put_copy(one)
        for unsaved in (placed(), placed(version=9), copied(clock, version=0)):
            with pytest.raises(InvalidDataError) as refused:
                await store.put_copy(unsaved)
            assert refused.value.code == "never_saved"
        broken = copied(clock, version=9)
        broken.variables["n"] = object()
        with pytest.raises(InvalidDataError):
            await store.put_copy(broken)

        assert await _get(store, one) == one

    @requirement("SESSIONS-067", since="1.1", needs="session_copies")
    async def test_copy_removed(self, store: SessionStore, clock: ManualClock) -> None:
        """A copy ends when it is deleted or demoted or its tenant is erased, and an older one may be put then.

        If this fails: what was taken back goes on being read.
        """

        async def erase(session_id: Any, *, tenant_id: Any) -> bool:
            await store.erase_tenant(tenant_id)
            return True

        theirs = copied(clock, tenant=THEIRS)
        await store.put_copy(theirs)
        for version, end in ((3, store.delete), (2, store.demote_to_persistent), (1, erase)):
            one = copied(clock, version=version)
            assert await store.put_copy(one) is True
            assert await end(one.session_id, tenant_id=OURS) is True
            assert await _get(store, one) is None
            assert await _tier(store, one) is None
            assert await store.delete(one.session_id, tenant_id=OURS) is False
            assert await store.demote_to_persistent(one.session_id, tenant_id=OURS) is False
        assert await _get(store, theirs) == theirs

    @requirement("SESSIONS-068", since="1.1", needs="session_copies")
    async def test_copies_are_tenant_safe(
        self, store: SessionStore, trusting_store: SessionStore, clock: ManualClock
    ) -> None:
        """Copies of one id live side by side, one per tenant, and a call that names no tenant finds none.

        If this fails: the copy's key is the id alone.
        """
        mine, theirs = copied(clock, version=4), copied(clock, tenant=THEIRS, version=2)
        await store.put_copy(mine)
        assert await _get(store, theirs) is None
        assert await store.delete(mine.session_id, tenant_id=THEIRS) is False
        assert await store.put_copy(theirs) is True
        assert [await _get(store, one) for one in (mine, theirs)] == [mine, theirs]

        await trusting_store.put_copy(mine)
        for call in (trusting_store.get, trusting_store.version_of, trusting_store.tier_of, trusting_store.delete):
            assert not await call(mine.session_id)
        assert await _get(trusting_store, mine) == mine

    @requirement("SESSIONS-069", since="1.1", needs="session_copies")
    async def test_save_replaces_copy(self, store: SessionStore, clock: ManualClock) -> None:
        """A save takes no notice of a copy and puts its own session in its place, for good.

        If this fails: a copy counts as a stored version, or hides what was saved.
        """
        await store.put_copy(copied(clock, version=5, variables={"by": "copy"}))
        one = placed(variables={"by": "save"})

        await store.save(one)

        assert one.version == 1
        assert await _get(store, one) == one
        await store.demote_to_persistent(one.session_id, tenant_id=OURS)
        assert await _get(store, one) == one
