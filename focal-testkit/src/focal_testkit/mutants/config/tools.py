"""Config stores that break a rule about tool activations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import ToolActivation
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("CONFIG-062")
class LatestIdWins(InMemoryConfigStore):
    """A later save replaces the id of the activation."""

    async def save_tool_activation(self, activation: ToolActivation) -> UUID:
        self._activations.remove(activation.tenant_id, (activation.agent_id, activation.tool_id))
        return await super().save_tool_activation(activation)


@mutant("CONFIG-062")
class ReturnsTheGivenId(InMemoryConfigStore):
    """The id that was passed in is returned, not the one stored."""

    async def save_tool_activation(self, activation: ToolActivation) -> UUID:
        await super().save_tool_activation(activation)
        return activation.id


@mutant("CONFIG-063")
class ActivationsByTool(InMemoryConfigStore):
    """Activations are listed by tool."""

    async def list_tool_activations(self, tenant_id: UUID, agent_id: UUID, **options: Any) -> Page[ToolActivation]:
        page = await super().list_tool_activations(tenant_id, agent_id, **options)
        return Page(sorted(page, key=lambda activation: activation.tool_id), page.next_cursor)


@mutant("CONFIG-063")
class HidesDisabledTools(InMemoryConfigStore):
    """Disabled activations are never listed."""

    async def list_tool_activations(self, tenant_id: UUID, agent_id: UUID, **options: Any) -> Page[ToolActivation]:
        return await super().list_tool_activations(tenant_id, agent_id, **{**options, "enabled_only": True})


@mutant("CONFIG-064")
class DisablesInsteadOfRemoving(InMemoryConfigStore):
    """A removed activation stays and is disabled."""

    async def delete_tool_activation(self, tenant_id: UUID, agent_id: UUID, tool_id: str) -> bool:
        found = await self.get_tool_activation(tenant_id, agent_id, tool_id)
        if found is None or not found.enabled:
            return False
        await self.save_tool_activation(found.model_copy(update={"enabled": False}))
        return True


@mutant("CONFIG-064")
class RemovesForEveryAgent(InMemoryConfigStore):
    """Removing an activation removes the tool's activations for all agents."""

    async def delete_tool_activation(self, tenant_id: UUID, agent_id: UUID, tool_id: str) -> bool:
        removed = await super().delete_tool_activation(tenant_id, agent_id, tool_id)
        for row in self._activations.rows(tenant_id):
            if row.tool_id == tool_id:
                self._activations.remove(tenant_id, (row.agent_id, tool_id))
        return removed


@mutant("CONFIG-065")
class ActivationsShareIds(InMemoryConfigStore):
    """Two tools' activations may have one id."""

    async def save_tool_activation(self, activation: ToolActivation) -> UUID:
        self._activation_ids.discard(activation)
        return await super().save_tool_activation(activation)


@mutant("CONFIG-066")
class FoldsToolIds(InMemoryConfigStore):
    """A tool is looked up by its ASCII letters."""

    async def get_tool_activation(self, tenant_id: UUID, agent_id: UUID, tool_id: str) -> ToolActivation | None:
        folded = tool_id.encode("ascii", "ignore").decode().strip() or "x"
        return await super().get_tool_activation(tenant_id, agent_id, folded)


@mutant("CONFIG-066")
class ToolIdsReachTheBackendUnchecked(InMemoryConfigStore):
    """A tool id that no tool can have is looked up."""

    async def delete_tool_activation(self, tenant_id: UUID, agent_id: UUID, tool_id: str) -> bool:
        return self._activations.remove(tenant_id, (agent_id, tool_id)) is not None
