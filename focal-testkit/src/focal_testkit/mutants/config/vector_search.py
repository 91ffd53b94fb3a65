"""Config stores that break a rule about search."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Rule, Scenario
from focal_core.context import BackendContext
from focal_core.errors import EmbeddingSpaceError, InvalidDataError
from focal_core.vectors import VectorPolicy
from focal_testkit.mutants import mutant

Found = list[tuple[Rule, float]]


@mutant("CONFIG-020", "CONFIG-032")
class WorstFirst(InMemoryConfigStore):
    """The result of a search is reversed."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        return (await super().vector_search_rules(*arguments, **options))[::-1]


@mutant("CONFIG-020")
class FiveByDefault(InMemoryConfigStore):
    """A search returns five rules unless told otherwise."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        return await super().vector_search_rules(*arguments, **{"limit": 5, **options})


@mutant("CONFIG-021")
class NothingIsAnError(InMemoryConfigStore):
    """A search without any vector is refused."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        if not (found := await super().vector_search_rules(*arguments, **options)):
            raise EmbeddingSpaceError("no such space")
        return found


@mutant("CONFIG-022")
class InnerProducts(InMemoryConfigStore):
    """The score is the inner product."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        found = await super().vector_search_rules(*arguments, **options)
        return [(rule, score * math.hypot(*(rule.condition_embedding or ()))) for rule, score in found]


@mutant("CONFIG-023")
class PositiveOnly(InMemoryConfigStore):
    """Scores below zero are left out unless asked for."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        return await super().vector_search_rules(*arguments, **{"min_score": 0.0, **options})


@mutant("CONFIG-023")
class AboveTheMinimum(InMemoryConfigStore):
    """A score of exactly min_score is left out."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        found = await super().vector_search_rules(*arguments, **options)
        return [pair for pair in found if pair[1] != options.get("min_score")]


@mutant("CONFIG-024")
class SearchesDisabledRules(InMemoryConfigStore):
    """Disabled rules are searched."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        return await super().vector_search_rules(*arguments, **{**options, "include_disabled": True})


@mutant("CONFIG-025")
class WrongLengthFindsNothing(InMemoryConfigStore):
    """A query of another length finds nothing."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        try:
            return await super().vector_search_rules(*arguments, **options)
        except EmbeddingSpaceError:
            return []


@mutant("CONFIG-026")
class OneLengthForAll(InMemoryConfigStore):
    """The first vector fixes the length of all."""

    async def save_rule(self, rule: Rule) -> UUID:
        lengths = {len(row.condition_embedding or ()) for row in self._rules.rows(rule.tenant_id)}
        if lengths and len(rule.condition_embedding or ()) not in lengths:
            raise InvalidDataError("another length")
        return await super().save_rule(rule)


@mutant("CONFIG-027")
class PicksAModel(InMemoryConfigStore):
    """Of several models the first one is taken."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        try:
            return await super().vector_search_rules(*arguments, **options)
        except EmbeddingSpaceError:
            return await super().vector_search_rules(*arguments, **{**options, "embedding_model": "m"})


@mutant("CONFIG-028")
class NamelessVectorsAreLost(InMemoryConfigStore):
    """Vectors of the model "default" are not searched."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        found = await super().vector_search_rules(*arguments, **options)
        return [pair for pair in found if pair[0].condition_embedding_model != "default"]


@mutant("CONFIG-029")
class FiltersAfterwards(InMemoryConfigStore):
    """The scope is filtered after the limit."""

    async def vector_search_rules(
        self,
        query_embedding: list[float],
        tenant_id: UUID,
        agent_id: UUID,
        scope: Any = None,
        *rest: Any,
        **options: Any,
    ) -> Found:
        found = await super().vector_search_rules(query_embedding, tenant_id, agent_id, None, *rest, **options)
        return [pair for pair in found if scope is None or pair[0].scope == scope]


@mutant("CONFIG-030")
class PoorRecall(InMemoryConfigStore):
    """Every fourth rule is missed."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"vector_index"})

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        found = await super().vector_search_rules(*arguments, **{**options, "limit": 20})
        return [pair for n, pair in enumerate(found) if n % 4 != 3][:10]


@mutant("CONFIG-031")
class SearchesEveryTenant(InMemoryConfigStore):
    """The tenant is filtered after the limit."""

    async def vector_search_rules(
        self, query_embedding: list[float], tenant_id: UUID, agent_id: UUID, *rest: Any, **options: Any
    ) -> Found:
        everyone = [
            pair
            for tenant in self._rules.tenants()
            for pair in await super(SearchesEveryTenant, self).vector_search_rules(
                query_embedding, tenant, agent_id, *rest, **options
            )
        ]
        everyone.sort(key=lambda pair: -pair[1])
        return [pair for pair in everyone[: options.get("limit", 10)] if pair[0].tenant_id == tenant_id]


@mutant("CONFIG-032")
class TiesByPriority(InMemoryConfigStore):
    """Rules of equal score come by priority."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        found = await super().vector_search_rules(*arguments, **options)
        return sorted(found, key=lambda pair: (-pair[1], -pair[0].priority))


@mutant("CONFIG-033")
class ClampsTheLimit(InMemoryConfigStore):
    """A limit out of range is moved into it."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        limit = max(1, min(1000, options.get("limit", 10)))
        return await super().vector_search_rules(*arguments, **{**options, "limit": limit})


@mutant("CONFIG-034")
class SearchIgnoresTheScopeId(InMemoryConfigStore):
    """A search within a scope ignores its id."""

    async def vector_search_rules(self, *arguments: Any, **options: Any) -> Found:
        return await super().vector_search_rules(*arguments, **{**options, "scope_id": None})


@mutant("CONFIG-035")
class SearchesDisabledScenarios(InMemoryConfigStore):
    """Disabled scenarios are searched."""

    async def vector_search_scenarios(self, *arguments: Any, **options: Any) -> list[tuple[Scenario, float]]:
        return await super().vector_search_scenarios(*arguments, **{**options, "include_disabled": True})


@mutant("CONFIG-036", "CONFIG-037")
class IgnoresThePolicy(InMemoryConfigStore):
    """The vector policy is ignored."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(replace(context or BackendContext(), vector_policy=VectorPolicy()))


@mutant("CONFIG-036")
class TransitionsAreNotChecked(InMemoryConfigStore):
    """Vectors within steps are of any space."""

    async def save_scenario(self, scenario: Scenario) -> UUID:
        self.context.vector_policy.check(scenario.entry_embedding_model, scenario.entry_embedding)
        return self.upsert(self._scenarios, scenario)


@mutant("CONFIG-038")
class KeepsTheOldVector(InMemoryConfigStore):
    """A rule saved without a vector keeps the one it had."""

    async def save_rule(self, rule: Rule) -> UUID:
        stored = self._rules.get(rule.tenant_id, rule.id)
        saved = await super().save_rule(rule)
        if stored is not None and rule.condition_embedding is None:
            self._rule_vectors.add(stored)
        return saved


@mutant("CONFIG-038")
class SearchedAtTheFormerAgent(InMemoryConfigStore):
    """A rule that moved to another agent is still found by searches for the former one."""

    async def save_rule(self, rule: Rule) -> UUID:
        stored = self._rules.get(rule.tenant_id, rule.id)
        saved = await super().save_rule(rule)
        if stored is not None and stored.agent_id != rule.agent_id:
            self._rule_vectors.add(stored)
        return saved


@mutant("CONFIG-039")
class HalfPrecision(InMemoryConfigStore):
    """Vectors are kept with three digits."""

    async def get_rule(self, tenant_id: UUID, rule_id: UUID) -> Rule | None:
        found = await super().get_rule(tenant_id, rule_id)
        if found is not None and found.condition_embedding is not None:
            found.set_stored(condition_embedding=tuple(round(one, 3) for one in found.condition_embedding))
        return found


@mutant("CONFIG-039")
class TrustsVectors(InMemoryConfigStore):
    """A rule whose vector is wrong is stored without it."""

    async def save_rule(self, rule: Rule) -> UUID:
        try:
            return await super().save_rule(rule)
        except InvalidDataError:
            return await super().save_rule(
                rule.model_copy(update={"condition_embedding": None, "condition_embedding_model": None})
            )
