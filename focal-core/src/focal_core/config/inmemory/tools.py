"""Tool activations in memory."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from focal_core.config.inmemory.agents import InMemoryAgentStore, by_creation, of_agent
from focal_core.config.models import ToolActivation
from focal_core.config.store import ToolStore
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError
from focal_core.gate import admit, identifier, stamp
from focal_core.inmemory.table import OrderedIndex, Table, UniqueIndex
from focal_core.paging import Page


class InMemoryToolStore(InMemoryAgentStore, ToolStore):
    """Tool activations in memory, keyed by agent and tool."""

    tables: ClassVar[tuple[str, ...]] = ("_activations",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._activations_in_order = OrderedIndex[ToolActivation](of_agent, by_creation)
        self._activation_ids = UniqueIndex[ToolActivation](lambda row: (row.tenant_id, row.id))
        self._activations = Table[ToolActivation](
            self._activations_in_order,
            self._activation_ids,
            key=lambda row: (row.tenant_id, (row.agent_id, row.tool_id)),
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
        return self.list_of_agent(
            self._activations_in_order,
            tenant_id,
            agent_id,
            method="list_tool_activations",
            filters={"enabled_only": enabled_only},
            limit=limit,
            after=after,
            keep=lambda activation: activation.enabled or not enabled_only,
        )

    async def get_tool_activation(self, tenant_id: UUID, agent_id: UUID, tool_id: str) -> ToolActivation | None:
        return self.read(self._activations.get(tenant_id, (agent_id, identifier(tool_id, "tool_id"))))

    async def save_tool_activation(self, activation: ToolActivation) -> UUID:
        row = admit(activation, self.context.limits)
        key = (row.agent_id, row.tool_id)
        stored = self._activations.get(row.tenant_id, key)
        owner = self._activation_ids.get((row.tenant_id, row.id))
        if owner is not None and (owner.agent_id, owner.tool_id) != key:
            raise DuplicateError(
                f"ToolActivation {row.id} is that of another tool or agent", code="activation_id_taken"
            )
        stamp(row, stored, self.context.clock.now())
        if stored is not None:
            row.set_stored(id=stored.id)
        self._activations.put(row)
        activation.set_stored(created_at=row.created_at, updated_at=row.updated_at)
        return row.id

    async def delete_tool_activation(self, tenant_id: UUID, agent_id: UUID, tool_id: str) -> bool:
        key = (agent_id, identifier(tool_id, "tool_id"))
        if self.visible(self._activations.get(tenant_id, key)) is None:
            return False
        self._activations.remove(tenant_id, key)
        return True
