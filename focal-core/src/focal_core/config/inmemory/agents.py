"""Agents in memory, and what a deleted agent means for everything that belongs to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.config.models import Agent
from focal_core.config.store import AgentStore
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError
from focal_core.inmemory.store import InMemoryStore
from focal_core.inmemory.table import OrderedIndex, Table, UniqueIndex, micros
from focal_core.paging import Page, cursor_scope

C = TypeVar("C", bound=Any)


def by_creation(row: Any) -> tuple[int, str]:
    """Sort key of most lists: created_at, then id."""
    return micros(row.created_at), str(row.id)


def of_agent(row: Any) -> tuple[UUID, UUID] | None:
    """Partition of most lists: the rows of one agent that are not deleted."""
    return None if row.deleted_at is not None else (row.tenant_id, row.agent_id)


class InMemoryAgentStore(InMemoryStore, AgentStore):
    """Agents in memory; base of the stores of what belongs to agents."""

    port: ClassVar[str] = "config"
    tables: ClassVar[tuple[str, ...]] = ("_agents",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._agents_by_name = OrderedIndex[Agent](
            lambda agent: None if agent.deleted_at is not None else agent.tenant_id,
            lambda agent: (agent.name, str(agent.id)),
        )
        self._agent_names = UniqueIndex[Agent](
            lambda agent: None if agent.deleted_at is not None else (agent.tenant_id, agent.name)
        )
        self._agents = Table[Agent](self._agents_by_name, self._agent_names)

    async def get_agent(self, tenant_id: UUID, agent_id: UUID) -> Agent | None:
        agent = self._agents.get(tenant_id, agent_id)
        return None if agent is None or agent.deleted_at is not None else validated_copy(agent)

    async def save_agent(self, agent: Agent) -> UUID:
        def name_is_free(row: Agent) -> None:
            if self._agent_names.owner_other_than(row) is not None:
                raise DuplicateError(f"the tenant has an agent {row.name!r} already", code="agent_name_taken")

        return self.upsert(self._agents, agent, name_is_free)

    async def list_agents(
        self, tenant_id: UUID, *, enabled_only: bool = False, limit: int = 100, after: str | None = None
    ) -> Page[Agent]:
        scope = cursor_scope(tenant_id, "list_agents", enabled_only=enabled_only)
        keep = _enabled if enabled_only else None
        return self._agents_by_name.page(tenant_id, scope=scope, limit=limit, cap=self.cap, after=after, keep=keep)

    async def delete_agent(self, tenant_id: UUID, agent_id: UUID) -> bool:
        return self.soft_delete(self._agents, tenant_id, agent_id)

    def partition_of(self, tenant_id: UUID, agent_id: UUID) -> tuple[UUID, UUID] | None:
        """Return the partition of an agent's rows; None, where nothing is, while the agent is deleted.

        An agent that was never stored hides nothing.
        """
        agent = self._agents.get(tenant_id, agent_id)
        return None if agent is not None and agent.deleted_at is not None else (tenant_id, agent_id)

    def visible(self, row: C | None) -> C | None:
        """Return a stored row unless it is deleted or hidden with its agent; not a copy."""
        if row is None or row.deleted_at is not None or self.partition_of(row.tenant_id, row.agent_id) is None:
            return None
        return row

    def read(self, row: C | None) -> C | None:
        """Return a copy of a visible row."""
        shown = self.visible(row)
        return None if shown is None else validated_copy(shown)

    def delete_visible(self, table: Table[C], tenant_id: UUID, id: UUID) -> bool:
        """Mark a visible row deleted; False when there is none."""
        return self.visible(table.get(tenant_id, id)) is not None and self.soft_delete(table, tenant_id, id)

    def list_of_agent(
        self,
        index: OrderedIndex[C],
        tenant_id: UUID,
        agent_id: UUID,
        *,
        method: str,
        filters: dict[str, Any],
        limit: int | None,
        after: str | None,
        keep: Callable[[C], bool] | None = None,
    ) -> Page[C]:
        """Return a page of an agent's visible rows."""
        return index.page(
            self.partition_of(tenant_id, agent_id),
            scope=cursor_scope(tenant_id, method, agent_id=agent_id, **filters),
            limit=limit,
            cap=self.cap,
            after=after,
            keep=keep,
        )


def _enabled(row: Any) -> bool:
    return bool(row.enabled)
