"""Scenarios and their archived versions in memory."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.config.checks import archive_differs, check_spaces
from focal_core.config.inmemory.agents import InMemoryAgentStore, by_creation, of_agent
from focal_core.config.inmemory.migration_plans import InMemoryMigrationPlanStore
from focal_core.config.models import Scenario, ScenarioArchive
from focal_core.config.store import ScenarioStore
from focal_core.context import BackendContext
from focal_core.gate import admit, moment, same_content
from focal_core.inmemory.table import OrderedIndex, Table, VectorIndex
from focal_core.paging import Page


class InMemoryScenarioStore(InMemoryAgentStore, InMemoryMigrationPlanStore, ScenarioStore):
    """Scenarios in memory; with the migration plans, which protect archived versions from being purged."""

    tables: ClassVar[tuple[str, ...]] = ("_scenarios", "_archives")

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._scenarios_in_order = OrderedIndex[Scenario](of_agent, by_creation)
        self._scenario_vectors = VectorIndex[Scenario](of_agent, _vector)
        self._scenarios = Table[Scenario](self._scenarios_in_order, self._scenario_vectors)
        self._archived_versions = OrderedIndex[ScenarioArchive](
            lambda archive: (archive.tenant_id, archive.scenario_id), lambda archive: (archive.version,)
        )
        self._archives = Table[ScenarioArchive](
            self._archived_versions, key=lambda archive: (archive.tenant_id, (archive.scenario_id, archive.version))
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
        return self.list_of_agent(
            self._scenarios_in_order,
            tenant_id,
            agent_id,
            method="get_scenarios",
            filters={"enabled_only": enabled_only},
            limit=limit,
            after=after,
            keep=lambda scenario: scenario.enabled or not enabled_only,
        )

    async def get_scenario(self, tenant_id: UUID, scenario_id: UUID) -> Scenario | None:
        return self.read(self._scenarios.get(tenant_id, scenario_id))

    async def save_scenario(self, scenario: Scenario) -> UUID:
        return self.upsert(self._scenarios, scenario, lambda row: check_spaces(row, self.context.vector_policy))

    async def delete_scenario(self, tenant_id: UUID, scenario_id: UUID) -> bool:
        return self.delete_visible(self._scenarios, tenant_id, scenario_id)

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
        return self.nearest(
            self._scenario_vectors,
            [self.partition_of(tenant_id, agent_id)],
            query_embedding,
            limit=limit,
            min_score=min_score,
            embedding_model=embedding_model,
            keep=lambda scenario: scenario.enabled or include_disabled,
        )

    async def archive_scenario(self, scenario: Scenario) -> int:
        row = admit(scenario, self.context.limits)
        stored = self._archives.get(row.tenant_id, (row.id, row.version))
        if stored is None:
            self._archives.put(
                ScenarioArchive(
                    tenant_id=row.tenant_id,
                    scenario_id=row.id,
                    version=row.version,
                    scenario_data=row,
                    archived_at=self.context.clock.now(),
                )
            )
        elif not same_content(stored.scenario_data, row):
            raise archive_differs(row)
        return row.version

    async def get_archived_scenario(self, tenant_id: UUID, scenario_id: UUID, version: int) -> ScenarioArchive | None:
        archive = self._archives.get(tenant_id, (scenario_id, version))
        return None if archive is None else validated_copy(archive)

    async def list_archived_versions(self, tenant_id: UUID, scenario_id: UUID) -> list[int]:
        return [archive.version for archive in self._archived_versions.rows((tenant_id, scenario_id))]

    async def purge_archives(self, tenant_id: UUID, before: datetime) -> int:
        moment(before, "before")
        needed = self.planned_versions(tenant_id)
        doomed = [
            key
            for archive in self._archives.rows(tenant_id)
            if archive.archived_at < before and (key := (archive.scenario_id, archive.version)) not in needed
        ]
        for key in doomed:
            self._archives.remove(tenant_id, key)
        return len(doomed)


def _vector(scenario: Scenario) -> tuple[str, tuple[float, ...]] | None:
    # ``Embedded`` gives every vector a model.
    vector = scenario.entry_embedding
    return None if vector is None else (str(scenario.entry_embedding_model), vector)
