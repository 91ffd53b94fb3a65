"""Memory stores that break a rule about entities."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_core.memory.models import Entity, Relationship
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("MEMORY-060")
class StripsNames(InMemoryMemoryStore):
    """Names are kept in ASCII."""

    async def add_entity(self, entity: Entity) -> UUID:
        plain = entity.name.encode("ascii", "ignore").decode()
        return await super().add_entity(entity.model_copy(update={"name": plain}))


@mutant("MEMORY-061")
class TypeIsFolded(InMemoryMemoryStore):
    """Types are compared without regard to case."""

    async def get_entities(self, group_id: str, entity_type: str | None = None, **options: Any) -> Page[Entity]:
        found = await super().get_entities(group_id, None, **options)
        return Page(
            (one for one in found if entity_type is None or one.entity_type.lower() == entity_type.lower()),
            found.next_cursor,
        )


@mutant("MEMORY-062")
class LastChangedLast(InMemoryMemoryStore):
    """Entities are listed by their last change."""

    async def get_entities(self, group_id: str, entity_type: str | None = None, **options: Any) -> Page[Entity]:
        found = await super().get_entities(group_id, entity_type, **options)
        return Page(sorted(found, key=lambda one: (one.row_version, one.updated_at)), found.next_cursor)


@mutant("MEMORY-063")
class NotYetIsNow(InMemoryMemoryStore):
    """Entities that are not valid yet are listed."""

    async def get_entities(self, group_id: str, entity_type: str | None = None, **options: Any) -> Page[Entity]:
        as_of = options.pop("as_of", None) or self.context.clock.now()
        rows = [row for owner in self._entities.tenants() for row in self._entities.rows(owner)]
        return Page(row for row in rows if row.valid_to is None or as_of < row.valid_to)


@mutant("MEMORY-064")
class DeletesOutgoingOnly(InMemoryMemoryStore):
    """Relationships that end at a deleted entity are left behind."""

    async def delete_entity(self, entity_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        kept: list[Relationship] = [
            edge
            for edge in self._relationships.rows(tenant_id or UUID(int=0))
            if edge.to_entity_id == entity_id != edge.from_entity_id
        ]
        deleted = await super().delete_entity(entity_id, tenant_id=tenant_id)
        for edge in kept:
            self._relationships.put(edge)
        return deleted


@mutant("MEMORY-066")
class FiltersAreTaken(InMemoryMemoryStore):
    """A type to filter by is compared as it is given."""

    async def get_entities(self, group_id: str, entity_type: str | None = None, **options: Any) -> Page[Entity]:
        found = await super().get_entities(group_id, None, **options)
        return Page((one for one in found if entity_type in (None, one.entity_type)), found.next_cursor)
