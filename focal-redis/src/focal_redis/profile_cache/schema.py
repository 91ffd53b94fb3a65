"""Field definitions and scenario requirements read through the cache."""

from __future__ import annotations

from uuid import UUID

from focal_core.gate import identifier
from focal_core.paging import Page
from focal_core.profile.models import ProfileFieldDefinition, ScenarioFieldRequirement
from focal_core.profile.store import ProfileStore
from focal_redis.profile_cache.base import CachedProfileBase


class CachedFieldSchema(CachedProfileBase):
    """Definitions and requirements. A write of one ends all of its tenant: a row may change its place.

    For the life of a fence after it they are the store's own.
    """

    # The reference's: its parts come from the cache.
    get_missing_fields = ProfileStore.get_missing_fields

    async def get_field_definitions(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        *,
        enabled_only: bool = True,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[ProfileFieldDefinition]:
        """Return the field definitions of an agent; from the cache unless by pages."""

        async def ask() -> Page[ProfileFieldDefinition]:
            return await self.backend.get_field_definitions(
                tenant_id, agent_id, enabled_only=enabled_only, limit=limit, after=after
            )

        if limit is not None or after is not None:
            return await ask()
        entry = self._keys.definition_list(tenant_id, agent_id, enabled_only)
        return Page(await self._answers.read("get_field_definitions", self._definitions, entry, ask), None)

    async def get_field_definition(
        self, tenant_id: UUID, agent_id: UUID, field_name: str
    ) -> ProfileFieldDefinition | None:
        """Return an agent's definition of a field, from the cache, or None."""
        name = identifier(field_name, "field_name")

        async def ask() -> list[ProfileFieldDefinition]:
            found = await self.backend.get_field_definition(tenant_id, agent_id, name)
            return [] if found is None else [found]

        entry = self._keys.definition(tenant_id, agent_id, name)
        rows = await self._answers.read("get_field_definition", self._definitions, entry, ask)
        return rows[0] if rows else None

    async def save_field_definition(self, definition: ProfileFieldDefinition) -> UUID:
        """Insert or update a field definition; no profile that was kept before it was personal is read any more."""
        return await self._write(
            "save_field_definition",
            lambda: self.backend.save_field_definition(definition),
            *([self._keys.profiles(definition.tenant_id)] if definition.is_pii else []),
            lists=[self._keys.definitions(definition.tenant_id)],
        )

    async def delete_field_definition(self, tenant_id: UUID, agent_id: UUID, field_name: str) -> bool:
        """Remove an agent's definition of a field."""
        return await self._write(
            "delete_field_definition",
            lambda: self.backend.delete_field_definition(tenant_id, agent_id, field_name),
            lists=[self._keys.definitions(tenant_id)],
        )

    async def get_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None
    ) -> list[ScenarioFieldRequirement]:
        """Return the requirements of a scenario, from the cache."""

        async def ask() -> list[ScenarioFieldRequirement]:
            return await self.backend.get_scenario_requirements(tenant_id, scenario_id, step_id=step_id)

        entry = self._keys.requirement_list(tenant_id, scenario_id, step_id)
        return await self._answers.read("get_scenario_requirements", self._requirements, entry, ask)

    async def save_scenario_requirement(self, requirement: ScenarioFieldRequirement) -> UUID:
        """Insert or update a requirement."""
        return await self._write(
            "save_scenario_requirement",
            lambda: self.backend.save_scenario_requirement(requirement),
            lists=[self._keys.requirements(requirement.tenant_id)],
        )

    async def delete_scenario_requirements(
        self, tenant_id: UUID, scenario_id: UUID, *, step_id: UUID | None = None, all_steps: bool = False
    ) -> int:
        """Remove requirements of a scenario."""
        return await self._write(
            "delete_scenario_requirements",
            lambda: self.backend.delete_scenario_requirements(
                tenant_id, scenario_id, step_id=step_id, all_steps=all_steps
            ),
            lists=[self._keys.requirements(tenant_id)],
        )
