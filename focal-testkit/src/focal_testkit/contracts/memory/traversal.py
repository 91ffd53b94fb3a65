"""The walk along relationships."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import InvalidDataError
from focal_core.memory.models import Direction
from focal_core.memory.store import MemoryStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.memory import (
    GROUP,
    HOUR,
    OTHER_GROUP,
    START,
    entity,
    entity_id,
    relationship,
    relationship_id,
    store_graph,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


async def _walk(store: MemoryStore, *starts: int, **options: Any) -> list[tuple[int, int, list[int]]]:
    """Return (entity, distance, relationships of the way) by number."""
    ids = [entity_id(n) for n in starts]
    hits = await store.traverse_from_entities(ids, GROUP, **{"tenant_id": OURS, **options})
    return [(hit["entity"].id.int & 0xFF, hit["distance"], [edge.id.int & 0xFF for edge in hit["via"]]) for hit in hits]


class TraversalContract(ContractBase):
    """``traverse_from_entities``."""

    @requirement("MEMORY-080", since="1.0")
    async def test_traverse_from_entities(self, store: MemoryStore) -> None:
        """The entities within reach come by distance, then id, each whole and with the way to it; default depth is 2.

        If this fails: the walk stops early or late, the start is returned, or the order is that of discovery.
        """
        await store_graph(store, (0, 12), (0, 5), (12, 3), (5, 7), (7, 8), (9, 10))

        assert await _walk(store, 0) == [(5, 1, [1]), (12, 1, [0]), (3, 2, [0, 2]), (7, 2, [1, 3])]

        hits = await store.traverse_from_entities([entity_id(0)], GROUP, 1, tenant_id=OURS)
        assert hits[0]["entity"] == await store.get_entity(entity_id(5), tenant_id=OURS)
        assert hits[0]["via"] == [await store.get_relationship(relationship_id(1), tenant_id=OURS)]

    @requirement("MEMORY-081", since="1.0")
    async def test_traverse_cycle(self, store: MemoryStore) -> None:
        """A cycle is walked once: every entity is returned once, at its shortest distance, the start never.

        If this fails: the walk does not end, or goes round.
        """
        await store_graph(store, (0, 1), (1, 2), (2, 3), (3, 0))

        assert await _walk(store, 0, depth=5, direction=Direction.OUT) == [
            (1, 1, [0]),
            (2, 2, [0, 1]),
            (3, 3, [0, 1, 2]),
        ]
        assert await _walk(store, 0, depth=5) == [(1, 1, [0]), (3, 1, [3]), (2, 2, [0, 1])]

    @requirement("MEMORY-082", since="1.0")
    async def test_traverse_self_loop(self, store: MemoryStore) -> None:
        """A relationship of an entity with itself leads nowhere and does no harm.

        If this fails: the start is returned, or a distance counts the loop.
        """
        await store_graph(store, (0, 0), (0, 1), (1, 1), (1, 2))

        assert await _walk(store, 0, depth=3) == [(1, 1, [1]), (2, 2, [1, 3])]

    @requirement("MEMORY-083", since="1.0")
    async def test_traverse_depth_bounds(self, store: MemoryStore) -> None:
        """A depth is from 1 to 5, and the walk goes exactly that far.

        If this fails: the depth is unchecked, or off by one.
        """
        await store_graph(store, *((n, n + 1) for n in range(7)))

        for depth in range(1, 6):
            assert [node for node, _, _ in await _walk(store, 0, depth=depth)] == list(range(1, depth + 1))
        for depth in (0, -1, 6):
            with pytest.raises(InvalidDataError) as refused:
                await _walk(store, 0, depth=depth)
            assert refused.value.code == "depth_invalid"

    @requirement("MEMORY-084", since="1.0")
    async def test_traverse_direction(self, store: MemoryStore) -> None:
        """Relationships are followed out, in, or both ways, the whole way along; both is the default.

        If this fails: the direction is reversed, or holds for the first step only.
        """
        await store_graph(store, (0, 1), (2, 0), (1, 3), (4, 1), (2, 5), (6, 2))

        assert await _walk(store, 0, direction=Direction.OUT) == [(1, 1, [0]), (3, 2, [0, 2])]
        assert await _walk(store, 0, direction=Direction.IN) == [(2, 1, [1]), (6, 2, [1, 5])]
        both = [(1, 1, [0]), (2, 1, [1]), (3, 2, [0, 2]), (4, 2, [0, 3]), (5, 2, [1, 4]), (6, 2, [1, 5])]
        assert await _walk(store, 0, direction=Direction.BOTH) == both
        assert await _walk(store, 0) == both

    @requirement("MEMORY-085", since="1.0")
    async def test_traverse_relation_types(self, store: MemoryStore) -> None:
        """Only relationships of the types asked for are followed; an empty choice follows none.

        If this fails: the types are ignored behind the first step, or an empty choice means every type.
        """
        for n in range(5):
            await store.add_entity(entity(n))
        for n, (start, end, kind) in enumerate(((0, 1, "knows"), (0, 2, "likes"), (1, 3, "likes"), (1, 4, "know"))):
            await store.add_relationship(relationship(n, start, end, relation_type=kind))

        assert await _walk(store, 0, relation_types=["knows"]) == [(1, 1, [0])]
        assert await _walk(store, 0, relation_types={"knows", "likes"}) == [(1, 1, [0]), (2, 1, [1]), (3, 2, [0, 2])]
        assert await _walk(store, 0, relation_types=["k%"]) == []
        assert await _walk(store, 0, relation_types=[]) == []
        assert len(await _walk(store, 0)) == 4

    @requirement("MEMORY-086", since="1.0")
    async def test_traverse_shortest_via(self, store: MemoryStore) -> None:
        """The way given is a shortest one; of several it is the one with the least relationship ids from the start on.

        If this fails: a longer way is given, or which of several is left to chance.
        """
        await store_graph(
            store,
            *[(0, 1), (1, 2), (2, 9)],  # the long way: relationships 0, 1, 2
            *[(4, 9), (0, 4)],  # relationships 4, 3
            *[(0, 3), (3, 9)],  # relationships 5, 6
            *[(5, 9), (0, 5)],  # relationships 8, 7
        )
        await store.add_relationship(relationship(20, 0, 4, relation_type="likes"))
        await store.add_relationship(relationship(21, 4, 9, relation_type="likes"))

        found = {node: (distance, via) for node, distance, via in await _walk(store, 0, depth=5)}

        assert found[9] == (2, [4, 3])
        assert found[4] == (1, [4])
        assert found[2] == (2, [0, 1])

    @requirement("MEMORY-087", since="1.0")
    async def test_traverse_several_starts(self, store: MemoryStore) -> None:
        """From several starts each entity has the distance from the nearest one; no start is returned.

        If this fails: each start has a result of its own, or one start is found from another.
        """
        await store_graph(store, (0, 1), (1, 2), (2, 3), (5, 3), (0, 5), (8, 1))

        assert await _walk(store, 0, 5, 5, 0) == [(1, 1, [0]), (3, 1, [3]), (2, 2, [0, 1]), (8, 2, [0, 5])]
        assert await _walk(store, 8, 0, depth=1) == [(1, 1, [0]), (5, 1, [4])]
        assert await _walk(store) == []

    @requirement("MEMORY-088", since="1.0")
    async def test_traverse_foreign_start_ids(self, store: MemoryStore) -> None:
        """Start ids that are unknown, another tenant's or another group's contribute nothing; the walk stays inside.

        If this fails: a start is taken unchecked, or the walk crosses into another tenant or group.
        """
        await store_graph(store, (0, 1), (1, 2))
        await store_graph(store, (1, 7), (7, 8), tenant=THEIRS)
        await store_graph(store, (20, 21), tenant=uuid4(), group=GROUP)
        for n in (30, 31):
            await store.add_entity(entity(n, group_id=OTHER_GROUP))
        await store.add_relationship(relationship(30, 30, 31, group_id=OTHER_GROUP))

        assert await _walk(store, 7, 20, 30, 99) == []
        assert await _walk(store, 7, 30, 0, 99) == [(1, 1, [0]), (2, 2, [0, 1])]
        assert await _walk(store, 1, tenant_id=THEIRS) == [(7, 1, [0]), (8, 2, [0, 1])]

    @requirement("MEMORY-089", since="1.0")
    async def test_traverse_as_of(self, store: MemoryStore, clock: ManualClock) -> None:
        """Entities and relationships not valid at as_of do not exist for the walk: not as start, way or end.

        If this fails: the validity of relationships, of entities, or of the start goes unchecked.
        """
        past: dict[str, Any] = {"valid_to": START + HOUR}
        later: dict[str, Any] = {"valid_from": START + HOUR}
        await store.add_entity(entity(0))
        for n, validity in ((1, past), (2, {}), (3, {}), (4, {}), (5, later)):
            await store.add_entity(entity(n, **validity))
        for n, (start, end, validity) in enumerate(((0, 1, {}), (1, 2, {}), (0, 3, past), (0, 4, later), (0, 5, {}))):
            await store.add_relationship(relationship(n, start, end, **validity))

        now = [(4, 1, [3]), (5, 1, [4])]
        then = [(1, 1, [0]), (3, 1, [2]), (2, 2, [0, 1])]
        assert await _walk(store, 0) == now
        assert await _walk(store, 0, as_of=START + HOUR) == now
        assert await _walk(store, 0, as_of=START) == then
        assert await _walk(store, 1) == []
        assert await _walk(store, 0, as_of=START - timedelta(microseconds=1)) == []
        clock.set(START)
        assert await _walk(store, 0) == then

    @requirement("MEMORY-090", since="1.0")
    async def test_traverse_limit(self, store: MemoryStore) -> None:
        """The limit keeps the nearest entities, by id within a distance, and is from 1 to 1,000; the default is 100.

        If this fails: rows are cut in the order of discovery, or the limit is unchecked.
        """
        await store_graph(store, (0, 9), (0, 3), (0, 6), (3, 1), *((0, n) for n in range(20, 130)))

        assert [node for node, _, _ in await _walk(store, 0, limit=2)] == [3, 6]
        assert [node for node, _, _ in await _walk(store, 0, limit=1000)][-2:] == [129, 1]
        assert len(await _walk(store, 0)) == 100
        for limit in (0, 1001, None):
            with pytest.raises(InvalidDataError):
                await _walk(store, 0, limit=limit)

    @requirement("MEMORY-091", since="1.0")
    async def test_traverse_returns_copies(self, store: MemoryStore) -> None:
        """Changing what a walk returned does not change what is stored.

        If this fails: the walk hands out the store's own objects.
        """
        await store_graph(store, (0, 1))

        (hit,) = await store.traverse_from_entities([entity_id(0)], GROUP, tenant_id=OURS)
        hit["entity"].attributes["new"] = 1
        hit["via"][0].attributes["new"] = 1

        (again,) = await store.traverse_from_entities([entity_id(0)], GROUP, tenant_id=OURS)
        assert again["entity"].attributes == again["via"][0].attributes == {}
