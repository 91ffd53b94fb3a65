"""Templates in PostgreSQL."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from focal_core.config.filters import check_scope_filter
from focal_core.config.models import Scope, Template
from focal_core.config.store import TemplateStore
from focal_core.paging import Page
from focal_postgres.config.agents import PostgresAgentStore
from focal_postgres.config.rules import in_scope
from focal_postgres.layout import Layout

TEMPLATES = Layout(Template, "templates")


class PostgresTemplateStore(PostgresAgentStore, TemplateStore):
    """Templates in PostgreSQL."""

    tables: ClassVar[tuple[str, ...]] = ("templates",)

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
        return await self.list_of_agent(
            "get_templates",
            TEMPLATES,
            tenant_id,
            agent_id,
            filters={"scope": scope, "scope_id": scope_id},
            limit=limit,
            after=after,
            where=f" AND {in_scope(3)}",
            args=(scope, scope_id),
        )

    async def get_template(self, tenant_id: UUID, template_id: UUID) -> Template | None:
        return await self.read("get_template", TEMPLATES, tenant_id, template_id)

    async def save_template(self, template: Template) -> UUID:
        return await self.upsert("save_template", TEMPLATES, template)

    async def delete_template(self, tenant_id: UUID, template_id: UUID) -> bool:
        return await self.delete_visible("delete_template", TEMPLATES, tenant_id, template_id)
