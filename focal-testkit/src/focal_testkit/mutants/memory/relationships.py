"""Memory stores that break a rule about relationships."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.errors import DuplicateError
from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_core.memory.models import Relationship
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("MEMORY-070", "MEMORY-084")
class TurnsRound(InMemoryMemoryStore):
    """Relationships are stored the other way round."""

    async def add_relationship(self, relationship: Relationship) -> UUID:
        ends = {"from_entity_id": relationship.to_entity_id, "to_entity_id": relationship.from_entity_id}
        return await super().add_relationship(relationship.model_copy(update=ends))


@mutant("MEMORY-071")
class StartOnly(InMemoryMemoryStore):
    """An entity is looked for at the start only."""

    async def get_relationships(
        self, group_id: str, entity_id: UUID | None = None, *rest: Any, **options: Any
    ) -> Page[Relationship]:
        found = await super().get_relationships(group_id, entity_id, *rest, **options)
        return Page((one for one in found if entity_id in (None, one.from_entity_id)), found.next_cursor)


@mutant("MEMORY-072")
class NewestRelationshipFirst(InMemoryMemoryStore):
    """Relationships are listed the other way round."""

    async def get_relationships(self, group_id: str, *rest: Any, **options: Any) -> Page[Relationship]:
        found = await super().get_relationships(group_id, *rest, **options)
        return Page(reversed(found), found.next_cursor)


@mutant("MEMORY-073")
class EndsMustBeValid(InMemoryMemoryStore):
    """Relationships of entities that are not valid now are left out."""

    async def get_relationships(self, group_id: str, *rest: Any, **options: Any) -> Page[Relationship]:
        found = await super().get_relationships(group_id, *rest, **options)
        now = options.get("as_of") or self.context.clock.now()
        starts = ((one, self._entities.get(one.tenant_id, one.from_entity_id)) for one in found)
        return Page((one for one, start in starts if start is None or start.is_valid(now)), found.next_cursor)


@mutant("MEMORY-074", "MEMORY-075")
class EndsAreNotChecked(InMemoryMemoryStore):
    """A relationship may end anywhere."""

    def _check_edge(self, row: Relationship) -> None:
        return


@mutant("MEMORY-075")
class AnyGroupsEntities(InMemoryMemoryStore):
    """The ends of a relationship may be of another group."""

    def _check_edge(self, row: Relationship) -> None:
        end = self._entities.get(row.tenant_id, row.to_entity_id)
        super()._check_edge(row if end is None else row.model_copy(update={"group_id": end.group_id}))


@mutant("MEMORY-076")
class UniqueWithoutTime(InMemoryMemoryStore):
    """Start, end and type are taken once, whenever they are valid."""

    def _check_edge(self, row: Relationship) -> None:
        for other in self._relationships.rows(row.tenant_id):
            same = (other.from_entity_id, other.to_entity_id, other.relation_type)
            if other.id != row.id and same == (row.from_entity_id, row.to_entity_id, row.relation_type):
                raise DuplicateError("exists", code="relationship_exists")
        super()._check_edge(row)
