"""Capability ``two_tier``: what is hot, what has cooled, and that neither loses anything."""

from __future__ import annotations

import time
from datetime import timedelta
from statistics import median

import pytest

from focal_core.clock import ManualClock
from focal_core.conversation.models import Session, Tier
from focal_core.conversation.policy import SessionPolicy
from focal_core.conversation.store import SessionStore
from focal_core.errors import StaleVersionError, TenantRequiredError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.conversation.reads import EVERYWHERE, found_by
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import CUSTOMER, SCENARIO, USER, placed
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

HOT = SessionPolicy().hot_ttl_seconds


async def _tier(store: SessionStore, session: Session) -> Tier | None:
    return await store.tier_of(session.session_id, tenant_id=session.tenant_id)


class TierContract(ContractBase):
    """``tier_of``, ``promote_to_hot``, ``demote_to_persistent``, and ``promote`` of ``get``."""

    @requirement("SESSIONS-050", since="1.0", needs="two_tier")
    async def test_tier_of(self, store: SessionStore, clock: ManualClock) -> None:
        """A session is hot after a save, persistent after a demotion, in no tier when absent; asking moves nothing.

        If this fails: the tiers are not told apart, or looking at one warms it.
        """
        one, theirs = placed(), placed(tenant=THEIRS)
        assert await _tier(store, one) is None
        for saved in (one, theirs):
            await store.save(saved)
        assert await _tier(store, one) is Tier.HOT
        assert await store.demote_to_persistent(one.session_id, tenant_id=OURS) is True
        for _ in range(2):
            assert await _tier(store, one) is Tier.PERSIST
        assert await store.promote_to_hot(one.session_id, tenant_id=OURS) is True
        assert await _tier(store, one) is Tier.HOT
        assert await _tier(store, theirs) is Tier.HOT
        await store.delete(one.session_id, tenant_id=OURS)
        assert await _tier(store, one) is None
        for move in (store.promote_to_hot, store.demote_to_persistent):
            assert await move(one.session_id, tenant_id=OURS) is False
        clock.advance(timedelta(days=8))
        assert await _tier(store, theirs) is None
        for move in (store.promote_to_hot, store.demote_to_persistent):
            assert await move(theirs.session_id, tenant_id=THEIRS) is False

    @requirement("SESSIONS-051", since="1.0", needs="two_tier")
    async def test_hot_ttl_demotes_not_deletes(self, store: SessionStore, clock: ManualClock) -> None:
        """A session neither saved nor read for the hot time leaves the hot tier and is found all the same.

        If this fails: a session is lost when it cools, or never cools.
        """
        one = placed(variables={"n": 1})
        await store.save(one)
        clock.advance(seconds=HOT - 1)
        assert await _tier(store, one) is Tier.HOT

        clock.advance(seconds=1)

        assert await _tier(store, one) is Tier.PERSIST
        assert await store.get(one.session_id, tenant_id=OURS, promote=False) == one
        assert await found_by(store, one) == EVERYWHERE

    @requirement("SESSIONS-052", since="1.0", needs="two_tier")
    async def test_read_promotes(self, store: SessionStore, clock: ManualClock) -> None:
        """Reading one session by id or channel moves it to the hot tier, or restarts its time there.

        If this fails: a busy session cools between two saves, or a cooled one stays slow.
        """
        one, other = placed(1), placed(2, user_channel_id="other")
        for saved in (one, other):
            await store.save(saved)
        clock.advance(seconds=HOT)

        assert await store.get(one.session_id, tenant_id=OURS) == one
        assert await store.get_by_channel(OURS, other.channel, "other") == other

        for read in (one, other):
            assert await _tier(store, read) is Tier.HOT
        for _ in range(3):
            clock.advance(seconds=HOT - 1)
            await store.get(one.session_id, tenant_id=OURS)
            assert await _tier(store, one) is Tier.HOT
        assert await _tier(store, other) is Tier.PERSIST

    @requirement("SESSIONS-053", since="1.0", needs="two_tier")
    async def test_peeking_moves_nothing(self, store: SessionStore, clock: ManualClock) -> None:
        """A read with ``promote=False`` returns the session and leaves its tier and its time there alone.

        If this fails: maintenance that looks at every session warms every session.
        """
        one = placed()
        await store.save(one)
        clock.advance(seconds=HOT - 1)
        assert await store.get(one.session_id, tenant_id=OURS, promote=False) == one
        clock.advance(seconds=1)
        assert await _tier(store, one) is Tier.PERSIST

        assert await store.get(one.session_id, tenant_id=OURS, promote=False) == one

        assert await _tier(store, one) is Tier.PERSIST

    @requirement("SESSIONS-054", since="1.0", needs="two_tier")
    async def test_list_does_not_promote(self, store: SessionStore) -> None:
        """Lists show hot and cooled sessions alike and promote none of them.

        If this fails: a list of all sessions fills the hot tier, or shows only what is in it.
        """
        one = placed()
        await store.save(one)
        await store.demote_to_persistent(one.session_id, tenant_id=OURS)

        for rows in (
            await store.list_by_agent(OURS, AGENT),
            await store.list_by_agent(OURS, AGENT, one.status),
            await store.list_by_customer(OURS, CUSTOMER),
            await store.list_by_step(OURS, SCENARIO),
        ):
            assert rows == [one]
            assert await _tier(store, one) is Tier.PERSIST

    @requirement("SESSIONS-055", since="1.0", needs="two_tier")
    async def test_promotion_does_not_extend_max_age(self, store: SessionStore, clock: ManualClock) -> None:
        """Promotion restarts the time in the hot tier and nothing else: the session ends when it would have ended.

        If this fails: the hot copy outlives the session.
        """
        one = placed()
        await store.save(one)
        end = one.expires_at
        assert end is not None
        clock.set(end - timedelta(seconds=HOT))
        clock.advance(seconds=HOT - 1)
        await store.demote_to_persistent(one.session_id, tenant_id=OURS)
        assert await store.promote_to_hot(one.session_id, tenant_id=OURS) is True
        found = await store.get(one.session_id, tenant_id=OURS)
        assert found == one

        clock.advance(seconds=1)

        assert await found_by(store, one) == set()
        assert await _tier(store, one) is None

    @requirement("SESSIONS-056", since="1.0", needs="two_tier")
    async def test_save_after_demotion_no_resurrection(self, store: SessionStore) -> None:
        """What is saved or deleted after a demotion is so in both tiers: no older copy ever comes back.

        If this fails: the tiers hold different versions, and which one is read depends on the time of day.
        """
        one = placed(variables={"n": 1})
        await store.save(one)
        await store.demote_to_persistent(one.session_id, tenant_id=OURS)
        early = await store.get(one.session_id, tenant_id=OURS, promote=False)
        assert early is not None
        one.variables["n"] = 2
        await store.save(one)
        for _ in range(2):
            found = await store.get(one.session_id, tenant_id=OURS)
            assert found == one
            await store.demote_to_persistent(one.session_id, tenant_id=OURS)
        with pytest.raises(StaleVersionError):
            await store.save(early)
        await store.promote_to_hot(one.session_id, tenant_id=OURS)

        await store.delete(one.session_id, tenant_id=OURS)

        assert await found_by(store, one) == set()
        assert await store.promote_to_hot(one.session_id, tenant_id=OURS) is False
        anew = placed()
        await store.save(anew)
        assert (anew.version, await _tier(store, anew)) == (1, Tier.HOT)

    @requirement("SESSIONS-057", since="1.0", needs="two_tier")
    async def test_save_makes_hot(self, store: SessionStore, clock: ManualClock) -> None:
        """Every save puts the session into the hot tier and restarts its time there.

        If this fails: the session that is just being used is read from the slow tier.
        """
        one = placed()
        await store.save(one)
        clock.advance(seconds=HOT - 1)
        await store.save(one)
        clock.advance(seconds=HOT - 1)
        assert await _tier(store, one) is Tier.HOT
        await store.demote_to_persistent(one.session_id, tenant_id=OURS)

        await store.save(one)

        assert await _tier(store, one) is Tier.HOT

    @requirement("SESSIONS-058", since="1.0", needs="two_tier")
    async def test_tiers_are_tenant_safe(self, store: SessionStore, trusting_store: SessionStore) -> None:
        """A stranger's move or question finds nothing and moves nothing; an omitted tenant is never guessed.

        If this fails: the hot tier's key is the id alone.
        """
        one = placed()
        await store.save(one)
        for tenant in (OURS, THEIRS):
            await trusting_store.save(placed(tenant=tenant))
        moves = (store.promote_to_hot, store.demote_to_persistent, store.tier_of)
        for move in moves:
            assert not await move(one.session_id, tenant_id=THEIRS)
            with pytest.raises(TenantRequiredError):
                await move(one.session_id)
            with pytest.raises(TenantRequiredError):
                await getattr(trusting_store, move.__name__)(one.session_id)
        assert await _tier(store, one) is Tier.HOT
        await store.demote_to_persistent(one.session_id, tenant_id=OURS)
        assert await store.promote_to_hot(one.session_id, tenant_id=THEIRS) is False
        assert await _tier(store, one) is Tier.PERSIST
        assert await store.get_by_channel(THEIRS, one.channel, USER) is None

        await trusting_store.demote_to_persistent(one.session_id, tenant_id=OURS)
        await trusting_store.delete(one.session_id, tenant_id=OURS)

        assert await trusting_store.tier_of(one.session_id) is Tier.HOT

    @requirement("SESSIONS-059", since="1.0", needs="two_tier")
    async def test_promote_latency(self, store: SessionStore) -> None:
        """Promotion and demotion each take less than 50 ms, as the median of 20.

        If this fails: moving a session between the tiers costs more than the tiers save.
        """
        one = placed(metadata={"text": "x" * 10_000})
        await store.save(one)
        took: dict[str, list[float]] = {"demote": [], "promote": []}
        for _ in range(20):
            for name, move in (("demote", store.demote_to_persistent), ("promote", store.promote_to_hot)):
                start = time.perf_counter()
                await move(one.session_id, tenant_id=OURS)
                took[name].append(time.perf_counter() - start)

        assert {name: median(times) < 0.05 for name, times in took.items()} == {"demote": True, "promote": True}

    @requirement("SESSIONS-072", since="1.1", needs="two_tier")
    async def test_promotion_restarts_the_hot_time(self, store: SessionStore, clock: ManualClock) -> None:
        """Promoting a session that is hot already lets it stay there for the whole hot time from then on.

        If this fails: a session that is kept warm on purpose cools all the same.
        """
        one = placed()
        await store.save(one)
        clock.advance(seconds=HOT - 1)
        assert await store.promote_to_hot(one.session_id, tenant_id=OURS) is True
        clock.advance(seconds=HOT - 1)
        assert await _tier(store, one) is Tier.HOT

        clock.advance(seconds=1)

        assert await _tier(store, one) is Tier.PERSIST
