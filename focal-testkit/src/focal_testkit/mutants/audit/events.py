"""Audit stores that break a rule about events."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.audit.models import AuditEvent
from focal_core.errors import InvalidDataError
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("AUDIT-020", "AUDIT-024")
class EventsUnfiltered(InMemoryAuditStore):
    """Events are listed in the order of saving, whatever is asked for."""

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
        return Page(self._events.rows(tenant_id)[:limit])


@mutant("AUDIT-021")
class TypeIsAPrefix(InMemoryAuditStore):
    """The type filter matches what begins with it."""

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
        page = await super().list_events(
            tenant_id, None, session_id, start_time, end_time, limit, turn_id=turn_id, after=after
        )
        return Page(event for event in page if event.event_type.startswith(event_type or ""))


@mutant("AUDIT-022")
class EventNeedsItsTurn(InMemoryAuditStore):
    """An event is refused before its turn."""

    async def save_event(self, event: AuditEvent) -> UUID:
        if event.turn_id is not None and self._turns.get(event.tenant_id, event.turn_id) is None:
            raise InvalidDataError("no such turn")
        return await super().save_event(event)
