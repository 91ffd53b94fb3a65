"""Field definitions on PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from focal_core.context import BackendContext
from focal_core.gate import identifier
from focal_core.paging import Page, cursor_scope
from focal_core.profile.conformance import check_definition
from focal_core.profile.models import ProfileFieldDefinition
from focal_postgres.database import Database
from focal_postgres.errors import register_constraints
from focal_postgres.keyset import Key
from focal_postgres.profile.tables import DEFINITIONS, PostgresProfileTables

register_constraints(
    {
        "uq_profile_field_definitions_name": (
            "the agent has another definition of the field; save it under the id of that one, or choose another name",
            "definition_name_taken",
        )
    }
)

_ORDER = [Key("r.name", "text"), Key("r.id", "uuid")]


class PostgresFieldSchema(PostgresProfileTables):
    """Field definitions on PostgreSQL."""

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        self._definition_text = (
            f"SELECT {DEFINITIONS.select()} FROM {DEFINITIONS.source(self.schema)}"
            " WHERE r.tenant_id = $1 AND r.agent_id = $2 AND r.name = $3"
        )
        self._pii_text = (
            f"SELECT DISTINCT r.name FROM {DEFINITIONS.source(self.schema)} WHERE r.tenant_id = $1 AND r.is_pii"
        )

    async def get_field_definitions(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        *,
        enabled_only: bool = True,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[ProfileFieldDefinition]:
        return await self.page(
            "get_field_definitions",
            DEFINITIONS,
            "r.tenant_id = $1 AND r.agent_id = $2 AND (r.enabled OR NOT $3::boolean)",
            [tenant_id, agent_id, enabled_only],
            order=_ORDER,
            scope=cursor_scope(tenant_id, "get_field_definitions", agent_id=agent_id, enabled_only=enabled_only),
            limit=limit,
            after=after,
        )

    async def list_pii_fields(self, tenant_id: UUID) -> frozenset[str] | None:
        rows = await self.database.fetch("list_pii_fields", self._pii_text, tenant_id)
        return frozenset(row["name"] for row in rows)

    async def get_field_definition(
        self, tenant_id: UUID, agent_id: UUID, field_name: str
    ) -> ProfileFieldDefinition | None:
        name = identifier(field_name, "field_name")
        row = await self.database.fetchrow("get_field_definition", self._definition_text, tenant_id, agent_id, name)
        return None if row is None else DEFINITIONS.load(row)

    async def get_field_definition_by_id(self, tenant_id: UUID, definition_id: UUID) -> ProfileFieldDefinition | None:
        return await self.get_row("get_field_definition_by_id", DEFINITIONS, tenant_id, definition_id)

    async def save_field_definition(self, definition: ProfileFieldDefinition) -> UUID:
        return await self.upsert("save_field_definition", DEFINITIONS, definition, prepare=check_definition)

    async def delete_field_definition(self, tenant_id: UUID, agent_id: UUID, field_name: str) -> bool:
        name = identifier(field_name, "field_name")
        removed = await self.database.write(
            "delete_field_definition",
            f"DELETE FROM {DEFINITIONS.source(self.schema)}"
            " WHERE r.tenant_id = $1 AND r.agent_id = $2 AND r.name = $3 RETURNING 1",
            tenant_id,
            agent_id,
            name,
        )
        return bool(removed)

    def definition_for(self, columns: str, name: str, named: str, agent: str) -> str:
        """Return a query of the enabled definition a field follows: the one it names, else the agent's.

        Args:
            columns: the select list, with the alias ``d``.
            name: SQL expression of the field's name.
            named: SQL expression of the id of the definition it names, or NULL.
            agent: SQL expression of the agent, or NULL.
        """
        choices = " UNION ALL ".join(
            f"SELECT {rank} AS rank, r.* FROM {DEFINITIONS.source(self.schema)}"
            f" WHERE r.tenant_id = $1 AND r.enabled AND r.name = {name} AND {condition}"
            for rank, condition in enumerate((f"r.id = {named}", f"r.agent_id = {agent}"))
        )
        return f"SELECT {columns} FROM ({choices}) d ORDER BY d.rank LIMIT 1"
