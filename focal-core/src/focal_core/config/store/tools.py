"""The tool activations part of the config port."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.config.models import ToolActivation
from focal_core.paging import Page
from focal_core.store import Store


class ToolStore(Store):
    """Tool activations of agents, one for each (tenant, agent, tool).

    Those of a deleted agent are hidden from every read until the agent is revived.
    """

    @abstractmethod
    async def list_tool_activations(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        *,
        enabled_only: bool = False,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[ToolActivation]:
        """Return the tool activations of an agent by created_at, then id, ascending.

        Args:
            tenant_id: the owner.
            agent_id: the agent.
            enabled_only: True leaves disabled ones out.
            limit: rows, 1 to 1,000; None = all, up to ``limits.unpaged_cap``.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit or cursor are wrong, or an unlimited list exceeds the cap (code
                ``result_too_large``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_tool_activation(self, tenant_id: UUID, agent_id: UUID, tool_id: str) -> ToolActivation | None:
        """Return the activation of a tool for an agent, or None when there is none.

        Raises:
            InvalidDataError: the tool id is blank or holds control characters.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def save_tool_activation(self, activation: ToolActivation) -> UUID:
        """Insert or replace the activation of a tool for an agent and return the id it is stored under.

        The key is (tenant, agent, tool): the first activation's ``id`` and ``created_at`` survive, everything else is
        replaced; the object passed in takes over the times. Atomic and idempotent; the agent need not exist.

        Raises:
            DuplicateError: the id is that of another tool's or agent's activation (code ``activation_id_taken``).
            InvalidDataError: the activation is invalid, exceeds a limit, or has ``deleted_at`` set.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete_tool_activation(self, tenant_id: UUID, agent_id: UUID, tool_id: str) -> bool:
        """Remove the activation of a tool for good; False when there is none.

        Raises:
            InvalidDataError: the tool id is blank or holds control characters.
            StoreUnavailableError: nothing was removed; safe to retry.
        """
