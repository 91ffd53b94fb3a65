"""Config stores that break a rule about variables."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Variable
from focal_core.errors import DuplicateError
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("CONFIG-055")
class DefaultsAsText(InMemoryConfigStore):
    """A default value comes back as text."""

    async def get_variable(self, tenant_id: UUID, variable_id: UUID) -> Variable | None:
        found = await super().get_variable(tenant_id, variable_id)
        return found and found.model_copy(update={"default_value": str(found.default_value)})


@mutant("CONFIG-056", "CONFIG-059")
class VariablesShareNames(InMemoryConfigStore):
    """Variable names need not be unique."""

    async def save_variable(self, variable: Variable) -> UUID:
        return self.upsert(self._variables, variable)


@mutant("CONFIG-056")
class NamesUniquePerTenant(InMemoryConfigStore):
    """A variable's name is taken for all agents of the tenant."""

    async def save_variable(self, variable: Variable) -> UUID:
        for row in self._variables.rows(variable.tenant_id):
            if row.name == variable.name and row.id != variable.id and row.deleted_at is None:
                raise DuplicateError("name taken")
        return await super().save_variable(variable)


@mutant("CONFIG-057")
class NamesInAnyCase(InMemoryConfigStore):
    """A variable is found by its name in any case."""

    async def get_variable_by_name(self, tenant_id: UUID, agent_id: UUID, name: str) -> Variable | None:
        return await super().get_variable_by_name(tenant_id, agent_id, name.lower())


@mutant("CONFIG-057")
class NamesReachTheBackendUnchecked(InMemoryConfigStore):
    """A name that no variable can have is looked up."""

    async def get_variable_by_name(self, tenant_id: UUID, agent_id: UUID, name: str) -> Variable | None:
        return self.read(self._variable_names.get((tenant_id, agent_id, name)))


@mutant("CONFIG-058")
class VariablesByName(InMemoryConfigStore):
    """Variables are listed by name."""

    async def get_variables(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[Variable]:
        page = await super().get_variables(tenant_id, *filters, **paging)
        return Page(sorted(page, key=lambda variable: variable.name), page.next_cursor)


@mutant("CONFIG-059")
class ChecksTheVariableThenWrites(InMemoryConfigStore):
    """The name of a variable is checked, and the variable written after a pause."""

    async def save_variable(self, variable: Variable) -> UUID:
        if self._variable_names.owner_other_than(variable) is not None:
            raise DuplicateError("name taken")
        await asyncio.sleep(0)
        return self.upsert(self._variables, variable)


@mutant("CONFIG-060")
class TrustsVariables(InMemoryConfigStore):
    """Variables are stored as they are."""

    async def save_variable(self, variable: Variable) -> UUID:
        self._variables.put(variable)
        return variable.id


@mutant("CONFIG-060")
class ForgetsTheMergePolicy(InMemoryConfigStore):
    """merge_policy has no place in the store."""

    async def get_variables(self, tenant_id: UUID, *filters: Any, **paging: Any) -> Page[Variable]:
        page = await super().get_variables(tenant_id, *filters, **paging)
        return Page(variable.model_copy(update={"merge_policy": "replace"}) for variable in page)
