"""Rules in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar
from uuid import UUID

from focal_core.config.filters import check_scope_filter
from focal_core.config.inmemory.agents import InMemoryAgentStore, by_creation, of_agent
from focal_core.config.models import Rule, Scope
from focal_core.config.store import RuleStore
from focal_core.context import BackendContext
from focal_core.inmemory.table import OrderedIndex, Table, VectorIndex
from focal_core.paging import Page


class InMemoryRuleStore(InMemoryAgentStore, RuleStore):
    """Rules in memory."""

    tables: ClassVar[tuple[str, ...]] = ("_rules",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._rules_in_order = OrderedIndex[Rule](of_agent, lambda rule: (-rule.priority, *by_creation(rule)))
        self._rule_vectors = VectorIndex[Rule](of_agent, _vector)
        self._rules = Table[Rule](self._rules_in_order, self._rule_vectors)

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
        return self.list_of_agent(
            self._rules_in_order,
            tenant_id,
            agent_id,
            method="get_rules",
            filters={"scope": scope, "scope_id": scope_id, "enabled_only": enabled_only},
            limit=limit,
            after=after,
            keep=_matching(scope, scope_id, include_disabled=not enabled_only),
        )

    async def get_rule(self, tenant_id: UUID, rule_id: UUID) -> Rule | None:
        return self.read(self._rules.get(tenant_id, rule_id))

    async def save_rule(self, rule: Rule) -> UUID:
        def space_is_known(row: Rule) -> None:
            self.context.vector_policy.check(row.condition_embedding_model, row.condition_embedding)

        return self.upsert(self._rules, rule, space_is_known)

    async def delete_rule(self, tenant_id: UUID, rule_id: UUID) -> bool:
        return self.delete_visible(self._rules, tenant_id, rule_id)

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
        return self.nearest(
            self._rule_vectors,
            [self.partition_of(tenant_id, agent_id)],
            query_embedding,
            limit=limit,
            min_score=min_score,
            embedding_model=embedding_model,
            keep=_matching(scope, scope_id, include_disabled=include_disabled),
        )


def _vector(rule: Rule) -> tuple[str, tuple[float, ...]] | None:
    # ``Embedded`` gives every vector a model.
    vector = rule.condition_embedding
    return None if vector is None else (str(rule.condition_embedding_model), vector)


def _matching(scope: Scope | None, scope_id: UUID | None, *, include_disabled: bool) -> Callable[[Rule], bool]:
    check_scope_filter(scope, scope_id)
    return lambda rule: (
        (include_disabled or rule.enabled)
        and (scope is None or rule.scope == scope)
        and (scope_id is None or rule.scope_id == scope_id)
    )
