"""An audit store over two lists: slow, small, and right."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from focal_core.audit.models import AuditEvent, AuditRecord, TurnRecord
from focal_core.audit.store import AuditStore
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError, InvalidDataError, UnsupportedOperationError
from focal_core.gate import admit, ambiguous_tenant, moment, require_tenant
from focal_core.paging import Page, check_paging, cursor_scope, decode_cursor, encode_cursor


class AcmeAuditStore(AuditStore):
    """Keeps records in lists; has no capability."""

    def __init__(self, context: BackendContext) -> None:
        self.context = context
        self.turns: list[TurnRecord] = []
        self.events: list[AuditEvent] = []

    async def save_turn(self, turn: TurnRecord) -> UUID:
        rivals = [
            one
            for one in self.turns
            if (one.tenant_id, one.session_id, one.turn_number) == (turn.tenant_id, turn.session_id, turn.turn_number)
        ]
        return self._append(self.turns, turn, rivals)

    async def save_event(self, event: AuditEvent) -> UUID:
        return self._append(self.events, event, [])

    async def get_turn(self, turn_id: UUID, *, tenant_id: UUID | None = None) -> TurnRecord | None:
        return self._one(self.turns, turn_id, tenant_id)

    async def get_event(self, event_id: UUID, *, tenant_id: UUID | None = None) -> AuditEvent | None:
        return self._one(self.events, event_id, tenant_id)

    async def list_turns_by_session(
        self,
        session_id: UUID,
        limit: int = 50,
        offset: int = 0,
        *,
        tenant_id: UUID | None = None,
        after: str | None = None,
    ) -> Page[TurnRecord]:
        require_tenant(tenant_id, self.context, "list_turns_by_session")
        rows = [one for one in self.turns if one.session_id == session_id and tenant_id in (None, one.tenant_id)]
        if len({one.tenant_id for one in rows}) > 1:
            raise ambiguous_tenant("list_turns_by_session")
        scope = cursor_scope(tenant_id, "by_session", session=session_id)
        return page(rows, lambda one: [one.turn_number, *by_time(one)], scope, limit, offset, after)

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
        rows = [one for one in within(self.turns, tenant_id, start_time, end_time) if agent_id in (None, one.agent_id)]
        scope = cursor_scope(tenant_id, "by_tenant", start=start_time, end=end_time, agent=agent_id)
        return page(rows, by_time, scope, limit, offset, after)

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
        rows = [
            one
            for one in within(self.events, tenant_id, start_time, end_time)
            if event_type in (None, one.event_type)
            and session_id in (None, one.session_id)
            and turn_id in (None, one.turn_id)
        ]
        scope = cursor_scope(
            tenant_id, "events", type=event_type, session=session_id, start=start_time, end=end_time, turn=turn_id
        )
        return page(rows, by_time, scope, limit, 0, after)

    async def purge(
        self, tenant_id: UUID, *, before: datetime | None = None, session_ids: Collection[UUID] | None = None
    ) -> int:
        raise UnsupportedOperationError("acme does not purge")

    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[UUID]:
        tenants = sorted({one.tenant_id for one in (*self.turns, *self.events)})
        return page(tenants, lambda tenant: [str(tenant)], cursor_scope(None, "tenants"), limit, 0, after)

    async def erase_tenant(self, tenant_id: UUID) -> int:
        before = len(self.turns) + len(self.events)
        self.turns = [one for one in self.turns if one.tenant_id != tenant_id]
        self.events = [one for one in self.events if one.tenant_id != tenant_id]
        return before - len(self.turns) - len(self.events)

    def _append(self, rows: list[Any], record: Any, rivals: list[Any]) -> UUID:
        row = admit(record, self.context.limits)
        for stored in rows:
            if (stored.tenant_id, stored.id) == (row.tenant_id, row.id):
                if stored == row:
                    return row.id  # type: ignore[no-any-return]
                raise DuplicateError("stored with other content")
        if rivals:
            raise DuplicateError("turn number taken")
        row.set_stored(recorded_at=self.context.clock.now())
        rows.append(row)
        return row.id  # type: ignore[no-any-return]

    def _one(self, rows: list[Any], id: UUID, tenant_id: UUID | None) -> Any:
        require_tenant(tenant_id, self.context, "get")
        found = [one for one in rows if one.id == id and tenant_id in (None, one.tenant_id)]
        if len(found) > 1:
            raise ambiguous_tenant("get")
        return found[0] if found else None


def by_time(record: AuditRecord) -> list[Any]:
    """Return the sort key of a list by time."""
    return [record.created_at.isoformat(timespec="microseconds"), str(record.id)]


def within(rows: list[Any], tenant_id: UUID, start: datetime | None, end: datetime | None) -> list[Any]:
    """Return the tenant's rows of a half-open time range."""
    moment(start, "start_time")
    moment(end, "end_time")
    return [
        one
        for one in rows
        if one.tenant_id == tenant_id
        and (start is None or one.created_at >= start)
        and (end is None or one.created_at < end)
    ]


def page(
    rows: list[Any], key: Callable[[Any], list[Any]], scope: str, limit: int, offset: int, after: str | None
) -> Page[Any]:
    """Return one page of rows sorted by a key."""
    check_paging(limit, offset, after)
    ordered = sorted(rows, key=key)
    if after is not None:
        behind = decode_cursor(after, scope)
        try:
            ordered = [one for one in ordered if key(one) > behind]
        except TypeError:
            raise InvalidDataError("the cursor is malformed") from None
    chosen = ordered[offset : offset + limit]
    more = len(ordered) > offset + limit
    return Page(chosen, encode_cursor(scope, key(chosen[-1])) if more else None)
