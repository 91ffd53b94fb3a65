"""Fields on PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from focal_core.context import BackendContext
from focal_core.gate import admit, identifier
from focal_core.paging import Page, cursor_scope
from focal_core.profile.models import ItemStatus, OnDependents, ProfileField, SourceType
from focal_postgres.database import Database
from focal_postgres.keyset import Key
from focal_postgres.profile.tables import FIELDS, judged
from focal_postgres.profile.versions import PostgresProfileVersions, effective

_NEWEST_FIRST = [Key("r.collected_at", "timestamptz", True), Key("r.id", "uuid", True)]


class PostgresProfileFields(PostgresProfileVersions):
    """Fields on PostgreSQL."""

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        self._expiry_text = self.marking("expired", "r.status = 'active' AND r.expires_at <= $2", [FIELDS])
        self._count_text = (
            f"SELECT {effective('$2')} AS status, count(*) FROM {FIELDS.source(self.schema)}"
            f" WHERE r.tenant_id = $1 AND {self.visible()} GROUP BY 1"
        )

    async def update_field(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field: ProfileField,
        *,
        supersede_existing: bool = True,
        agent_id: UUID | None = None,
    ) -> UUID:
        return await self.add_version(
            "update_field",
            FIELDS,
            tenant_id,
            profile_id,
            admit(field, self.context.limits),
            supersede=supersede_existing,
            agent_id=agent_id,
        )

    async def get_field(
        self, tenant_id: UUID, profile_id: UUID, field_name: str, *, status: ItemStatus | None = ItemStatus.ACTIVE
    ) -> ProfileField | None:
        name = identifier(field_name, "field_name")
        return await self.newest("get_field", FIELDS, tenant_id, profile_id, name, status)

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
        page = await self.page(
            "get_field_history",
            FIELDS,
            f"r.tenant_id = $1 AND r.profile_id = {self.live_id()} AND r.field_name = $3",
            [tenant_id, profile_id, name],
            order=_NEWEST_FIRST,
            scope=cursor_scope(tenant_id, "get_field_history", profile_id=profile_id, field_name=name),
            limit=limit,
            after=after,
        )
        return Page((judged(field, now) for field in page), page.next_cursor)

    async def expire_stale_fields(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        return await self.mark("expire_stale_fields", self._expiry_text, tenant_id, profile_id)

    async def delete_field(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field_id: UUID,
        *,
        on_dependents: OnDependents = OnDependents.REFUSE,
    ) -> bool:
        return await self.remove_version(
            "delete_field", SourceType.PROFILE_FIELD, tenant_id, profile_id, field_id, on_dependents
        )

    async def count_fields_by_status(self, tenant_id: UUID) -> dict[ItemStatus, int]:
        rows = await self.database.fetch(
            "count_fields_by_status", self._count_text, tenant_id, self.now(), replica=True
        )
        return {**dict.fromkeys(ItemStatus, 0), **{ItemStatus(status): number for status, number in rows}}
