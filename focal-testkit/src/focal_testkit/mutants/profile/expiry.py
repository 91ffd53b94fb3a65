"""Profile stores that mistake what is past its time."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import ItemStatus, ProfileAsset
from focal_testkit.mutants import mutant


@mutant("PROFILES-070", "PROFILES-071")
class NamesWaitForTheSweep(InMemoryProfileStore):
    """By name, an item counts as active until the sweep."""

    def newest(self, table: Any, tenant_id: UUID, profile_id: UUID, name: str, status: Any) -> Any:
        for row in table.of_name.rows((tenant_id, profile_id, name)):
            if status in (None, row.item.status):
                return validated_copy(row.item)
        return None


@mutant("PROFILES-071")
class AssetsWaitForTheSweep(InMemoryProfileStore):
    """By id, an asset has the status it is stored with."""

    async def get_asset(self, tenant_id: UUID, profile_id: UUID, asset_id: UUID) -> ProfileAsset | None:
        found = await super().get_asset(tenant_id, profile_id, asset_id)
        row = self._assets.get(tenant_id, asset_id)
        return None if found is None or row is None else validated_copy(row.item)


@mutant("PROFILES-072", "PROFILES-073")
class CountsTwice(InMemoryProfileStore):
    """Every field that expires is counted twice."""

    async def expire_stale_fields(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        return 2 * await super().expire_stale_fields(tenant_id, profile_id)


@mutant("PROFILES-072")
class NeverMarks(InMemoryProfileStore):
    """The sweep counts what it finds and marks nothing."""

    async def expire_stale_fields(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        now = self.context.clock.now()
        return sum(1 for row in self._fields.due.rows(tenant_id) if row.item.expires_at and row.item.expires_at <= now)


@mutant("PROFILES-073")
class SweepsEveryProfile(InMemoryProfileStore):
    """The profile to sweep is ignored."""

    async def expire_stale_fields(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        return await super().expire_stale_fields(tenant_id)


@mutant("PROFILES-074", "PROFILES-124")
class ExpiryOutranksAll(InMemoryProfileStore):
    """The sweep marks whatever is past its time, superseded and orphaned versions too."""

    async def expire_stale_fields(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        now, marked = self.context.clock.now(), 0
        for row in self._fields.rows(tenant_id):
            if row.item.expires_at is not None and row.item.expires_at <= now:
                past: dict[str, Any] = {"status": ItemStatus.EXPIRED, "superseded_by_id": None, "superseded_at": None}
                self._fields.change(row, now, **past)
                marked += 1
        return marked


@mutant("PROFILES-076")
class CountsStoredStatuses(InMemoryProfileStore):
    """Fields are counted by the status they are stored with."""

    async def count_fields_by_status(self, tenant_id: UUID) -> dict[ItemStatus, int]:
        counts = Counter(row.item.status for row in self._fields.rows(tenant_id) if self.is_visible(row))
        return {status: counts[status] for status in ItemStatus}
