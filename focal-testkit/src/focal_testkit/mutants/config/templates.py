"""Config stores that break a rule about templates."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Template, TemplateMode
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("CONFIG-050")
class ForgetsTheMode(InMemoryConfigStore):
    """Every template is a suggestion."""

    async def get_template(self, tenant_id: UUID, template_id: UUID) -> Template | None:
        found = await super().get_template(tenant_id, template_id)
        return found and found.model_copy(update={"mode": TemplateMode.SUGGEST})


@mutant("CONFIG-051")
class TemplatesById(InMemoryConfigStore):
    """Templates are listed by id."""

    async def get_templates(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[Template]:
        page = await super().get_templates(tenant_id, *filters, **paging)
        return Page(sorted(page, key=lambda template: template.id), page.next_cursor)


@mutant("CONFIG-052")
class IgnoresTheScopeOfTemplates(InMemoryConfigStore):
    """Templates are listed whatever their scope."""

    async def get_templates(self, tenant_id: UUID, agent_id: UUID, *filters: Any, **paging: Any) -> Page[Template]:
        return await super().get_templates(tenant_id, agent_id, **paging)


@mutant("CONFIG-053")
class TrustsTemplates(InMemoryConfigStore):
    """Templates are stored as they are."""

    async def save_template(self, template: Template) -> UUID:
        self._templates.put(template)
        return template.id
