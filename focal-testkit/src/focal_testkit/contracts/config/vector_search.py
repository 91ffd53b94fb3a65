"""Search by meaning, over rules and scenarios."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from operator import mul
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from focal_core.config.models import Scope, StepTransition
from focal_core.config.store import ConfigStore
from focal_core.context import BackendContext
from focal_core.errors import EmbeddingSpaceError, InvalidDataError
from focal_core.vectors import VectorPolicy
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.config.rules import save_scopes
from focal_testkit.data.config import AGENT, OTHER_AGENT, QUERY, SCENARIO, STEP, at, near, rule, scenario, step
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

_TOLERANCE = 1e-6
_LONGER = [0.6, 0.8, 0.0, 0.0]


async def _found(store: ConfigStore, query: list[float] = QUERY, **options: Any) -> list[int]:
    """Return the numbers of the rules that a search finds, in its order."""
    numbers = {rule(n).id: n for n in range(64)}
    return [numbers[one.id] for one, _ in await store.vector_search_rules(query, OURS, AGENT, **options)]


class VectorSearchContract(ContractBase):
    """``vector_search_rules`` and ``vector_search_scenarios``."""

    @requirement("CONFIG-020", since="1.0")
    async def test_vector_search_rules(self, store: ConfigStore) -> None:
        """A search returns the nearest rules first, each with its cosine, at most ``limit``, by default 10.

        If this fails: distances are taken for scores, the order is reversed, or the length of vectors counts.
        """
        for n, cosine in enumerate([0.6, -0.6, 1.0, 0.0, 0.8]):
            await store.save_rule(near(n, cosine, embedding=at(cosine, length=1.0 + 3 * n)))
        await store.save_rule(rule(5))

        found = await store.vector_search_rules(QUERY, OURS, AGENT, limit=3)

        assert [one.id for one, _ in found] == [rule(n).id for n in (2, 4, 0)]
        assert [score for _, score in found] == pytest.approx([1.0, 0.8, 0.6], abs=_TOLERANCE)
        for n in range(6, 20):
            await store.save_rule(near(n, 0.6))
        assert len(await store.vector_search_rules(QUERY, OURS, AGENT)) == 10

    @requirement("CONFIG-021", since="1.0")
    async def test_vector_empty_returns_empty_list(self, store: ConfigStore) -> None:
        """A search finds nothing, without an error, where no rule has a vector, whatever the query's length.

        If this fails: an unknown space is an error although there is no space at all.
        """
        await store.save_rule(rule(0))
        await store.save_rule(near(1, 1.0, tenant=THEIRS))

        assert await store.vector_search_rules(QUERY, OURS, AGENT) == []
        assert await store.vector_search_rules([1.0], OURS, AGENT, embedding_model="unknown") == []
        assert await store.vector_search_scenarios(QUERY, OURS, AGENT) == []

    @requirement("CONFIG-022", since="1.0")
    async def test_vector_score_range(self, store: ConfigStore) -> None:
        """Scores are cosines within [-1.0, 1.0], rounding included, whatever the lengths of the vectors.

        If this fails: the score is a distance or an inner product, or rounding leads out of the range.
        """
        odd = [0.1, 0.7, 0.3]
        for n, factor in enumerate([1.0, 1e-3, 1e3, -1.0, -7.3]):
            await store.save_rule(rule(n, embedding=[factor * one for one in odd], embedding_model="m"))

        found = await store.vector_search_rules(odd, OURS, AGENT)

        scores = [score for _, score in found]
        assert scores == pytest.approx([1.0, 1.0, 1.0, -1.0, -1.0], abs=_TOLERANCE)
        assert all(-1.0 <= score <= 1.0 for score in scores)

    @requirement("CONFIG-023", since="1.0")
    async def test_vector_no_min_score_keeps_negative(self, store: ConfigStore) -> None:
        """Without min_score even opposite rules are returned; with it, rules of at least that score.

        If this fails: a default threshold hides rules, or the threshold excludes its own value.
        """
        for n, cosine in enumerate([1.0, 0.0, -1.0]):
            await store.save_rule(near(n, cosine))

        assert await _found(store) == [0, 1, 2]
        assert await _found(store, min_score=0.0) == [0, 1]
        assert await _found(store, min_score=0.5) == [0]
        assert await _found(store, min_score=-0.5) == [0, 1]

    @requirement("CONFIG-024", since="1.0")
    async def test_vector_skips_disabled_deleted_other_model(self, store: ConfigStore) -> None:
        """A search leaves out rules that are disabled, deleted, of another model or without a vector.

        If this fails: one of the conditions is missing; vectors of two models have no common meaning.
        """
        await store.save_rule(near(0, 0.6))
        await store.save_rule(near(1, 1.0, enabled=False))
        await store.save_rule(near(2, 1.0))
        await store.delete_rule(OURS, rule(2).id)
        await store.save_rule(near(3, 1.0, embedding_model="other"))
        await store.save_rule(rule(4))

        assert await _found(store, embedding_model="m") == [0]
        assert await _found(store, embedding_model="m", include_disabled=True) == [1, 0]
        assert await _found(store, embedding_model="other") == [3]
        assert await _found(store, embedding_model="unknown") == []

    @requirement("CONFIG-025", since="1.0")
    async def test_vector_wrong_dims(self, store: ConfigStore) -> None:
        """A query whose length no stored vector has is refused as a matter of spaces, named model or not.

        If this fails: vectors are cut or padded, the driver's error comes out, or nothing is found in silence.
        """
        await store.save_rule(near(0, 1.0))

        for model in (None, "m"):
            with pytest.raises(EmbeddingSpaceError):
                await store.vector_search_rules(_LONGER, OURS, AGENT, embedding_model=model)

    @requirement("CONFIG-026", since="1.0")
    async def test_vector_mixed_spaces(self, store: ConfigStore) -> None:
        """Vectors of different lengths live side by side, and the query's length chooses among them.

        If this fails: a column has one length, or one model has.
        """
        await store.save_rule(near(0, 0.8))
        await store.save_rule(rule(1, embedding=_LONGER, embedding_model="m"))
        await store.save_rule(rule(2, embedding=[0.6, 0.8, 0.0, 0.0, 0.0], embedding_model="long"))

        assert await _found(store) == [0]
        assert await _found(store, _LONGER) == [1]
        assert await _found(store, [1.0, 0.0, 0.0, 0.0, 0.0]) == [2]

    @requirement("CONFIG-027", since="1.0")
    async def test_vector_space_inferred_or_ambiguous(self, store: ConfigStore) -> None:
        """Without a named model the only one of the query's length is meant; several are refused.

        If this fails: vectors of two models are compared with one another, or another tenant's models count.
        """
        await store.save_rule(near(0, 0.8))
        await store.save_rule(near(1, 1.0, tenant=THEIRS, embedding_model="theirs"))
        assert await _found(store) == [0]
        await store.save_rule(near(2, 0.6, embedding_model="n"))

        with pytest.raises(EmbeddingSpaceError):
            await store.vector_search_rules(QUERY, OURS, AGENT)

        assert await _found(store, embedding_model="n") == [2]

    @requirement("CONFIG-028", since="1.0")
    async def test_embedding_without_model_is_default(self, store: ConfigStore) -> None:
        """A vector saved without a model's name is of the model "default" (C-84).

        If this fails: rows without a model name are never found, or are found in every space.
        """
        await store.save_rule(near(0, 0.8, embedding_model=None))
        await store.save_rule(near(1, 1.0))

        found = await store.get_rule(OURS, rule(0).id)

        assert found is not None
        assert found.condition_embedding_model == "default"
        assert await _found(store, embedding_model="default") == [0]

    @requirement("CONFIG-029", since="1.0")
    async def test_vector_filtered_fills_limit(self, store: ConfigStore) -> None:
        """``limit`` rules are returned whenever that many fit, however many others lie closer to the query.

        If this fails: the nearest are taken first and filtered afterwards.
        """
        unfit: list[dict[str, Any]] = [{"enabled": False}, {"agent_id": OTHER_AGENT}, {"tenant": THEIRS}]
        unfit.append({"scope": "step", "scope_id": STEP})
        for n in range(40):
            await store.save_rule(near(n, 1.0, **unfit[n % 4]))
        for n in range(40, 44):
            await store.save_rule(near(n, -0.6))

        assert await _found(store, scope=Scope.GLOBAL, limit=4) == [40, 41, 42, 43]

    @requirement("CONFIG-030", since="1.0", needs="vector_index")
    async def test_vector_recall(self, store: ConfigStore) -> None:
        """An approximate index finds at least 95 % of the true 10 nearest rules.

        If this fails: the index is built or searched with too little effort.
        """
        random = Random(7)
        vectors = {n: [random.gauss(0.0, 1.0) for _ in range(32)] for n in range(2000)}
        for n, vector in vectors.items():
            await store.save_rule(rule(n, embedding=vector, embedding_model="m"))
        hits = 0
        for _ in range(20):
            query = [random.gauss(0.0, 1.0) for _ in range(32)]

            cosines = {n: sum(map(mul, query, vector)) / math.hypot(*vector) for n, vector in vectors.items()}
            nearest = {rule(n).id for n in sorted(cosines, key=cosines.__getitem__, reverse=True)[:10]}
            found = await store.vector_search_rules(query, OURS, AGENT, limit=10)
            hits += len(nearest & {one.id for one, _ in found})

        assert hits >= 190

    @requirement("CONFIG-031", since="1.0")
    async def test_a_nearer_rule_of_a_neighbour_is_not_found(self, store: ConfigStore) -> None:
        """A search returns rules of one tenant's one agent with their own vectors, even when others are nearer.

        If this fails: tenant or agent is filtered after the limit, or not at all, or vectors are joined by id alone.
        """
        await store.save_rule(near(0, 1.0, tenant=THEIRS))
        await store.save_rule(near(1, 1.0, agent_id=OTHER_AGENT))
        await store.save_rule(near(2, 1.0, tenant=THEIRS))
        await store.save_rule(near(2, -0.6))

        assert await _found(store, limit=1) == [2]
        kept = [await store.get_rule(OURS, rule(2).id), *await store.get_rules(OURS, AGENT)]
        assert [one and one.condition_embedding for one in kept] == [near(2, -0.6).condition_embedding] * 2

    @requirement("CONFIG-032", since="1.0")
    async def test_vector_ties_by_id(self, store: ConfigStore) -> None:
        """Rules of equal score come by id, and the limit keeps the lowest ids.

        If this fails: equal scores are in the order of saving, or of priority.
        """
        for n in (4, 10, 2, 9):
            await store.save_rule(near(n, 0.8, priority=n))

        assert await _found(store) == [2, 4, 9, 10]
        assert await _found(store, limit=2) == [2, 4]

    @requirement("CONFIG-033", since="1.0")
    async def test_vector_bad_arguments(self, store: ConfigStore) -> None:
        """A query that is empty, zero or not finite, and a limit outside 1 to 1,000, are refused.

        If this fails: the score is not a number, or the limit reaches the backend unchecked.
        """
        await store.save_rule(near(0, 1.0))
        await store.save_scenario(scenario(0, entry_embedding=at(1.0), entry_embedding_model="m"))
        for search in (store.vector_search_rules, store.vector_search_scenarios):
            for query in ([], [0.0, 0.0, 0.0], [math.nan, 1.0, 0.0], [math.inf, 1.0, 0.0]):
                with pytest.raises(InvalidDataError):
                    await search(query, OURS, AGENT)
            for limit in (0, -1, 1001):
                with pytest.raises(InvalidDataError):
                    await search(QUERY, OURS, AGENT, limit=limit)
            assert len(await search(QUERY, OURS, AGENT, limit=1000)) == 1

    @requirement("CONFIG-034", since="1.0")
    async def test_vector_search_by_scope(self, store: ConfigStore) -> None:
        """A search within a scope finds exactly the rules of that scope and id.

        If this fails: the filter is ignored, or global rules are added to it.
        """
        await save_scopes(store)

        assert await _found(store) == [3, 0, 1, 2]
        assert await _found(store, scope=Scope.GLOBAL) == [0]
        assert await _found(store, scope=Scope.SCENARIO) == [1, 2]
        assert await _found(store, scope=Scope.SCENARIO, scope_id=SCENARIO) == [1]
        assert await _found(store, scope=Scope.STEP, scope_id=SCENARIO) == []

    @requirement("CONFIG-035", since="1.0")
    async def test_vector_search_scenarios(self, store: ConfigStore) -> None:
        """Scenarios are searched by their entry vectors, under the same rules as rules.

        If this fails: a condition, the order or the tenant is missing in this search only.
        """

        async def save(n: int, cosine: float, model: str = "m", **fields: Any) -> None:
            await store.save_scenario(scenario(n, entry_embedding=at(cosine), entry_embedding_model=model, **fields))

        await save(2, -0.6)
        await save(1, 0.8)
        await save(0, 0.8)
        await save(3, 1.0, enabled=False)
        await save(4, 1.0, agent_id=OTHER_AGENT)
        await save(5, 1.0, tenant=THEIRS)
        await save(6, 1.0)
        await store.delete_scenario(OURS, scenario(6).id)
        await store.save_scenario(scenario(7))
        numbers = {scenario(n).id: n for n in range(8)}

        async def found(**options: Any) -> list[tuple[int, float]]:
            pairs = await store.vector_search_scenarios(QUERY, OURS, AGENT, **options)
            return [(numbers[one.id], round(score, 6)) for one, score in pairs]

        assert await found() == [(0, 0.8), (1, 0.8), (2, -0.6)]
        assert await found(limit=1) == [(0, 0.8)]
        assert await found(min_score=0.0) == [(0, 0.8), (1, 0.8)]
        assert await found(include_disabled=True) == [(3, 1.0), (0, 0.8), (1, 0.8), (2, -0.6)]
        await save(8, 1.0, model="n")
        assert await found(embedding_model="m") == [(0, 0.8), (1, 0.8), (2, -0.6)]
        with pytest.raises(EmbeddingSpaceError):
            await found()
        with pytest.raises(EmbeddingSpaceError):
            await store.vector_search_scenarios(_LONGER, OURS, AGENT)

    @requirement("CONFIG-036", since="1.0")
    async def test_strict_spaces(self, context: BackendContext) -> None:
        """With strict spaces a vector of a space that is not registered is refused, and nothing is stored (INV-04).

        If this fails: one of the places that hold vectors is not checked.
        """
        policy = VectorPolicy(strict_spaces=True, spaces=frozenset({("m", 3)}))
        way = StepTransition(to_step_id=step(2).id, condition_text="next", condition_embedding=tuple(at(1.0)))
        steps = [step(1, transitions=[way]), step(2)]
        async with self.open_store(replace(context, vector_policy=policy)) as store:
            await store.save_rule(near(0, 1.0))
            await store.save_rule(rule(1))
            await store.save_scenario(scenario(0, entry_embedding=at(1.0), entry_embedding_model="m"))

            for one in (near(2, 1.0, embedding_model="other"), near(2, 1.0, embedding=_LONGER)):
                with pytest.raises(EmbeddingSpaceError):
                    await store.save_rule(one)
            for fields in ({"entry_embedding": at(1.0)}, {"steps": steps}):
                with pytest.raises(EmbeddingSpaceError):
                    await store.save_scenario(scenario(3, **fields))

            assert len(await store.get_rules(OURS, AGENT)) == 2
            assert len(await store.get_scenarios(OURS, AGENT)) == 1

    @requirement("CONFIG-037", since="1.0")
    async def test_configured_model_is_meant(self, context: BackendContext) -> None:
        """A search that names no model means the configured one, where several have the query's length.

        If this fails: the configured model is not asked, or overrides the one that is named.
        """
        policy = VectorPolicy(embedding_model="n")
        async with self.open_store(replace(context, vector_policy=policy)) as store:
            await store.save_rule(near(0, 0.8))
            await store.save_rule(near(1, 0.6, embedding_model="n"))

            assert await _found(store) == [1]
            assert await _found(store, embedding_model="m") == [0]

    @requirement("CONFIG-038", since="1.0")
    async def test_search_follows_updates(self, store: ConfigStore) -> None:
        """A search sees a rule as it was last saved: with its new vector, or none, and under its present agent.

        If this fails: the index keeps the old vector, or its place.
        """
        await store.save_rule(near(0, 1.0))
        await store.save_rule(near(1, 0.6))
        await store.save_rule(near(2, 0.8))

        await store.save_rule(near(0, -1.0))
        await store.save_rule(rule(2))

        assert await _found(store) == [1, 0]

        await store.save_rule(near(1, 0.6, agent_id=OTHER_AGENT))

        assert await _found(store) == [0]
        moved = await store.vector_search_rules(QUERY, OURS, OTHER_AGENT)
        assert [one.id for one, _ in moved] == [rule(1).id]

    @requirement("CONFIG-039", since="1.0")
    async def test_embedding_invariants(self, store: ConfigStore) -> None:
        """A vector has 1 to 16,000 finite components, not all zero, and comes back exactly, as float32 (INV-03); a
        model's name without a vector is refused (INV-02).

        If this fails: vectors are stored with less precision, or the store trusts an object that was changed.
        """
        exact = (0.1, -1e-30, 3.4e38, 1 / 3)
        saved = rule(0, embedding=exact, embedding_model="m")
        wrong: list[Any] = [[], [0.0, 0.0], [math.nan], [math.inf, 1.0], [1e39], [1.0] * 16_001, ["x"]]

        await store.save_rule(saved)
        await store.save_rule(rule(1, embedding=[1.0] * 16_000))

        found = await store.get_rule(OURS, saved.id)
        assert found is not None
        assert found.condition_embedding == saved.condition_embedding == tuple(array("f", exact))
        for fields in (*({"condition_embedding": vector} for vector in wrong), {"condition_embedding_model": "m"}):
            with pytest.raises(ValidationError):
                rule(2, **fields)
            broken = rule(2)
            broken.__dict__.update(fields)
            with pytest.raises(InvalidDataError):
                await store.save_rule(broken)
        assert await store.get_rule(OURS, rule(2).id) is None
