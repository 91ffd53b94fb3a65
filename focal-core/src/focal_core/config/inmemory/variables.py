"""Variables in memory."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from focal_core.config.inmemory.agents import InMemoryAgentStore, by_creation, of_agent
from focal_core.config.models import Variable
from focal_core.config.store import VariableStore
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError
from focal_core.gate import identifier
from focal_core.inmemory.table import OrderedIndex, Table, UniqueIndex
from focal_core.paging import Page


class InMemoryVariableStore(InMemoryAgentStore, VariableStore):
    """Variables in memory."""

    tables: ClassVar[tuple[str, ...]] = ("_variables",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._variables_in_order = OrderedIndex[Variable](of_agent, by_creation)
        self._variable_names = UniqueIndex[Variable](
            lambda variable: (
                None if variable.deleted_at is not None else (variable.tenant_id, variable.agent_id, variable.name)
            )
        )
        self._variables = Table[Variable](self._variables_in_order, self._variable_names)

    async def get_variables(
        self, tenant_id: UUID, agent_id: UUID, *, limit: int | None = None, after: str | None = None
    ) -> Page[Variable]:
        return self.list_of_agent(
            self._variables_in_order,
            tenant_id,
            agent_id,
            method="get_variables",
            filters={},
            limit=limit,
            after=after,
        )

    async def get_variable(self, tenant_id: UUID, variable_id: UUID) -> Variable | None:
        return self.read(self._variables.get(tenant_id, variable_id))

    async def get_variable_by_name(self, tenant_id: UUID, agent_id: UUID, name: str) -> Variable | None:
        return self.read(self._variable_names.get((tenant_id, agent_id, identifier(name, "name"))))

    async def save_variable(self, variable: Variable) -> UUID:
        def name_is_free(row: Variable) -> None:
            if self._variable_names.owner_other_than(row) is not None:
                raise DuplicateError(f"the agent has a variable {row.name!r} already", code="variable_name_taken")

        return self.upsert(self._variables, variable, name_is_free)

    async def delete_variable(self, tenant_id: UUID, variable_id: UUID) -> bool:
        return self.delete_visible(self._variables, tenant_id, variable_id)
