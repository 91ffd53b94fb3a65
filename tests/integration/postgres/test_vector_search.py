"""How vector searches are planned: which space is meant, when an index is used, and what if it falls short."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import UUID

import pytest
from tests.integration.postgres.support import PostgresStoreCase

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Rule, Scope
from focal_core.context import BackendContext
from focal_core.errors import EmbeddingSpaceError
from focal_postgres import index, spaces
from focal_postgres.arrays import introduce
from focal_postgres.config import PostgresConfigStore
from focal_postgres.settings import PostgresOptions
from focal_postgres.spaces import Recent, has_iterative_scans
from focal_postgres.vector import most_compared
from focal_testkit.servers.postgres import connected

DIMS, MODEL = 24, "m"
OURS, THEIRS, AGENT, OTHER_AGENT = (UUID(int=number) for number in range(1, 5))


def vector(random: Random) -> list[float]:
    return [random.gauss(0.5, 1.0) for _ in range(DIMS)]


def rules(count: int, seed: int = 1, *, tenant: UUID = OURS, agent: UUID = AGENT, **fields: Any) -> list[Rule]:
    random = Random(seed)
    return [
        Rule(
            tenant_id=tenant,
            agent_id=agent,
            id=UUID(int=seed * 100_000 + number),
            name=f"rule {number}",
            condition_text="when",
            action_text="then",
            condition_embedding=tuple(vector(random)),
            condition_embedding_model=MODEL,
            **fields,
        )
        for number in range(count)
    ]


@pytest.mark.asyncio
class TestPlans(PostgresStoreCase):
    """Every search here must find what the reference finds, whatever the plan."""

    store_class = PostgresConfigStore

    @asynccontextmanager
    async def indexed(self, *rows: Rule, tenant: UUID | None = None, **options: Any) -> AsyncIterator[Any]:
        """Yield a store that holds rows under an index, and searches through it from the first row on."""
        async with self.open_store(BackendContext()) as store:
            await store.save_rules(rows)
            database = store.database
            direct = PostgresOptions.model_validate({"url": database.options.url.get_secret_value()})
            built = await index.create_index(direct, "rule_vectors", MODEL, DIMS, tenant)
            assert built.valid
            database.options = direct.model_copy(update={"exact_search_max_rows": 0, **options})
            store.ran = []
            fetch = database.fetch

            async def counted(method: str, sql: str, *args: Any, **how: Any) -> Any:
                if method.startswith("vector_search"):
                    store.ran.append("index" if how.get("search") else "exact")
                return await fetch(method, sql, *args, **how)

            database.fetch = counted
            try:
                yield store
            finally:
                await index.drop_index(direct, "rule_vectors", MODEL, DIMS, tenant)

    async def reference(self, *rows: Rule) -> InMemoryConfigStore:
        store = InMemoryConfigStore(BackendContext())
        await store.save_rules([row.model_copy(update={"row_version": 0}) for row in rows])
        return store

    async def test_index_finds_what_the_reference_finds(self) -> None:
        """Through the index: same rules, same order, same scores; one statement once the size is known."""
        rows = [*rules(400), *rules(300, 2, tenant=THEIRS), *rules(300, 3, agent=OTHER_AGENT)]
        rows += rules(50, 4, enabled=False)
        reference = await self.reference(*rows)
        async with self.indexed(*rows) as store:
            random, hits = Random(9), 0
            await store.vector_search_rules(vector(random), OURS, AGENT)
            store.ran.clear()
            for _ in range(20):
                query = vector(random)

                found = await store.vector_search_rules(query, OURS, AGENT)

                true = await reference.vector_search_rules(query, OURS, AGENT)
                assert len(found) == 10
                assert found == sorted(found, key=lambda pair: (-pair[1], pair[0].id))
                assert all(rule.agent_id == AGENT and rule.tenant_id == OURS and rule.enabled for rule, _ in found)
                scores = {rule.id: score for rule, score in true}
                assert all(score == scores[rule.id] for rule, score in found if rule.id in scores)
                hits += len(scores.keys() & {rule.id for rule, _ in found})
            assert hits >= 190
            assert store.ran == ["index"] * 20

    async def test_short_answer_is_repeated_exactly(self) -> None:
        """Fewer rows than asked for come from the index while more are eligible: the call compares all of them."""
        rows = [*rules(600), *rules(8, 2, priority=5, scope="step", scope_id=AGENT)]
        reference = await self.reference(*rows)
        async with self.indexed(*rows) as store:
            query = vector(Random(5))
            await store.vector_search_rules(query, OURS, AGENT)
            store.ran.clear()

            found = await store.vector_search_rules(query, OURS, AGENT, Scope.STEP, AGENT, 10)

            assert [(rule.id, score) for rule, score in found] == [
                (rule.id, score)
                for rule, score in await reference.vector_search_rules(query, OURS, AGENT, Scope.STEP, AGENT, 10)
            ]
            assert store.ran == ["index", "exact"]

    async def test_plan_survives_its_sixth_execution(self) -> None:
        """The index is still used when PostgreSQL has turned to a generic plan, which knows no parameters."""
        async with self.indexed(*rules(400)) as store:
            statements: list[tuple[str, Any]] = []
            fetch = store.database.fetch

            async def kept(method: str, sql: str, *args: Any, **how: Any) -> Any:
                statements.append((sql, args))
                return await fetch(method, sql, *args, **how)

            store.database.fetch = kept
            await store.vector_search_rules(vector(Random(5)), OURS, AGENT)
            sql, args = statements[-1]
            async with connected(store.database.options.url.get_secret_value()) as connection:
                await introduce(connection)
                for mode in ("force_custom_plan", "force_generic_plan"):
                    await connection.execute(f"SET plan_cache_mode = {mode}; SET enable_seqscan = off")
                    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *args))
                    assert "Index Scan using hnsw_rule_vectors_" in plan

    @pytest.mark.parametrize("statement", ["index", "exact"])
    async def test_plan_is_kept(self, statement: str) -> None:
        """PostgreSQL plans a search five times and then no more, by an index whatever the share of the tenant."""
        rows = [*rules(400), *rules(3, 2, tenant=THEIRS)]
        how = {} if statement == "index" else {"exact_search_max_rows": 1_000}
        async with self.indexed(*rows, **how) as store:
            ran: list[tuple[str, Any]] = []
            fetch = store.database.fetch

            async def kept(method: str, sql: str, *args: Any, **how: Any) -> Any:
                ran.append((sql, args))
                return await fetch(method, sql, *args, **how)

            store.database.fetch = kept
            for tenant in (OURS, THEIRS, OURS):
                await store.vector_search_rules(vector(Random(5)), tenant, AGENT, Scope.GLOBAL, limit=3)
            async with connected(store.database.options.url.get_secret_value()) as connection:
                await introduce(connection)
                await connection.execute("ANALYZE")
                sql, args = ran[-1]
                prepared = await connection.prepare(sql, name="kept")
                for _ in range(8):
                    await prepared.fetch(*args)
                found = await connection.fetchrow(
                    "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = 'kept'"
                )
                assert tuple(found) == (3, 5)
                await connection.execute("SET plan_cache_mode = force_generic_plan")
                plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *args))
                assert ("hnsw_rule_vectors_" if statement == "index" else "ix_rule_vectors_agent_id") in plan
                assert "Seq Scan on rule_vectors" not in plan

    async def test_behind_a_transaction_pooler(self) -> None:
        """Without session state the settings of the search travel with it."""
        rows = rules(400)
        async with self.indexed(*rows, pgbouncer=True, hnsw_ef_search=7) as store:
            query = vector(Random(5))
            await store.vector_search_rules(query, OURS, AGENT)
            store.ran.clear()

            assert len(await store.vector_search_rules(query, OURS, AGENT, limit=50)) == 50

            assert store.ran == ["index"]

    async def test_own_index_of_a_tenant(self) -> None:
        """A tenant with an index of its own is searched through it, others are compared."""
        rows = [*rules(300), *rules(300, 2, tenant=THEIRS)]
        reference = await self.reference(*rows)
        async with self.indexed(*rows, tenant=OURS) as store:
            query = vector(Random(5))
            for tenant in (OURS, THEIRS):
                await store.vector_search_rules(query, tenant, AGENT)
                store.ran.clear()

                found = await store.vector_search_rules(query, tenant, AGENT)

                true = await reference.vector_search_rules(query, tenant, AGENT)
                assert len({rule.id for rule, _ in found} & {rule.id for rule, _ in true}) >= 9
                assert store.ran == (["index"] if tenant == OURS else ["exact"])

    async def test_size_of_a_scope_is_learnt_in_the_search_itself(self) -> None:
        """A scope of unknown size is compared in the one statement that counts it, and searched if it is large."""
        rows = [*rules(300), *rules(30, 2, agent=OTHER_AGENT)]
        async with self.indexed(*rows, exact_search_max_rows=100) as store:
            query = vector(Random(5))
            for agent, first, then in ((OTHER_AGENT, ["exact"], ["exact"]), (AGENT, ["exact", "index"], ["index"])):
                for plans in (first, then):
                    store.ran.clear()
                    assert len(await store.vector_search_rules(query, OURS, agent)) == 10
                    assert store.ran == plans

    async def test_low_scores_are_no_short_answer(self) -> None:
        """Rows that min_score leaves out were found: the answer is not repeated."""
        async with self.indexed(*rules(400)) as store:
            query = vector(Random(5))
            best = (await store.vector_search_rules(query, OURS, AGENT))[2][1]
            store.ran.clear()

            found = await store.vector_search_rules(query, OURS, AGENT, min_score=best)

            assert len(found) == 3
            assert store.ran == ["index"]

    async def test_space_is_guessed_and_learnt(self) -> None:
        """Two models of one length: the first search that names none takes a second statement, later ones do not."""
        async with self.open_store(BackendContext()) as store:
            other = rules(3, 2, agent=OTHER_AGENT)
            for row in other:
                row.condition_embedding_model = "n"
            await store.save_rules([*rules(3), *other])
            ran = []
            fetch = store.database.fetch

            async def counted(method: str, sql: str, *args: Any, **how: Any) -> Any:
                if method.startswith("vector_search"):
                    ran.append(method)
                return await fetch(method, sql, *args, **how)

            store.database.fetch = counted
            query = vector(Random(5))
            for agent in (AGENT, OTHER_AGENT):
                for statements in (2, 1, 1):
                    ran.clear()
                    assert len(await store.vector_search_rules(query, OURS, agent)) == 3
                    assert len(ran) == statements
            with pytest.raises(EmbeddingSpaceError):
                await store.vector_search_rules([*query, 1.0], OURS, AGENT)

    async def test_space_that_another_process_has_made(self) -> None:
        """A space that is new to this process is found without waiting for anything."""
        async with self.open_store(BackendContext()) as store:
            query = vector(Random(5))
            assert await store.vector_search_rules(query, OURS, AGENT, embedding_model="late") == []
            late = rules(2)
            for row in late:
                row.condition_embedding_model = "late"
            await PostgresConfigStore(store.database).save_rules(late)
            store.database.spaces._ids.pop(("late", DIMS))

            found = await store.vector_search_rules(query, OURS, AGENT, embedding_model="late")

            assert len(found) == 2

    async def test_ties_beyond_float32(self) -> None:
        """Vectors that differ in length only tie, whatever pgvector's rounding says: the lower ids win."""
        base = rules(1)[0].condition_embedding
        assert base is not None
        rows = rules(40)
        for number, row in enumerate(rows):
            row.condition_embedding = tuple(component * (1 + number % 7 * 2) for component in base)
        async with self.open_store(BackendContext()) as store:
            await store.save_rules(rows)
            query = vector(Random(5))

            found = await store.vector_search_rules(query, OURS, AGENT, limit=5)

            reference = await self.reference(*rows)
            true = await reference.vector_search_rules(query, OURS, AGENT, limit=5)
            assert [score for _, score in found] == [score for _, score in true]

    async def test_index_takes_vectors_of_any_length(self) -> None:
        """Beside an index, vectors too long or too short for half precision are saved, and found through it."""
        rows = rules(200)
        for number, row in enumerate(rows):
            scale = (1e10, 1.0, 1e-10)[number % 3]
            assert row.condition_embedding is not None
            row.condition_embedding = tuple(scale * component for component in row.condition_embedding)
        reference = await self.reference(*rows)
        async with self.indexed(*rows[:150]) as store:
            await store.save_rules(rows[150:])
            query = [1e10 * component for component in vector(Random(5))]
            await store.vector_search_rules(query, OURS, AGENT)
            store.ran.clear()

            found = await store.vector_search_rules(query, OURS, AGENT, limit=30)

            true = await reference.vector_search_rules(query, OURS, AGENT, limit=30)
            assert len({rule.id for rule, _ in found} & {rule.id for rule, _ in true}) >= 28
            assert store.ran == ["index"]

    async def test_extreme_lengths(self) -> None:
        """Vectors whose squares overflow float32 are found with their true score."""
        rows = rules(3)
        direction = [1.0] + [0.0] * (DIMS - 1)
        rows[0].condition_embedding = tuple(3e38 * component for component in direction)
        rows[1].condition_embedding = tuple(1e-38 * component for component in direction)
        async with self.open_store(BackendContext()) as store:
            await store.save_rules(rows)

            found = await store.vector_search_rules([3e38 * component for component in direction], OURS, AGENT)

            assert [score for _, score in found][:2] == [1.0, 1.0]
            assert not math.isnan(found[2][1])


def test_rows_compared_depend_on_their_share() -> None:
    """Up to 2,000 always, up to the setting while they are a small part of the index."""
    assert most_compared(5_000, 0) == 2_000
    assert most_compared(5_000, 20_000) == 3_000
    assert most_compared(5_000, 1_000_000) == 5_000
    assert most_compared(500, 1_000_000) == 500


@pytest.mark.parametrize(
    ("version", "able"), [(None, False), ("0.7.4", False), ("0.8.0", True), ("0.10.0", True), ("1.0", True)]
)
def test_indexes_need_iterative_scans(version: str | None, able: bool) -> None:
    """pgvector before 0.8 answers filtered searches short: its indexes are left alone."""
    assert has_iterative_scans(version) is able


def test_what_was_learnt_is_bounded_and_ages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry not asked for longest goes first, and none outlives its minute."""
    now = [1000.0]
    monkeypatch.setattr(spaces.time, "monotonic", lambda: now[0])
    recent = Recent[str, int](2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)
    now[0] += spaces.LIFETIME + 1
    assert recent.get("a") is None
