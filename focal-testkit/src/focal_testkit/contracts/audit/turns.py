"""Turn records: appended, listed in order, never changed."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import ValidationError

from focal_core.audit.store import AuditStore
from focal_core.clock import ManualClock
from focal_core.errors import DuplicateError, InvalidDataError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.audit import AGENT, OTHER_SESSION, SESSION, START, event, numbered, turn
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class TurnContract(ContractBase):
    """``save_turn``, ``get_turn`` and the lists of turns."""

    @requirement("AUDIT-001", since="1.0")
    async def test_save_and_get_turn(self, store: AuditStore, clock: ManualClock) -> None:
        """A saved turn is found by its id, and carries the store's time of recording.

        If this fails: the turn is not stored, or recorded_at is not the injected clock's.
        """
        saved = turn(3, context_extracted={"intent": "refund"}, rules_matched=[uuid4()])

        assert await store.save_turn(saved) == saved.id

        found = await store.get_turn(saved.id, tenant_id=OURS)
        assert found == saved
        assert found is not None
        assert found.recorded_at == clock.now()
        assert await store.get_turn(uuid4(), tenant_id=OURS) is None

    @requirement("AUDIT-002", since="1.0")
    async def test_list_turns_by_session(self, store: AuditStore) -> None:
        """The turns of a session come by turn number, whatever order they were saved in.

        If this fails: the order is that of saving or of time, or another session's turns are in the list.
        """
        for n in (10, 2, 0, 5):
            # Later turns carry earlier times: the number decides.
            await store.save_turn(turn(n, created_at=START - timedelta(minutes=n)))
        await store.save_turn(turn(1, id=numbered(1, kind=9), session_id=OTHER_SESSION))
        await store.save_turn(turn(1, tenant=THEIRS))

        found = await store.list_turns_by_session(SESSION, tenant_id=OURS)

        assert [one.turn_number for one in found] == [0, 2, 5, 10]

    @requirement("AUDIT-003", since="1.0")
    async def test_list_turns_by_tenant(self, store: AuditStore) -> None:
        """The turns of a tenant come by time, then id, over all its sessions and agents.

        If this fails: another tenant's turns are listed, or equal times are in no order.
        """
        same_time = START + timedelta(minutes=2)
        later = turn(5)
        second = turn(3, id=numbered(30, kind=1), session_id=OTHER_SESSION, created_at=same_time, agent_id=None)
        first = turn(4, id=numbered(29, kind=1), created_at=same_time)
        next_microsecond = turn(6, id=numbered(0, kind=1), created_at=same_time + timedelta(microseconds=1))
        for one in (later, next_microsecond, second, turn(1, tenant=THEIRS), first):
            await store.save_turn(one)

        found = await store.list_turns_by_tenant(OURS)

        assert [one.id for one in found] == [first.id, second.id, next_microsecond.id, later.id]

    @requirement("AUDIT-004", since="1.0")
    async def test_list_turns_time_range(self, store: AuditStore) -> None:
        """A time range holds its start and not its end; each side may be open.

        If this fails: a bound is compared the wrong way, or is ignored.
        """
        for n in range(5):
            await store.save_turn(turn(n))
        one, three = START + timedelta(minutes=1), START + timedelta(minutes=3)

        async def numbers(start: datetime | None, end: datetime | None) -> list[int]:
            return [row.turn_number for row in await store.list_turns_by_tenant(OURS, start, end)]

        assert await numbers(one, three) == [1, 2]
        assert await numbers(one, None) == [1, 2, 3, 4]
        assert await numbers(None, three) == [0, 1, 2]
        assert await numbers(three, three) == []

    @requirement("AUDIT-005", since="1.0")
    async def test_immutability(self, store: AuditStore) -> None:
        """A stored turn cannot be changed: no method does it, and no object that was read leads back.

        If this fails: the store has an update or delete method, or hands out what it keeps.
        """
        await store.save_turn(turn(0))
        found = await store.get_turn(turn(0).id, tenant_id=OURS)
        assert found is not None

        with pytest.raises(ValidationError):
            found.user_message = "rewritten"

        assert [name for name in dir(AuditStore) if name.startswith(("update", "delete", "set_"))] == []
        with pytest.raises(DuplicateError):
            await store.save_turn(turn(0, user_message="rewritten"))
        assert await store.get_turn(turn(0).id, tenant_id=OURS) == turn(0)

    @requirement("AUDIT-006", since="1.0")
    async def test_duplicate_identical_ok(self, store: AuditStore, clock: ManualClock) -> None:
        """Saving the same turn or event again succeeds, stores nothing and keeps the first time of recording.

        If this fails: the digest holds clock fields, or a repeat is refused.
        """
        await store.save_turn(turn(0))
        await store.save_event(event(0))
        recorded = clock.now()
        clock.advance(seconds=60)

        assert await store.save_turn(turn(0)) == turn(0).id
        assert await store.save_event(event(0)) == event(0).id

        turns = await store.list_turns_by_tenant(OURS)
        events = await store.list_events(OURS)
        assert [one.recorded_at for one in (*turns, *events)] == [recorded, recorded]

    @requirement("AUDIT-007", since="1.0")
    async def test_duplicate_different_refused(self, store: AuditStore) -> None:
        """A known id with other content is refused, however small the difference.

        If this fails: the later record replaces the earlier one, or is dropped in silence.
        """
        await store.save_turn(turn(0, extra={"n": 1}))
        await store.save_event(event(0, event_data={"n": 1}))

        for other in (turn(0, extra={"n": 1.0}), turn(0, extra={"n": True}), turn(0, turn_number=8, extra={"n": 1})):
            with pytest.raises(DuplicateError):
                await store.save_turn(other)
        with pytest.raises(DuplicateError):
            await store.save_event(event(0, event_data={"n": 2}))

    @requirement("AUDIT-008", since="1.0")
    async def test_turn_number_unique(self, store: AuditStore) -> None:
        """A turn number is taken once per session; other sessions and tenants have numbers of their own.

        If this fails: two turns of one number stand in a session, or the key lacks the session or the tenant.
        """
        await store.save_turn(turn(4))

        with pytest.raises(DuplicateError):
            await store.save_turn(turn(4, id=uuid4()))

        await store.save_turn(turn(4, id=uuid4(), session_id=OTHER_SESSION))
        await store.save_turn(turn(4, id=uuid4(), tenant=THEIRS))
        assert len(await store.list_turns_by_session(SESSION, tenant_id=OURS)) == 1

    @requirement("AUDIT-009", since="1.0")
    async def test_concurrent_same_turn_one_row(self, store: AuditStore) -> None:
        """Of concurrent saves of one turn number exactly one is stored; the same object is stored once.

        If this fails: the check and the write are two steps.
        """
        rivals = [turn(0, id=numbered(n, kind=3), user_message=str(n)) for n in range(16)]

        results = await asyncio.gather(*map(store.save_turn, rivals), return_exceptions=True)
        repeats = await asyncio.gather(*[store.save_turn(turn(1)) for _ in range(16)])

        assert sum(isinstance(result, DuplicateError) for result in results) == 15
        assert set(repeats) == {turn(1).id}
        assert len(await store.list_turns_by_session(SESSION, tenant_id=OURS)) == 2

    @requirement("AUDIT-010", since="1.0")
    async def test_deep_frozen(self, store: AuditStore) -> None:
        """A record is read-only at every depth, as given and as read; dumping it yields plain types.

        If this fails: a nested list or mapping can still be changed.
        """
        given = turn(0, extra={"list": [{"deep": 1}]}, tools_executed=[{"tool_id": "t", "input": {"a": [1]}}])
        await store.save_turn(given)
        found = await store.get_turn(given.id, tenant_id=OURS)
        assert found is not None

        for record in (given, found):
            with pytest.raises(TypeError):
                record.extra["more"] = 1  # type: ignore[index]
            with pytest.raises(TypeError):
                record.extra["list"][0]["deep"] = 2
            with pytest.raises(AttributeError):
                record.tools_executed[0].input["a"].append(2)
        assert found.model_dump()["extra"] == {"list": [{"deep": 1}]}

    @requirement("AUDIT-011", since="1.0")
    async def test_agent_id_preserved(self, store: AuditStore) -> None:
        """A turn keeps its agent, and the filter by agent finds exactly that agent's turns.

        If this fails: agent_id has no place in the store, or the filter is ignored.
        """
        await store.save_turn(turn(0))
        await store.save_turn(turn(1, agent_id=uuid4()))
        await store.save_turn(turn(2, agent_id=None))

        found = await store.list_turns_by_tenant(OURS, agent_id=AGENT)

        assert [(one.turn_number, one.agent_id) for one in found] == [(0, AGENT)]

    @requirement("AUDIT-012", since="1.0")
    async def test_naive_datetime_refused(self, store: AuditStore) -> None:
        """A time filter without a zone is refused.

        If this fails: the backend reads it as local time.
        """
        naive = datetime(2026, 5, 4, 9, 0)  # noqa: DTZ001
        await store.save_turn(turn(0))

        for start, end in ((naive, None), (None, naive)):
            with pytest.raises(InvalidDataError):
                await store.list_turns_by_tenant(OURS, start, end)
            with pytest.raises(InvalidDataError):
                await store.list_events(OURS, None, None, start, end)

    @requirement("AUDIT-013", since="1.0")
    async def test_save_turns(self, store: AuditStore, clock: ManualClock) -> None:
        """Turns saved together are each stored as if saved alone, repeats included; their ids come as they were given.

        If this fails: a turn is dropped or replaced, the clock is forgotten, or the ids are in another order.
        """
        given = [turn(n, extra={"n": n}) for n in (5, 2, 9)]
        foreign = turn(2, THEIRS)

        assert await store.save_turns([*given, foreign]) == [one.id for one in (*given, foreign)]

        found = await store.list_turns_by_session(SESSION, tenant_id=OURS)
        assert found == sorted(given, key=lambda one: one.turn_number)
        assert [one.recorded_at for one in found] == [clock.now()] * 3
        assert await store.list_turns_by_tenant(THEIRS) == [foreign]
        clock.advance(seconds=60)
        assert await store.save_turns([given[1], turn(3), given[1]]) == [given[1].id, turn(3).id, given[1].id]
        assert await store.save_turns([]) == []
        found = await store.list_turns_by_session(SESSION, tenant_id=OURS)
        assert [one.turn_number for one in found] == [2, 3, 5, 9]
        assert found[0].recorded_at == clock.now() - timedelta(seconds=60)

    @requirement("AUDIT-014", since="1.0")
    async def test_save_turns_refuses(self, store: AuditStore) -> None:
        """One turn that save_turn would refuse makes save_turns refuse: within the list as against what is stored.

        If this fails: an import drops a record, or writes over one, without a word.
        """
        await store.save_turn(turn(0))
        refused = [
            [turn(0, user_message="rewritten")],
            [turn(0, id=uuid4())],
            [turn(8), turn(8, user_message="rewritten")],
            [turn(7), turn(7, id=uuid4())],
        ]

        for turns in refused:
            with pytest.raises(DuplicateError):
                await store.save_turns(turns)

        assert await store.get_turn(turn(0).id, tenant_id=OURS) == turn(0)
        assert len(await store.list_turns_by_session(SESSION, tenant_id=OURS)) <= 3
