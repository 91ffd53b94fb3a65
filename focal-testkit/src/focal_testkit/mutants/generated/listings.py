"""Stores whose lists skip, repeat, cut or reorder rows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.audit.models import AuditEvent, TurnRecord
from focal_core.paging import Page
from focal_testkit.mutants import mutant


def by_offset(rows: list[Any], limit: int, after: str | None) -> Page[Any]:
    """Return a page whose cursor is the number of rows already seen."""
    start = int(after or 0)
    return Page(rows[start : start + limit], str(start + limit) if start + limit < len(rows) else None)


@mutant("STORE-020")
class CursorNeverComes(InMemoryAuditStore):
    """A page does not say how to go on."""

    async def list_events(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[AuditEvent]:
        return Page(await super().list_events(tenant_id, *filters, **paging))


@mutant("STORE-021", "STORE-023", "STORE-024")
class NewestFirstByOffset(InMemoryAuditStore):
    """Events are paged by offset, newest first, and the limit is not checked."""

    async def list_events(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[AuditEvent]:
        rows = sorted(self._events.rows(tenant_id), key=lambda event: event.created_at, reverse=True)
        return by_offset(rows, paging.get("limit", 100), paging.get("after"))


@mutant("STORE-025")
class OffsetTooFar(InMemoryAuditStore):
    """An offset leaves out one row too many."""

    async def list_turns_by_tenant(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[TurnRecord]:
        if paging.get("offset"):
            paging["offset"] += 1
        return await super().list_turns_by_tenant(tenant_id, *filters, **paging)


@mutant("STORE-027")
class EventsAsText(InMemoryAuditStore):
    """Events are ordered by their time as text of varying length."""

    async def list_events(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[AuditEvent]:
        page = await super().list_events(tenant_id, *filters, **paging)
        return Page(sorted(page, key=lambda event: str(event.created_at.minute)), page.next_cursor)
