"""Config stores that break a rule about migration plans."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import MigrationPlan, MigrationPlanStatus
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("CONFIG-070")
class DropsUnknownKeys(InMemoryConfigStore):
    """Keys of the transformation map that focal does not know are dropped."""

    async def get_migration_plan(self, tenant_id: UUID, plan_id: UUID) -> MigrationPlan | None:
        found = await super().get_migration_plan(tenant_id, plan_id)
        if found is not None:
            found.transformation_map.extra = {}
        return found


@mutant("CONFIG-071")
class AnyWay(InMemoryConfigStore):
    """A plan's status may change to any other."""

    async def save_migration_plan(self, plan: MigrationPlan) -> UUID:
        return self.upsert(self._plans, plan)


@mutant("CONFIG-071")
class DraftsCannotBeSuperseded(InMemoryConfigStore):
    """The status goes on step by step only."""

    async def save_migration_plan(self, plan: MigrationPlan) -> UUID:
        stored = self._plans.get(plan.tenant_id, plan.id)
        if stored and stored.status is MigrationPlanStatus.DRAFT and plan.status is MigrationPlanStatus.SUPERSEDED:
            return plan.id
        return await super().save_migration_plan(plan)


@mutant("CONFIG-072")
class OldestPlanAnswers(InMemoryConfigStore):
    """The oldest plan between two versions answers."""

    async def get_migration_plan_for_versions(
        self, tenant_id: UUID, scenario_id: UUID, from_version: int, to_version: int
    ) -> MigrationPlan | None:
        plans = await self.list_migration_plans(tenant_id, scenario_id=scenario_id, limit=1000)
        fitting = [plan for plan in plans if (plan.from_version, plan.to_version) == (from_version, to_version)]
        return fitting[-1] if fitting else None


@mutant("CONFIG-072")
class RejectedPlansAnswer(InMemoryConfigStore):
    """A plan that is over answers as well."""

    async def get_migration_plan_for_versions(
        self, tenant_id: UUID, scenario_id: UUID, from_version: int, to_version: int
    ) -> MigrationPlan | None:
        plans = await self.list_migration_plans(tenant_id, scenario_id=scenario_id, limit=1000)
        fitting = [plan for plan in plans if (plan.from_version, plan.to_version) == (from_version, to_version)]
        return fitting[0] if fitting else None


@mutant("CONFIG-073")
class OldestFirst(InMemoryConfigStore):
    """Plans are listed oldest first."""

    async def list_migration_plans(self, tenant_id: UUID, **options: Any) -> Page[MigrationPlan]:
        page = await super().list_migration_plans(tenant_id, **options)
        return Page(sorted(page, key=lambda plan: (plan.created_at, plan.id)), page.next_cursor)


@mutant("CONFIG-073")
class OneFilterOnly(InMemoryConfigStore):
    """The scenario replaces the filter by status."""

    async def list_migration_plans(self, tenant_id: UUID, **options: Any) -> Page[MigrationPlan]:
        if options.get("scenario_id") is not None:
            options.pop("status", None)
        return await super().list_migration_plans(tenant_id, **options)


@mutant("CONFIG-074")
class DeletesDeployedPlans(InMemoryConfigStore):
    """A deployed plan can be deleted."""

    async def delete_migration_plan(self, tenant_id: UUID, plan_id: UUID) -> bool:
        return self.soft_delete(self._plans, tenant_id, plan_id)


@mutant("CONFIG-075")
class TrustsPlans(InMemoryConfigStore):
    """Plans are stored as they are."""

    async def save_migration_plan(self, plan: MigrationPlan) -> UUID:
        self._plans.put(plan)
        return plan.id


@mutant("CONFIG-076")
class DeletedPlansStartAnew(InMemoryConfigStore):
    """The status of a deleted plan is forgotten."""

    async def save_migration_plan(self, plan: MigrationPlan) -> UUID:
        stored = self._plans.get(plan.tenant_id, plan.id)
        if stored is not None and stored.deleted_at is not None:
            return self.upsert(self._plans, plan)
        return await super().save_migration_plan(plan)
