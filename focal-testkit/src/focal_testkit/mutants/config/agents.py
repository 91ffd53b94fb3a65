"""Config stores that break a rule about agents."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Agent, AgentSettings
from focal_core.errors import DuplicateError
from focal_core.inmemory.table import Table
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("CONFIG-001")
class ForgetsSettings(InMemoryConfigStore):
    """The settings of an agent come back as the defaults."""

    async def get_agent(self, tenant_id: UUID, agent_id: UUID) -> Agent | None:
        found = await super().get_agent(tenant_id, agent_id)
        return found and found.model_copy(update={"settings": AgentSettings()})


@mutant("CONFIG-002", "CONFIG-004")
class AgentsShareNames(InMemoryConfigStore):
    """Agent names need not be unique."""

    async def save_agent(self, agent: Agent) -> UUID:
        return self.upsert(self._agents, agent)


@mutant("CONFIG-002", "CONFIG-003")
class NamesAreTakenForGood(InMemoryConfigStore):
    """A name stays that of the agent that had it first."""

    async def save_agent(self, agent: Agent) -> UUID:
        if not hasattr(self, "_first"):
            self._first: dict[Any, UUID] = {}
        if self._first.setdefault((agent.tenant_id, agent.name), agent.id) != agent.id:
            raise DuplicateError("name taken")
        return await super().save_agent(agent)


@mutant("CONFIG-004")
class ChecksTheNameThenWrites(InMemoryConfigStore):
    """The name of an agent is checked, and the agent written after a pause."""

    async def save_agent(self, agent: Agent) -> UUID:
        if self._agent_names.owner_other_than(agent) is not None:
            raise DuplicateError("name taken")
        await asyncio.sleep(0)
        return self.upsert(self._agents, agent)


@mutant("CONFIG-005")
class ListsAgentsByLocale(InMemoryConfigStore):
    """Agents are listed as people would sort them."""

    async def list_agents(
        self, tenant_id: UUID, *, enabled_only: bool = False, limit: int = 100, after: str | None = None
    ) -> Page[Agent]:
        page = await super().list_agents(tenant_id, enabled_only=enabled_only, limit=limit, after=after)
        return Page(sorted(page, key=lambda agent: agent.name.casefold()), page.next_cursor)


@mutant("CONFIG-005")
class HidesDisabledAgents(InMemoryConfigStore):
    """Disabled agents are never listed."""

    async def list_agents(
        self, tenant_id: UUID, *, enabled_only: bool = True, limit: int = 100, after: str | None = None
    ) -> Page[Agent]:
        return await super().list_agents(tenant_id, enabled_only=True, limit=limit, after=after)


@mutant("CONFIG-006", "CONFIG-008")
class DeletedAgentHidesNothing(InMemoryConfigStore):
    """The children of a deleted agent stay visible."""

    def partition_of(self, tenant_id: UUID, agent_id: UUID) -> tuple[UUID, UUID] | None:
        return tenant_id, agent_id


@mutant("CONFIG-006")
class DeletedAgentHidesItsListsOnly(InMemoryConfigStore):
    """The children of a deleted agent are still found by their ids."""

    def visible(self, row: Any) -> Any:
        return None if row is None or row.deleted_at is not None else row


@mutant("CONFIG-007")
class UnknownAgentHides(InMemoryConfigStore):
    """The children of an agent that was never saved are hidden."""

    def partition_of(self, tenant_id: UUID, agent_id: UUID) -> tuple[UUID, UUID] | None:
        return None if self._agents.get(tenant_id, agent_id) is None else super().partition_of(tenant_id, agent_id)


@mutant("CONFIG-007")
class ForeignAgentHides(InMemoryConfigStore):
    """The children of an agent are hidden when any tenant's agent of that id is deleted."""

    def partition_of(self, tenant_id: UUID, agent_id: UUID) -> tuple[UUID, UUID] | None:
        found = [
            super(ForeignAgentHides, self).partition_of(one, agent_id) for one in self._agents.tenants_of(agent_id)
        ]
        return None if None in found else (tenant_id, agent_id)


@mutant("CONFIG-008")
class DeletesHiddenRows(InMemoryConfigStore):
    """What is hidden with its agent can be deleted."""

    def delete_visible(self, table: Table[Any], tenant_id: UUID, id: UUID) -> bool:
        return self.soft_delete(table, tenant_id, id)
