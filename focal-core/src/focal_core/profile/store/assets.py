"""Assets of a profile: documents a customer handed in, by reference."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.profile.models import ItemStatus, OnDependents, ProfileAsset
from focal_core.store import Store


class ProfileAssets(Store):
    """Assets of a profile."""

    @abstractmethod
    async def add_asset(
        self, tenant_id: UUID, profile_id: UUID, asset: ProfileAsset, *, supersede_existing: bool = False
    ) -> UUID:
        """Store a new asset and return its id; the same asset again changes nothing.

        Args:
            tenant_id: the owner.
            profile_id: the profile.
            asset: the asset; its status and what it is superseded by are the store's to decide. Lineage is checked
                as in ``update_field``.
            supersede_existing: True supersedes the active assets of its name; False keeps them beside it.

        Raises:
            NotFoundError: no such profile.
            DuplicateError: the id is stored, with other content (code ``record_differs``) or for another profile
                (code ``id_taken``).
            InvalidDataError: the asset is invalid (code of the rule), or its lineage is refused: ``source_missing``,
                ``lineage_cycle``, ``lineage_too_deep``, or ``lineage_immutable`` when the id is stored with another.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def get_asset(self, tenant_id: UUID, profile_id: UUID, asset_id: UUID) -> ProfileAsset | None:
        """Return an asset of a profile, whatever its status, or None.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_asset_by_name(
        self, tenant_id: UUID, profile_id: UUID, asset_name: str, *, status: ItemStatus | None = ItemStatus.ACTIVE
    ) -> ProfileAsset | None:
        """Return the newest asset of a name that has a status now, or None.

        Newest is the later uploaded_at, then the greater id.

        Args:
            tenant_id: the owner.
            profile_id: the profile.
            asset_name: the name, in any Unicode form.
            status: the status; None = any.

        Raises:
            InvalidDataError: asset_name or status cannot be one.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def delete_asset(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        asset_id: UUID,
        *,
        on_dependents: OnDependents = OnDependents.REFUSE,
    ) -> bool:
        """Remove an asset for good and return True; False when the profile has none of that id.

        Args:
            tenant_id: the owner.
            profile_id: the profile.
            asset_id: the asset.
            on_dependents: what to do when active items were derived from it: refuse, or mark those orphaned.

        Raises:
            ConflictError: there are such items and on_dependents is refuse (code ``has_dependents``).
            InvalidDataError: on_dependents is none of its values.
            StoreUnavailableError: nothing was written; safe to retry.
        """
