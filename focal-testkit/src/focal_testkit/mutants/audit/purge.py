"""Audit stores that break a rule about purging."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.audit.models import AuditEvent
from focal_testkit.mutants import mutant


@mutant("AUDIT-030", "AUDIT-031")
class PurgesEverything(InMemoryAuditStore):
    """A purge removes everything the tenant has, and says nothing."""

    async def purge(
        self, tenant_id: UUID, *, before: datetime | None = None, session_ids: Collection[UUID] | None = None
    ) -> int:
        return self._turns.erase(tenant_id) + self._events.erase(tenant_id)


@mutant("AUDIT-032")
class AlwaysWritesAnEvent(InMemoryAuditStore):
    """A purge that finds nothing writes its event all the same."""

    async def purge(
        self, tenant_id: UUID, *, before: datetime | None = None, session_ids: Collection[UUID] | None = None
    ) -> int:
        removed = await super().purge(tenant_id, before=before, session_ids=session_ids)
        if not removed:
            await self.save_event(AuditEvent(tenant_id=tenant_id, event_type="audit.purged"))
        return removed


@mutant("AUDIT-033")
class PurgeNeedsSessions(InMemoryAuditStore):
    """A purge by time alone removes nothing."""

    async def purge(
        self, tenant_id: UUID, *, before: datetime | None = None, session_ids: Collection[UUID] | None = None
    ) -> int:
        return await super().purge(tenant_id, before=before, session_ids=session_ids or [])
