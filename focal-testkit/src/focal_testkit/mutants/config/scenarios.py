"""Config stores that break a rule about scenarios and their archive."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Scenario, ScenarioArchive
from focal_core.errors import ConflictError
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("CONFIG-040")
class SortsSteps(InMemoryConfigStore):
    """The steps of a scenario come back by name."""

    async def get_scenario(self, tenant_id: UUID, scenario_id: UUID) -> Scenario | None:
        found = await super().get_scenario(tenant_id, scenario_id)
        return found and found.model_copy(update={"steps": sorted(found.steps, key=lambda step: step.name)})


@mutant("CONFIG-040")
class KeepsOldSteps(InMemoryConfigStore):
    """An update leaves steps behind that the scenario no longer has."""

    async def save_scenario(self, scenario: Scenario) -> UUID:
        stored = self._scenarios.get(scenario.tenant_id, scenario.id)
        saved = await super().save_scenario(scenario)
        if stored is not None and (row := self._scenarios.get(scenario.tenant_id, scenario.id)) is not None:
            ids = {step.id for step in row.steps}
            row.set_stored(steps=[*row.steps, *(step for step in stored.steps if step.id not in ids)])
        return saved


@mutant("CONFIG-041")
class ScenariosById(InMemoryConfigStore):
    """Scenarios are listed by id."""

    async def get_scenarios(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[Scenario]:
        page = await super().get_scenarios(tenant_id, *filters, **paging)
        return Page(sorted(page, key=lambda scenario: scenario.id), page.next_cursor)


@mutant("CONFIG-041")
class ListsDisabledScenarios(InMemoryConfigStore):
    """Disabled scenarios are listed by default."""

    async def get_scenarios(
        self, tenant_id: UUID, agent_id: UUID, enabled_only: bool = False, **paging: Any
    ) -> Page[Scenario]:
        return await super().get_scenarios(tenant_id, agent_id, False, **paging)


@mutant("CONFIG-042")
class LastArchiveWins(InMemoryConfigStore):
    """An archived version is replaced."""

    async def archive_scenario(self, scenario: Scenario) -> int:
        self._archives.remove(scenario.tenant_id, (scenario.id, scenario.version))
        return await super().archive_scenario(scenario)


@mutant("CONFIG-042")
class RefusesARepeatedArchive(InMemoryConfigStore):
    """An archived version is refused, however equal."""

    async def archive_scenario(self, scenario: Scenario) -> int:
        if self._archives.get(scenario.tenant_id, (scenario.id, scenario.version)) is not None:
            raise ConflictError("archived already")
        return await super().archive_scenario(scenario)


@mutant("CONFIG-043")
class VersionsAsText(InMemoryConfigStore):
    """Versions are listed as text."""

    async def list_archived_versions(self, tenant_id: UUID, scenario_id: UUID) -> list[int]:
        return sorted(await super().list_archived_versions(tenant_id, scenario_id), key=str)


@mutant("CONFIG-044")
class PurgesTheMomentItself(InMemoryConfigStore):
    """A purge removes what was archived at the very moment."""

    async def purge_archives(self, tenant_id: UUID, before: datetime) -> int:
        return await super().purge_archives(tenant_id, before + timedelta(microseconds=1))


@mutant("CONFIG-044")
class PurgesEveryTenant(InMemoryConfigStore):
    """A purge removes the archives of every tenant."""

    async def purge_archives(self, tenant_id: UUID, before: datetime) -> int:
        for tenant in self._archives.tenants() - {tenant_id}:
            await super().purge_archives(tenant, before)
        return await super().purge_archives(tenant_id, before)


@mutant("CONFIG-045")
class PurgesPlannedVersions(InMemoryConfigStore):
    """A purge does not look at plans."""

    def planned_versions(self, tenant_id: UUID) -> set[tuple[UUID, int]]:
        return set()


@mutant("CONFIG-045")
class EveryPlanKeeps(InMemoryConfigStore):
    """A plan keeps its versions whatever became of it."""

    def planned_versions(self, tenant_id: UUID) -> set[tuple[UUID, int]]:
        plans = self._plans.rows(tenant_id)
        return {(plan.scenario_id, version) for plan in plans for version in (plan.from_version, plan.to_version)}


@mutant("CONFIG-046")
class TrustsScenarios(InMemoryConfigStore):
    """Scenarios are stored as they are."""

    async def save_scenario(self, scenario: Scenario) -> UUID:
        self._scenarios.put(scenario)
        return scenario.id


@mutant("CONFIG-047")
class ForgetsTheEntry(InMemoryConfigStore):
    """The entry step is not marked."""

    async def get_scenario(self, tenant_id: UUID, scenario_id: UUID) -> Scenario | None:
        found = await super().get_scenario(tenant_id, scenario_id)
        for step in found.steps if found else ():
            step.set_stored(is_entry=False)
        return found


@mutant("CONFIG-048")
class ForgetsStepDescriptions(InMemoryConfigStore):
    """Steps lose their description."""

    async def get_scenario(self, tenant_id: UUID, scenario_id: UUID) -> Scenario | None:
        found = await super().get_scenario(tenant_id, scenario_id)
        for step in found.steps if found else ():
            step.set_stored(description=None)
        return found


@mutant("CONFIG-049")
class ArchiveFollowsTheScenario(InMemoryConfigStore):
    """Archived versions are found while the scenario is."""

    async def get_archived_scenario(self, tenant_id: UUID, scenario_id: UUID, version: int) -> ScenarioArchive | None:
        if await self.get_scenario(tenant_id, scenario_id) is None:
            return None
        return await super().get_archived_scenario(tenant_id, scenario_id, version)
