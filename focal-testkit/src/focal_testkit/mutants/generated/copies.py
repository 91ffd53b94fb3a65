"""Stores that share their objects, and unpaged lists that are cut; the config store stands for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Rule, Variable
from focal_core.inmemory.table import Table
from focal_core.paging import Page
from focal_testkit.mutants import mutant
from focal_testkit.mutants.generated.listings import by_offset


@mutant("STORE-011")
class KeepsTheCallersObject(InMemoryConfigStore):
    """The caller's own object is stored."""

    def upsert(self, table: Table[Any], model: Any, check: Callable[[Any], None] | None = None) -> UUID:
        saved = super().upsert(table, model, check)
        table.put(model)
        return saved


@mutant("STORE-012")
class HandsOutItsOwnObject(InMemoryConfigStore):
    """The stored object itself is handed out."""

    async def get_rule(self, tenant_id: UUID, rule_id: UUID) -> Rule | None:
        return self._rules.get(tenant_id, rule_id)


@mutant("STORE-022")
class VariablesByOffset(InMemoryConfigStore):
    """Variables are paged by offset."""

    async def get_variables(
        self, tenant_id: UUID, agent_id: UUID, *, limit: int | None = None, after: str | None = None
    ) -> Page[Variable]:
        rows = await super().get_variables(tenant_id, agent_id)
        return by_offset(list(rows), limit or len(rows), after)


@mutant("STORE-026")
class CutsUnpagedLists(InMemoryConfigStore):
    """A list without a limit ends at the cap in silence."""

    async def get_variables(
        self, tenant_id: UUID, agent_id: UUID, *, limit: int | None = None, after: str | None = None
    ) -> Page[Variable]:
        return await super().get_variables(tenant_id, agent_id, limit=limit or self.cap, after=after)
