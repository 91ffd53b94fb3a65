"""The tables of the in-memory memory store, and what its parts share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.gate import admit, identifier, moment
from focal_core.ids import NIL
from focal_core.inmemory.store import InMemoryStore
from focal_core.inmemory.table import OrderedIndex, Table, UniqueIndex, VectorIndex, micros
from focal_core.memory.models import Entity, Episode, Relationship
from focal_core.memory.rules import not_found, refuse_if_moved, refuse_unless_repeat
from focal_core.paging import Page, cursor_scope

R = TypeVar("R", Episode, Entity, Relationship)
G = TypeVar("G", Entity, Relationship)
Partition = tuple[UUID, str]
"""(tenant, group)."""


def _by_group(row: Episode | Entity | Relationship) -> Partition:
    return row.tenant_id, row.group_id


def _by_creation(row: Entity | Relationship) -> tuple[int, str]:
    return micros(row.created_at), str(row.id)


def _by_id(row: Relationship) -> tuple[str]:
    return (str(row.id),)


def _vector(row: Episode | Entity) -> tuple[str, tuple[float, ...]] | None:
    return None if row.embedding is None else (str(row.embedding_model), row.embedding)


class MemoryTables(InMemoryStore):
    """Base of the parts of the in-memory memory store."""

    tables: ClassVar[tuple[str, ...]] = ("_episodes", "_entities", "_relationships")

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._episodes_of_group = OrderedIndex[Episode](
            _by_group, lambda episode: (-micros(episode.occurred_at), str(episode.id))
        )
        self._episode_vectors = VectorIndex[Episode](_by_group, _vector)
        self._episodes = Table[Episode](self._episodes_of_group, self._episode_vectors)

        self._entities_of_group = OrderedIndex[Entity](_by_group, _by_creation)
        self._entity_vectors = VectorIndex[Entity](_by_group, _vector)
        self._entities = Table[Entity](self._entities_of_group, self._entity_vectors)

        self._relationships_of_group = OrderedIndex[Relationship](_by_group, _by_creation)
        self._outgoing = OrderedIndex[Relationship](lambda edge: (*_by_group(edge), edge.from_entity_id), _by_id)
        self._incoming = OrderedIndex[Relationship](lambda edge: (*_by_group(edge), edge.to_entity_id), _by_id)
        self._relationship_keys = UniqueIndex[Relationship](
            lambda edge: (
                *_by_group(edge),
                edge.from_entity_id,
                edge.to_entity_id,
                edge.relation_type,
                edge.valid_from,
            )
        )
        self._relationships = Table[Relationship](
            self._relationships_of_group, self._outgoing, self._incoming, self._relationship_keys
        )

    def tenant_of(self, tenant_id: UUID | None, candidates: Callable[[], Collection[UUID]], what: str) -> UUID:
        """Return the tenant a call means; when it can mean none, one that has no such rows.

        Raises:
            TenantRequiredError: omitted under strict isolation, or ambiguous.
        """
        return self.resolve_tenant(tenant_id, candidates, what) or NIL

    def partition(self, tenant_id: UUID | None, group_id: str, what: str) -> Partition:
        """Return the partition a group method means.

        Raises:
            InvalidDataError: the group is no identifier.
            TenantRequiredError: omitted under strict isolation, or several tenants have rows in the group.
        """
        group = identifier(group_id, "group_id")
        return self.tenant_of(tenant_id, lambda: self.tenants_of_group(group), what), group

    def tenants_of_group(self, group: str) -> set[UUID]:
        """Return the tenants that have any row in a group."""
        return (
            self._episodes_of_group.tenants_of(group)
            | self._entities_of_group.tenants_of(group)
            | self._relationships_of_group.tenants_of(group)
        )

    def moment_or_now(self, as_of: datetime | None) -> datetime:
        """Return ``as_of``, or the present when it is None."""
        return moment(as_of, "as_of") or self.context.clock.now()

    def get_row(self, table: Table[R], tenant_id: UUID | None, id: UUID, what: str) -> R | None:
        """Return the stored row of an id, not a copy, or None."""
        return table.get(self.tenant_of(tenant_id, lambda: table.tenants_of(id), what), id)

    def page_of(
        self,
        index: OrderedIndex[R],
        partition: Partition,
        what: str,
        keep: Callable[[R], bool],
        *,
        limit: int | None,
        after: str | None,
        **filters: Any,
    ) -> Page[R]:
        """Return a page of a group; the cursor is bound to the method and its filters."""
        tenant, group = partition
        scope = cursor_scope(tenant, what, group=group, **filters)
        return index.page(partition, scope=scope, limit=limit, cap=self.cap, after=after, keep=keep)

    def add_versioned(self, table: Table[G], model: G, check: Callable[[G], None]) -> UUID:
        """Insert a row unless it is a repeat; ``check`` raises when it collides with another one."""
        stored = table.get(model.tenant_id, model.id)
        if stored is not None:
            refuse_unless_repeat(admit(model, self.context.limits), stored)
            self._advance(model, stored)
            return model.id

        def prepare(row: G) -> None:
            check(row)
            row.set_stored(recorded_at=row.updated_at)

        return self.upsert(table, model, prepare)

    def update_versioned(self, table: Table[G], model: G, check: Callable[[G], None]) -> UUID:
        """Replace a stored row by the rules of ``Versioned``."""
        stored = table.get(model.tenant_id, model.id)
        if stored is None:
            raise not_found(type(model).__name__.lower(), model.id)

        def prepare(row: G) -> None:
            refuse_if_moved(row, stored)
            check(row)
            row.set_stored(recorded_at=stored.recorded_at)

        return self.upsert(table, model, prepare)
