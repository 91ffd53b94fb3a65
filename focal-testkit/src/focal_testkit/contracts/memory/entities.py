"""Entities of a group, and what goes with them when they are deleted."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import InvalidDataError
from focal_core.memory.store import MemoryStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.memory import (
    GROUP,
    HOUR,
    OTHER_GROUP,
    QUERY,
    START,
    at,
    entity,
    entity_id,
    relationship_id,
    store_graph,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class EntityContract(ContractBase):
    """``add_entity``, ``get_entity``, ``get_entities`` and ``delete_entity``."""

    @requirement("MEMORY-060", since="1.0")
    async def test_add_and_get_entity(self, store: MemoryStore) -> None:
        """An entity is found by its id with everything it carries.

        If this fails: the entity is not stored, or a field has no place in the store.
        """
        added = entity(
            5,
            name="Zoë O'Brien",
            canonical_name="zoe obrien",
            attributes={"age": 41, "score": 1.0, "tags": ["a", None]},
            embedding=at(0.8),
            embedding_model="m",
            customer_profile_id=uuid4(),
            valid_to=START + HOUR,
        )

        assert await store.add_entity(added) == added.id

        found = await store.get_entity(added.id, tenant_id=OURS)
        assert found is not None
        clock_fields = {"updated_at", "recorded_at"}
        assert found.model_dump(exclude=clock_fields) == added.model_dump(exclude=clock_fields)
        assert await store.get_entity(uuid4(), tenant_id=OURS) is None

    @requirement("MEMORY-061", since="1.0")
    async def test_get_entities_by_type(self, store: MemoryStore) -> None:
        """The filter by type matches the whole type, nothing that merely begins or looks like it.

        If this fails: the type is used as a pattern, without regard to case, or not at all.
        """
        kinds = ("person", "Person", "person_x", "pers", "persons", "company")
        for n, kind in enumerate(kinds):
            await store.add_entity(entity(n, entity_type=kind))

        for n, kind in enumerate(kinds):
            assert [one.id for one in await store.get_entities(GROUP, kind, tenant_id=OURS)] == [entity_id(n)]
        assert await store.get_entities(GROUP, "pers%", tenant_id=OURS) == []
        assert len(await store.get_entities(GROUP, tenant_id=OURS)) == len(kinds)

    @requirement("MEMORY-062", since="1.0")
    async def test_entities_are_listed_oldest_first(self, store: MemoryStore) -> None:
        """Entities of a group are listed by creation, then id; an update does not move them.

        If this fails: the order is that of saving or of the last change, or other groups are listed.
        """
        for n in (10, 2, 5):
            await store.add_entity(entity(n))
        for n in (8, 6):
            await store.add_entity(entity(n, created_at=START + timedelta(minutes=5)))
        await store.add_entity(entity(20, group_id=OTHER_GROUP))
        await store.add_entity(entity(21, THEIRS))
        await store.update_entity(entity(2, name="later", created_at=START + HOUR))

        found = await store.get_entities(GROUP, tenant_id=OURS)

        assert [one.id for one in found] == [entity_id(n) for n in (2, 5, 6, 8, 10)]

    @requirement("MEMORY-063", since="1.0")
    async def test_as_of_entity(self, store: MemoryStore, clock: ManualClock) -> None:
        """Entities valid at as_of are listed, from valid_from on and before valid_to; None means now; ids always work.

        If this fails: a bound is compared the wrong way, or the machine's clock is asked.
        """
        await store.add_entity(entity(0, valid_to=START + HOUR))
        await store.add_entity(entity(1, valid_from=START + HOUR))

        async def listed(**options: object) -> list[UUID]:
            return [one.id for one in await store.get_entities(GROUP, tenant_id=OURS, **options)]  # type: ignore[arg-type]

        assert await listed() == [entity_id(1)]
        assert await listed(as_of=START) == [entity_id(0)]
        assert await listed(as_of=START + HOUR) == [entity_id(1)]
        assert await listed(as_of=START - timedelta(microseconds=1)) == []
        clock.set(START)
        assert await listed() == [entity_id(0)]
        assert await store.get_entity(entity_id(1), tenant_id=OURS) is not None

    @requirement("MEMORY-064", since="1.0")
    async def test_delete_entity_cascades(self, store: MemoryStore) -> None:
        """Deleting an entity removes every relationship at either end of which it stands, and no other.

        If this fails: relationships dangle, or a neighbour, or another tenant, loses theirs.
        """
        for tenant in (OURS, THEIRS):
            await store_graph(store, (0, 1), (1, 2), (2, 0), (1, 1), (0, 2), tenant=tenant)

        assert await store.delete_entity(entity_id(1), tenant_id=OURS) is True

        ours = await store.get_relationships(GROUP, tenant_id=OURS)
        assert [one.id for one in ours] == [relationship_id(2), relationship_id(4)]
        assert await store.get_relationship(relationship_id(0), tenant_id=OURS) is None
        assert [one.id for one in await store.get_entities(GROUP, tenant_id=OURS)] == [entity_id(0), entity_id(2)]
        assert len(await store.get_relationships(GROUP, tenant_id=THEIRS)) == 5
        assert len(await store.get_entities(GROUP, tenant_id=THEIRS)) == 3

    @requirement("MEMORY-065", since="1.0")
    async def test_entities_found_are_copies(self, store: MemoryStore) -> None:
        """Changing an entity that a vector search returned does not change what is stored.

        If this fails: the search hands out the store's own objects.
        """
        await store.add_entity(entity(0, embedding=at(1.0), attributes={"list": [1]}))

        ((found, score),) = await store.vector_search_entities(QUERY, GROUP, tenant_id=OURS)
        found.attributes["list"].append(2)

        assert score == pytest.approx(1.0)
        stored = await store.get_entity(entity_id(0), tenant_id=OURS)
        assert stored is not None
        assert stored.attributes == {"list": [1]}

    @requirement("MEMORY-066", since="1.0")
    async def test_filters_are_identifiers(self, store: MemoryStore) -> None:
        """A type to filter by is an identifier: composed like the stored one, and refused when it cannot be one.

        If this fails: the same letters in another composition find nothing, or a blank means no filter.
        """
        await store_graph(store, (0, 1))
        await store.add_entity(entity(2, entity_type="caf\u00e9"))

        assert [one.id for one in await store.get_entities(GROUP, "cafe\u0301", tenant_id=OURS)] == [entity_id(2)]
        for refused in (
            store.get_entities(GROUP, "", tenant_id=OURS),
            store.get_relationships(GROUP, relation_type=" ", tenant_id=OURS),
            store.traverse_from_entities([entity_id(0)], GROUP, tenant_id=OURS, relation_types=["a\x00b"]),
            store.traverse_from_entities([entity_id(0)], GROUP, tenant_id=OURS, relation_types="knows"),
        ):
            with pytest.raises(InvalidDataError) as caught:
                await refused
            assert caught.value.code == "identifier_invalid"
