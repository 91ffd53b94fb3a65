"""Migration plans in memory."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.config.checks import OVER, check_transition, plan_deployed
from focal_core.config.models import MigrationPlan, MigrationPlanStatus
from focal_core.config.store import MigrationPlanStore
from focal_core.context import BackendContext
from focal_core.inmemory.store import InMemoryStore
from focal_core.inmemory.table import OrderedIndex, Table, micros
from focal_core.paging import Page, cursor_scope


def _newest_first(plan: MigrationPlan) -> tuple[int, str]:
    return -micros(plan.created_at), str(plan.id)


class InMemoryMigrationPlanStore(InMemoryStore, MigrationPlanStore):
    """Migration plans in memory."""

    port: ClassVar[str] = "config"
    tables: ClassVar[tuple[str, ...]] = ("_plans",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._plans_of_tenant = OrderedIndex[MigrationPlan](
            lambda plan: None if plan.deleted_at is not None else plan.tenant_id, _newest_first
        )
        self._plans_of_scenario = OrderedIndex[MigrationPlan](
            lambda plan: None if plan.deleted_at is not None else (plan.tenant_id, plan.scenario_id), _newest_first
        )
        self._plans = Table[MigrationPlan](self._plans_of_tenant, self._plans_of_scenario)

    async def get_migration_plan(self, tenant_id: UUID, plan_id: UUID) -> MigrationPlan | None:
        plan = self._plans.get(tenant_id, plan_id)
        return None if plan is None or plan.deleted_at is not None else validated_copy(plan)

    async def get_migration_plan_for_versions(
        self, tenant_id: UUID, scenario_id: UUID, from_version: int, to_version: int
    ) -> MigrationPlan | None:
        for plan in self._plans_of_scenario.rows((tenant_id, scenario_id)):
            if (plan.from_version, plan.to_version) == (from_version, to_version) and plan.status not in OVER:
                return validated_copy(plan)
        return None

    async def save_migration_plan(self, plan: MigrationPlan) -> UUID:
        def transition_is_legal(row: MigrationPlan) -> None:
            stored = self._plans.get(row.tenant_id, row.id)
            if stored is not None:
                check_transition(row, stored.status)

        return self.upsert(self._plans, plan, transition_is_legal)

    async def list_migration_plans(
        self,
        tenant_id: UUID,
        *,
        scenario_id: UUID | None = None,
        status: MigrationPlanStatus | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[MigrationPlan]:
        scope = cursor_scope(tenant_id, "list_migration_plans", scenario_id=scenario_id, status=status)
        by_scenario = scenario_id is not None
        index = self._plans_of_scenario if by_scenario else self._plans_of_tenant
        partition = (tenant_id, scenario_id) if by_scenario else tenant_id
        return index.page(
            partition,
            scope=scope,
            limit=limit,
            cap=self.cap,
            after=after,
            keep=lambda plan: status is None or plan.status == status,
        )

    async def delete_migration_plan(self, tenant_id: UUID, plan_id: UUID) -> bool:
        plan = self._plans.get(tenant_id, plan_id)
        if plan is not None and plan.status is MigrationPlanStatus.DEPLOYED:
            raise plan_deployed(plan_id)
        return self.soft_delete(self._plans, tenant_id, plan_id)

    def planned_versions(self, tenant_id: UUID) -> set[tuple[UUID, int]]:
        """Return (scenario id, version) of every version that a plan still in force starts from or leads to."""
        plans = [plan for plan in self._plans_of_tenant.rows(tenant_id) if plan.status not in OVER]
        return {(plan.scenario_id, version) for plan in plans for version in (plan.from_version, plan.to_version)}
