"""Profile stores that confuse field definitions."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.paging import Page
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import ProfileField, ProfileFieldDefinition
from focal_testkit.mutants import mutant


@mutant("PROFILES-190")
class DisabledIsAbsent(InMemoryProfileStore):
    """A disabled definition is not found by its name."""

    async def get_field_definition(self, *args: Any) -> ProfileFieldDefinition | None:
        found = await super().get_field_definition(*args)
        return found if found is not None and found.enabled else None


@mutant("PROFILES-191")
class LastDefinitionWins(InMemoryProfileStore):
    """A definition takes the place of another one of its name."""

    async def save_field_definition(self, definition: ProfileFieldDefinition) -> UUID:
        taken = self._definition_names.get((definition.tenant_id, definition.agent_id, definition.name))
        if taken is not None and taken.id != definition.id:
            self._definitions.remove(definition.tenant_id, taken.id)
        return await super().save_field_definition(definition)


@mutant("PROFILES-192")
class ListsDisabled(InMemoryProfileStore):
    """Disabled definitions are always listed."""

    async def get_field_definitions(
        self, *args: Any, enabled_only: bool = True, **options: Any
    ) -> Page[ProfileFieldDefinition]:
        return await super().get_field_definitions(*args, enabled_only=False, **options)


@mutant("PROFILES-193")
class KeepsOldNames(InMemoryProfileStore):
    """A definition goes on being found by a name it once had."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._definition_names.discard = lambda row: None  # type: ignore[method-assign]


@mutant("PROFILES-194")
class LastEditorWins(InMemoryProfileStore):
    """row_version of a definition is not looked at."""

    async def save_field_definition(self, definition: ProfileFieldDefinition) -> UUID:
        definition.set_stored(row_version=0)
        return await super().save_field_definition(definition)


@mutant("PROFILES-195")
class DeletesEveryAgents(InMemoryProfileStore):
    """A definition is deleted for all agents."""

    async def delete_field_definition(self, tenant_id: UUID, agent_id: UUID, field_name: str) -> bool:
        doomed = [row for row in self._definitions.rows(tenant_id) if row.name == field_name]
        for row in doomed:
            self._definitions.remove(tenant_id, row.id)
        return bool(doomed)


@mutant("PROFILES-195")
class DeletionDisables(InMemoryProfileStore):
    """A deleted definition is merely switched off."""

    async def delete_field_definition(self, tenant_id: UUID, agent_id: UUID, field_name: str) -> bool:
        row = self._definition_names.get((tenant_id, agent_id, field_name))
        if row is not None:
            self._definitions.put(row.model_copy(update={"enabled": False}))
        return row is not None


@mutant("PROFILES-196")
class DropsPatterns(InMemoryProfileStore):
    """A definition is stored without its pattern."""

    async def save_field_definition(self, definition: ProfileFieldDefinition) -> UUID:
        definition.set_stored(validation_regex=None)
        return await super().save_field_definition(definition)


@mutant("PROFILES-197")
class IgnoresTheAgent(InMemoryProfileStore):
    """Only the definition a field names is applied."""

    async def update_field(self, *args: Any, agent_id: UUID | None = None, **options: Any) -> UUID:
        return await super().update_field(*args, **options)


@mutant("PROFILES-197")
class RetentionOverrulesExpiry(InMemoryProfileStore):
    """An expiry of the field's own gives way to the definition's retention."""

    async def update_field(self, tenant_id: UUID, profile_id: UUID, field: ProfileField, **options: Any) -> UUID:
        bare = field.model_copy(update={"expires_at": None})
        return await super().update_field(tenant_id, profile_id, bare, **options)


@mutant("PROFILES-198")
class DisabledIsNotPersonal(InMemoryProfileStore):
    """A field whose definition is disabled is not personal."""

    async def list_pii_fields(self, tenant_id: UUID) -> frozenset[str] | None:
        rows = self._definitions.rows(tenant_id)
        return frozenset(row.name for row in rows if row.is_pii and row.enabled)
