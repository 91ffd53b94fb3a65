"""The agents part of the config port."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.config.models import Agent
from focal_core.paging import Page
from focal_core.store import Store


class AgentStore(Store):
    """Agents of tenants."""

    @abstractmethod
    async def get_agent(self, tenant_id: UUID, agent_id: UUID) -> Agent | None:
        """Return an agent, or None when the tenant has none of that id.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def save_agent(self, agent: Agent) -> UUID:
        """Insert or replace an agent and return its id.

        Atomic and idempotent. Advances ``row_version``, ``created_at`` and ``updated_at`` of the object passed in.
        Reviving a deleted agent makes its rules, scenarios, templates, variables and tool activations visible again.

        Raises:
            DuplicateError: another live agent of the tenant has the name (code ``agent_name_taken``).
            StaleVersionError: ``row_version`` is given and is not the stored one.
            ConflictError: the id is deleted and this is no explicit revival (``deleted_at=None`` and the deleted
                row's ``row_version``, both given).
            InvalidDataError: the agent is invalid or exceeds a limit.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def list_agents(
        self, tenant_id: UUID, *, enabled_only: bool = False, limit: int = 100, after: str | None = None
    ) -> Page[Agent]:
        """Return the agents of a tenant by name, in the order of code points.

        Args:
            tenant_id: the owner.
            enabled_only: True leaves disabled agents out.
            limit: rows, 1 to 1,000.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit or cursor are wrong.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def delete_agent(self, tenant_id: UUID, agent_id: UUID) -> bool:
        """Mark an agent deleted; False when the tenant has none of that id, or it is deleted already.

        Its name is free from then on. What belongs to it is hidden from every read, and kept.

        Raises:
            StoreUnavailableError: nothing was written; safe to retry.
        """
