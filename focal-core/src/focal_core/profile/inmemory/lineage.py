"""Lineage in memory, and the rules it sets for writing and deleting items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.errors import ConflictError
from focal_core.gate import member
from focal_core.profile.inmemory.tables import Owned, ProfileTables, VersionTable
from focal_core.profile.lineage import Item, ancestors, check_lineage, link, parse_item_type
from focal_core.profile.models import DerivedItems, ItemStatus, LineageItem, OnDependents, SourceType
from focal_core.profile.status import as_read, is_active


class InMemoryProfileLineage(ProfileTables):
    """Lineage in memory, walked link by link."""

    async def get_derivation_chain(self, tenant_id: UUID, item_id: UUID, item_type: str) -> list[LineageItem]:
        row = self.table_of(parse_item_type(item_type)).get(tenant_id, item_id)
        if row is None or not self.is_visible(row):
            return []

        def find(kind: SourceType, id: UUID) -> Item | None:
            found = self.table_of(kind).get(tenant_id, id)
            return None if found is None else found.item

        return [link(validated_copy(item)) for item in reversed([row.item, *ancestors(row.item, find)])]

    async def get_derived_items(self, tenant_id: UUID, source_item_id: UUID) -> DerivedItems:
        now, place = self.now(), (tenant_id, source_item_id)
        return DerivedItems(
            fields=[as_read(row.item, now) for row in self._fields.of_source.rows(place) if self.is_visible(row)],
            assets=[as_read(row.item, now) for row in self._assets.of_source.rows(place) if self.is_visible(row)],
        )

    async def check_has_dependents(self, tenant_id: UUID, item_id: UUID) -> bool:
        return any(True for _ in self.dependents(tenant_id, item_id))

    async def mark_orphaned_items(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        now, marked = self.now(), 0
        profile = None if profile_id is None else self.live(tenant_id, profile_id)
        if profile_id is not None and profile is None:
            return 0
        for table in self.version_tables:
            for row in table.rows(tenant_id):
                source = row.item.source_item_id
                if (
                    source is not None
                    and (profile is None or row.profile_id == profile.id)
                    and is_active(row.item, now)
                    and self.table_of(row.item.source_item_type).get(tenant_id, source) is None
                    and self.is_visible(row)
                ):
                    table.change(row, now, status=ItemStatus.ORPHANED)
                    marked += 1
        return marked

    def dependents(self, tenant_id: UUID, item_id: UUID) -> Iterator[tuple[VersionTable[Any], Owned[Any]]]:
        """Yield the active items that were derived directly from an item, each with its table."""
        now = self.now()
        for table in self.version_tables:
            for row in list(table.of_source.rows((tenant_id, item_id))):
                if is_active(row.item, now) and self.is_visible(row):
                    yield table, row

    def check_source(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        item: Item,
        arriving: Mapping[tuple[SourceType, UUID], Item] | None = None,
    ) -> None:
        """Refuse a lineage that must not be written.

        Args:
            tenant_id: the owner.
            profile_id: the profile the item is for.
            item: the item.
            arriving: items that are written at the same time, by type and id.

        Raises:
            InvalidDataError: as ``focal_core.profile.lineage.check_lineage``.
        """

        def find(kind: SourceType, id: UUID) -> Item | None:
            if arriving is not None and (kind, id) in arriving:
                return arriving[kind, id]
            row = self.table_of(kind).get(tenant_id, id)
            if row is None:
                return None
            # What a deleted profile has is no source any more, but stays a link of older chains.
            usable = id != item.source_item_id or row.profile_id == profile_id or self.is_visible(row)
            return row.item if usable else None

        check_lineage(item, find, self.context.profile_policy.max_derivation_chain_depth)

    def remove_version(
        self, table: VersionTable[Any], tenant_id: UUID, profile_id: UUID, id: UUID, on_dependents: OnDependents
    ) -> bool:
        """Remove an item of a profile; False when it has none of that id.

        Raises:
            ConflictError: active items were derived from it and on_dependents is refuse (code ``has_dependents``).
        """
        choice = member(OnDependents, on_dependents, "on_dependents")
        row, profile = table.get(tenant_id, id), self.live(tenant_id, profile_id)
        if row is None or profile is None or row.profile_id != profile.id:
            return False
        dependents = list(self.dependents(tenant_id, id))
        if dependents and choice is OnDependents.REFUSE:
            raise ConflictError(
                f"{len(dependents)} active item(s) were derived from {type(row.item).__name__} {id}",
                code="has_dependents",
                hint="delete them first, or pass on_dependents=OnDependents.ORPHAN",
            )
        now = self.now()
        for place, dependent in dependents:
            place.change(dependent, now, status=ItemStatus.ORPHANED)
        table.remove(tenant_id, id)
        return True
