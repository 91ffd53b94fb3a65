"""Entities in memory."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.gate import identifier
from focal_core.memory.inmemory.tables import MemoryTables
from focal_core.memory.models import Entity
from focal_core.memory.store.entities import EntityStore
from focal_core.paging import Page


class InMemoryEntities(MemoryTables, EntityStore):
    """Entities, ordered within their group by creation."""

    async def add_entity(self, entity: Entity) -> UUID:
        return self.add_versioned(self._entities, entity, self._check_space)

    async def get_entity(self, entity_id: UUID, *, tenant_id: UUID | None = None) -> Entity | None:
        row = self.get_row(self._entities, tenant_id, entity_id, "get_entity")
        return None if row is None else validated_copy(row)

    async def get_entities(
        self,
        group_id: str,
        entity_type: str | None = None,
        *,
        tenant_id: UUID | None = None,
        as_of: datetime | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Entity]:
        partition = self.partition(tenant_id, group_id, "get_entities")
        kind = None if entity_type is None else identifier(entity_type, "entity_type")
        then = self.moment_or_now(as_of)

        def keep(entity: Entity) -> bool:
            return entity.is_valid(then) and (kind is None or entity.entity_type == kind)

        return self.page_of(
            self._entities_of_group, partition, "get_entities", keep, limit=limit, after=after, type=kind, as_of=as_of
        )

    async def update_entity(self, entity: Entity) -> UUID:
        return self.update_versioned(self._entities, entity, self._check_space)

    async def delete_entity(self, entity_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        row = self.get_row(self._entities, tenant_id, entity_id, "delete_entity")
        if row is None:
            return False
        node = (row.tenant_id, row.group_id, row.id)
        for edge in [*self._outgoing.rows(node), *self._incoming.rows(node)]:
            self._relationships.remove(edge.tenant_id, edge.id)
        return self._entities.remove(row.tenant_id, row.id) is not None

    async def vector_search_entities(
        self,
        query_embedding: list[float],
        group_id: str,
        limit: int = 10,
        *,
        tenant_id: UUID | None = None,
        min_score: float | None = None,
        as_of: datetime | None = None,
        embedding_model: str | None = None,
    ) -> list[tuple[Entity, float]]:
        partition = self.partition(tenant_id, group_id, "vector_search_entities")
        then = self.moment_or_now(as_of)
        return self.nearest(
            self._entity_vectors,
            [partition],
            query_embedding,
            limit=limit,
            min_score=min_score,
            embedding_model=embedding_model,
            keep=lambda entity: entity.is_valid(then),
        )

    def _check_space(self, row: Entity) -> None:
        self.context.vector_policy.check(row.embedding_model, row.embedding)
