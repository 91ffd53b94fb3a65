"""Relationships in PostgreSQL, and the walk along them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from focal_core.gate import identifier
from focal_core.memory.models import Direction, Relationship, TraversalHit
from focal_core.memory.rules import check_depth, check_rows, labels
from focal_core.memory.store.relationships import RelationshipStore
from focal_core.paging import Page
from focal_postgres.memory.tables import BY_CREATION, RELATIONSHIPS, MemoryTables, valid
from focal_postgres.memory.traversal import hits_of, walk_text


class PostgresRelationships(MemoryTables, RelationshipStore):
    """Relationships; that their ends exist, and that there is one of a kind at a time, is the database's to know."""

    async def add_relationship(self, relationship: Relationship) -> UUID:
        self.advance(relationship, await self.add("add_relationship", RELATIONSHIPS, relationship))
        return relationship.id

    async def get_relationship(self, relationship_id: UUID, *, tenant_id: UUID | None = None) -> Relationship | None:
        return await self.read("get_relationship", RELATIONSHIPS, tenant_id, relationship_id)

    async def get_relationships(
        self,
        group_id: str,
        entity_id: UUID | None = None,
        relation_type: str | None = None,
        *,
        tenant_id: UUID | None = None,
        as_of: datetime | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[Relationship]:
        partition = await self.partition(tenant_id, group_id, "get_relationships")
        kind = None if relation_type is None else identifier(relation_type, "relation_type")
        # Two texts: with one for both, a plan made for any value could not use the indexes at the ends.
        at_end = "true" if entity_id is None else "(r.from_entity_id = $5 OR r.to_entity_id = $5)"
        return await self.list_of_group(
            "get_relationships",
            RELATIONSHIPS,
            partition,
            f"{valid('r', '$3::timestamptz')} AND ($4::text IS NULL OR r.relation_type = $4) AND {at_end}",
            [self.moment_or_now(as_of), kind, *([] if entity_id is None else [entity_id])],
            order=BY_CREATION,
            limit=limit,
            after=after,
            entity=entity_id,
            type=kind,
            as_of=as_of,
        )

    async def update_relationship(self, relationship: Relationship) -> UUID:
        self.advance(relationship, await self.update("update_relationship", RELATIONSHIPS, relationship))
        return relationship.id

    async def delete_relationship(self, relationship_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        return await self.remove("delete_relationship", RELATIONSHIPS, tenant_id, relationship_id)

    async def traverse_from_entities(
        self,
        entity_ids: list[UUID],
        group_id: str,
        depth: int = 2,
        *,
        tenant_id: UUID | None = None,
        relation_types: Collection[str] | None = None,
        direction: Direction = Direction.BOTH,
        as_of: datetime | None = None,
        limit: int = 100,
    ) -> list[TraversalHit]:
        tenant, group = await self.partition(tenant_id, group_id, "traverse_from_entities")
        check_depth(depth)
        check_rows(limit)
        kinds = None if relation_types is None else labels(relation_types, "relation_types")
        records = await self.database.fetch(
            "traverse_from_entities",
            walk_text(self.schema, depth, Direction(direction)),
            tenant,
            group,
            list(entity_ids),
            self.moment_or_now(as_of),
            None if kinds is None else list(kinds),
            limit,
            replica=True,
        )
        return hits_of(records)
