"""One runnable example of every memory method."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from focal_core.memory.models import Entity, Episode, Relationship
from focal_core.memory.store import MemoryStore
from focal_testkit.data.memory import (
    GROUP,
    OTHER_GROUP,
    QUERY,
    START,
    at,
    entity,
    entity_id,
    episode,
    relationship,
    relationship_id,
)
from focal_testkit.scenarios import Listing, Scenarios, Stored

_UNSET = frozenset({"deleted_at", "row_version"})


async def _ends(store: MemoryStore, edge: Relationship) -> None:
    for n, end in enumerate((edge.from_entity_id, edge.to_entity_id)):
        await store.add_entity(entity(n, edge.tenant_id, id=end, group_id=edge.group_id))


async def _add_episode(store: MemoryStore, tenant: UUID, n: int) -> UUID:
    return await store.add_episode(episode(n, tenant))


async def _add_entity(store: MemoryStore, tenant: UUID, n: int) -> UUID:
    return await store.add_entity(entity(n, tenant))


async def _add_relationship(store: MemoryStore, tenant: UUID, n: int) -> UUID:
    for end in range(2):
        await store.add_entity(entity(end, tenant))
    return await store.add_relationship(relationship(n, tenant=tenant, relation_type=f"type {n}"))


class MemoryScenarios(Scenarios):
    """Three episodes and the path 0 - 1 - 2 of entities in one group; an episode in another."""

    store_class = MemoryStore
    creates = frozenset({"add_episode", "add_episodes", "add_entity", "add_relationship"})
    stored = (
        Stored(
            Episode,
            save=lambda store, one: store.add_episode(one),
            get=lambda store, one: store.get_episode(one.id, tenant_id=one.tenant_id),
            unset=_UNSET,
        ),
        Stored(
            Entity,
            save=lambda store, one: store.add_entity(one),
            get=lambda store, one: store.get_entity(one.id, tenant_id=one.tenant_id),
            unset=_UNSET,
        ),
        Stored(
            Relationship,
            save=lambda store, one: store.add_relationship(one),
            get=lambda store, one: store.get_relationship(one.id, tenant_id=one.tenant_id),
            unset=_UNSET,
            prepare=_ends,
        ),
    )
    listings = (
        Listing(
            "list_episodes",
            add=_add_episode,
            fetch=lambda store, tenant, **paging: store.list_episodes(GROUP, tenant_id=tenant, **paging),
            reverse=True,
            other=lambda store, tenant, **paging: store.list_episodes(
                GROUP, tenant_id=tenant, start_time=START, **paging
            ),
            remove=lambda store, tenant, row: store.delete_episode(row.id, tenant_id=tenant),
        ),
        Listing(
            "get_entities",
            add=_add_entity,
            fetch=lambda store, tenant, **paging: store.get_entities(GROUP, tenant_id=tenant, **paging),
            optional_limit=True,
            other=lambda store, tenant, **paging: store.get_entities(GROUP, "person", tenant_id=tenant, **paging),
            remove=lambda store, tenant, row: store.delete_entity(row.id, tenant_id=tenant),
        ),
        Listing(
            "get_relationships",
            add=_add_relationship,
            fetch=lambda store, tenant, **paging: store.get_relationships(GROUP, tenant_id=tenant, **paging),
            optional_limit=True,
            other=lambda store, tenant, **paging: store.get_relationships(
                GROUP, entity_id(0), tenant_id=tenant, **paging
            ),
            remove=lambda store, tenant, row: store.delete_relationship(row.id, tenant_id=tenant),
        ),
    )
    groups: ClassVar = (GROUP, OTHER_GROUP)

    @classmethod
    def methods(cls) -> list[str]:
        """Return the abstract methods and those with a default."""
        return sorted([*super().methods(), "add_episodes", "search_episodes"])

    async def seed(self, store: MemoryStore, tenant_id: UUID) -> str:
        """Store the world; what differs between tenants is the text."""
        for n in range(3):
            await store.add_episode(
                episode(n, tenant_id, content=f"needle {n} of {tenant_id}", embedding=at(1.0), embedding_model="m")
            )
        await store.add_episode(episode(3, tenant_id, group_id=OTHER_GROUP, content=f"other of {tenant_id}"))
        for n in range(3):
            await store.add_entity(
                entity(n, tenant_id, name=f"{n} of {tenant_id}", embedding=at(0.8), embedding_model="m")
            )
        for n in range(2):
            await store.add_relationship(relationship(n, n, n + 1, tenant_id, attributes={"of": str(tenant_id)}))
        return GROUP

    async def snapshot(self, store: MemoryStore, tenant_id: UUID) -> Any:
        """Return the rows of both groups."""
        rows: list[Any] = []
        for group in self.groups:
            rows += await store.list_episodes(group, tenant_id=tenant_id, limit=1000)
            rows += await store.get_entities(group, tenant_id=tenant_id)
            rows += await store.get_relationships(group, tenant_id=tenant_id)
        return [row.model_dump(mode="json") for row in rows]

    async def add_episode(self, store: MemoryStore, tenant: UUID, world: str) -> UUID:
        """Add a further episode."""
        return await store.add_episode(episode(7, tenant))

    async def add_episodes(self, store: MemoryStore, tenant: UUID, world: str) -> list[UUID]:
        """Add two further episodes."""
        return await store.add_episodes([episode(7, tenant), episode(8, tenant, embedding=at(1.0))])

    async def get_episode(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """Read a seeded episode."""
        return await store.get_episode(episode(1).id, tenant_id=tenant)

    async def list_episodes(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """List the seeded episodes."""
        return await store.list_episodes(world, tenant_id=tenant)

    async def update_episode(self, store: MemoryStore, tenant: UUID, world: str) -> UUID:
        """Change a seeded episode."""
        return await store.update_episode(episode(1, tenant, content="changed"))

    async def delete_episode(self, store: MemoryStore, tenant: UUID | None, world: str) -> bool:
        """Remove a seeded episode."""
        return await store.delete_episode(episode(1).id, tenant_id=tenant)

    async def vector_search_episodes(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """Find the seeded episodes by vector."""
        return await store.vector_search_episodes(QUERY, world, tenant_id=tenant)

    async def text_search_episodes(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """Find the seeded episodes by text."""
        return await store.text_search_episodes("needle", world, tenant_id=tenant)

    async def search_episodes(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """Find the seeded episodes by both."""
        return await store.search_episodes("needle", QUERY, group_ids=self.groups, tenant_id=tenant)

    async def add_entity(self, store: MemoryStore, tenant: UUID, world: str) -> UUID:
        """Add a further entity."""
        return await store.add_entity(entity(7, tenant))

    async def get_entity(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """Read a seeded entity."""
        return await store.get_entity(entity_id(1), tenant_id=tenant)

    async def get_entities(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """List the seeded entities."""
        return await store.get_entities(world, tenant_id=tenant)

    async def update_entity(self, store: MemoryStore, tenant: UUID, world: str) -> UUID:
        """Change a seeded entity."""
        return await store.update_entity(entity(1, tenant, name="changed"))

    async def delete_entity(self, store: MemoryStore, tenant: UUID | None, world: str) -> bool:
        """Remove a seeded entity."""
        return await store.delete_entity(entity_id(1), tenant_id=tenant)

    async def vector_search_entities(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """Find the seeded entities by vector."""
        return await store.vector_search_entities(QUERY, world, tenant_id=tenant)

    async def add_relationship(self, store: MemoryStore, tenant: UUID, world: str) -> UUID:
        """Add a further relationship; a stranger needs ends of its own."""
        for n in (8, 9):
            await store.add_entity(entity(n, tenant))
        return await store.add_relationship(relationship(7, 8, 9, tenant, relation_type="likes"))

    async def get_relationship(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """Read a seeded relationship."""
        return await store.get_relationship(relationship_id(1), tenant_id=tenant)

    async def get_relationships(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """List the seeded relationships."""
        return await store.get_relationships(world, tenant_id=tenant)

    async def update_relationship(self, store: MemoryStore, tenant: UUID, world: str) -> UUID:
        """Change a seeded relationship."""
        return await store.update_relationship(relationship(1, 1, 2, tenant, confidence=0.25))

    async def delete_relationship(self, store: MemoryStore, tenant: UUID | None, world: str) -> bool:
        """Remove a seeded relationship."""
        return await store.delete_relationship(relationship_id(1), tenant_id=tenant)

    async def traverse_from_entities(self, store: MemoryStore, tenant: UUID | None, world: str) -> Any:
        """Walk along the seeded path."""
        return await store.traverse_from_entities([entity_id(0)], world, tenant_id=tenant)

    async def delete_by_group(self, store: MemoryStore, tenant: UUID | None, world: str) -> int:
        """Remove the seeded group."""
        return await store.delete_by_group(world, tenant_id=tenant)
