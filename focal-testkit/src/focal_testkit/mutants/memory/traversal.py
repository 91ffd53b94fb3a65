"""Memory stores that break a rule of the walk along relationships."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_core.memory.models import Direction, Entity, TraversalHit
from focal_testkit.mutants import mutant

Hits = list[TraversalHit]


@mutant("MEMORY-080", "MEMORY-083")
class OneStepFurther(InMemoryMemoryStore):
    """The walk goes one relationship further than asked."""

    async def traverse_from_entities(self, entity_ids: Any, group_id: str, depth: int = 2, **options: Any) -> Hits:
        return await super().traverse_from_entities(entity_ids, group_id, depth % 5 + 1, **options)


@mutant("MEMORY-081", "MEMORY-087")
class StartIsFound(InMemoryMemoryStore):
    """Every start has a walk of its own, and is found where a way leads back to it."""

    async def traverse_from_entities(self, entity_ids: Any, group_id: str, *rest: Any, **options: Any) -> Hits:
        hits: Hits = []
        for id in entity_ids:
            found = await super().traverse_from_entities([id], group_id, *rest, **options)
            for hit in found:
                if id in (hit["via"][-1].from_entity_id, hit["via"][-1].to_entity_id):
                    hits.append(hit)
            hits += found
        return hits


@mutant("MEMORY-082")
class LoopsCount(InMemoryMemoryStore):
    """An entity with a loop is found from itself."""

    async def traverse_from_entities(self, entity_ids: Any, group_id: str, *rest: Any, **options: Any) -> Hits:
        hits = await super().traverse_from_entities(entity_ids, group_id, *rest, **options)
        for edge in await self.get_relationships(group_id, tenant_id=options["tenant_id"]):
            entity = self._entities.get(edge.tenant_id, edge.to_entity_id)
            if edge.from_entity_id == edge.to_entity_id and entity is not None:
                hits.append(TraversalHit(entity=entity, distance=1, via=[edge]))
        return hits


@mutant("MEMORY-084")
class AlwaysBothWays(InMemoryMemoryStore):
    """The direction is ignored."""

    async def traverse_from_entities(self, *arguments: Any, direction: Any = None, **options: Any) -> Hits:
        return await super().traverse_from_entities(*arguments, **options)


@mutant("MEMORY-084", "MEMORY-081")
class OutIsTheDefault(InMemoryMemoryStore):
    """Without a direction relationships are followed out only."""

    async def traverse_from_entities(
        self, *arguments: Any, direction: Direction = Direction.OUT, **options: Any
    ) -> Hits:
        return await super().traverse_from_entities(*arguments, direction=direction, **options)


@mutant("MEMORY-085")
class NoTypesMeansAll(InMemoryMemoryStore):
    """An empty choice of types means every type."""

    async def traverse_from_entities(self, *arguments: Any, relation_types: Any = None, **options: Any) -> Hits:
        return await super().traverse_from_entities(*arguments, relation_types=relation_types or None, **options)


@mutant("MEMORY-086")
class AnyWay(InMemoryMemoryStore):
    """The way given is the one with the greatest relationship."""

    async def traverse_from_entities(self, entity_ids: Any, group_id: str, *rest: Any, **options: Any) -> Hits:
        hits = await super().traverse_from_entities(entity_ids, group_id, *rest, **options)
        edges = await self.get_relationships(group_id, tenant_id=options["tenant_id"])
        for hit in hits:
            last = hit["via"][-1]
            same = (last.from_entity_id, last.to_entity_id)
            hit["via"][-1] = max(
                (edge for edge in edges if (edge.from_entity_id, edge.to_entity_id) == same), key=lambda edge: edge.id
            )
        return hits


@mutant("MEMORY-088")
class AnyTenantsGraph(InMemoryMemoryStore):
    """A start is looked up among all tenants, and the walk goes on there."""

    async def traverse_from_entities(self, entity_ids: Any, group_id: str, *rest: Any, **options: Any) -> Hits:
        hits = await super().traverse_from_entities(entity_ids, group_id, *rest, **options)
        for owner in sorted({owner for id in entity_ids for owner in self._entities.tenants_of(id)}):
            hits += await super().traverse_from_entities(entity_ids, group_id, *rest, **{**options, "tenant_id": owner})
        return hits


@mutant("MEMORY-089")
class EntitiesAlwaysExist(InMemoryMemoryStore):
    """The validity of entities is not looked at."""

    def _live(self, partition: Any, id: UUID, then: datetime) -> Entity | None:
        return self._entities.get(partition[0], id)


@mutant("MEMORY-090")
class LimitBeforeOrder(InMemoryMemoryStore):
    """Rows are cut in the order of discovery."""

    async def traverse_from_entities(self, *arguments: Any, limit: int = 100, **options: Any) -> Hits:
        hits = await super().traverse_from_entities(*arguments, limit=1000, **options)
        return sorted(hits, key=lambda hit: (hit["distance"], hit["via"][-1].id))[:limit]


@mutant("MEMORY-091")
class WalkReturnsItsOwnRows(InMemoryMemoryStore):
    """The walk hands out the stored entities."""

    async def traverse_from_entities(self, *arguments: Any, **options: Any) -> Hits:
        hits = await super().traverse_from_entities(*arguments, **options)
        for hit in hits:
            hit["entity"] = self._entities.get(hit["entity"].tenant_id, hit["entity"].id) or hit["entity"]
        return hits
