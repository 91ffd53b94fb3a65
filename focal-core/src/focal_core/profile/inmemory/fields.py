"""Fields in memory."""

from __future__ import annotations

from itertools import takewhile
from uuid import UUID

from focal_core.errors import ConflictError
from focal_core.gate import admit, identifier
from focal_core.paging import Page, cursor_scope
from focal_core.profile.inmemory.tables import Owned
from focal_core.profile.inmemory.versions import InMemoryProfileVersions
from focal_core.profile.models import ItemStatus, OnDependents, ProfileField
from focal_core.profile.status import as_read, effective_status, is_active


class InMemoryProfileFields(InMemoryProfileVersions):
    """Fields in memory."""

    async def update_field(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field: ProfileField,
        *,
        supersede_existing: bool = True,
        agent_id: UUID | None = None,
    ) -> UUID:
        item, now = admit(field, self.context.limits), self.now()
        profile = self.require(tenant_id, profile_id)
        if self.is_written(self._fields, tenant_id, profile.id, item, agent_id):
            return item.id
        current = self._active_names.get((tenant_id, profile.id, item.name))
        if current is not None and not supersede_existing and is_active(current.item, now):
            raise ConflictError(
                f"field {item.name!r} has an active version",
                code="field_active",
                hint="pass supersede_existing=True to replace it",
            )
        self.check_source(tenant_id, profile.id, item)
        if current is not None and not supersede_existing:
            self._fields.change(current, now, status=ItemStatus.EXPIRED)
            current = None
        self.write(self._fields, tenant_id, profile.id, item, current, now)
        return item.id

    async def get_field(
        self, tenant_id: UUID, profile_id: UUID, field_name: str, *, status: ItemStatus | None = ItemStatus.ACTIVE
    ) -> ProfileField | None:
        return self.newest(self._fields, tenant_id, profile_id, identifier(field_name, "field_name"), status)

    async def get_field_history(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field_name: str,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[ProfileField]:
        name, now = identifier(field_name, "field_name"), self.now()
        profile = self.live(tenant_id, profile_id)
        page = self._fields.of_name.page(
            (tenant_id, None if profile is None else profile.id, name),
            scope=cursor_scope(tenant_id, "get_field_history", profile_id=profile_id, field_name=name),
            limit=limit,
            cap=self.cap,
            after=after,
            copy=lambda row: Owned(row.tenant_id, row.profile_id, as_read(row.item, now)),
        )
        return Page((row.item for row in page), page.next_cursor)

    async def expire_stale_fields(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        now, expired = self.now(), 0
        profile = None if profile_id is None else self.live(tenant_id, profile_id)
        if profile_id is not None and profile is None:
            return 0
        for table in self.version_tables:
            for row in list(takewhile(lambda row: not is_active(row.item, now), table.due.rows(tenant_id))):
                if self.is_visible(row) and (profile is None or row.profile_id == profile.id):
                    table.change(row, now, status=ItemStatus.EXPIRED)
                    expired += isinstance(row.item, ProfileField)
        return expired

    async def delete_field(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field_id: UUID,
        *,
        on_dependents: OnDependents = OnDependents.REFUSE,
    ) -> bool:
        return self.remove_version(self._fields, tenant_id, profile_id, field_id, on_dependents)

    async def count_fields_by_status(self, tenant_id: UUID) -> dict[ItemStatus, int]:
        now, counts = self.now(), dict.fromkeys(ItemStatus, 0)
        for row in self._fields.rows(tenant_id):
            if self.is_visible(row):
                counts[effective_status(row.item, now)] += 1
        return counts
