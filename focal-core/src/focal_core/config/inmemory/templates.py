"""Templates in memory."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from focal_core.config.filters import check_scope_filter
from focal_core.config.inmemory.agents import InMemoryAgentStore, by_creation, of_agent
from focal_core.config.models import Scope, Template
from focal_core.config.store import TemplateStore
from focal_core.context import BackendContext
from focal_core.inmemory.table import OrderedIndex, Table
from focal_core.paging import Page


class InMemoryTemplateStore(InMemoryAgentStore, TemplateStore):
    """Templates in memory."""

    tables: ClassVar[tuple[str, ...]] = ("_templates",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._templates_in_order = OrderedIndex[Template](of_agent, by_creation)
        self._templates = Table[Template](self._templates_in_order)

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
        check_scope_filter(scope, scope_id)
        return self.list_of_agent(
            self._templates_in_order,
            tenant_id,
            agent_id,
            method="get_templates",
            filters={"scope": scope, "scope_id": scope_id},
            limit=limit,
            after=after,
            keep=lambda template: (
                (scope is None or template.scope == scope) and (scope_id is None or template.scope_id == scope_id)
            ),
        )

    async def get_template(self, tenant_id: UUID, template_id: UUID) -> Template | None:
        return self.read(self._templates.get(tenant_id, template_id))

    async def save_template(self, template: Template) -> UUID:
        return self.upsert(self._templates, template)

    async def delete_template(self, tenant_id: UUID, template_id: UUID) -> bool:
        return self.delete_visible(self._templates, tenant_id, template_id)
