"""The migration plans part of the config port."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.config.models import MigrationPlan, MigrationPlanStatus
from focal_core.paging import Page
from focal_core.store import Store


class MigrationPlanStore(Store):
    """Plans that take sessions from one version of a scenario to another; the scenario need not exist."""

    @abstractmethod
    async def get_migration_plan(self, tenant_id: UUID, plan_id: UUID) -> MigrationPlan | None:
        """Return a plan, or None when the tenant has none of that id.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_migration_plan_for_versions(
        self, tenant_id: UUID, scenario_id: UUID, from_version: int, to_version: int
    ) -> MigrationPlan | None:
        """Return the plan between exactly two versions of a scenario, or None.

        Rejected and superseded plans are left out; of several the newest by created_at answers, ties by id ascending.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def save_migration_plan(self, plan: MigrationPlan) -> UUID:
        """Insert or replace a plan and return its id.

        The status may stay, or go draft, approved, deployed, superseded; a draft may also be rejected or superseded. A
        plan that is not stored yet may have any status. Atomic and idempotent. Advances ``row_version``,
        ``created_at`` and ``updated_at`` of the object passed in.

        Raises:
            StaleVersionError: ``row_version`` is given and is not the stored one.
            ConflictError: the stored status does not lead to the new one (code ``plan_transition_illegal``), or the id
                is deleted and this is no explicit revival (``deleted_at=None`` and the deleted row's
                ``row_version``, both given).
            InvalidDataError: the plan is invalid or exceeds a limit.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def list_migration_plans(
        self,
        tenant_id: UUID,
        *,
        scenario_id: UUID | None = None,
        status: MigrationPlanStatus | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[MigrationPlan]:
        """Return the plans of a tenant, newest created_at first, ties by id ascending; every filter given must hold.

        Args:
            tenant_id: the owner.
            scenario_id: only plans for this scenario.
            status: only plans of this status.
            limit: rows, 1 to 1,000.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit or cursor are wrong.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def delete_migration_plan(self, tenant_id: UUID, plan_id: UUID) -> bool:
        """Mark a plan deleted; False when the tenant has none of that id, or it is deleted already.

        Raises:
            ConflictError: the plan is deployed (code ``plan_deployed``).
            StoreUnavailableError: nothing was written; safe to retry.
        """
