"""Capability ``purge``: removal by retention, with a trace of itself."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from focal_core.audit.store import AuditStore
from focal_core.clock import ManualClock
from focal_core.errors import InvalidDataError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.audit import OTHER_SESSION, SESSION, START, event, numbered, turn
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class PurgeContract(ContractBase):
    """``purge``."""

    @requirement("AUDIT-030", since="1.0", needs="purge")
    async def test_purge_requires_filter(self, store: AuditStore) -> None:
        """A purge without a filter, or with a time that has no zone, is refused and removes nothing.

        If this fails: one forgotten argument empties the audit trail.
        """
        await store.save_turn(turn(0))

        with pytest.raises(InvalidDataError):
            await store.purge(OURS)
        with pytest.raises(InvalidDataError):
            await store.purge(OURS, before=datetime(2030, 1, 1))  # noqa: DTZ001

        assert len(await store.list_turns_by_tenant(OURS)) == 1
        assert await store.purge(OURS, session_ids=[]) == 0

    @requirement("AUDIT-031", since="1.0", needs="purge")
    async def test_purge_leaves_rest(self, store: AuditStore, clock: ManualClock) -> None:
        """A purge removes exactly the turns and events that meet all its filters, and says so in one event.

        If this fails: a filter is ignored, the moment itself is removed, another tenant loses rows, or nothing tells.
        """
        for n in range(4):
            await store.save_turn(turn(n))
            await store.save_turn(turn(n, id=numbered(n, kind=7), session_id=OTHER_SESSION))
            await store.save_turn(turn(n, tenant=THEIRS))
            await store.save_event(event(n))

        removed = await store.purge(OURS, before=START + timedelta(minutes=2), session_ids=[SESSION])

        assert removed == 4
        left = await store.list_turns_by_tenant(OURS)
        assert [one.turn_number for one in left if one.session_id == SESSION] == [2, 3]
        assert [one.turn_number for one in left if one.session_id == OTHER_SESSION] == [0, 1, 2, 3]
        assert len(await store.list_turns_by_tenant(THEIRS)) == 4
        purged = await store.list_events(OURS, "audit.purged")
        assert [(one.event_data["removed"], one.created_at) for one in purged] == [(4, clock.now())]
        assert purged[0].event_data["before"] == (START + timedelta(minutes=2)).isoformat()
        assert [one.id for one in await store.list_events(OURS, "rule.fired")] == [event(2).id, event(3).id]

    @requirement("AUDIT-032", since="1.0", needs="purge")
    async def test_purge_twice_removes_nothing(self, store: AuditStore) -> None:
        """A second purge finds nothing, returns 0 and writes no second event; freed turn numbers may be used again.

        If this fails: the purge is not idempotent, or leaves keys behind.
        """
        await store.save_turn(turn(0))
        assert await store.purge(OURS, session_ids=[SESSION]) == 1

        assert await store.purge(OURS, session_ids=[SESSION]) == 0

        assert len(await store.list_events(OURS, "audit.purged")) == 1
        assert await store.get_turn(turn(0).id, tenant_id=OURS) is None
        await store.save_turn(turn(0, id=numbered(77)))
        assert len(await store.list_turns_by_session(SESSION, tenant_id=OURS)) == 1

    @requirement("AUDIT-033", since="1.0", needs="purge")
    async def test_purge_by_one_filter(self, store: AuditStore) -> None:
        """A purge by time alone spans all sessions; a purge by session alone spans all times.

        If this fails: one filter works only beside the other.
        """
        for n in range(4):
            await store.save_turn(turn(n))
            await store.save_turn(turn(n, id=numbered(n, kind=7), session_id=OTHER_SESSION))

        assert await store.purge(OURS, before=START + timedelta(minutes=1)) == 2
        assert await store.purge(OURS, session_ids=[SESSION]) == 3

        left = await store.list_turns_by_tenant(OURS)
        assert [(one.session_id, one.turn_number) for one in left] == [(OTHER_SESSION, n) for n in (1, 2, 3)]
