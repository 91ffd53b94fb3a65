"""Config stores that break a rule about versions, times and deletion."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Agent, Rule
from focal_core.context import BackendContext, Limits
from focal_core.errors import DuplicateError, StaleVersionError
from focal_core.inmemory.table import Table
from focal_testkit.mutants import mutant

Check = Callable[[Any], None] | None


@mutant("CONFIG-080", "CONFIG-083")
class LastWriterWins(InMemoryConfigStore):
    """The expected version is ignored."""

    def upsert(self, table: Table[Any], model: Any, check: Check = None) -> UUID:
        stored = table.get(model.tenant_id, model.id)
        model.set_stored(row_version=stored.row_version if stored else 0)
        return super().upsert(table, model, check)


@mutant("CONFIG-081")
class ZeroMeansNew(InMemoryConfigStore):
    """A save without an expected version is refused when the row is stored."""

    def upsert(self, table: Table[Any], model: Any, check: Check = None) -> UUID:
        if model.row_version == 0 and table.get(model.tenant_id, model.id) is not None:
            raise DuplicateError("stored already")
        return super().upsert(table, model, check)


@mutant("CONFIG-082")
class LeavesTheCallersObject(InMemoryConfigStore):
    """The object passed in does not learn its version."""

    def upsert(self, table: Table[Any], model: Any, check: Check = None) -> UUID:
        return super().upsert(table, validated_copy(model), check)


@mutant("CONFIG-083")
class ComparesThenWrites(InMemoryConfigStore):
    """The version of a rule is compared, and the rule written after a pause."""

    async def save_rule(self, rule: Rule) -> UUID:
        stored = self._rules.get(rule.tenant_id, rule.id)
        if stored is not None and rule.row_version not in (0, stored.row_version):
            raise StaleVersionError("stale", expected=rule.row_version, actual=stored.row_version)
        await asyncio.sleep(0)
        rule.set_stored(row_version=0)
        return await super().save_rule(rule)


@mutant("CONFIG-084")
class RepeatIsStale(InMemoryConfigStore):
    """A repeated save is stale, however equal."""

    def upsert(self, table: Table[Any], model: Any, check: Check = None) -> UUID:
        stored = table.get(model.tenant_id, model.id)
        if stored is not None and model.row_version + 1 == stored.row_version and model.row_version:
            raise StaleVersionError("stale", expected=model.row_version, actual=stored.row_version)
        return super().upsert(table, model, check)


@mutant("CONFIG-085")
class LaterSavesMoveCreation(InMemoryConfigStore):
    """created_at is that of the last save."""

    def upsert(self, table: Table[Any], model: Any, check: Check = None) -> UUID:
        row = validated_copy(model)
        saved = super().upsert(table, model, check)
        row.set_stored(row_version=model.row_version, updated_at=model.updated_at)
        table.put(row)
        return saved


@mutant("CONFIG-086")
class FindsDeletedAgents(InMemoryConfigStore):
    """A deleted agent is found by its id."""

    async def get_agent(self, tenant_id: UUID, agent_id: UUID) -> Agent | None:
        return self._agents.get(tenant_id, agent_id)


@mutant("CONFIG-087")
class DeleteCountsMatches(InMemoryConfigStore):
    """Deleting what is deleted says True."""

    async def delete_rule(self, tenant_id: UUID, rule_id: UUID) -> bool:
        await super().delete_rule(tenant_id, rule_id)
        return self._rules.get(tenant_id, rule_id) is not None


@mutant("CONFIG-088")
class SavingRevives(InMemoryConfigStore):
    """A plain save brings a deleted row back."""

    def upsert(self, table: Table[Any], model: Any, check: Check = None) -> UUID:
        stored = table.get(model.tenant_id, model.id)
        if stored is not None and stored.deleted_at is not None:
            table.put(validated_copy(stored).model_copy(update={"deleted_at": None}))
        return super().upsert(table, model, check)


@mutant("CONFIG-089")
class RevivalSticks(InMemoryConfigStore):
    """A row revived once is revived by any later save."""

    def upsert(self, table: Table[Any], model: Any, check: Check = None) -> UUID:
        explicit = "deleted_at" in model.model_fields_set
        saved = super().upsert(table, model, check)
        if explicit:
            table.get(model.tenant_id, model.id).model_fields_set.add("deleted_at")  # type: ignore[union-attr]
        return saved


@mutant("CONFIG-090")
class StoresDeletedAt(InMemoryConfigStore):
    """A save with deleted_at is a deletion."""

    def upsert(self, table: Table[Any], model: Any, check: Check = None) -> UUID:
        if model.deleted_at is not None:
            table.put(validated_copy(model))
            return model.id  # type: ignore[no-any-return]
        return super().upsert(table, model, check)


@mutant("CONFIG-091")
class IgnoresLimits(InMemoryConfigStore):
    """Data is of any size."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(replace(context or BackendContext(), limits=Limits()))
