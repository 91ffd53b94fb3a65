"""Scenario requirements in memory."""

from __future__ import annotations

from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import DuplicateError, InvalidDataError
from focal_core.gate import admit, stamp
from focal_core.inmemory.table import OrderedIndex, Table, UniqueIndex
from focal_core.profile.inmemory.schema import InMemoryFieldSchema
from focal_core.profile.models import ScenarioFieldRequirement


class InMemoryScenarioRequirements(InMemoryFieldSchema):
    """Scenario requirements in memory."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._requirements_of = OrderedIndex[ScenarioFieldRequirement](
            lambda row: (row.tenant_id, row.scenario_id),
            lambda row: (row.collection_order, row.field_name, str(row.id)),
        )
        self._requirement_places = UniqueIndex[ScenarioFieldRequirement](
            lambda row: (row.tenant_id, row.agent_id, row.scenario_id, row.step_id, row.rule_id, row.field_name)
        )
        self._requirements = Table[ScenarioFieldRequirement](self._requirements_of, self._requirement_places)

    async def get_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None
    ) -> list[ScenarioFieldRequirement]:
        page = self._requirements_of.page(
            (tenant_id, scenario_id),
            scope="",
            limit=None,
            cap=self.cap,
            keep=lambda row: row.step_id in (None, step_id),
        )
        return list(page)

    async def save_scenario_requirement(self, requirement: ScenarioFieldRequirement) -> UUID:
        row = admit(requirement, self.context.limits)
        stamp(row, self._requirements.get(row.tenant_id, row.id), self.now())
        if self._requirement_places.owner_other_than(row) is not None:
            raise DuplicateError(
                f"another requirement asks for field {row.field_name!r} at the same place",
                code="requirement_taken",
                hint="save it under the id of that requirement",
            )
        self._requirements.put(row)
        requirement.set_stored(created_at=row.created_at, updated_at=row.updated_at)
        return row.id

    async def delete_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None, all_steps: bool = False
    ) -> int:
        if all_steps and step_id is not None:
            raise InvalidDataError(
                "step_id and all_steps exclude each other", code="step_ambiguous", hint="leave one of them out"
            )
        doomed = [
            row.id
            for row in self._requirements_of.rows((tenant_id, scenario_id))
            if all_steps or row.step_id == step_id
        ]
        for requirement_id in doomed:
            self._requirements.remove(tenant_id, requirement_id)
        return len(doomed)
