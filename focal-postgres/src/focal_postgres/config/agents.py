"""Agents in PostgreSQL, and what a deleted agent means for everything that belongs to it."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar
from uuid import UUID

from focal_core.config.models import Agent
from focal_core.config.store import AgentStore
from focal_core.context import BackendContext
from focal_core.paging import Page, cursor_scope
from focal_postgres.database import Database
from focal_postgres.errors import register_constraints
from focal_postgres.keyset import Key
from focal_postgres.layout import Layout
from focal_postgres.store import PostgresStore

C = TypeVar("C", bound=Any)

AGENTS = Layout(Agent, "agents")
BY_CREATION = (Key("r.created_at", "timestamptz"), Key("r.id", "uuid"))
"""The order of most lists."""

_LIVE = "r.deleted_at IS NULL"

register_constraints({"uq_agents_name": ("the tenant has an agent of this name already", "agent_name_taken")})


class PostgresAgentStore(PostgresStore, AgentStore):
    """Agents in PostgreSQL; base of the stores of what belongs to agents.

    Args:
        database: where the rows are.
        context: clock, isolation, limits, policies.

    Attributes:
        visible: the condition, on the alias ``r``, that a row is neither deleted nor hidden with its agent; an agent
            that was never stored hides nothing.
    """

    port: ClassVar[str] = "config"
    tables: ClassVar[tuple[str, ...]] = ("agents",)

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        hidden = (
            f"SELECT FROM {self.schema}.agents a"
            " WHERE a.tenant_id = r.tenant_id AND a.id = r.agent_id AND a.deleted_at IS NOT NULL"
        )
        self.visible = f"{_LIVE} AND NOT EXISTS ({hidden})"

    async def get_agent(self, tenant_id: UUID, agent_id: UUID) -> Agent | None:
        return await self.get_row("get_agent", AGENTS, tenant_id, agent_id, f"AND {_LIVE}")

    async def save_agent(self, agent: Agent) -> UUID:
        return await self.upsert("save_agent", AGENTS, agent)

    async def list_agents(
        self, tenant_id: UUID, *, enabled_only: bool = False, limit: int = 100, after: str | None = None
    ) -> Page[Agent]:
        return await self.page(
            "list_agents",
            AGENTS,
            f"r.tenant_id = $1 AND {_LIVE} AND (r.enabled OR NOT $2)",
            [tenant_id, enabled_only],
            order=(Key("r.name", "text"), Key("r.id", "uuid")),
            scope=cursor_scope(tenant_id, "list_agents", enabled_only=enabled_only),
            limit=limit,
            after=after,
        )

    async def delete_agent(self, tenant_id: UUID, agent_id: UUID) -> bool:
        return await self.soft_delete("delete_agent", AGENTS, tenant_id, agent_id)

    async def read(self, method: str, layout: Layout[C], tenant_id: UUID, id: UUID) -> C | None:
        """Return a visible row, or None."""
        return await self.get_row(method, layout, tenant_id, id, f"AND {self.visible}")

    async def delete_visible(self, method: str, layout: Layout[Any], tenant_id: UUID, id: UUID) -> bool:
        """Mark a visible row deleted; False when there is none."""
        return await self.soft_delete(method, layout, tenant_id, id, f"AND {self.visible}")

    async def list_of_agent(
        self,
        method: str,
        layout: Layout[C],
        tenant_id: UUID,
        agent_id: UUID,
        *,
        filters: dict[str, Any],
        limit: int | None,
        after: str | None,
        where: str = "",
        args: tuple[Any, ...] = (),
        order: tuple[Key, ...] = BY_CREATION,
    ) -> Page[C]:
        """Return a page of an agent's visible rows.

        Args:
            method: the store's method.
            layout: what is read.
            tenant_id: the owner.
            agent_id: the agent.
            filters: what the cursor is tied to, besides the agent.
            limit: rows; None = all, up to the cap.
            after: cursor of the previous page.
            where: a further condition (``AND ...``); its parameters are ``$3`` and on.
            args: its parameters.
            order: the sort key.
        """
        return await self.page(
            method,
            layout,
            f"r.tenant_id = $1 AND r.agent_id = $2 AND {self.visible}{where}",
            [tenant_id, agent_id, *args],
            order=order,
            scope=cursor_scope(tenant_id, method, agent_id=agent_id, **filters),
            limit=limit,
            after=after,
        )
