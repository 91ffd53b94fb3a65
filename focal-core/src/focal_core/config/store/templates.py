"""The templates part of the config port."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.config.models import Scope, Template
from focal_core.paging import Page
from focal_core.store import Store


class TemplateStore(Store):
    """Templates of agents; those of a deleted agent are hidden from every read until the agent is revived."""

    @abstractmethod
    async def get_templates(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        scope: Scope | None = None,
        scope_id: UUID | None = None,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Template]:
        """Return the templates of an agent by created_at, then id, ascending.

        Args:
            tenant_id: the owner.
            agent_id: the agent.
            scope: only templates of exactly this scope; None means every scope.
            scope_id: only templates bound to exactly this scenario or step; needs ``scope``.
            limit: rows, 1 to 1,000; None = all, up to ``limits.unpaged_cap``.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: ``scope_id`` comes without ``scope``, limit or cursor are wrong, or an unlimited list
                exceeds the cap (code ``result_too_large``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_template(self, tenant_id: UUID, template_id: UUID) -> Template | None:
        """Return a template, or None when the tenant has none of that id.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def save_template(self, template: Template) -> UUID:
        """Insert or replace a template and return its id; its agent need not exist.

        Atomic and idempotent. Advances ``row_version``, ``created_at`` and ``updated_at`` of the object passed in. A
        template saved under a deleted agent is kept, and hidden like the agent's others.

        Raises:
            StaleVersionError: ``row_version`` is given and is not the stored one.
            ConflictError: the id is deleted and this is no explicit revival (``deleted_at=None`` and the deleted
                row's ``row_version``, both given).
            InvalidDataError: the template is invalid or exceeds a limit.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete_template(self, tenant_id: UUID, template_id: UUID) -> bool:
        """Mark a template deleted; False when the tenant has none of that id, or it is deleted already.

        Raises:
            StoreUnavailableError: nothing was written; safe to retry.
        """
