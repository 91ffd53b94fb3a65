"""Profile stores that confuse what scenarios need."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.errors import InvalidDataError
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import ScenarioFieldRequirement
from focal_testkit.mutants import mutant

Found = list[ScenarioFieldRequirement]


@mutant("PROFILES-200", "PROFILES-203", "PROFILES-211")
class EveryStepAtOnce(InMemoryProfileStore):
    """Without a step, the requirements of every step are listed."""

    async def get_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None
    ) -> Found:
        rows = self._requirements_of.rows((tenant_id, scenario_id))
        return [row for row in rows if step_id is None or row.step_id in (None, step_id)]


@mutant("PROFILES-200", "PROFILES-211")
class StepsInheritNothing(InMemoryProfileStore):
    """With a step, only its own requirements are listed."""

    async def get_scenario_requirements(self, *args: Any, step_id: UUID | None = None) -> Found:
        found = await super().get_scenario_requirements(*args, step_id=step_id)
        return [one for one in found if one.step_id == step_id]


@mutant("PROFILES-201")
class OrderAsText(InMemoryProfileStore):
    """collection_order is compared as text."""

    async def get_scenario_requirements(self, *args: Any, **options: Any) -> Found:
        found = await super().get_scenario_requirements(*args, **options)
        return sorted(found, key=lambda one: str(one.collection_order))


@mutant("PROFILES-202")
class NoStepIsNoPlace(InMemoryProfileStore):
    """Requirements without a step may be repeated."""

    async def save_scenario_requirement(self, requirement: ScenarioFieldRequirement) -> UUID:
        if requirement.step_id is None:
            self._requirements.put(requirement)
            return requirement.id
        return await super().save_scenario_requirement(requirement)


@mutant("PROFILES-203")
class KeepsOldPlaces(InMemoryProfileStore):
    """A requirement that moved still holds the place it had."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._requirement_places.discard = lambda row: None  # type: ignore[method-assign]


@mutant("PROFILES-204")
class NoStepDeletesAll(InMemoryProfileStore):
    """Without a step, the requirements of every step are deleted."""

    async def delete_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None, all_steps: bool = False
    ) -> int:
        return await super().delete_scenario_requirements(
            tenant_id, scenario_id, step_id=step_id, all_steps=step_id is None
        )


@mutant("PROFILES-205")
class StepBeatsAllSteps(InMemoryProfileStore):
    """Where both are given, the step holds."""

    async def delete_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None, all_steps: bool = False
    ) -> int:
        return await super().delete_scenario_requirements(
            tenant_id, scenario_id, step_id=step_id, all_steps=all_steps and step_id is None
        )


@mutant("PROFILES-206")
class CutsRequirements(InMemoryProfileStore):
    """Requirements beyond the cap are left out."""

    async def get_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None
    ) -> Found:
        try:
            return await super().get_scenario_requirements(tenant_id, scenario_id, step_id=step_id)
        except InvalidDataError:
            return list(self._requirements_of.rows((tenant_id, scenario_id)))[: self.cap]
