"""Lineage: which item was derived from which."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.profile.models import DerivedItems, LineageItem
from focal_core.store import Store


class ProfileLineage(Store):
    """Which fields and assets were derived from which, across the profiles of a tenant.

    Links are written with the item and never change; merging profiles leaves them as they are. Items of deleted
    profiles are absent, but stay links of the chains they are part of.
    """

    @abstractmethod
    async def get_derivation_chain(self, tenant_id: UUID, item_id: UUID, item_type: str) -> list[LineageItem]:
        """Return the chain an item was derived through, from its root to the item itself; empty for an unknown item.

        Chains are returned whole: their length was checked when they were written. A chain whose source was removed
        begins behind it.

        Args:
            tenant_id: the owner.
            item_id: the item.
            item_type: ``profile_field`` or ``profile_asset``.

        Raises:
            InvalidDataError: item_type is another (code ``item_type_invalid``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_derived_items(self, tenant_id: UUID, source_item_id: UUID) -> DerivedItems:
        """Return what was derived directly from an item, in every status; fields by collected_at, assets by
        uploaded_at, then id, ascending.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def check_has_dependents(self, tenant_id: UUID, item_id: UUID) -> bool:
        """Return whether any item that is active now was derived directly from an item.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def mark_orphaned_items(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        """Mark the active items whose source is gone as orphaned, and return how many; a second call returns 0.

        Args:
            tenant_id: the owner.
            profile_id: only this profile's items; None = those of all live profiles of the tenant.

        Raises:
            StoreUnavailableError: nothing was written; safe to retry.
        """
