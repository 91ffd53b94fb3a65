"""Relationships in memory, and the walk along them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.errors import DuplicateError, InvalidDataError
from focal_core.gate import identifier
from focal_core.memory.inmemory.tables import MemoryTables, Partition
from focal_core.memory.models import Direction, Entity, Relationship, TraversalHit
from focal_core.memory.rules import check_depth, check_rows, labels
from focal_core.memory.store.relationships import RelationshipStore
from focal_core.paging import Page


class InMemoryRelationships(MemoryTables, RelationshipStore):
    """Relationships, indexed at both ends."""

    async def add_relationship(self, relationship: Relationship) -> UUID:
        return self.add_versioned(self._relationships, relationship, self._check_edge)

    async def get_relationship(self, relationship_id: UUID, *, tenant_id: UUID | None = None) -> Relationship | None:
        row = self.get_row(self._relationships, tenant_id, relationship_id, "get_relationship")
        return None if row is None else validated_copy(row)

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
        partition = self.partition(tenant_id, group_id, "get_relationships")
        kind = None if relation_type is None else identifier(relation_type, "relation_type")
        then = self.moment_or_now(as_of)

        def keep(edge: Relationship) -> bool:
            return (
                edge.is_valid(then)
                and (entity_id is None or entity_id in (edge.from_entity_id, edge.to_entity_id))
                and (kind is None or edge.relation_type == kind)
            )

        return self.page_of(
            self._relationships_of_group,
            partition,
            "get_relationships",
            keep,
            limit=limit,
            after=after,
            entity=entity_id,
            type=kind,
            as_of=as_of,
        )

    async def update_relationship(self, relationship: Relationship) -> UUID:
        return self.update_versioned(self._relationships, relationship, self._check_edge)

    async def delete_relationship(self, relationship_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        row = self.get_row(self._relationships, tenant_id, relationship_id, "delete_relationship")
        return row is not None and self._relationships.remove(row.tenant_id, row.id) is not None

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
        partition = self.partition(tenant_id, group_id, "traverse_from_entities")
        check_depth(depth)
        check_rows(limit)
        kinds = None if relation_types is None else labels(relation_types, "relation_types")
        then = self.moment_or_now(as_of)
        ways: dict[UUID, tuple[Relationship, ...]] = {
            id: () for id in entity_ids if self._live(partition, id, then) is not None
        }
        frontier = dict(ways)
        hits: list[TraversalHit] = []
        for distance in range(1, depth + 1):
            reached: dict[UUID, tuple[Relationship, ...]] = {}
            for id, way in frontier.items():
                for edge, other in self._edges(partition, id, direction):
                    if (
                        other in ways
                        or not edge.is_valid(then)
                        or (kinds is not None and edge.relation_type not in kinds)
                        or self._live(partition, other, then) is None
                    ):
                        continue
                    longer = (*way, edge)
                    if other not in reached or _ids(longer) < _ids(reached[other]):
                        reached[other] = longer
            ways |= reached
            frontier = reached
            for id in sorted(reached):
                if (entity := self._live(partition, id, then)) is not None:
                    via = [validated_copy(edge) for edge in reached[id]]
                    hits.append(TraversalHit(entity=validated_copy(entity), distance=distance, via=via))
                if len(hits) == limit:
                    return hits
        return hits

    def _live(self, partition: Partition, id: UUID, then: datetime) -> Entity | None:
        """Return an entity that is valid at a moment; the indexed edges keep the walk within its group."""
        entity = self._entities.get(partition[0], id)
        return entity if entity is not None and entity.is_valid(then) else None

    def _edges(self, partition: Partition, id: UUID, direction: Direction) -> Iterator[tuple[Relationship, UUID]]:
        """Yield the relationships that may be followed from an entity, each with the entity it leads to."""
        if direction != Direction.IN:
            for edge in self._outgoing.rows((*partition, id)):
                yield edge, edge.to_entity_id
        if direction != Direction.OUT:
            for edge in self._incoming.rows((*partition, id)):
                yield edge, edge.from_entity_id

    def _check_edge(self, row: Relationship) -> None:
        for name, end in (("from_entity_id", row.from_entity_id), ("to_entity_id", row.to_entity_id)):
            entity = self._entities.get(row.tenant_id, end)
            if entity is None or entity.group_id != row.group_id:
                raise InvalidDataError(
                    f"{name} {end} is no entity of the relationship's tenant and group",
                    code="endpoint_missing",
                    hint="add both entities first, in the group of the relationship",
                )
        if self._relationship_keys.owner_other_than(row) is not None:
            raise DuplicateError(
                f"{row.from_entity_id} has that relationship to {row.to_entity_id} from that moment on already",
                code="relationship_exists",
                hint="update it, or give the new one another valid_from",
            )


def _ids(way: tuple[Relationship, ...]) -> tuple[UUID, ...]:
    return tuple(edge.id for edge in way)
