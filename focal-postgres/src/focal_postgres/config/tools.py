"""Tool activations in PostgreSQL."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from focal_core.config.models import ToolActivation
from focal_core.config.store import ToolStore
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError
from focal_core.gate import admit, identifier, stamp
from focal_core.paging import Page
from focal_postgres.config.agents import PostgresAgentStore
from focal_postgres.database import Database
from focal_postgres.errors import register_constraints
from focal_postgres.layout import Layout

ACTIVATIONS = Layout(ToolActivation, "tool_activations")
_KEY = ("tenant_id", "agent_id", "tool_id")
_ID_TAKEN = ("the id is that of another tool or agent", "activation_id_taken")

register_constraints({"pk_tool_activations": _ID_TAKEN})


class PostgresToolStore(PostgresAgentStore, ToolStore):
    """Tool activations in PostgreSQL, keyed by agent and tool."""

    tables: ClassVar[tuple[str, ...]] = ("tool_activations",)

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        table = f"{self.schema}.tool_activations"
        tenant, agent, tool, id = (f"${1 + ACTIVATIONS.names.index(name)}" for name in (*_KEY, "id"))
        kept = {*_KEY, "id", "created_at"}
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in ACTIVATIONS.names if name not in kept)
        # The key decides which row is replaced; the id must not be that of another one all the same.
        self._save = (
            f"INSERT INTO {table} AS t ({', '.join(ACTIVATIONS.names)}) SELECT {ACTIVATIONS.parameters()}"
            f" WHERE NOT EXISTS (SELECT FROM {table} x WHERE x.tenant_id = {tenant} AND x.id = {id}"
            f" AND (x.agent_id, x.tool_id) <> ({agent}, {tool}))"
            f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {changes} RETURNING id, created_at"
        )

    async def list_tool_activations(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        *,
        enabled_only: bool = False,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[ToolActivation]:
        return await self.list_of_agent(
            "list_tool_activations",
            ACTIVATIONS,
            tenant_id,
            agent_id,
            filters={"enabled_only": enabled_only},
            limit=limit,
            after=after,
            where=" AND (r.enabled OR NOT $3)",
            args=(enabled_only,),
        )

    async def get_tool_activation(self, tenant_id: UUID, agent_id: UUID, tool_id: str) -> ToolActivation | None:
        record = await self.database.fetchrow(
            "get_tool_activation",
            f"SELECT {ACTIVATIONS.select()} FROM {ACTIVATIONS.source(self.schema)}"
            f" WHERE r.tenant_id = $1 AND r.agent_id = $2 AND r.tool_id = $3 AND {self.visible}",
            tenant_id,
            agent_id,
            identifier(tool_id, "tool_id"),
        )
        return None if record is None else ACTIVATIONS.load(record)

    async def save_tool_activation(self, activation: ToolActivation) -> UUID:
        row = admit(activation, self.context.limits)
        stamp(row, None, self.context.clock.now())
        saved = await self.database.write("save_tool_activation", self._save, *ACTIVATIONS.values(row), repeat=True)
        if not saved:
            raise DuplicateError(f"save_tool_activation: {_ID_TAKEN[0]}", code=_ID_TAKEN[1])
        activation.set_stored(created_at=saved[0]["created_at"], updated_at=row.updated_at)
        return saved[0]["id"]  # type: ignore[no-any-return]

    async def delete_tool_activation(self, tenant_id: UUID, agent_id: UUID, tool_id: str) -> bool:
        rows = await self.database.write(
            "delete_tool_activation",
            f"DELETE FROM {self.schema}.tool_activations r"
            f" WHERE r.tenant_id = $1 AND r.agent_id = $2 AND r.tool_id = $3 AND {self.visible} RETURNING 1",
            tenant_id,
            agent_id,
            identifier(tool_id, "tool_id"),
        )
        return bool(rows)
