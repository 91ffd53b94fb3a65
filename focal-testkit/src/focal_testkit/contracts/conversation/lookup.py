"""Finding a session by channel, and being gone once deleted."""

from __future__ import annotations

import pytest

from focal_core.clock import ManualClock
from focal_core.conversation.models import Channel, SessionStatus
from focal_core.conversation.store import SessionStore
from focal_core.errors import InvalidDataError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.conversation.reads import EVERYWHERE, found_by
from focal_testkit.data import hostile
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import (
    CUSTOMER,
    OTHER_AGENT,
    OTHER_CUSTOMER,
    OTHER_SCENARIO,
    SCENARIO,
    STEP,
    USER,
    placed,
    session,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class LookupContract(ContractBase):
    """``get_by_channel``, ``delete`` and what follows a session whose keys change."""

    @requirement("SESSIONS-020", since="1.0")
    async def test_get_by_channel(self, store: SessionStore, clock: ManualClock) -> None:
        """A session is found by channel and user id together; either alone, or a neighbour's, is not it.

        If this fails: channel and user id are joined so that different pairs meet, or the tenant is not in the key.
        """
        wanted = session(1)
        await store.save(wanted)
        clock.advance(seconds=1)
        await store.save(session(2, channel=Channel.SMS))
        await store.save(session(3, user_channel_id=USER + "0"))
        await store.save(session(4, THEIRS))

        found = await store.get_by_channel(OURS, Channel.WEBCHAT, USER)

        assert found == wanted
        assert await store.get_by_channel(OURS, Channel.EMAIL, USER) is None
        assert await store.get_by_channel(OURS, Channel.WEBCHAT, USER.lower()) is None

    @requirement("SESSIONS-021", since="1.0")
    async def test_by_channel_two_agents(self, store: SessionStore, clock: ManualClock) -> None:
        """With an agent given only its sessions count; without one, those of all agents do.

        If this fails: the agent is tested after the newest session was chosen, or is ignored.
        """
        await store.save(session(1))
        clock.advance(seconds=1)
        await store.save(session(2, agent_id=OTHER_AGENT))

        found = [
            await store.get_by_channel(OURS, Channel.WEBCHAT, USER, agent_id=agent)
            for agent in (AGENT, OTHER_AGENT, None, CUSTOMER)
        ]

        assert [one and one.session_id for one in found] == [
            session(1).session_id,
            session(2).session_id,
            session(2).session_id,
            None,
        ]

    @requirement("SESSIONS-022", since="1.0")
    async def test_by_channel_newest_open(self, store: SessionStore, clock: ManualClock) -> None:
        """Of several sessions on a channel the one saved last answers, closed ones aside; ties go to the smaller id.

        If this fails: the channel points at whatever was created last, or at a conversation that is over.
        """
        first, second, third = session(1), session(2), session(3)
        for one in (second, third, first):
            await store.save(one)
            clock.advance(seconds=1)
        await store.save(second)

        async def answer() -> int | None:
            found = await store.get_by_channel(OURS, Channel.WEBCHAT, USER)
            return (
                None
                if found is None
                else [first.session_id, second.session_id, third.session_id].index(found.session_id) + 1
            )

        assert await answer() == 2
        second.status = SessionStatus.CLOSED
        await store.save(second)
        assert await answer() == 1
        clock.advance(seconds=1)
        await store.save(third)
        assert await answer() == 3
        await store.save(first)
        assert await answer() == 1
        for one in (first, third):
            one.status = SessionStatus.CLOSED
            await store.save(one)
        assert await answer() is None

    @pytest.mark.parametrize("name", sorted(hostile.IDENTIFIERS))
    @requirement("SESSIONS-023", since="1.0")
    async def test_by_channel_hostile_user_ids(self, store: SessionStore, name: str) -> None:
        """A user id may hold separators, wildcards, quotes and any letter, and finds its own session only.

        If this fails: the id becomes part of a key, a pattern or a statement without being quoted.
        """
        user = hostile.IDENTIFIERS[name]
        await store.save(session(1, user_channel_id="neighbour"))
        await store.save(session(2, user_channel_id=user))

        found = await store.get_by_channel(OURS, Channel.WEBCHAT, user)

        assert found is not None
        assert (found.session_id, found.user_channel_id) == (session(2).session_id, user)
        assert await store.get_by_channel(OURS, Channel.WEBCHAT, user[:-1] + "!") is None

    @requirement("SESSIONS-024", since="1.0")
    async def test_by_channel_checks_its_arguments(self, store: SessionStore) -> None:
        """A user id is found in any Unicode form; one that cannot exist, or a channel that cannot, is refused.

        If this fails: a person has two sessions, one for each way to write the name, or bad data is "not found".
        """
        await store.save(session(1, user_channel_id="Ame\u0301lie"))

        found = await store.get_by_channel(OURS, Channel.WEBCHAT, "Am\u00e9lie")

        assert found is not None
        assert found == await store.get_by_channel(OURS, "WEB", "Ame\u0301lie")  # type: ignore[arg-type]
        for user in hostile.REFUSED_IDENTIFIERS.values():
            with pytest.raises(InvalidDataError):
                await store.get_by_channel(OURS, Channel.WEBCHAT, user)
        with pytest.raises(InvalidDataError):
            await store.get_by_channel(OURS, "no channel", "u")  # type: ignore[arg-type]

    @requirement("SESSIONS-025", since="1.0")
    async def test_relink_customer_moves_index(self, store: SessionStore, clock: ManualClock) -> None:
        """A session whose customer, channel, status or scenario changes is found under the new one only.

        If this fails: an index keeps the entry of the time before the change, or misses the one after it.
        """
        one = placed()
        await store.save(one)
        clock.advance(seconds=1)
        one.customer_profile_id, one.status = OTHER_CUSTOMER, SessionStatus.IDLE
        one.channel, one.user_channel_id = Channel.VOICE, "+44 20"
        one.active_scenario_id = OTHER_SCENARIO
        await store.save(one)

        assert await found_by(store, one) == EVERYWHERE
        assert await store.list_by_customer(OURS, CUSTOMER) == []
        assert await store.list_by_agent(OURS, AGENT, SessionStatus.ACTIVE) == []
        assert await store.list_by_step(OURS, SCENARIO) == []
        assert await store.get_by_channel(OURS, Channel.WEBCHAT, USER) is None
        one.customer_profile_id = one.current_step_id = one.active_scenario_version = None
        one.active_scenario_id = None
        await store.save(one)
        assert await store.list_by_customer(OURS, OTHER_CUSTOMER) == []
        assert await store.list_by_step(OURS, OTHER_SCENARIO) == []
        assert await store.list_by_agent(OURS, AGENT) == [one]

    @requirement("SESSIONS-026", since="1.0")
    async def test_delete_session(self, store: SessionStore) -> None:
        """A deleted session is gone from every read, a second delete is False, and the id is free again.

        A tenant whose last session was deleted is none that has any, and a cleanup finds nothing of it.

        If this fails: a tier or an index keeps it.
        """
        one, theirs = placed(), placed(tenant=THEIRS)
        for saved in (one, theirs):
            await store.save(saved)
        assert await found_by(store, one) == EVERYWHERE

        assert await store.delete(one.session_id, tenant_id=OURS) is True

        assert await found_by(store, one) == set()
        assert await store.delete(one.session_id, tenant_id=OURS) is False
        assert await found_by(store, theirs) == EVERYWHERE
        assert await store.list_tenants() == [THEIRS]
        assert await store.cleanup_expired() == 0
        anew = placed(current_step_id=STEP)
        await store.save(anew)
        assert anew.version == 1
        assert await found_by(store, anew) == EVERYWHERE

    @requirement("SESSIONS-027", since="1.0")
    async def test_delete_old_keeps_newer_pointer(self, store: SessionStore, clock: ManualClock) -> None:
        """Deleting one of several sessions on a channel leaves the others to be found there, newest first.

        If this fails: the channel holds one pointer, and whoever is deleted takes it away.
        """
        old, middle, new = placed(1), placed(2), placed(3)
        for one in (old, middle, new):
            await store.save(one)
            clock.advance(seconds=1)

        await store.delete(old.session_id, tenant_id=OURS)
        assert await found_by(store, new) == EVERYWHERE
        await store.delete(new.session_id, tenant_id=OURS)

        assert await found_by(store, middle) == EVERYWHERE
