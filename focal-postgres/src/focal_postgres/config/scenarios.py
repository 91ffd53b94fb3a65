"""Scenarios and their archived versions in PostgreSQL."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from focal_core.config.checks import archive_differs, check_spaces
from focal_core.config.models import Scenario, ScenarioArchive
from focal_core.config.store import ScenarioStore
from focal_core.context import BackendContext
from focal_core.gate import admit, content, moment
from focal_core.paging import Page
from focal_postgres.config.agents import PostgresAgentStore
from focal_postgres.config.migration_plans import IN_FORCE, PostgresMigrationPlanStore
from focal_postgres.database import Database
from focal_postgres.layout import Layout
from focal_postgres.vector import nearest

SCENARIOS = Layout(Scenario, "scenarios", vectors="scenario_vectors")
ARCHIVES = Layout(ScenarioArchive, "scenario_archives")


class PostgresScenarioStore(PostgresAgentStore, PostgresMigrationPlanStore, ScenarioStore):
    """Scenarios in PostgreSQL; with the migration plans, which protect archived versions from being purged."""

    tables: ClassVar[tuple[str, ...]] = ("scenarios", "scenario_archives")

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        archives = f"{self.schema}.scenario_archives"
        key = "tenant_id = ${} AND scenario_id = ${} AND version = ${}".format(
            *(1 + ARCHIVES.names.index(name) for name in ("tenant_id", "scenario_id", "version"))
        )
        count = len(ARCHIVES.names)
        self._archive = (
            f"WITH added AS (INSERT INTO {archives} ({', '.join(ARCHIVES.names)}, digest)"
            f" VALUES ({ARCHIVES.parameters()}, ${count + 1}::bytea)"
            " ON CONFLICT (tenant_id, scenario_id, version) DO NOTHING RETURNING digest)"
            f" SELECT digest FROM added UNION ALL SELECT digest FROM {archives} WHERE {key}"
        )

    async def get_scenarios(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        enabled_only: bool = True,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Scenario]:
        return await self.list_of_agent(
            "get_scenarios",
            SCENARIOS,
            tenant_id,
            agent_id,
            filters={"enabled_only": enabled_only},
            limit=limit,
            after=after,
            where=" AND (r.enabled OR NOT $3)",
            args=(enabled_only,),
        )

    async def get_scenario(self, tenant_id: UUID, scenario_id: UUID) -> Scenario | None:
        return await self.read("get_scenario", SCENARIOS, tenant_id, scenario_id)

    async def save_scenario(self, scenario: Scenario) -> UUID:
        return await self.upsert(
            "save_scenario",
            SCENARIOS,
            scenario,
            prepare=lambda row: check_spaces(row, self.context.vector_policy),
        )

    async def delete_scenario(self, tenant_id: UUID, scenario_id: UUID) -> bool:
        return await self.delete_visible("delete_scenario", SCENARIOS, tenant_id, scenario_id)

    async def vector_search_scenarios(
        self,
        query_embedding: list[float],
        tenant_id: UUID,
        agent_id: UUID,
        limit: int = 10,
        *,
        min_score: float | None = None,
        include_disabled: bool = False,
        embedding_model: str | None = None,
    ) -> list[tuple[Scenario, float]]:
        return await nearest(
            self,
            "vector_search_scenarios",
            SCENARIOS,
            tenant_id=tenant_id,
            partitions=[agent_id],
            query_embedding=query_embedding,
            limit=limit,
            min_score=min_score,
            embedding_model=embedding_model,
            where="r.enabled OR $1",
            args=(include_disabled,),
        )

    async def archive_scenario(self, scenario: Scenario) -> int:
        row = admit(scenario, self.context.limits)
        archive = ScenarioArchive(
            tenant_id=row.tenant_id,
            scenario_id=row.id,
            version=row.version,
            scenario_data=row,
            archived_at=self.context.clock.now(),
        )
        digest = hashlib.sha256(content(row)).digest()
        found: list[bytes] = []
        # The loser of a race sees no row of its own and none of the winner's: look again.
        while not found:
            records = await self.database.write(
                "archive_scenario", self._archive, *ARCHIVES.values(archive), digest, repeat=True
            )
            found = [record["digest"] for record in records]
        if found != [digest]:
            raise archive_differs(row)
        return row.version

    async def get_archived_scenario(self, tenant_id: UUID, scenario_id: UUID, version: int) -> ScenarioArchive | None:
        record = await self.database.fetchrow(
            "get_archived_scenario",
            f"SELECT {ARCHIVES.select()} FROM {ARCHIVES.source(self.schema)}"
            " WHERE r.tenant_id = $1 AND r.scenario_id = $2 AND r.version = $3",
            tenant_id,
            scenario_id,
            version,
        )
        if record is None:
            return None
        archive = ARCHIVES.load(record)
        # Saving what was archived is no explicit revival of a scenario deleted since.
        archive.scenario_data.model_fields_set.discard("deleted_at")
        return archive

    async def list_archived_versions(self, tenant_id: UUID, scenario_id: UUID) -> list[int]:
        records = await self.database.fetch(
            "list_archived_versions",
            f"SELECT version FROM {self.schema}.scenario_archives WHERE tenant_id = $1 AND scenario_id = $2"
            " ORDER BY version",
            tenant_id,
            scenario_id,
            replica=True,
        )
        return [record["version"] for record in records]

    async def purge_archives(self, tenant_id: UUID, before: datetime) -> int:
        moment(before, "before")
        records = await self.database.write(
            "purge_archives",
            f"WITH purged AS (DELETE FROM {self.schema}.scenario_archives r WHERE tenant_id = $1 AND archived_at < $2"
            f" AND NOT EXISTS (SELECT FROM {self.schema}.migration_plans WHERE tenant_id = $1 AND {IN_FORCE}"
            " AND scenario_id = r.scenario_id AND r.version IN (from_version, to_version)) RETURNING 1)"
            " SELECT count(*) FROM purged",
            tenant_id,
            before,
            bulk=True,
        )
        return int(records[0][0])
