"""Assets on PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from focal_core.context import BackendContext
from focal_core.gate import admit, identifier
from focal_core.profile.models import ItemStatus, OnDependents, ProfileAsset, SourceType
from focal_postgres.database import Database
from focal_postgres.profile.tables import ASSETS, judged
from focal_postgres.profile.versions import PostgresProfileVersions


class PostgresProfileAssets(PostgresProfileVersions):
    """Assets on PostgreSQL."""

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        self._asset_text = (
            f"SELECT {ASSETS.select()} FROM {ASSETS.source(self.schema)} WHERE r.tenant_id = $1 AND r.id = $3"
            f" AND r.profile_id = {self.live_id()}"
        )

    async def add_asset(
        self, tenant_id: UUID, profile_id: UUID, asset: ProfileAsset, *, supersede_existing: bool = False
    ) -> UUID:
        return await self.add_version(
            "add_asset",
            ASSETS,
            tenant_id,
            profile_id,
            admit(asset, self.context.limits),
            supersede=supersede_existing,
        )

    async def get_asset(self, tenant_id: UUID, profile_id: UUID, asset_id: UUID) -> ProfileAsset | None:
        row = await self.database.fetchrow("get_asset", self._asset_text, tenant_id, profile_id, asset_id)
        return None if row is None else judged(ASSETS.load(row), self.now())

    async def get_asset_by_name(
        self, tenant_id: UUID, profile_id: UUID, asset_name: str, *, status: ItemStatus | None = ItemStatus.ACTIVE
    ) -> ProfileAsset | None:
        name = identifier(asset_name, "asset_name")
        return await self.newest("get_asset_by_name", ASSETS, tenant_id, profile_id, name, status)

    async def delete_asset(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        asset_id: UUID,
        *,
        on_dependents: OnDependents = OnDependents.REFUSE,
    ) -> bool:
        return await self.remove_version(
            "delete_asset", SourceType.PROFILE_ASSET, tenant_id, profile_id, asset_id, on_dependents
        )
