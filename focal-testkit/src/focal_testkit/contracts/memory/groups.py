"""Groups as a whole, and their labels."""

from __future__ import annotations

import pytest

from focal_core.errors import InvalidDataError
from focal_core.memory.store import MemoryStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data import hostile
from focal_testkit.data.memory import (
    GROUP,
    HOUR,
    OTHER_GROUP,
    QUERY,
    START,
    at,
    entity,
    entity_id,
    episode,
    relationship_id,
    store_graph,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


async def _fill(store: MemoryStore, tenant: object = OURS, group: str = GROUP, first: int = 0) -> None:
    """Store 3 episodes, 3 entities and 2 relationships."""
    for n in range(first, first + 3):
        await store.add_episode(episode(n, tenant, group_id=group, embedding=at(1.0)))  # type: ignore[arg-type]
    if first == 0:
        await store_graph(store, (0, 1), (1, 2), tenant=tenant, group=group)  # type: ignore[arg-type]


class GroupContract(ContractBase):
    """``delete_by_group`` and group labels."""

    @requirement("MEMORY-100", since="1.0")
    async def test_delete_by_group(self, store: MemoryStore) -> None:
        """Deleting a group removes everything in it from every read, returns how much, and twice returns 0.

        If this fails: a kind of row, or an index, is left behind.
        """
        await _fill(store)

        assert await store.delete_by_group(GROUP, tenant_id=OURS) == 8

        assert await store.get_episode(episode(0).id, tenant_id=OURS) is None
        assert await store.get_entity(entity_id(0), tenant_id=OURS) is None
        assert await store.get_relationship(relationship_id(0), tenant_id=OURS) is None
        assert await store.list_episodes(GROUP, tenant_id=OURS) == []
        assert await store.get_entities(GROUP, tenant_id=OURS) == []
        assert await store.get_relationships(GROUP, tenant_id=OURS) == []
        assert await store.vector_search_episodes(QUERY, GROUP, tenant_id=OURS) == []
        assert await store.text_search_episodes("episode", GROUP, tenant_id=OURS) == []
        assert await store.traverse_from_entities([entity_id(0)], GROUP, tenant_id=OURS) == []
        assert await store.delete_by_group(GROUP, tenant_id=OURS) == 0
        await _fill(store)
        assert len(await store.get_relationships(GROUP, tenant_id=OURS)) == 2

    @requirement("MEMORY-101", since="1.0")
    async def test_delete_by_group_counts_exact(self, store: MemoryStore) -> None:
        """The count is that of episodes, entities and relationships, those not valid now included, and of nothing else.

        If this fails: rows that go along with others are not counted, or expired ones survive.
        """
        await _fill(store)
        await store.add_episode(episode(10, valid_to=START + HOUR))
        await store.add_entity(entity(10, valid_from=START + 9999 * HOUR))
        await _fill(store, group=OTHER_GROUP, first=20)

        assert await store.delete_by_group(GROUP, tenant_id=OURS) == 10
        assert await store.get_episode(episode(10).id, tenant_id=OURS) is None
        assert await store.delete_by_group(OTHER_GROUP, tenant_id=OURS) == 3
        assert await store.delete_by_group("empty", tenant_id=OURS) == 0

    @requirement("MEMORY-102", since="1.0")
    async def test_delete_by_group_leaves_other_tenant_same_group(self, store: MemoryStore) -> None:
        """The same label of another tenant, and other labels of the same tenant, keep everything.

        If this fails: the tenant is missing in one of the deletes, or the label is a prefix or a pattern.
        """
        await _fill(store)
        await _fill(store, THEIRS)
        others = [OTHER_GROUP, "session:100", "session:1_", "SESSION:10"]
        for n, group in enumerate(others, start=1):
            await _fill(store, group=group, first=10 * n)

        await store.delete_by_group(GROUP, tenant_id=OURS)

        assert len(await store.list_episodes(GROUP, tenant_id=THEIRS)) == 3
        assert len(await store.get_entities(GROUP, tenant_id=THEIRS)) == 3
        assert len(await store.get_relationships(GROUP, tenant_id=THEIRS)) == 2
        for group in others:
            assert len(await store.list_episodes(group, tenant_id=OURS)) == 3

    @requirement("MEMORY-103", since="1.0")
    async def test_group_labels_are_opaque(self, store: MemoryStore) -> None:
        """Any identifier is a label, compared letter for letter in composed form.

        If this fails: the label is parsed, folded, or becomes part of a key or pattern without being quoted.
        """
        labels = sorted({*hostile.IDENTIFIERS.values(), "A", "a", "a ", "caf\u00e9"})
        for n, label in enumerate(labels):
            await store.add_episode(episode(n, group_id=label))

        for n, label in enumerate(labels):
            assert [one.id for one in await store.list_episodes(label, tenant_id=OURS)] == [episode(n).id]
        composed = await store.list_episodes("caf\u00e9", tenant_id=OURS)
        assert await store.list_episodes("cafe\u0301", tenant_id=OURS) == composed

    @requirement("MEMORY-104", since="1.0")
    async def test_group_label_refused(self, store: MemoryStore) -> None:
        """What cannot be a label is refused by every method that takes one.

        If this fails: a blank group reads as no group, or the backend's own error reaches the caller.
        """
        for label in hostile.REFUSED_IDENTIFIERS.values():
            for refused in (
                store.list_episodes(label, tenant_id=OURS),
                store.vector_search_episodes(QUERY, label, tenant_id=OURS),
                store.text_search_episodes("needle", label, tenant_id=OURS),
                store.get_entities(label, tenant_id=OURS),
                store.vector_search_entities(QUERY, label, tenant_id=OURS),
                store.get_relationships(label, tenant_id=OURS),
                store.traverse_from_entities([], label, tenant_id=OURS),
                store.delete_by_group(label, tenant_id=OURS),
            ):
                with pytest.raises(InvalidDataError) as caught:
                    await refused
                assert caught.value.code == "identifier_invalid"
