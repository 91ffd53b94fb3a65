"""The in-memory reference of the audit port."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import ClassVar, TypeVar
from uuid import UUID

from focal_core.audit.models import AuditEvent, AuditRecord, TurnRecord
from focal_core.audit.store import AuditStore
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError, InvalidDataError
from focal_core.gate import admit, moment
from focal_core.inmemory.store import InMemoryStore
from focal_core.inmemory.table import OrderedIndex, Table, UniqueIndex, micros
from focal_core.paging import Page, cursor_scope

A = TypeVar("A", bound=AuditRecord)


def _by_time(record: AuditRecord) -> tuple[int, str]:
    return micros(record.created_at), str(record.id)


def _as_it_is(record: A) -> A:
    return record


class InMemoryAuditStore(InMemoryStore, AuditStore):
    """Turns and events in memory; frozen records are handed out as they are."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"purge"})
    tables: ClassVar[tuple[str, ...]] = ("_turns", "_events")

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._turns_of_session = OrderedIndex[TurnRecord](
            lambda turn: (turn.tenant_id, turn.session_id), lambda turn: (turn.turn_number, *_by_time(turn))
        )
        self._turns_of_tenant = OrderedIndex[TurnRecord](lambda turn: turn.tenant_id, _by_time)
        self._turns_of_agent = OrderedIndex[TurnRecord](lambda turn: (turn.tenant_id, turn.agent_id), _by_time)
        self._turn_numbers = UniqueIndex[TurnRecord](lambda turn: (turn.tenant_id, turn.session_id, turn.turn_number))
        self._turns = Table[TurnRecord](
            self._turns_of_session, self._turns_of_tenant, self._turns_of_agent, self._turn_numbers
        )
        self._events_of_tenant = OrderedIndex[AuditEvent](lambda event: event.tenant_id, _by_time)
        self._events_of_session = OrderedIndex[AuditEvent](lambda event: (event.tenant_id, event.session_id), _by_time)
        self._events = Table[AuditEvent](self._events_of_tenant, self._events_of_session)

    async def save_turn(self, turn: TurnRecord) -> UUID:
        def number_is_free(row: TurnRecord) -> None:
            if self._turn_numbers.owner_other_than(row) is not None:
                raise DuplicateError(
                    f"session {row.session_id} has a turn {row.turn_number} already", code="turn_number_taken"
                )

        return self._append(self._turns, turn, number_is_free)

    async def get_turn(self, turn_id: UUID, *, tenant_id: UUID | None = None) -> TurnRecord | None:
        tenant = self.resolve_tenant(tenant_id, lambda: self._turns.tenants_of(turn_id), "get_turn")
        return self._turns.get(tenant, turn_id)

    async def list_turns_by_session(
        self,
        session_id: UUID,
        limit: int = 50,
        offset: int = 0,
        *,
        tenant_id: UUID | None = None,
        after: str | None = None,
    ) -> Page[TurnRecord]:
        tenant = self.resolve_tenant(
            tenant_id, lambda: self._turns_of_session.tenants_of(session_id), "list_turns_by_session"
        )
        scope = cursor_scope(tenant, "list_turns_by_session", session_id=session_id)
        return self._turns_of_session.page(
            (tenant, session_id), scope=scope, limit=limit, cap=self.cap, copy=_as_it_is, offset=offset, after=after
        )

    async def list_turns_by_tenant(
        self,
        tenant_id: UUID,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        agent_id: UUID | None = None,
        limit: int = 100,
        offset: int = 0,
        *,
        after: str | None = None,
    ) -> Page[TurnRecord]:
        within = _within(start_time, end_time)
        scope = cursor_scope(tenant_id, "list_turns_by_tenant", start=start_time, end=end_time, agent=agent_id)
        by_agent = agent_id is not None
        index = self._turns_of_agent if by_agent else self._turns_of_tenant
        partition = (tenant_id, agent_id) if by_agent else tenant_id
        return index.page(
            partition, scope=scope, limit=limit, cap=self.cap, copy=_as_it_is, offset=offset, after=after, keep=within
        )

    async def save_event(self, event: AuditEvent) -> UUID:
        return self._append(self._events, event)

    async def get_event(self, event_id: UUID, *, tenant_id: UUID | None = None) -> AuditEvent | None:
        tenant = self.resolve_tenant(tenant_id, lambda: self._events.tenants_of(event_id), "get_event")
        return self._events.get(tenant, event_id)

    async def list_events(
        self,
        tenant_id: UUID,
        event_type: str | None = None,
        session_id: UUID | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        limit: int = 100,
        *,
        turn_id: UUID | None = None,
        after: str | None = None,
    ) -> Page[AuditEvent]:
        within = _within(start_time, end_time)
        scope = cursor_scope(
            tenant_id,
            "list_events",
            type=event_type,
            session=session_id,
            start=start_time,
            end=end_time,
            turn=turn_id,
        )

        def keep(event: AuditEvent) -> bool:
            return (
                within(event)
                and (event_type is None or event.event_type == event_type)
                and (turn_id is None or event.turn_id == turn_id)
            )

        by_session = session_id is not None
        index = self._events_of_session if by_session else self._events_of_tenant
        partition = (tenant_id, session_id) if by_session else tenant_id
        return index.page(partition, scope=scope, limit=limit, cap=self.cap, copy=_as_it_is, after=after, keep=keep)

    async def purge(
        self, tenant_id: UUID, *, before: datetime | None = None, session_ids: Collection[UUID] | None = None
    ) -> int:
        moment(before, "before")
        if before is None and session_ids is None:
            raise InvalidDataError("purge needs a filter", code="filter_required", hint="pass before= or session_ids=")
        doomed = [
            (table, record.id)
            for table in (self._turns, self._events)
            for record in table.rows(tenant_id)
            if (before is None or record.created_at < before)
            and (session_ids is None or record.session_id in session_ids)
        ]
        for table, record_id in doomed:
            table.remove(tenant_id, record_id)
        if doomed:
            await self.save_event(
                AuditEvent(
                    id=self.context.id_factory(),
                    tenant_id=tenant_id,
                    event_type="audit.purged",
                    event_data={"removed": len(doomed), "before": before.isoformat() if before else None},
                    created_at=self.context.clock.now(),
                )
            )
        return len(doomed)

    def _append(self, table: Table[A], record: A, check: Callable[[A], None] | None = None) -> UUID:
        row = admit(record, self.context.limits)
        stored = table.get(row.tenant_id, row.id)
        if stored is not None:
            if stored != row:
                raise DuplicateError(
                    f"{type(row).__name__} {row.id} is stored with other content", code="record_differs"
                )
            return row.id
        if check is not None:
            check(row)
        row.set_stored(recorded_at=self.context.clock.now())
        table.put(row)
        return row.id


def _within(start: datetime | None, end: datetime | None) -> Callable[[AuditRecord], bool]:
    """Return the test for the half-open interval [start, end)."""
    moment(start, "start_time")
    moment(end, "end_time")
    return lambda record: (start is None or record.created_at >= start) and (end is None or record.created_at < end)
