"""Field definitions in memory."""

from __future__ import annotations

from uuid import UUID

from focal_core.base import validated_copy
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError
from focal_core.gate import identifier
from focal_core.inmemory.table import OrderedIndex, Table, UniqueIndex
from focal_core.paging import Page, cursor_scope
from focal_core.profile.conformance import check_definition
from focal_core.profile.inmemory.tables import ProfileTables
from focal_core.profile.models import ProfileField, ProfileFieldDefinition


class InMemoryFieldSchema(ProfileTables):
    """Field definitions in memory."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._definitions_of = OrderedIndex[ProfileFieldDefinition](
            lambda row: (row.tenant_id, row.agent_id), lambda row: (row.name, str(row.id))
        )
        self._definition_names = UniqueIndex[ProfileFieldDefinition](
            lambda row: (row.tenant_id, row.agent_id, row.name)
        )
        self._definitions = Table[ProfileFieldDefinition](self._definitions_of, self._definition_names)

    async def get_field_definitions(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        *,
        enabled_only: bool = True,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[ProfileFieldDefinition]:
        return self._definitions_of.page(
            (tenant_id, agent_id),
            scope=cursor_scope(tenant_id, "get_field_definitions", agent_id=agent_id, enabled_only=enabled_only),
            limit=limit,
            cap=self.cap,
            after=after,
            keep=lambda row: row.enabled or not enabled_only,
        )

    async def get_field_definition(
        self, tenant_id: UUID, agent_id: UUID, field_name: str
    ) -> ProfileFieldDefinition | None:
        row = self._definition_names.get((tenant_id, agent_id, identifier(field_name, "field_name")))
        return None if row is None else validated_copy(row)

    async def get_field_definition_by_id(self, tenant_id: UUID, definition_id: UUID) -> ProfileFieldDefinition | None:
        row = self._definitions.get(tenant_id, definition_id)
        return None if row is None else validated_copy(row)

    async def list_pii_fields(self, tenant_id: UUID) -> frozenset[str] | None:
        return frozenset(row.name for row in self._definitions.rows(tenant_id) if row.is_pii)

    async def save_field_definition(self, definition: ProfileFieldDefinition) -> UUID:
        def check(row: ProfileFieldDefinition) -> None:
            check_definition(row)
            if self._definition_names.owner_other_than(row) is not None:
                raise DuplicateError(
                    f"agent {row.agent_id} has another definition of field {row.name!r}",
                    code="definition_name_taken",
                    hint="save it under the id of that definition, or choose another name",
                )

        return self.upsert(self._definitions, definition, check)

    async def delete_field_definition(self, tenant_id: UUID, agent_id: UUID, field_name: str) -> bool:
        row = self._definition_names.get((tenant_id, agent_id, identifier(field_name, "field_name")))
        return row is not None and self._definitions.remove(tenant_id, row.id) is not None

    def definition_for(
        self, tenant_id: UUID, field: ProfileField, agent_id: UUID | None = None
    ) -> ProfileFieldDefinition | None:
        """Return the enabled definition a field follows: the one it names, else the agent's; not a copy."""
        rows = (
            None if field.field_definition_id is None else self._definitions.get(tenant_id, field.field_definition_id),
            None if agent_id is None else self._definition_names.get((tenant_id, agent_id, field.name)),
        )
        return next((row for row in rows if row is not None and row.enabled and row.name == field.name), None)
