"""Lineage in memory."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.errors import ConflictError
from focal_core.profile.inmemory.tables import Owned, ProfileTables, VersionTable
from focal_core.profile.lineage import Item, ancestors, check_lineage, link, parse_item_type
from focal_core.profile.models import (
    DerivedItems,
    ItemStatus,
    LineageItem,
    OnDependents,
    ProfileAsset,
    ProfileField,
    SourceType,
)
from focal_core.profile.status import as_read, is_active
from focal_core.profile.store import ProfileLineage

Place = tuple[VersionTable[ProfileField], Owned[ProfileField]] | tuple[VersionTable[ProfileAsset], Owned[ProfileAsset]]
"""A row and the table it is in."""


class InMemoryProfileLineage(ProfileTables, ProfileLineage):
    """Lineage in memory, walked link by link."""

    async def get_derivation_chain(self, tenant_id: UUID, item_id: UUID, item_type: str) -> list[LineageItem]:
        row = self.table_of(parse_item_type(item_type)).get(tenant_id, item_id)
        if row is None or not self.is_visible(row):
            return []
        chain = [row.item, *ancestors(row.item, lambda kind, id: self.find_item(tenant_id, kind, id))]
        return [link(validated_copy(item)) for item in reversed(chain)]

    async def get_derived_items(self, tenant_id: UUID, source_item_id: UUID) -> DerivedItems:
        now, place = self.now(), (tenant_id, source_item_id)
        return DerivedItems(
            fields=[as_read(row.item, now) for row in self._fields.of_source.rows(place) if self.is_visible(row)],
            assets=[as_read(row.item, now) for row in self._assets.of_source.rows(place) if self.is_visible(row)],
        )

    async def check_has_dependents(self, tenant_id: UUID, item_id: UUID) -> bool:
        return any(self.dependents(tenant_id, item_id))

    async def mark_orphaned_items(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        ...
