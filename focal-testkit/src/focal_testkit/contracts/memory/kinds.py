"""The three kinds of rows a MemoryStore keeps, for requirements that hold for all of them alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from focal_core.memory.models import Entity, Episode, Relationship
from focal_core.memory.store import MemoryStore
from focal_testkit.data.memory import GROUP, QUERY, entity, episode, relationship
from focal_testkit.scenarios import OURS

Row = Episode | Entity | Relationship


@dataclass(frozen=True)
class Kind:
    """One kind of row and its methods.

    Attributes:
        name: as in ``add_<name>``.
        plural: name of the method that lists a group.
        build: ``(n, tenant, **fields) -> row``; rows of different n do not collide.
        change: fields whose values differ from those built.
        extra: a field whose value is a JSON object.
        search: name of the method that searches by vector, or empty.
    """

    name: str
    plural: str
    build: Callable[..., Any]
    change: Mapping[str, Any]
    extra: str
    search: str = ""

    def __str__(self) -> str:
        return self.name

    async def prepare(self, store: MemoryStore, tenant: UUID = OURS, group: str = GROUP) -> None:
        """Store what rows of this kind depend on: the ends of relationships."""
        if self is RELATIONSHIP:
            for n in range(2):
                await store.add_entity(entity(n, tenant, group_id=group))

    async def add(self, store: MemoryStore, row: Row) -> UUID:
        """Call ``add_<name>``."""
        return await getattr(store, f"add_{self.name}")(row)  # type: ignore[no-any-return]

    async def get(self, store: MemoryStore, id: UUID, tenant: UUID = OURS) -> Any:
        """Call ``get_<name>``."""
        return await getattr(store, f"get_{self.name}")(id, tenant_id=tenant)

    async def update(self, store: MemoryStore, row: Row) -> UUID:
        """Call ``update_<name>``."""
        return await getattr(store, f"update_{self.name}")(row)  # type: ignore[no-any-return]

    async def delete(self, store: MemoryStore, id: UUID, tenant: UUID = OURS) -> bool:
        """Call ``delete_<name>``."""
        return await getattr(store, f"delete_{self.name}")(id, tenant_id=tenant)  # type: ignore[no-any-return]

    async def listed(self, store: MemoryStore, group: str = GROUP, tenant: UUID = OURS) -> list[Any]:
        """Return the rows of a group that the method for it lists."""
        return await getattr(store, self.plural)(group, tenant_id=tenant)  # type: ignore[no-any-return]

    async def nearest(
        self, store: MemoryStore, limit: int = 10, *, query: Sequence[float] = QUERY, group: str = GROUP, **options: Any
    ) -> list[tuple[UUID, float]]:
        """Return (id, score) pairs of a vector search, scores rounded to six places."""
        found = await getattr(store, self.search)(list(query), group, limit, **{"tenant_id": OURS, **options})
        return [(row.id, round(score, 6)) for row, score in found]


def without(row: Row, *fields: str) -> Any:
    """Return a row built anew with some fields left to their defaults."""
    return type(row)(**row.model_dump(exclude=set(fields)))


def _relationship(n: int = 0, tenant: UUID = OURS, **fields: Any) -> Relationship:
    return relationship(n, 0, 1, tenant, **{"relation_type": f"type {n}", **fields})


EPISODE = Kind("episode", "list_episodes", episode, {"content": "changed"}, "metadata", "vector_search_episodes")
ENTITY = Kind("entity", "get_entities", entity, {"name": "changed"}, "attributes", "vector_search_entities")
RELATIONSHIP = Kind("relationship", "get_relationships", _relationship, {"confidence": 0.25}, "attributes")
KINDS = (EPISODE, ENTITY, RELATIONSHIP)
VERSIONED = (ENTITY, RELATIONSHIP)
EMBEDDED = (EPISODE, ENTITY)
