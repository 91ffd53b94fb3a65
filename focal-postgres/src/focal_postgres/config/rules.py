"""Rules in PostgreSQL."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from focal_core.config.filters import check_scope_filter
from focal_core.config.models import Rule, Scope
from focal_core.config.store import RuleStore
from focal_core.errors import StoreError
from focal_core.paging import Page
from focal_postgres.config.agents import BY_CREATION, PostgresAgentStore
from focal_postgres.keyset import Key
from focal_postgres.layout import Layout
from focal_postgres.row_security import together, turn_to
from focal_postgres.store import Prepared
from focal_postgres.transaction import Connection, Record
from focal_postgres.vector import nearest

RULES = Layout(Rule, "rules", vectors="rule_vectors")
_ORDER = (Key("r.priority", "bigint", descending=True), *BY_CREATION)

CHUNK_ROWS = 10_000
"""Rows that are sent at a time."""


class _RefusedError(StoreError):
    """A row of a batch was not saved, and so none was.

    Args:
        number: its place in the batch.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"row {number} was refused")
        self.number = number


def in_scope(first: int) -> str:
    """Return the filter by scope and scope id; its parameters are ``$first`` and the next."""
    scope, scope_id = f"${first}::text", f"${first + 1}::uuid"
    return f"({scope} IS NULL OR r.scope = {scope}) AND ({scope_id} IS NULL OR r.scope_id = {scope_id})"


class PostgresRuleStore(PostgresAgentStore, RuleStore):
    """Rules in PostgreSQL."""

    tables: ClassVar[tuple[str, ...]] = ("rules",)

    async def get_rules(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        scope: Scope | None = None,
        scope_id: UUID | None = None,
        enabled_only: bool = True,
        *,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Rule]:
        check_scope_filter(scope, scope_id)
        return await self.list_of_agent(
            "get_rules",
            RULES,
            tenant_id,
            agent_id,
            filters={"scope": scope, "scope_id": scope_id, "enabled_only": enabled_only},
            limit=limit,
            after=after,
            where=f" AND {in_scope(3)} AND (r.enabled OR NOT $5)",
            args=(scope, scope_id, enabled_only),
            order=_ORDER,
        )

    async def get_rule(self, tenant_id: UUID, rule_id: UUID) -> Rule | None:
        return await self.read("get_rule", RULES, tenant_id, rule_id)

    async def save_rule(self, rule: Rule) -> UUID:
        return await self.upsert("save_rule", RULES, rule)

    async def save_rules(self, rules: Sequence[Rule]) -> list[UUID]:
        prepared = [await self.prepared(RULES, rule) for rule in rules]
        repeats: dict[int, Rule] = {}
        while True:
            left = [number for number in range(len(rules)) if number not in repeats]

            async def work(connection: Connection, left: Sequence[int] = left) -> list[Record]:
                return await self._save_in_order(connection, prepared, left)

            try:
                saved = await self.database.transaction("save_rules", work, bulk=True)
            except _RefusedError as refused:
                one = prepared[refused.number]
                # Raises why; what is returned is so already, and the others are saved without it.
                repeats[refused.number] = await self._refused("save_rules", RULES, one.row, one.expected, one.revival)
                continue
            for number, record in zip(left, saved, strict=True):
                self.advance_to(rules[number], record, prepared[number].row)
            for number, stored in repeats.items():
                self.advance(rules[number], stored)
            return [one.row.id for one in prepared]

    async def _save_in_order(
        self, connection: Connection, prepared: Sequence[Prepared[Rule]], numbers: Sequence[int]
    ) -> list[Record]:
        """Run the statement of ``save_rule`` for each row, all of a chunk in one go, and return what each returned."""
        saved: list[Record] = []
        options = self.database.options
        for chunk in together(options, numbers, lambda number: prepared[number].row.tenant_id, CHUNK_ROWS):
            await turn_to(connection, options, prepared[chunk[0]].row.tenant_id)
            parameters = [prepared[number].parameters for number in chunk]
            records = deque(await connection.fetchmany(self._upsert_text(RULES), parameters))
            for number in chunk:
                row = prepared[number].row
                # A refused row returns nothing.
                if not records or (records[0]["tenant_id"], records[0]["id"]) != (row.tenant_id, row.id):
                    raise _RefusedError(number)
                saved.append(records.popleft())
        return saved

    async def delete_rule(self, tenant_id: UUID, rule_id: UUID) -> bool:
        return await self.delete_visible("delete_rule", RULES, tenant_id, rule_id)

    async def vector_search_rules(
        self,
        query_embedding: list[float],
        tenant_id: UUID,
        agent_id: UUID,
        scope: Scope | None = None,
        scope_id: UUID | None = None,
        limit: int = 10,
        *,
        min_score: float | None = None,
        include_disabled: bool = False,
        embedding_model: str | None = None,
    ) -> list[tuple[Rule, float]]:
        check_scope_filter(scope, scope_id)
        return await nearest(
            self,
            "vector_search_rules",
            RULES,
            tenant_id=tenant_id,
            partitions=[agent_id],
            query_embedding=query_embedding,
            limit=limit,
            min_score=min_score,
            embedding_model=embedding_model,
            where=f"{in_scope(1)} AND (r.enabled OR $3)",
            args=(scope, scope_id, include_disabled),
        )
