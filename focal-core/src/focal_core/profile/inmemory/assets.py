"""Assets in memory."""

from __future__ import annotations

from uuid import UUID

from focal_core.gate import admit, identifier
from focal_core.profile.inmemory.versions import InMemoryProfileVersions
from focal_core.profile.models import ItemStatus, OnDependents, ProfileAsset
from focal_core.profile.status import as_read


class InMemoryProfileAssets(InMemoryProfileVersions):
    """Assets in memory."""

    async def add_asset(
        self, tenant_id: UUID, profile_id: UUID, asset: ProfileAsset, *, supersede_existing: bool = False
    ) -> UUID:
        item = admit(asset, self.context.limits)
        profile = self.require(tenant_id, profile_id)
        if self.is_written(self._assets, tenant_id, profile.id, item):
            return item.id
        self.check_source(tenant_id, profile.id, item)
        now = self.now()
        if supersede_existing:
            for row in list(self._assets.of_name.rows((tenant_id, profile.id, item.name))):
                if row.item.status is ItemStatus.ACTIVE:
                    self._assets.supersede(row, item.id, now)
        self.write(self._assets, tenant_id, profile.id, item, None, now)
        return item.id

    async def get_asset(self, tenant_id: UUID, profile_id: UUID, asset_id: UUID) -> ProfileAsset | None:
        row, profile = self._assets.get(tenant_id, asset_id), self.live(tenant_id, profile_id)
        if row is None or profile is None or row.profile_id != profile.id:
            return None
        return as_read(row.item, self.now())

    async def get_asset_by_name(
        self, tenant_id: UUID, profile_id: UUID, asset_name: str, *, status: ItemStatus | None = ItemStatus.ACTIVE
    ) -> ProfileAsset | None:
        return self.newest(self._assets, tenant_id, profile_id, identifier(asset_name, "asset_name"), status)

    async def delete_asset(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        asset_id: UUID,
        *,
        on_dependents: OnDependents = OnDependents.REFUSE,
    ) -> bool:
        return self.remove_version(self._assets, tenant_id, profile_id, asset_id, on_dependents)
