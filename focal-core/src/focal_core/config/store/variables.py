"""The variables part of the config port."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.config.models import Variable
from focal_core.paging import Page
from focal_core.store import Store


class VariableStore(Store):
    """Variables of agents; those of a deleted agent are hidden from every read until the agent is revived."""

    @abstractmethod
    async def get_variables(
        self, tenant_id: UUID, agent_id: UUID, *, limit: int | None = None, after: str | None = None
    ) -> Page[Variable]:
        """Return the variables of an agent by created_at, then id, ascending.

        Args:
            tenant_id: the owner.
            agent_id: the agent.
            limit: rows, 1 to 1,000; None = all, up to ``limits.unpaged_cap``.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit or cursor are wrong, or an unlimited list exceeds the cap (code
                ``result_too_large``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_variable(self, tenant_id: UUID, variable_id: UUID) -> Variable | None:
        """Return a variable, or None when the tenant has none of that id.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_variable_by_name(self, tenant_id: UUID, agent_id: UUID, name: str) -> Variable | None:
        """Return the variable of an agent that has a name, or None.

        Raises:
            InvalidDataError: the name is blank or holds control characters.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def save_variable(self, variable: Variable) -> UUID:
        """Insert or replace a variable and return its id; its agent need not exist.

        Atomic and idempotent. Advances ``row_version``, ``created_at`` and ``updated_at`` of the object passed in. A
        variable saved under a deleted agent is kept, and hidden like the agent's others.

        Raises:
            DuplicateError: another live variable of the agent has the name (code ``variable_name_taken``).
            StaleVersionError: ``row_version`` is given and is not the stored one.
            ConflictError: the id is deleted and this is no explicit revival (``deleted_at=None`` and the deleted
                row's ``row_version``, both given).
            InvalidDataError: the variable is invalid or exceeds a limit.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete_variable(self, tenant_id: UUID, variable_id: UUID) -> bool:
        """Mark a variable deleted; False when the tenant has none of that id, or it is deleted already.

        Its name is free from then on.

        Raises:
            StoreUnavailableError: nothing was written; safe to retry.
        """
