"""Scenario requirements on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import InvalidDataError
from focal_core.gate import admit, member, stamp
from focal_core.profile.missing import missing_fields
from focal_core.profile.models import (
    CustomerProfile,
    ProfileFieldDefinition,
    RequiredLevel,
    ScenarioFieldRequirement,
)
from focal_postgres.database import Database
from focal_postgres.errors import register_constraints
from focal_postgres.profile.schema import PostgresFieldSchema
from focal_postgres.profile.tables import DEFINITIONS, REQUIREMENTS
from focal_postgres.transaction import Record

register_constraints(
    {
        "uq_scenario_field_requirements_place": (
            "another requirement asks for the field at the same place; save it under the id of that one",
            "requirement_taken",
        )
    }
)

_KEPT = {"tenant_id", "id", "created_at"}


class PostgresScenarioRequirements(PostgresFieldSchema):
    """Scenario requirements on PostgreSQL."""

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        table, names = f"{self.schema}.{REQUIREMENTS.table}", REQUIREMENTS.names
        order = (
            " WHERE r.tenant_id = $1 AND r.scenario_id = $2 AND (r.step_id IS NULL OR r.step_id = $3)"
            " ORDER BY r.collection_order, r.field_name, r.id LIMIT $4"
        )
        self._requirements_text = f"SELECT {REQUIREMENTS.select()} FROM {table} r{order}"
        self._missing_text = (
            f"SELECT {REQUIREMENTS.select()}, {DEFINITIONS.select('d')} FROM {table} r"
            f" LEFT JOIN {self.schema}.{DEFINITIONS.table} d ON d.tenant_id = r.tenant_id AND d.agent_id = r.agent_id"
            f" AND d.name = r.field_name{order}"
        )
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in names if name not in _KEPT)
        self._requirement_text = (
            f"INSERT INTO {table} AS t ({', '.join(names)}) VALUES ({REQUIREMENTS.parameters()})"
            f" ON CONFLICT (tenant_id, id) DO UPDATE SET {changes} RETURNING created_at"
        )
        self._requirements_removal_text = (
            f"DELETE FROM {table} r WHERE r.tenant_id = $1 AND r.scenario_id = $2"
            " AND ($4::boolean OR r.step_id IS NOT DISTINCT FROM $3::uuid) RETURNING 1"
        )

    async def get_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None
    ) -> list[ScenarioFieldRequirement]:
        rows = await self._requirement_rows(
            "get_scenario_requirements", self._requirements_text, tenant_id, scenario_id, step_id
        )
        return [REQUIREMENTS.load(row) for row in rows]

    async def save_scenario_requirement(self, requirement: ScenarioFieldRequirement) -> UUID:
        row = admit(requirement, self.context.limits)
        stamp(row, None, self.now())
        saved = await self.database.write(
            "save_scenario_requirement", self._requirement_text, *REQUIREMENTS.values(row), repeat=True
        )
        requirement.set_stored(created_at=saved[0]["created_at"], updated_at=row.updated_at)
        return row.id

    async def delete_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None, all_steps: bool = False
    ) -> int:
        if all_steps and step_id is not None:
            raise InvalidDataError(
                "step_id and all_steps exclude each other", code="step_ambiguous", hint="leave one of them out"
            )
        removed = await self.database.write(
            "delete_scenario_requirements", self._requirements_removal_text, tenant_id, scenario_id, step_id, all_steps
        )
        return len(removed)

    async def get_missing_fields(
        self,
        tenant_id: UUID,
        profile: CustomerProfile,
        scenario_id: UUID,
        *,
        step_id: UUID | None = None,
        required_level: str | None = "hard",
        agent_id: UUID | None = None,
        evaluate: Callable[[str, CustomerProfile], bool | None] | None = None,
    ) -> list[ScenarioFieldRequirement]:
        """Read the requirements with their definitions in one statement."""
        level = None if required_level is None else member(RequiredLevel, required_level, "required_level")
        requirements: list[ScenarioFieldRequirement] = []
        definitions: dict[tuple[UUID, str], ProfileFieldDefinition] = {}
        for row in await self._requirement_rows(
            "get_missing_fields", self._missing_text, tenant_id, scenario_id, step_id
        ):
            one = REQUIREMENTS.load(row)
            if agent_id is not None and one.agent_id != agent_id:
                continue
            requirements.append(one)
            place, defined = (one.agent_id, one.field_name), row[_DEFINITION_ID] is not None
            if defined and one.field_name in profile.fields and place not in definitions:
                definitions[place] = DEFINITIONS.load(row, len(REQUIREMENTS.columns))
        return missing_fields(
            requirements,
            profile,
            definitions,
            now=self.now(),
            policy=self.context.profile_policy,
            level=level,
            evaluate=evaluate,
        )

    async def _requirement_rows(
        self, method: str, text: str, tenant_id: UUID, scenario_id: UUID, step_id: UUID | None
    ) -> Sequence[Record]:
        """Return the rows of a scenario's requirements.

        Raises:
            InvalidDataError: there are more than the cap.
        """
        rows = await self.database.fetch(method, text, tenant_id, scenario_id, step_id, self.cap + 1, replica=True)
        return self.as_page(rows, self.cap, None, "", 0, lambda row: row)


_DEFINITION_ID = len(REQUIREMENTS.columns) + DEFINITIONS.names.index("id")
