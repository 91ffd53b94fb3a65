"""Relationships: their ends, their uniqueness, their lists."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import DuplicateError, InvalidDataError
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


class RelationshipContract(ContractBase):
    """``add_relationship``, ``get_relationship``, ``get_relationships`` and ``update_relationship``."""

    @requirement("MEMORY-070", since="1.0")
    async def test_add_relationship(self, store: MemoryStore) -> None:
        """A relationship is found by its id and in its group, with everything it carries.

        If this fails: the relationship is not stored, is turned round, or a field has no place in the store.
        """
        for n in range(2):
            await store.add_entity(entity(n))
        added = relationship(5, 1, 0, confidence=0.25, attributes={"since": 2019, "n": [1.0]}, valid_to=None)

        assert await store.add_relationship(added) == added.id

        found = await store.get_relationship(added.id, tenant_id=OURS)
        assert found is not None
        clock_fields = {"updated_at", "recorded_at"}
        assert found.model_dump(exclude=clock_fields) == added.model_dump(exclude=clock_fields)
        assert (found.from_entity_id, found.to_entity_id) == (entity_id(1), entity_id(0))
        assert await store.get_relationships(GROUP, tenant_id=OURS) == [found]
        assert await store.get_relationship(uuid4(), tenant_id=OURS) is None

    @requirement("MEMORY-071", since="1.0")
    async def test_get_relationships_filters(self, store: MemoryStore) -> None:
        """An entity is looked for at either end, a type matches exactly, both filters hold together.

        If this fails: one end is forgotten, a self loop counts twice, or filters are joined by "or".
        """
        await store_graph(store, (0, 1), (1, 2), (2, 3), (3, 0), (1, 1))
        await store.add_relationship(relationship(10, 1, 3, relation_type="know"))
        await store.add_relationship(relationship(11, 2, 3, relation_type="know"))
        await store_graph(store, (1, 2), tenant=THEIRS)

        async def found(entity: UUID | None, kind: str | None) -> list[UUID]:
            return [one.id for one in await store.get_relationships(GROUP, entity, kind, tenant_id=OURS)]

        assert await found(entity_id(1), None) == [relationship_id(n) for n in (0, 1, 4, 10)]
        assert await found(None, "know") == [relationship_id(n) for n in (10, 11)]
        assert await found(entity_id(1), "know") == [relationship_id(10)]
        assert await found(entity_id(1), "k%") == []
        assert await found(uuid4(), None) == []
        assert len(await found(None, None)) == 7

    @requirement("MEMORY-072", since="1.0")
    async def test_relationships_are_listed_oldest_first(self, store: MemoryStore) -> None:
        """Relationships of a group are listed by creation, then id.

        If this fails: the order is that of saving, or equal times are in no order.
        """
        await store_graph(store, (0, 1))
        for n in (10, 2, 5):
            await store.add_relationship(relationship(n, relation_type=f"type {n}"))
        for n in (8, 6):
            await store.add_relationship(
                relationship(n, relation_type=f"type {n}", created_at=START + timedelta(minutes=5))
            )

        found = await store.get_relationships(GROUP, tenant_id=OURS)

        assert [one.id for one in found] == [relationship_id(n) for n in (0, 2, 5, 6, 8, 10)]

    @requirement("MEMORY-073", since="1.0")
    async def test_as_of_relationship(self, store: MemoryStore, clock: ManualClock) -> None:
        """Relationships valid at as_of are listed, from valid_from on and before valid_to; None means now.

        If this fails: a bound is compared the wrong way, the machine's clock is asked, or their ends' validity counts.
        """
        await store.add_entity(entity(0, valid_to=START + HOUR))
        await store.add_entity(entity(1))
        await store.add_relationship(relationship(0, valid_to=START + HOUR))
        await store.add_relationship(relationship(1, valid_from=START + HOUR))

        async def listed(**options: object) -> list[UUID]:
            return [one.id for one in await store.get_relationships(GROUP, tenant_id=OURS, **options)]  # type: ignore[arg-type]

        assert await listed() == [relationship_id(1)]
        assert await listed(as_of=START) == [relationship_id(0)]
        assert await listed(as_of=START + HOUR) == [relationship_id(1)]
        assert await listed(as_of=START - timedelta(microseconds=1)) == []
        clock.set(START)
        assert await listed() == [relationship_id(0)]
        assert await store.get_relationship(relationship_id(1), tenant_id=OURS) is not None

    @requirement("MEMORY-074", since="1.0")
    async def test_relationship_endpoint_missing(self, store: MemoryStore) -> None:
        """A relationship whose start or end is not stored is refused; both ends may be one entity (INV-E2).

        If this fails: relationships dangle, one end goes unchecked, or self loops are refused.
        """
        await store.add_entity(entity(0))
        for start, end in ((0, 1), (1, 0), (1, 1)):
            with pytest.raises(InvalidDataError) as refused:
                await store.add_relationship(relationship(0, start, end))
            assert refused.value.code == "endpoint_missing"
        assert await store.get_relationships(GROUP, tenant_id=OURS) == []

        await store.add_relationship(relationship(0, 0, 0))

        assert len(await store.get_relationships(GROUP, tenant_id=OURS)) == 1

    @requirement("MEMORY-075", since="1.0")
    async def test_relationship_across_groups_refused(self, store: MemoryStore) -> None:
        """Both ends are of the relationship's own tenant and group (INV-E2).

        If this fails: a walk can leave its group, or its tenant.
        """
        await store.add_entity(entity(0))
        await store.add_entity(entity(1, group_id=OTHER_GROUP))
        await store.add_entity(entity(2, THEIRS))
        await store.add_entity(entity(3))

        for start, end, group in ((0, 1, GROUP), (1, 0, GROUP), (0, 2, GROUP), (2, 0, GROUP), (0, 3, OTHER_GROUP)):
            with pytest.raises(InvalidDataError) as refused:
                await store.add_relationship(relationship(0, start, end, group_id=group))
            assert refused.value.code == "endpoint_missing"

        assert await store.get_relationship(relationship_id(0), tenant_id=OURS) is None

    @requirement("MEMORY-076", since="1.0")
    async def test_relationship_unique(self, store: MemoryStore) -> None:
        """Start, end, type and valid_from together are taken once per tenant and group (INV-E3).

        If this fails: the same fact is stored twice, or the key lacks a part and refuses another fact.
        """
        await store_graph(store, (0, 1))
        await store.add_entity(entity(2))
        await store_graph(store, (0, 1), tenant=THEIRS)

        with pytest.raises(DuplicateError) as refused:
            await store.add_relationship(relationship(9, 0, 1, confidence=0.5))
        assert refused.value.code == "relationship_exists"

        await store.add_relationship(relationship(1, 1, 0))
        await store.add_relationship(relationship(2, 0, 2))
        await store.add_relationship(relationship(3, 2, 1))
        await store.add_relationship(relationship(4, 0, 1, relation_type="likes"))
        await store.add_relationship(relationship(5, 0, 1, valid_from=START + HOUR))
        assert len(await store.get_relationships(GROUP, tenant_id=OURS)) == 6

        with pytest.raises(DuplicateError):
            await store.update_relationship(relationship(5, 0, 1, valid_from=START))
        await store.update_relationship(relationship(5, 0, 1, valid_from=START + 2 * HOUR))
        await store.delete_relationship(relationship_id(0), tenant_id=OURS)
        await store.add_relationship(relationship(9, 0, 1))

    @requirement("MEMORY-077", since="1.0")
    async def test_relationship_ends_immutable(self, store: MemoryStore) -> None:
        """An update never changes where a relationship starts or ends.

        If this fails: a known relationship comes to mean something else.
        """
        await store_graph(store, (0, 1), (1, 2))
        before = await store.get_relationship(relationship_id(0), tenant_id=OURS)

        for start, end in ((0, 2), (2, 1), (1, 0)):
            with pytest.raises(InvalidDataError) as refused:
                await store.update_relationship(relationship(0, start, end))
            assert refused.value.code == "endpoints_immutable"

        assert await store.get_relationship(relationship_id(0), tenant_id=OURS) == before
