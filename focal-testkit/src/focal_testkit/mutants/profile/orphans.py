"""Profile stores that mistreat items whose source is gone."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import ItemStatus, OnDependents
from focal_testkit.mutants import mutant


@mutant("PROFILES-120")
class OrphansUnasked(InMemoryProfileStore):
    """Deleting never refuses, it orphans."""

    def remove_version(self, table: Any, tenant_id: UUID, profile_id: UUID, id: UUID, on_dependents: Any) -> bool:
        return super().remove_version(table, tenant_id, profile_id, id, OnDependents.ORPHAN)


@mutant("PROFILES-128")
class LooksThenRemoves(InMemoryProfileStore):
    """Between looking for dependents and removing their source others may derive from it."""

    async def delete_field(self, tenant_id: UUID, profile_id: UUID, field_id: UUID, **options: Any) -> bool:
        had_dependents = any(self.dependents(tenant_id, field_id))
        await asyncio.sleep(0)
        if had_dependents:
            return await super().delete_field(tenant_id, profile_id, field_id, **options)
        return self._fields.remove(tenant_id, field_id) is not None


@mutant("PROFILES-121")
class OrphansGrandchildren(InMemoryProfileStore):
    """Whatever hangs below an orphan is orphaned too."""

    async def delete_field(self, tenant_id: UUID, profile_id: UUID, field_id: UUID, **options: Any) -> bool:
        for _, child in list(self.dependents(tenant_id, field_id)):
            for table, grandchild in list(self.dependents(tenant_id, child.id)):
                table.change(grandchild, self.context.clock.now(), status=ItemStatus.ORPHANED)
        return await super().delete_field(tenant_id, profile_id, field_id, **options)


@mutant("PROFILES-122")
class AssetsJustGo(InMemoryProfileStore):
    """Deleting an asset leaves what was derived from it active."""

    async def delete_asset(self, tenant_id: UUID, profile_id: UUID, asset_id: UUID, **options: Any) -> bool:
        return self._assets.remove(tenant_id, asset_id) is not None


@mutant("PROFILES-121", "PROFILES-123")
class CutsLinks(InMemoryProfileStore):
    """What loses its source forgets what it was."""

    def remove_version(self, table: Any, tenant_id: UUID, profile_id: UUID, id: UUID, on_dependents: Any) -> bool:
        removed = super().remove_version(table, tenant_id, profile_id, id, on_dependents)
        for place in self.version_tables if removed else ():
            for row in list(place.of_source.rows((tenant_id, id))):
                place.change(row, self.context.clock.now(), source_item_id=None, source_item_type=None)
        return removed


@mutant("PROFILES-126")
class MarksAgainAndAgain(InMemoryProfileStore):
    """What was marked before is counted again."""

    async def mark_orphaned_items(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        marked = await super().mark_orphaned_items(tenant_id, profile_id)
        return marked or sum(row.item.is_orphaned for row in self._fields.rows(tenant_id))


@mutant("PROFILES-127")
class DeletedSourcesAreGone(InMemoryProfileStore):
    """A source of a deleted profile counts as removed."""

    async def mark_orphaned_items(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        marked = await super().mark_orphaned_items(tenant_id, profile_id)
        for row in self._fields.rows(tenant_id):
            source = self._fields.get(tenant_id, row.item.source_item_id)
            if source is not None and not self.is_visible(source):
                self._fields.change(row, self.context.clock.now(), status=ItemStatus.ORPHANED)
                marked += 1
        return marked
