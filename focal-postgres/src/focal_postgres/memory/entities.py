"""Entities in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from focal_core.gate import identifier
from focal_core.memory.models import Entity
from focal_core.memory.store.entities import EntityStore
from focal_core.paging import Page
from focal_postgres.memory.tables import BY_CREATION, ENTITIES, MemoryTables, valid
from focal_postgres.vector import nearest


class PostgresEntities(MemoryTables, EntityStore):
    """Entities; the foreign keys of relationships remove those of a deleted one in its statement."""

    async def add_entity(self, entity: Entity) -> UUID:
        self.advance(entity, await self.add("add_entity", ENTITIES, entity))
        return entity.id

    async def get_entity(self, entity_id: UUID, *, tenant_id: UUID | None = None) -> Entity | None:
        return await self.read("get_entity", ENTITIES, tenant_id, entity_id)

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
        partition = await self.partition(tenant_id, group_id, "get_entities")
        kind = None if entity_type is None else identifier(entity_type, "entity_type")
        return await self.list_of_group(
            "get_entities",
            ENTITIES,
            partition,
            f"{valid('r', '$3::timestamptz')} AND ($4::text IS NULL OR r.entity_type = $4)",
            [self.moment_or_now(as_of), kind],
            order=BY_CREATION,
            limit=limit,
            after=after,
            type=kind,
            as_of=as_of,
        )

    async def update_entity(self, entity: Entity) -> UUID:
        self.advance(entity, await self.update("update_entity", ENTITIES, entity))
        return entity.id

    async def delete_entity(self, entity_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        return await self.remove("delete_entity", ENTITIES, tenant_id, entity_id)

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
        tenant, group = await self.partition(tenant_id, group_id, "vector_search_entities")
        return await nearest(
            self,
            "vector_search_entities",
            ENTITIES,
            tenant_id=tenant,
            partitions=[group],
            query_embedding=query_embedding,
            limit=limit,
            min_score=min_score,
            embedding_model=embedding_model,
            where=valid("r", "$1::timestamptz"),
            args=[self.moment_or_now(as_of)],
        )
