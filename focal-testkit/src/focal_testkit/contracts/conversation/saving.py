"""Saving sessions: what is kept, what the store decides, what no save may change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from focal_core.clock import ManualClock
from focal_core.conversation.models import Channel, Session, SessionStatus
from focal_core.conversation.store import SessionStore
from focal_core.errors import ConflictError, InvalidDataError
from focal_core.values import canonical_json
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data import hostile
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import OTHER_AGENT, SCENARIO, STEP, placed, session, visit
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class SavingContract(ContractBase):
    """``save`` and ``get``."""

    @requirement("SESSIONS-001", since="1.0")
    async def test_save_and_get(self, store: SessionStore, clock: ManualClock) -> None:
        """A saved session is found by its id, with the store's times and version 1; unknown ids are None.

        If this fails: the session is not stored, or a time is not the injected clock's.
        """
        saved = placed(3, variables={"size": 42}, metadata={"a": [1, None]})
        returned = await store.save(saved)

        found = await store.get(saved.session_id, tenant_id=OURS)

        assert found == returned == saved
        assert found is not None
        assert (found.version, found.created_at, found.last_activity_at) == (1, clock.now(), clock.now())
        assert (found.variables, found.metadata) == ({"size": 42}, {"a": [1, None]})
        assert await store.get(uuid4(), tenant_id=OURS) is None

    @requirement("SESSIONS-002", since="1.0")
    async def test_update_session(self, store: SessionStore, clock: ManualClock) -> None:
        """A changed session replaces the stored one as a whole: what was taken out is gone.

        If this fails: the save merges with the stored document, or leaves the time of last activity.
        """
        theirs = session(3, THEIRS, variables={"theirs": True})
        await store.save(theirs)
        began = clock.now()
        await store.save(placed(3, variables={"old": 1, "kept": 1}))
        clock.advance(seconds=5)
        loaded = await store.get(placed(3).session_id, tenant_id=OURS)
        assert loaded is not None
        del loaded.variables["old"]
        loaded.variables["new"] = [2.0]
        loaded.customer_profile_id = None
        loaded.status = SessionStatus.PROCESSING

        await store.save(loaded)

        found = await store.get(loaded.session_id, tenant_id=OURS)
        assert found == loaded
        assert found is not None
        assert found.variables == {"kept": 1, "new": [2.0]}
        assert (found.customer_profile_id, found.status) == (None, SessionStatus.PROCESSING)
        assert (found.created_at, found.last_activity_at) == (began, clock.now())
        assert await store.get(theirs.session_id, tenant_id=THEIRS) == theirs

    @requirement("SESSIONS-003", since="1.0")
    async def test_first_save_sets_created_at(self, store: SessionStore, clock: ManualClock) -> None:
        """The first save keeps a created_at given at construction and takes the clock otherwise.

        If this fails: sessions from logs lose their beginning, or begin by the clock of the caller's machine.
        """
        yesterday = clock.now() - timedelta(days=1)
        given, default = session(1, created_at=yesterday), session(2)
        clock.advance(timedelta(hours=1))
        for one in (given, default):
            await store.save(one)

        found = await store.list_by_agent(OURS, AGENT)

        assert {row.session_id: row.created_at for row in found} == {
            given.session_id: yesterday,
            default.session_id: clock.now(),
        }
        assert (given.created_at, default.created_at) == (yesterday, clock.now())

    @requirement("SESSIONS-004", since="1.0")
    async def test_created_at_immutable(self, store: SessionStore, clock: ManualClock) -> None:
        """created_at and agent_id never change after the first save, not even by force (INV-SE2).

        If this fails: a session outlives its maximum age, or moves to another agent's list.
        """
        await store.save(session())
        stored = await store.get(session().session_id, tenant_id=OURS)
        changes: list[dict[str, Any]] = [
            {"created_at": clock.now() + timedelta(hours=1)},
            {"agent_id": OTHER_AGENT},
        ]
        for change in changes:
            for force in (False, True):
                changed = await store.get(session().session_id, tenant_id=OURS)
                assert changed is not None
                for name, value in change.items():
                    setattr(changed, name, value)

                with pytest.raises(InvalidDataError) as refused:
                    await store.save(changed, force=force)

                assert refused.value.code == "immutable_field"
        assert await store.get(session().session_id, tenant_id=OURS) == stored

    @requirement("SESSIONS-005", since="1.0")
    async def test_closed_is_terminal(self, store: SessionStore) -> None:
        """A closed session takes no other status unless forced; what else it holds may still be saved (INV-SE3).

        If this fails: a late writer opens a finished conversation again, or nothing at all can be noted on it.
        """
        one = session(status=SessionStatus.CLOSED)
        await store.save(one)
        one.variables["note"] = "rated 5"
        await store.save(one)
        one.status = SessionStatus.ACTIVE

        with pytest.raises(ConflictError) as refused:
            await store.save(one)

        assert refused.value.code == "session_closed"
        found = await store.get(one.session_id, tenant_id=OURS)
        assert found is not None
        assert (found.status, found.version, found.variables) == (SessionStatus.CLOSED, 2, {"note": "rated 5"})
        await store.save(one, force=True)
        found = await store.get(one.session_id, tenant_id=OURS)
        assert found is not None
        assert (found.status, found.version) == (SessionStatus.ACTIVE, 3)

    @requirement("SESSIONS-006", since="1.0")
    async def test_step_needs_scenario(self, store: SessionStore) -> None:
        """A session without a scenario has no step and no version of one (INV-SE1); nothing of it is stored.

        If this fails: the model lets it pass, or the store does not check what was changed behind the model.
        """
        for orphan in ({"current_step_id": STEP}, {"active_scenario_version": 1}):
            with pytest.raises(ValidationError):
                session(**orphan)
        broken = placed()
        broken.__dict__["active_scenario_id"] = None

        with pytest.raises(InvalidDataError):
            await store.save(broken)

        assert await store.get(broken.session_id, tenant_id=OURS) is None
        assert await store.list_by_step(OURS, SCENARIO) == []

    @requirement("SESSIONS-007", since="1.0")
    async def test_step_history_is_capped(self, store: SessionStore, clock: ManualClock) -> None:
        """The newest 200 visits are kept, and those dropped are counted, over any number of saves.

        If this fails: sessions grow without bound, lose their newest steps, or count a dropped visit twice.
        """
        one = placed(step_history=[visit(STEP, clock.now(), n) for n in range(203)])
        await store.save(one)
        assert ([row.turn_number for row in one.step_history], one.step_history_dropped) == ([*range(3, 203)], 3)
        one.step_history.append(visit(STEP, clock.now(), 203))
        await store.save(one)
        await store.save(one)

        found = await store.get(one.session_id, tenant_id=OURS)

        assert found == one
        assert found is not None
        assert ([row.turn_number for row in found.step_history], found.step_history_dropped) == ([*range(4, 204)], 4)

    @requirement("SESSIONS-008", since="1.0")
    async def test_any_channel_name(self, store: SessionStore) -> None:
        """A channel of any name is stored and found by value, in any letter case; "web" and "chat" are webchat.

        If this fails: only the known channels fit, or two spellings of a channel are two channels.
        """
        further = session(1, channel=Channel("Telegram-2_x"))
        await store.save(further)
        await store.save(session(2, channel=Channel("WEB")))

        found = await store.get_by_channel(OURS, Channel("telegram-2_X"), further.user_channel_id)
        web = await store.get_by_channel(OURS, Channel("chat"), further.user_channel_id)

        assert found is not None
        assert web is not None
        assert (found.session_id, found.channel) == (further.session_id, Channel("telegram-2_x"))
        assert (web.session_id, web.channel) == (session(2).session_id, Channel.WEBCHAT)
        assert found.model_dump(mode="json")["channel"] == "telegram-2_x"
        for name in ("", "2x", "a b", "x" * 51, "a\n"):
            with pytest.raises(ValueError, match="is not a valid Channel"):
                Channel(name)

    @pytest.mark.parametrize("corpus", sorted(hostile.DOCUMENTS))
    @requirement("SESSIONS-009", since="1.0")
    async def test_hostile_variables(self, store: SessionStore, corpus: str) -> None:
        """Variables come back with every type, size and letter as they were, in the session and in its scenarios.

        If this fails: integers lose digits, 1.0 becomes 1, True becomes 1, or text is altered.
        """
        now = datetime(2026, 5, 4, 9, tzinfo=UTC)
        instance = {
            "scenario_id": SCENARIO,
            "scenario_version": 1,
            "current_step_id": STEP,
            "started_at": now,
            "last_active_at": now,
            "variables": {"it's {x}": hostile.DOCUMENTS[corpus]},
        }
        saved = session(variables={"it's {x}": hostile.DOCUMENTS[corpus]}, active_scenarios=[instance])
        await store.save(saved)

        found = await store.get(saved.session_id, tenant_id=OURS)

        assert found is not None
        assert _document(found) == _document(saved)


def _document(one: Session) -> bytes:
    return canonical_json([one.variables, one.active_scenarios[0].variables])
