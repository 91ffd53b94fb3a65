"""Audit events: appended and filtered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from focal_core.audit.store import AuditStore
from focal_core.clock import ManualClock
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.audit import OTHER_SESSION, SESSION, START, event, numbered, turn
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class EventContract(ContractBase):
    """``save_event``, ``get_event`` and ``list_events``."""

    @requirement("AUDIT-020", since="1.0")
    async def test_save_and_list_events(self, store: AuditStore) -> None:
        """Saved events are listed by time, then id; another tenant's are not.

        If this fails: the order is that of saving, or equal times are in no order.
        """
        tied = [event(8, created_at=START), event(6, created_at=START)]
        for one in (event(2), *tied, event(1, tenant=THEIRS), event(1)):
            await store.save_event(one)

        found = await store.list_events(OURS)

        assert [one.id for one in found] == [event(6).id, event(8).id, event(1).id, event(2).id]

    @requirement("AUDIT-021", since="1.0")
    async def test_list_events_by_type(self, store: AuditStore) -> None:
        """The filter by type matches the whole type, nothing that merely begins or looks like it.

        If this fails: the type is used as a pattern or without regard to case.
        """
        for n, kind in enumerate(("rule.fired", "rule.fired.late", "rule_fired", "Rule.Fired", "rule.fire")):
            await store.save_event(event(n, event_type=kind))

        found = await store.list_events(OURS, "rule.fired")

        assert [one.event_type for one in found] == ["rule.fired"]
        assert await store.list_events(OURS, "rule%") == []

    @requirement("AUDIT-022", since="1.0")
    async def test_event_before_turn(self, store: AuditStore) -> None:
        """An event may name a turn or session that is not stored, now or ever.

        If this fails: the store enforces a reference between events and turns.
        """
        early = event(0, turn_id=turn(0).id, session_id=OTHER_SESSION)

        await store.save_event(early)

        assert await store.list_events(OURS, turn_id=turn(0).id) == [early]
        await store.save_turn(turn(0))
        assert await store.get_event(early.id, tenant_id=OURS) == early

    @requirement("AUDIT-023", since="1.0")
    async def test_get_event(self, store: AuditStore, clock: ManualClock) -> None:
        """An event is found by its id with everything it carries, and with the store's time of recording.

        If this fails: a field has no place in the store, or recorded_at is not the injected clock's.
        """
        saved = event(4, event_data={"a": {"b": [1, None]}}, turn_id=uuid4())
        assert await store.save_event(saved) == saved.id

        found = await store.get_event(saved.id, tenant_id=OURS)

        assert found == saved
        assert found is not None
        assert found.recorded_at == clock.now()
        assert await store.get_event(uuid4(), tenant_id=OURS) is None

    @requirement("AUDIT-024", since="1.0")
    async def test_filter_combinations(self, store: AuditStore) -> None:
        """All filters given hold together; the time range holds its start and not its end.

        If this fails: filters are joined by "or", one is ignored, or a bound is compared the wrong way.
        """
        wanted_turn = uuid4()
        wanted: dict[str, Any] = {"event_type": "a", "session_id": SESSION, "turn_id": wanted_turn}
        hit = event(5, **wanted)
        misses = [
            event(5, id=numbered(51), **{**wanted, "event_type": "b"}),
            event(5, id=numbered(52), **{**wanted, "session_id": OTHER_SESSION}),
            event(5, id=numbered(53), **{**wanted, "turn_id": uuid4()}),
            event(4, id=numbered(54), **wanted),
            event(6, id=numbered(55), **wanted),
        ]
        for one in (hit, *misses):
            await store.save_event(one)
        start, end = START + timedelta(minutes=5), START + timedelta(minutes=6)

        found = await store.list_events(OURS, "a", SESSION, start, end, turn_id=wanted_turn)

        assert found == [hit]
        assert len(await store.list_events(OURS, session_id=SESSION)) == 5
        assert len(await store.list_events(OURS, turn_id=wanted_turn)) == 5
        assert [one.id for one in await store.list_events(OURS, end_time=start)] == [numbered(54)]
        assert [one.id for one in await store.list_events(OURS, start_time=end)] == [numbered(55)]
