"""The end of a session: idle too long, too old, cleaned up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.conversation.policy import SessionPolicy
from focal_core.conversation.store import SessionStore
from focal_core.errors import InvalidDataError, StaleVersionError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.conversation.reads import EVERYWHERE, found_by
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import placed
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

IDLE, MAX_AGE = 600, 3_600
"""Seconds; the idle time is the shorter by far."""


class ExpiryContract(ContractBase):
    """Idle TTL, maximum age, ``expires_at`` and ``cleanup_expired``."""

    @pytest_asyncio.fixture
    async def brief_store(self, context: BackendContext) -> AsyncIterator[SessionStore]:
        """Yield an empty store whose sessions live for 10 minutes idle and an hour at most."""
        policy = SessionPolicy(hot_ttl_seconds=60, idle_ttl_seconds=IDLE, max_session_age_seconds=MAX_AGE)
        async with self.open_store(replace(context, session_policy=policy)) as store:
            yield store

    @requirement("SESSIONS-040", since="1.0")
    async def test_idle_ttl_sliding(self, brief_store: SessionStore, clock: ManualClock) -> None:
        """A session is gone the idle time after its last save; every save postpones that.

        If this fails: the time runs from creation, or a session is gone a moment too soon or too late.
        """
        one = placed()
        for _ in range(3):
            await brief_store.save(one)
            assert one.expires_at == clock.now() + timedelta(seconds=IDLE)
            clock.advance(seconds=IDLE - 1)
            assert await found_by(brief_store, one) == EVERYWHERE

        clock.advance(seconds=1)

        assert await found_by(brief_store, one) == set()

    @requirement("SESSIONS-041", since="1.0")
    async def test_max_age_absolute(self, brief_store: SessionStore, clock: ManualClock) -> None:
        """A session is gone at its maximum age, however lately it was saved or read.

        If this fails: a busy session lives for ever.
        """
        one = placed()
        await brief_store.save(one)
        began = one.created_at
        for _ in range(MAX_AGE // 300 - 1):
            clock.advance(seconds=300)
            await brief_store.save(one)
        assert one.expires_at == began + timedelta(seconds=MAX_AGE)
        clock.advance(seconds=280)
        assert await found_by(brief_store, one) == EVERYWHERE

        clock.advance(seconds=20)

        assert await found_by(brief_store, one) == set()

    @requirement("SESSIONS-042", since="1.0")
    async def test_reading_does_not_extend_life(self, brief_store: SessionStore, clock: ManualClock) -> None:
        """Reading a session changes neither its last activity nor its end.

        If this fails: looking at an abandoned session keeps it alive.
        """
        one = placed()
        await brief_store.save(one)
        for _ in range(4):
            clock.advance(seconds=IDLE / 4 - 1)
            assert await found_by(brief_store, one) == EVERYWHERE
        assert await brief_store.get(one.session_id, tenant_id=OURS) == one

        clock.advance(seconds=4)

        assert await found_by(brief_store, one) == set()

    @requirement("SESSIONS-043", since="1.0")
    async def test_expired_absent_before_cleanup(self, brief_store: SessionStore, clock: ManualClock) -> None:
        """From the moment it expires a session is absent: it cannot be deleted or saved on, and its id is free.

        If this fails: expiry takes effect only when somebody cleans up, or a late save brings the session back.
        """
        one = placed(variables={"old": 1})
        await brief_store.save(one)
        clock.advance(seconds=IDLE)

        assert await brief_store.delete(one.session_id, tenant_id=OURS) is False
        with pytest.raises(StaleVersionError) as refused:
            await brief_store.save(one)
        assert (refused.value.expected, refused.value.actual) == (1, 0)
        assert await found_by(brief_store, one) == set()
        anew = placed(variables={"new": 1})
        await brief_store.save(anew)

        assert (anew.version, anew.created_at) == (1, clock.now())
        assert await found_by(brief_store, anew) == EVERYWHERE
        found = await brief_store.get(one.session_id, tenant_id=OURS)
        assert found is not None
        assert found.variables == {"new": 1}

    @requirement("SESSIONS-044", since="1.0")
    async def test_expired_rows_do_not_fill_pages(self, brief_store: SessionStore, clock: ManualClock) -> None:
        """An expired session takes no place in a page, whatever its position.

        If this fails: the page is cut before expired sessions are left out.
        """
        limit_reached = clock.now() - timedelta(seconds=MAX_AGE)
        for n in range(6):
            await brief_store.save(placed(n, created_at=limit_reached) if n in (0, 1, 4) else placed(n))

        first = await brief_store.list_by_agent(OURS, AGENT, limit=2)
        rest = await brief_store.list_by_agent(OURS, AGENT, limit=2, after=first.next_cursor)

        assert [row.session_id for row in first] == [placed(2).session_id, placed(3).session_id]
        assert ([row.session_id for row in rest], rest.next_cursor) == ([placed(5).session_id], None)

    @requirement("SESSIONS-045", since="1.0")
    async def test_cleanup_prunes_indexes(self, brief_store: SessionStore, clock: ManualClock) -> None:
        """A cleanup removes exactly the expired sessions, at most as many as the limit, and says how many.

        If this fails: live sessions go, the limit is ignored, or something of the expired ones is left.
        """
        for n in range(5):
            await brief_store.save(placed(n))
        clock.advance(seconds=IDLE - 1)
        late = placed(9)
        await brief_store.save(late)
        assert await brief_store.cleanup_expired(tenant_id=OURS) == 0
        clock.advance(seconds=1)

        removed = [await brief_store.cleanup_expired(tenant_id=OURS, limit=3) for _ in range(3)]

        assert removed == [3, 2, 0]
        assert await found_by(brief_store, late) == EVERYWHERE
        assert await brief_store.list_by_agent(OURS, AGENT) == [late]
        clock.advance(seconds=IDLE)
        assert await brief_store.cleanup_expired(tenant_id=OURS) == 1
        assert await brief_store.list_tenants() == []
        assert await brief_store.erase_tenant(OURS) == 0
        again = placed(2)
        await brief_store.save(again)
        assert (again.version, await found_by(brief_store, again)) == (1, EVERYWHERE)

    @requirement("SESSIONS-046", since="1.0")
    async def test_cleanup_of_one_or_all_tenants(self, brief_store: SessionStore, clock: ManualClock) -> None:
        """A cleanup with a tenant touches that tenant only; without one it takes every tenant, up to the limit.

        If this fails: an omitted tenant is refused, or a given one is ignored.
        """

        async def grow_old() -> None:
            for tenant in (OURS, THEIRS):
                for n in range(2):
                    await brief_store.save(placed(n, tenant))
            clock.advance(seconds=IDLE)

        await grow_old()
        assert await brief_store.cleanup_expired(tenant_id=THEIRS) == 2
        assert await brief_store.cleanup_expired(tenant_id=THEIRS) == 0
        assert await brief_store.cleanup_expired(tenant_id=OURS) == 2
        await grow_old()
        assert await brief_store.cleanup_expired(limit=3) == 3
        assert await brief_store.cleanup_expired() == 1
        for limit in (0, -1, 1001):
            with pytest.raises(InvalidDataError):
                await brief_store.cleanup_expired(limit=limit)

    @requirement("SESSIONS-047", since="1.0")
    async def test_first_day_of_time_and_last(self, store: SessionStore, clock: ManualClock) -> None:
        """created_at may lie anywhere in time: the end follows from it without an error.

        If this fails: a log with odd times stops an import with an overflow.
        """
        ancient = placed(1, created_at=datetime.min.replace(tzinfo=UTC))
        distant = placed(2, created_at=datetime.max.replace(tzinfo=UTC))
        for one in (ancient, distant):
            await store.save(one)

        policy = SessionPolicy()
        assert ancient.expires_at == ancient.created_at + timedelta(seconds=policy.max_session_age_seconds)
        assert distant.expires_at == clock.now() + timedelta(seconds=policy.idle_ttl_seconds)
        assert await store.list_by_agent(OURS, AGENT) == [distant]

    @requirement("SESSIONS-048", since="1.0")
    async def test_expired_namesake_is_no_candidate(self, trusting_store: SessionStore, clock: ManualClock) -> None:
        """Where a tenant may be omitted, another tenant's expired session of the same id makes nothing ambiguous.

        If this fails: a session that is gone for every reader still stands in the way of its namesake.
        """
        mine, theirs = placed(), placed(tenant=THEIRS, created_at=clock.now() - timedelta(days=8))
        for one in (mine, theirs):
            await trusting_store.save(one)

        assert await trusting_store.get(mine.session_id) == mine
        assert await trusting_store.delete(mine.session_id) is True
        assert await trusting_store.get(mine.session_id) is None
        assert await trusting_store.delete(mine.session_id) is False

    @requirement("SESSIONS-049", since="1.1")
    async def test_cleanup_spares_what_was_saved_again(self, brief_store: SessionStore, clock: ManualClock) -> None:
        """A cleanup leaves a session alone whose end was postponed by a later save, and takes it at that end.

        If this fails: what is due is kept by the end of the first save, and nobody looks at the session itself.
        """
        one, other = placed(1), placed(2)
        for saved in (one, other):
            await brief_store.save(saved)
        clock.advance(seconds=IDLE - 1)
        await brief_store.save(one)
        clock.advance(seconds=1)

        assert await brief_store.cleanup_expired(tenant_id=OURS) == 1
        assert await found_by(brief_store, one) == EVERYWHERE
        clock.advance(seconds=IDLE - 1)
        assert await brief_store.cleanup_expired(tenant_id=OURS) == 1
        assert await found_by(brief_store, one) == set()
        assert await brief_store.cleanup_expired(tenant_id=OURS) == 0
