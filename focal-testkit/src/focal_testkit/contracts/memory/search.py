"""Search by text, by vector, or by both, over several groups."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from focal_core.errors import EmbeddingSpaceError, InvalidDataError, TenantRequiredError
from focal_core.memory.models import Episode, EpisodeType, SearchHit
from focal_core.memory.store import MemoryStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.memory import GROUP, HOUR, OTHER_GROUP, QUERY, START, at, entity, episode
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


def _ids(hits: list[SearchHit[Episode]]) -> list[UUID]:
    return [hit.item.id for hit in hits]


class EpisodeSearchContract(ContractBase):
    """``search_episodes``."""

    @requirement("MEMORY-050", since="1.0")
    async def test_hybrid_rrf_matches_reference(self, store: MemoryStore) -> None:
        """The hybrid score is the sum of 1 / (rrf_k + rank) over the rankings of both modes, ties by id.

        If this fails: scores are added instead of ranks, ranks begin at 0, or one ranking is left out.
        """
        cosines = (0.6, 0.8, 1.0, 0.0, -0.6, None, -1.0, None)
        contents = ("needle one", "needle", "hay", "needle two three", "hay", "needle a b c", "needle", "hay")
        for n, (cosine, content) in enumerate(zip(cosines, contents, strict=True)):
            await store.add_episode(episode(n, content=content, embedding=None if cosine is None else at(cosine)))
        await store.add_episode(episode(9, THEIRS, content="needle", embedding=at(1.0)))
        where: dict[str, Any] = {"group_ids": [GROUP], "tenant_id": OURS}
        by_vector = await store.search_episodes("needle", QUERY, mode="vector", **where)
        by_text = await store.search_episodes("needle", QUERY, mode="text", **where)

        for rrf_k in (60, 0, 3):
            expected: dict[UUID, float] = {}
            for hit in (*by_vector, *by_text):
                expected[hit.item.id] = expected.get(hit.item.id, 0.0) + 1 / (rrf_k + hit.rank)
            best = sorted(expected, key=lambda id: (-expected[id], id))
            options: dict[str, Any] = {} if rrf_k == 60 else {"rrf_k": rrf_k}

            found = await store.search_episodes("needle", QUERY, **where, **options)
            two = await store.search_episodes("needle", QUERY, limit=2, **where, **options)

            assert _ids(found) == best
            assert [hit.score for hit in found] == pytest.approx([expected[id] for id in best])
            assert [hit.rank for hit in found] == list(range(1, len(best) + 1))
            cosine_of = {hit.item.id: hit.score for hit in by_vector}
            share_of = {hit.item.id: hit.score for hit in by_text}
            assert [hit.vector_score for hit in found] == [cosine_of.get(id) for id in best]
            assert [hit.text_score for hit in found] == [share_of.get(id) for id in best]
            assert _ids(two) == best[:2]

    @requirement("MEMORY-051", since="1.0")
    async def test_one_query_is_that_mode(self, store: MemoryStore) -> None:
        """A hybrid search with one query is the search of that mode: its rows, its order, its score.

        If this fails: the missing query counts as one that found nothing.
        """
        for n, (cosine, content) in enumerate(((0.6, "needle in hay"), (1.0, "hay"), (0.8, "needle"))):
            await store.add_episode(episode(n, content=content, embedding=at(cosine)))
        where: dict[str, Any] = {"group_ids": [GROUP], "tenant_id": OURS}

        by_vector = await store.search_episodes(query_embedding=QUERY, **where)
        by_text = await store.search_episodes("needle", **where)

        assert by_vector == await store.search_episodes("needle", QUERY, mode="vector", **where)
        assert by_text == await store.search_episodes("needle", QUERY, mode="text", **where)
        assert _ids(by_vector) == [episode(n).id for n in (1, 2, 0)]
        assert [hit.score for hit in by_vector] == pytest.approx([1.0, 0.8, 0.6], abs=1e-6)
        assert [(hit.vector_score, hit.text_score) for hit in by_vector] == [(hit.score, None) for hit in by_vector]
        assert {hit.item.id for hit in by_text} == {episode(0).id, episode(2).id}
        assert [(hit.vector_score, hit.text_score) for hit in by_text] == [(None, hit.score) for hit in by_text]
        assert all(0.0 <= hit.score <= 1.0 for hit in by_text)
        assert by_text[0].score >= by_text[1].score
        assert [hit.rank for hit in by_text] == [1, 2]
        assert len(await store.search_episodes("needle", limit=1, **where)) == 1
        assert len(await store.search_episodes(None, QUERY, limit=1, **where)) == 1

    @requirement("MEMORY-052", since="1.0")
    async def test_search_several_groups(self, store: MemoryStore) -> None:
        """Several groups are searched as if they were one; a group named twice counts once.

        If this fails: each group has a ranking of its own, a group is left out, or rows are returned twice.
        """
        third = "customer:7"
        rows = [
            episode(3, group_id=GROUP, content="needle", embedding=at(0.6)),
            episode(2, group_id=OTHER_GROUP, content="needle", embedding=at(1.0)),
            episode(1, group_id=third, content="needle", embedding=at(0.8)),
            episode(0, group_id=OTHER_GROUP, content="needle", embedding=at(0.8)),
            episode(4, group_id="not asked", content="needle", embedding=at(1.0)),
            episode(5, THEIRS, group_id=GROUP, content="needle", embedding=at(1.0)),
            episode(7, group_id=GROUP, content="needle", occurred_at=START - HOUR),
            episode(6, group_id=third, content="needle", occurred_at=START - HOUR),
        ]
        for row in rows:
            await store.add_episode(row)
        where: dict[str, Any] = {"group_ids": [GROUP, OTHER_GROUP, third, GROUP, "empty"], "tenant_id": OURS}

        by_vector = await store.search_episodes(None, QUERY, **where)
        by_text = await store.search_episodes("needle", **where)
        by_both = await store.search_episodes("needle", QUERY, **where)
        best = await store.search_episodes("needle", QUERY, **{**where, "limit": 2})

        assert _ids(by_vector) == [episode(n).id for n in (2, 0, 1, 3)]
        assert _ids(by_text) == [episode(n).id for n in (3, 2, 1, 0, 6, 7)]
        assert _ids(by_both) == [episode(n).id for n in (2, 3, 0, 1, 6, 7)]
        assert best == by_both[:2]

    @requirement("MEMORY-053", since="1.0")
    async def test_search_refuses(self, store: MemoryStore) -> None:
        """A search without a usable query, without groups or with a wrong option is refused.

        If this fails: a mistake looks like an empty memory.
        """
        await store.add_episode(episode(0, content="needle", embedding=at(1.0)))
        calls: list[tuple[str, dict[str, Any]]] = [
            ("query_missing", {}),
            ("query_missing", {"query_text": "needle", "mode": "vector"}),
            ("query_missing", {"query_embedding": QUERY, "mode": "text"}),
            ("groups_missing", {"query_text": "needle", "group_ids": []}),
            ("identifier_invalid", {"query_text": "needle", "group_ids": GROUP}),
            ("identifier_invalid", {"query_text": "needle", "group_ids": [GROUP, " "]}),
            ("mode_invalid", {"query_text": "needle", "mode": "fuzzy"}),
            ("limit_invalid", {"query_text": "needle", "limit": 0}),
            ("limit_invalid", {"query_text": "needle", "limit": 1001}),
            ("limit_invalid", {"query_text": "needle", "limit": None}),
            ("rrf_k_invalid", {"query_text": "needle", "rrf_k": -1}),
            ("vector_invalid", {"query_embedding": [0.0, 0.0, 0.0]}),
        ]
        for code, options in calls:
            with pytest.raises(InvalidDataError) as refused:
                await store.search_episodes(**{"group_ids": [GROUP], "tenant_id": OURS, **options})
            assert refused.value.code == code
        assert len(await store.search_episodes("needle", group_ids=[GROUP], tenant_id=OURS, rrf_k=0, limit=1000)) == 1

    @requirement("MEMORY-054", since="1.0")
    async def test_search_episode_types(self, store: MemoryStore) -> None:
        """Only episodes of the types asked for are ranked; the others take no place in the result.

        If this fails: types are filtered after the limit or after fusing, or an empty choice means every type.
        """
        for n in range(4):
            await store.add_episode(episode(n, content="needle", embedding=at(1.0), episode_type="message"))
        await store.add_episode(episode(8, content="needle", embedding=at(0.6), episode_type="fact"))
        await store.add_episode(episode(9, content="needle", embedding=at(0.8), episode_type="summary"))
        where: dict[str, Any] = {"group_ids": [GROUP], "tenant_id": OURS, "limit": 2}
        types = [EpisodeType.FACT, EpisodeType.SUMMARY]

        by_vector = await store.search_episodes(None, QUERY, episode_types=types, **where)
        by_text = await store.search_episodes("needle", episode_types=types, **where)
        by_both = await store.search_episodes("needle", QUERY, episode_types=types, **where)

        assert _ids(by_vector) == _ids(by_text) == _ids(by_both) == [episode(9).id, episode(8).id]
        assert by_both[0].score == pytest.approx(2 / 61)
        assert await store.search_episodes("needle", QUERY, episode_types=[], **where) == []

    @requirement("MEMORY-055", since="1.0")
    async def test_search_min_score_is_the_vectors(self, store: MemoryStore) -> None:
        """min_score bounds the cosine of vector rows and leaves text rows alone.

        If this fails: it is compared with the fused score, or removes what the text found.
        """
        await store.add_episode(episode(0, content="needle", embedding=at(0.6)))
        await store.add_episode(episode(1, content="hay", embedding=at(0.6)))
        await store.add_episode(episode(2, content="hay", embedding=at(1.0)))
        where: dict[str, Any] = {"group_ids": [GROUP], "tenant_id": OURS, "min_score": 0.7}

        by_both = await store.search_episodes("needle", QUERY, **where)

        assert {hit.item.id: hit.vector_score for hit in by_both} == {episode(0).id: None, episode(2).id: 1.0}
        assert [hit.score for hit in by_both] == pytest.approx([1 / 61, 1 / 61])
        assert _ids(await store.search_episodes(None, QUERY, **where)) == [episode(2).id]
        assert _ids(await store.search_episodes("needle", **where)) == [episode(0).id]

    @requirement("MEMORY-056", since="1.0")
    async def test_search_fusion_depth(self, store: MemoryStore) -> None:
        """Each ranking counts with its best 100 rows, or with as many as are asked for.

        If this fails: a row's score depends on how deep the backend happens to look.
        """
        rows = 102
        for n in range(rows):
            # By text the latest comes first, by vector the earliest does.
            cosine_of_n = [1.0, n / rows, 0.0]
            await store.add_episode(episode(n, content="needle", embedding=cosine_of_n))
        where: dict[str, Any] = {"group_ids": [GROUP], "tenant_id": OURS}

        def expected(depth: int) -> dict[UUID, float]:
            ranks = {n: [rank for rank in (n + 1, rows - n) if rank <= depth] for n in range(rows)}
            return {episode(n).id: sum(1 / (60 + rank) for rank in ranks[n]) for n in ranks}

        for limit, depth in ((10, 100), (101, 101)):
            scores = expected(depth)
            best = sorted(scores, key=lambda id: (-scores[id], id))[:limit]
            found = await store.search_episodes("needle", QUERY, limit=limit, **where)
            assert _ids(found) == best
            assert [hit.score for hit in found] == pytest.approx([scores[id] for id in best])

    @requirement("MEMORY-057", since="1.0")
    async def test_search_models_never_mix(self, store: MemoryStore) -> None:
        """Groups whose vectors come from different models are not ranked together unless one model is named.

        If this fails: each group is compared with a model of its own.
        """
        await store.add_episode(episode(0, embedding=at(0.8), embedding_model="a"))
        await store.add_episode(episode(1, group_id=OTHER_GROUP, embedding=at(1.0), embedding_model="b"))
        where: dict[str, Any] = {"group_ids": [GROUP, OTHER_GROUP], "tenant_id": OURS}

        with pytest.raises(EmbeddingSpaceError):
            await store.search_episodes(None, QUERY, **where)

        assert _ids(await store.search_episodes(None, QUERY, embedding_model="a", **where)) == [episode(0).id]
        assert _ids(await store.search_episodes(None, QUERY, embedding_model="b", **where)) == [episode(1).id]

    @requirement("MEMORY-058", since="1.0")
    async def test_search_groups_of_several_tenants(self, trusting_store: MemoryStore) -> None:
        """Under trusting isolation groups of different tenants are not searched together.

        If this fails: each group is looked up on its own, and one result holds rows of two tenants.
        """
        store = trusting_store
        await store.add_episode(episode(0, content="needle"))
        await store.add_episode(episode(1, THEIRS, group_id=OTHER_GROUP, content="needle"))
        await store.add_entity(entity(0, group_id="a third"))

        with pytest.raises(TenantRequiredError):
            await store.search_episodes("needle", group_ids=[GROUP, OTHER_GROUP])

        assert _ids(await store.search_episodes("needle", group_ids=[GROUP, "a third"])) == [episode(0).id]
        assert _ids(await store.search_episodes("needle", group_ids=[OTHER_GROUP])) == [episode(1).id]
        assert await store.search_episodes("needle", group_ids=["nobody's"]) == []
