"""Fields of a profile: what is known of a customer, version by version."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.paging import Page
from focal_core.profile.models import ItemStatus, OnDependents, ProfileField
from focal_core.store import Store


class ProfileFields(Store):
    """Fields of a profile."""

    @abstractmethod
    async def update_field(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field: ProfileField,
        *,
        supersede_existing: bool = True,
        agent_id: UUID | None = None,
    ) -> UUID:
        """Store a new version of a field and return its id; the version that was active is superseded by it.

        Both happen at once: under any concurrency exactly one version is active, and each superseded one names the
        version that took its place. A version past its time counts as not active. The same version again changes
        nothing.

        Lineage is checked before anything is written: the item a version is derived from exists in the tenant, no
        chain closes on itself, and none is longer than ``ProfilePolicy.max_derivation_chain_depth`` links. With
        ``lineage_tracking_enabled`` off, ``source_item_id`` and ``source_item_type`` are dropped instead.

        Args:
            tenant_id: the owner.
            profile_id: the profile.
            field: the version; its status and what it is superseded by are the store's to decide. Without
                ``expires_at`` it expires after the definition's ``retention_days``, if there are any.
            supersede_existing: False refuses to replace an active version.
            agent_id: the agent whose definition of the field holds, unless the field names its definition.

        Raises:
            NotFoundError: no such profile.
            ConflictError: a version is active and supersede_existing is False (code ``field_active``).
            DuplicateError: the id is stored, with other content (code ``record_differs``) or for another profile
                (code ``id_taken``).
            SchemaValidationError: the value violates its definition; only where stores validate.
            InvalidDataError: the field is invalid (code of the rule), or its lineage is refused: ``source_missing``,
                ``lineage_cycle``, ``lineage_too_deep``, or ``lineage_immutable`` when the id is stored with another.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def get_field(
        self, tenant_id: UUID, profile_id: UUID, field_name: str, *, status: ItemStatus | None = ItemStatus.ACTIVE
    ) -> ProfileField | None:
        """Return the newest version of a field that has a status now, or None.

        Newest is the later collected_at, then the greater id.

        Args:
            tenant_id: the owner.
            profile_id: the profile.
            field_name: the field, in any Unicode form.
            status: the status; None = any.

        Raises:
            InvalidDataError: field_name or status cannot be one.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_field_history(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field_name: str,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[ProfileField]:
        """Return every version of a field by collected_at, then id, descending; none for an unknown profile.

        Args:
            tenant_id: the owner.
            profile_id: the profile.
            field_name: the field, in any Unicode form.
            limit: rows, 1 to 1,000; None = all.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: field_name, limit or cursor are wrong, or there are too many rows (code
                ``result_too_large``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def expire_stale_fields(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        """Mark active fields and assets past their ``expires_at`` as expired, and return how many fields were.

        Reads do not wait for it. A second call returns 0.

        Args:
            tenant_id: the owner.
            profile_id: only this profile's; None = all live profiles of the tenant.

        Raises:
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete_field(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field_id: UUID,
        *,
        on_dependents: OnDependents = OnDependents.REFUSE,
    ) -> bool:
        """Remove one version of a field for good and return True; False when the profile has none of that id.

        Older versions stay superseded: none becomes active again.

        Args:
            tenant_id: the owner.
            profile_id: the profile.
            field_id: the version.
            on_dependents: what to do when active items were derived from it: refuse, or mark those orphaned.

        Raises:
            ConflictError: there are such items and on_dependents is refuse (code ``has_dependents``).
            InvalidDataError: on_dependents is none of its values.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def count_fields_by_status(self, tenant_id: UUID) -> dict[ItemStatus, int]:
        """Return how many field versions of live profiles have each status now; every status is a key.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """
