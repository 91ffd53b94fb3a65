"""Migration plans in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from focal_core.config.checks import OVER, check_transition, plan_deployed
from focal_core.config.models import LEGAL_TRANSITIONS, MigrationPlan, MigrationPlanStatus
from focal_core.config.store import MigrationPlanStore
from focal_core.context import BackendContext
from focal_core.paging import Page, cursor_scope
from focal_postgres.database import Database
from focal_postgres.keyset import Key
from focal_postgres.layout import Layout
from focal_postgres.store import PostgresStore
from focal_postgres.transaction import Record
from focal_postgres.upsert import upsert_text

PLANS = Layout(MigrationPlan, "migration_plans")
IN_FORCE = f"deleted_at IS NULL AND status NOT IN ({', '.join(repr(str(status)) for status in sorted(OVER))})"
"""The condition for plans that have not been rejected, superseded or deleted."""

_LEGAL = "EXCLUDED.status = t.status OR (t.status, EXCLUDED.status) IN ({})".format(
    ", ".join(f"('{old}', '{new}')" for old, ways in LEGAL_TRANSITIONS.items() for new in sorted(ways))
)


def _may_replace(stored: MigrationPlan, expected: int, revival: bool) -> bool:
    if stored.deleted_at is not None:
        return revival and expected == stored.row_version
    return expected in (0, stored.row_version)


class PostgresMigrationPlanStore(PostgresStore, MigrationPlanStore):
    """Migration plans in PostgreSQL."""

    port: ClassVar[str] = "config"
    tables: ClassVar[tuple[str, ...]] = ("migration_plans",)

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        self._save_plan = upsert_text(PLANS, self.schema, f" AND ({_LEGAL})")

    async def get_migration_plan(self, tenant_id: UUID, plan_id: UUID) -> MigrationPlan | None:
        return await self.get_row("get_migration_plan", PLANS, tenant_id, plan_id, "AND r.deleted_at IS NULL")

    async def get_migration_plan_for_versions(
        self, tenant_id: UUID, scenario_id: UUID, from_version: int, to_version: int
    ) -> MigrationPlan | None:
        record = await self.database.fetchrow(
            "get_migration_plan_for_versions",
            f"SELECT {PLANS.select()} FROM {PLANS.source(self.schema)} WHERE r.tenant_id = $1 AND r.scenario_id = $2"
            f" AND r.from_version = $3 AND r.to_version = $4 AND {IN_FORCE} ORDER BY r.created_at DESC, r.id LIMIT 1",
            tenant_id,
            scenario_id,
            from_version,
            to_version,
        )
        return None if record is None else PLANS.load(record)

    async def save_migration_plan(self, plan: MigrationPlan) -> UUID:
        return await self.upsert("save_migration_plan", PLANS, plan)

    def _upsert_text(self, layout: Layout[Any]) -> str:
        return self._save_plan if layout is PLANS else super()._upsert_text(layout)

    async def _refused(
        self, method: str, layout: Layout[Any], row: Any, expected: int, revival: bool, saved: Sequence[Record] = ()
    ) -> Any:
        if layout is PLANS:
            stored = await self.get_row(method, PLANS, row.tenant_id, row.id, settles=True)
            if stored is not None and _may_replace(stored, expected, revival):
                check_transition(row, stored.status)
        return await super()._refused(method, layout, row, expected, revival, saved)

    async def list_migration_plans(
        self,
        tenant_id: UUID,
        *,
        scenario_id: UUID | None = None,
        status: MigrationPlanStatus | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[MigrationPlan]:
        return await self.page(
            "list_migration_plans",
            PLANS,
            "r.tenant_id = $1 AND r.deleted_at IS NULL AND ($2::uuid IS NULL OR r.scenario_id = $2)"
            " AND ($3::text IS NULL OR r.status = $3)",
            [tenant_id, scenario_id, status],
            order=(Key("r.created_at", "timestamptz", descending=True), Key("r.id", "uuid")),
            scope=cursor_scope(tenant_id, "list_migration_plans", scenario_id=scenario_id, status=status),
            limit=limit,
            after=after,
        )

    async def delete_migration_plan(self, tenant_id: UUID, plan_id: UUID) -> bool:
        # A deployed plan is rewritten as it is: so its status is known to the same statement, whoever changes it.
        rows = await self.database.write(
            "delete_migration_plan",
            f"UPDATE {self.schema}.migration_plans SET deleted_at = CASE status WHEN 'deployed' THEN NULL"
            " ELSE $3::timestamptz END WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL RETURNING status",
            tenant_id,
            plan_id,
            self.context.clock.now(),
        )
        if rows and rows[0]["status"] == MigrationPlanStatus.DEPLOYED:
            raise plan_deployed(plan_id)
        return bool(rows)
