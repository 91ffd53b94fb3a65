"""Profile stores that mistreat assets."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import CustomerProfile, ItemStatus, ProfileAsset
from focal_testkit.mutants import mutant


@mutant("PROFILES-080")
class DropsTheTool(InMemoryProfileStore):
    """The tool an asset was made by is not stored."""

    async def add_asset(self, tenant_id: UUID, profile_id: UUID, asset: ProfileAsset, **options: Any) -> UUID:
        bare = asset.model_copy(update={"derived_from_tool": None})
        return await super().add_asset(tenant_id, profile_id, bare, **options)


@mutant("PROFILES-081")
class AlwaysSupersedes(InMemoryProfileStore):
    """An asset takes the place of those of its name, asked or not."""

    async def add_asset(self, *args: Any, supersede_existing: bool = False) -> UUID:
        return await super().add_asset(*args, supersede_existing=True)


@mutant("PROFILES-082")
class SupersedesByType(InMemoryProfileStore):
    """An asset supersedes those of its type, whatever their name."""

    async def add_asset(self, tenant_id: UUID, profile_id: UUID, asset: ProfileAsset, **options: Any) -> UUID:
        added = await super().add_asset(tenant_id, profile_id, asset, **options)
        for row in list(self._assets.active.rows((tenant_id, profile_id))):
            if options and row.item.asset_type == asset.asset_type and row.id != added:
                self._assets.supersede(row, added, self.context.clock.now())
        return added


@mutant("PROFILES-089")
class AddsThenSupersedes(InMemoryProfileStore):
    """Between looking for the former assets and superseding them others may do the same."""

    async def add_asset(self, tenant_id: UUID, profile_id: UUID, asset: ProfileAsset, **options: Any) -> UUID:
        former = list(self._assets.active.rows((tenant_id, profile_id)))
        await asyncio.sleep(0)
        added = await super().add_asset(tenant_id, profile_id, asset)
        for row in former if options.get("supersede_existing") else ():
            if row.item.name == asset.name:
                self._assets.supersede(row, added, self.context.clock.now())
        return added


@mutant("PROFILES-083")
class ActiveAssetsOnly(InMemoryProfileStore):
    """An asset that is not active cannot be read."""

    async def get_asset(self, *args: Any) -> ProfileAsset | None:
        found = await super().get_asset(*args)
        return found if found is not None and found.status is ItemStatus.ACTIVE else None


@mutant("PROFILES-085")
class CreatesProfilesForAssets(InMemoryProfileStore):
    """An asset of an unknown profile brings the profile about."""

    async def add_asset(self, tenant_id: UUID, profile_id: UUID, *args: Any, **options: Any) -> UUID:
        if self.survivor(tenant_id, profile_id) is None:
            await self.save(CustomerProfile(id=profile_id, tenant_id=tenant_id))
        return await super().add_asset(tenant_id, profile_id, *args, **options)


@mutant("PROFILES-086")
class DeletesAnyonesAsset(InMemoryProfileStore):
    """An asset is deleted whatever profile it belongs to."""

    async def delete_asset(self, tenant_id: UUID, profile_id: UUID, asset_id: UUID, **options: Any) -> bool:
        row = self._assets.get(tenant_id, asset_id)
        return await super().delete_asset(tenant_id, profile_id if row is None else row.profile_id, asset_id, **options)


@mutant("PROFILES-087")
class NumbersAreFloats(InMemoryProfileStore):
    """Integers in metadata become floats."""

    async def add_asset(self, tenant_id: UUID, profile_id: UUID, asset: ProfileAsset, **options: Any) -> UUID:
        floats = json.loads(json.dumps(asset.metadata), parse_int=float)
        floating = asset.model_copy(update={"metadata": floats})
        return await super().add_asset(tenant_id, profile_id, floating, **options)


@mutant("PROFILES-088")
class CutsAssetNames(InMemoryProfileStore):
    """Names of assets have a hundred characters at most."""

    async def add_asset(self, tenant_id: UUID, profile_id: UUID, asset: ProfileAsset, **options: Any) -> UUID:
        cut = asset.model_copy(update={"name": asset.name[:100]})
        return await super().add_asset(tenant_id, profile_id, cut, **options)
