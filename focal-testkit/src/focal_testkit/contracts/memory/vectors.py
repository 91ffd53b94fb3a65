"""Vector search over the episodes and the entities of a group: one set of rules for both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.errors import EmbeddingSpaceError, InvalidDataError
from focal_core.memory.store import MemoryStore
from focal_core.vectors import VectorPolicy
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.memory.kinds import EMBEDDED, Kind
from focal_testkit.data.memory import GROUP, HOUR, OTHER_GROUP, QUERY, START, at, episode
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

both = pytest.mark.parametrize("kind", EMBEDDED, ids=str)


class VectorContract(ContractBase):
    """``vector_search_episodes`` and ``vector_search_entities``."""

    @requirement("MEMORY-030", since="1.0")
    async def test_vector_search_episodes(self, store: MemoryStore) -> None:
        """Episodes come by their cosine with the query, best first, whole and with the score.

        If this fails: the order is reversed, the score is a distance, or long vectors count for more.
        """
        cosines = {0: 0.0, 1: 0.8, 2: 1.0, 3: -1.0, 4: 0.6}
        for n, cosine in cosines.items():
            await store.add_episode(episode(n, embedding=at(cosine, length=10.0 - 2 * n)))
        await store.add_episode(episode(5))

        found = await store.vector_search_episodes(QUERY, GROUP, tenant_id=OURS)

        assert [one.content for one, _ in found] == [f"episode {n}" for n in (2, 1, 4, 0, 3)]
        assert [score for _, score in found] == pytest.approx([1.0, 0.8, 0.6, 0.0, -1.0], abs=1e-6)
        assert all(-1.0 <= score <= 1.0 for _, score in found)

    @both
    @requirement("MEMORY-031", since="1.0")
    async def test_vector_order_and_limit(self, store: MemoryStore, kind: Kind) -> None:
        """Equal scores come by id, and the limit cuts behind that order.

        If this fails: ties are in no order, or the cut is made before sorting.
        """
        for n in (7, 3, 10, 5):
            await kind.add(store, kind.build(n, embedding=at(0.8)))
        await kind.add(store, kind.build(20, embedding=at(1.0)))
        best = [(kind.build(20).id, 1.0), *((kind.build(n).id, 0.8) for n in (3, 5, 7, 10))]

        assert await kind.nearest(store) == best
        assert await kind.nearest(store, 3) == best[:3]
        assert await kind.nearest(store, 1000) == best

    @both
    @requirement("MEMORY-032", since="1.0")
    async def test_vector_empty_returns_empty_list(self, store: MemoryStore, kind: Kind) -> None:
        """A group without vectors, or without anything, gives an empty list.

        If this fails: an empty search is an error, or another group answers.
        """
        assert await kind.nearest(store) == []
        await kind.add(store, kind.build(0))
        await kind.add(store, kind.build(1, group_id=OTHER_GROUP, embedding=at(1.0)))
        await kind.add(store, kind.build(2, THEIRS, embedding=at(1.0)))

        assert await kind.nearest(store) == []
        assert await kind.nearest(store, query=[1.0] * 7) == []

    @both
    @requirement("MEMORY-033", since="1.0")
    async def test_vector_filtered_fills_limit(self, store: MemoryStore, kind: Kind) -> None:
        """As many rows as asked for are found, however many nearer ones a filter leaves out.

        If this fails: rows are filtered after the limit, or after an approximate search.
        """
        for n in range(20):
            await kind.add(store, kind.build(n, THEIRS, embedding=at(1.0)))
            await kind.add(store, kind.build(n + 20, group_id=OTHER_GROUP, embedding=at(1.0)))
            await kind.add(store, kind.build(n + 40, valid_to=START + HOUR, embedding=at(1.0)))
            await kind.add(store, kind.build(n + 60, embedding=at(1.0), embedding_model="other"))
        mine = [kind.build(n, embedding=at(0.6)) for n in range(80, 85)]
        for row in mine:
            await kind.add(store, row)

        found = await kind.nearest(store, 5, embedding_model="default")

        assert found == [(row.id, 0.6) for row in mine]

    @both
    @requirement("MEMORY-034", since="1.0")
    async def test_vector_min_score(self, store: MemoryStore, kind: Kind) -> None:
        """Without min_score every score is found, negative ones too; with it, that score and better.

        If this fails: there is a hidden default, or the bound is compared the wrong way.
        """
        for n, cosine in enumerate((-1.0, -0.6, 0.0, 1.0)):
            await kind.add(store, kind.build(n, embedding=at(cosine)))

        assert [score for _, score in await kind.nearest(store)] == [1.0, 0.0, -0.6, -1.0]
        assert [score for _, score in await kind.nearest(store, min_score=0.0)] == [1.0, 0.0]
        assert [score for _, score in await kind.nearest(store, min_score=-0.7)] == [1.0, 0.0, -0.6]
        assert await kind.nearest(store, query=at(0.0), min_score=0.9) == [(kind.build(2).id, 1.0)]

    @both
    @requirement("MEMORY-035", since="1.0")
    async def test_vector_query_refused(self, store: MemoryStore, kind: Kind) -> None:
        """A query that is empty, zero or not finite is refused, and so is a limit outside 1 to 1,000.

        If this fails: the driver's error or a meaningless score reaches the caller.
        """
        await kind.add(store, kind.build(0, embedding=at(1.0)))
        for query in ([], [0.0, 0.0, 0.0], [float("nan"), 0.0, 1.0], [float("inf"), 0.0, 1.0]):
            with pytest.raises(InvalidDataError):
                await kind.nearest(store, query=query)
        limits: list[Any] = [0, -1, 1001, None]
        for limit in limits:
            with pytest.raises(InvalidDataError):
                await kind.nearest(store, limit)

    @both
    @requirement("MEMORY-036", since="1.0")
    async def test_vector_wrong_length(self, store: MemoryStore, kind: Kind) -> None:
        """A query whose length no stored vector has is refused, not answered with nothing.

        If this fails: a changed embedding model looks like an empty memory.
        """
        await kind.add(store, kind.build(0, embedding=at(1.0)))

        with pytest.raises(EmbeddingSpaceError):
            await kind.nearest(store, query=[1.0, 0.0])

    @both
    @requirement("MEMORY-037", since="1.0")
    async def test_vector_models_never_mix(self, store: MemoryStore, context: BackendContext, kind: Kind) -> None:
        """Vectors of one model and one length only are compared; which one is named, configured or the only one.

        If this fails: scores of different models are ranked together.
        """

        def built() -> list[Any]:
            return [
                kind.build(0, embedding=at(1.0), embedding_model="a"),
                kind.build(1, embedding=at(0.8), embedding_model="b"),
                kind.build(2, embedding=[1.0, 0.0], embedding_model="b"),
            ]

        rows = built()
        for row in rows:
            await kind.add(store, row)

        assert await kind.nearest(store, embedding_model="a") == [(rows[0].id, 1.0)]
        assert await kind.nearest(store, embedding_model="b") == [(rows[1].id, 0.8)]
        assert await kind.nearest(store, query=[1.0, 0.0]) == [(rows[2].id, 1.0)]
        with pytest.raises(EmbeddingSpaceError):
            await kind.nearest(store)
        async with self.open_store(replace(context, vector_policy=VectorPolicy(embedding_model="b"))) as configured:
            for row in built():
                await kind.add(configured, row)
            assert await kind.nearest(configured) == [(rows[1].id, 0.8)]
            assert await kind.nearest(configured, embedding_model="a") == [(rows[0].id, 1.0)]

    @both
    @requirement("MEMORY-038", since="1.0")
    async def test_vector_follows_changes(self, store: MemoryStore, kind: Kind) -> None:
        """A search sees the vectors as they are now: changed, removed and deleted ones too.

        If this fails: the index is not kept in step with the rows.
        """
        for n in range(4):
            await kind.add(store, kind.build(n, embedding=at(1.0)))
        await kind.update(store, kind.build(1, embedding=at(0.6)))
        await kind.update(store, kind.build(2))
        await kind.delete(store, kind.build(3).id)

        assert await kind.nearest(store) == [(kind.build(0).id, 1.0), (kind.build(1).id, 0.6)]

    @both
    @requirement("MEMORY-039", since="1.0")
    async def test_vector_as_of(self, store: MemoryStore, clock: ManualClock, kind: Kind) -> None:
        """What is valid at as_of is found, from valid_from on and before valid_to; None means now.

        If this fails: a bound is compared the wrong way, or the machine's clock is asked.
        """
        first = kind.build(0, embedding=at(1.0), valid_to=START + HOUR)
        second = kind.build(1, embedding=at(1.0), valid_from=START + HOUR)
        for row in (first, second):
            await kind.add(store, row)

        assert [id for id, _ in await kind.nearest(store)] == [second.id]
        assert [id for id, _ in await kind.nearest(store, as_of=START)] == [first.id]
        assert [id for id, _ in await kind.nearest(store, as_of=START + HOUR)] == [second.id]
        assert await kind.nearest(store, as_of=START - HOUR) == []
        clock.set(START)
        assert [id for id, _ in await kind.nearest(store)] == [first.id]
