"""Variables in PostgreSQL."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from focal_core.config.models import Variable
from focal_core.config.store import VariableStore
from focal_core.gate import identifier
from focal_core.paging import Page
from focal_postgres.config.agents import PostgresAgentStore
from focal_postgres.errors import register_constraints
from focal_postgres.layout import Layout

VARIABLES = Layout(Variable, "variables")

register_constraints({"uq_variables_name": ("the agent has a variable of this name already", "variable_name_taken")})


class PostgresVariableStore(PostgresAgentStore, VariableStore):
    """Variables in PostgreSQL."""

    tables: ClassVar[tuple[str, ...]] = ("variables",)

    async def get_variables(
        self, tenant_id: UUID, agent_id: UUID, *, limit: int | None = None, after: str | None = None
    ) -> Page[Variable]:
        return await self.list_of_agent(
            "get_variables", VARIABLES, tenant_id, agent_id, filters={}, limit=limit, after=after
        )

    async def get_variable(self, tenant_id: UUID, variable_id: UUID) -> Variable | None:
        return await self.read("get_variable", VARIABLES, tenant_id, variable_id)

    async def get_variable_by_name(self, tenant_id: UUID, agent_id: UUID, name: str) -> Variable | None:
        record = await self.database.fetchrow(
            "get_variable_by_name",
            f"SELECT {VARIABLES.select()} FROM {VARIABLES.source(self.schema)}"
            f" WHERE r.tenant_id = $1 AND r.agent_id = $2 AND r.name = $3 AND {self.visible}",
            tenant_id,
            agent_id,
            identifier(name, "name"),
        )
        return None if record is None else VARIABLES.load(record)

    async def save_variable(self, variable: Variable) -> UUID:
        return await self.upsert("save_variable", VARIABLES, variable)

    async def delete_variable(self, tenant_id: UUID, variable_id: UUID) -> bool:
        return await self.delete_visible("delete_variable", VARIABLES, tenant_id, variable_id)
