"""Relationships, the edges of the graph, and the walk along them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from focal_core.memory.models import Direction, Relationship, TraversalHit
from focal_core.paging import Page
from focal_core.store import Store


class RelationshipStore(Store):
    """Relationships: add, read, change, remove, follow."""

    @abstractmethod
    async def add_relationship(self, relationship: Relationship) -> UUID:
        """Store a new relationship and return its id; a repeat of the same content changes nothing.

        Args:
            relationship: what to remember; its ``row_version``, ``created_at`` and ``updated_at`` become the stored
                ones. Both ends may be one entity.

        Raises:
            DuplicateError: the id is stored with other content (code ``record_differs``), or another relationship of
                the group has the same ends, type and ``valid_from`` (code ``relationship_exists``).
            InvalidDataError: an end is no entity of the same tenant and group (code ``endpoint_missing``); the
                relationship exceeds a limit, or ``deleted_at`` is set.
            StaleVersionError: nothing is stored and ``row_version`` is not 0.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def get_relationship(self, relationship_id: UUID, *, tenant_id: UUID | None = None) -> Relationship | None:
        """Return a relationship, valid now or not, or None when the tenant has none of that id.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

    @abstractmethod
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
        """Return the relationships of a group by created_at, then id, ascending; every filter given must hold.

        Args:
            group_id: the group.
            entity_id: only relationships with this entity at either end.
            relation_type: only relationships of this type, exactly.
            tenant_id: the owner.
            as_of: the moment at which a relationship must be valid; None means now. Its ends need not be.
            limit: rows, 1 to 1,000; None = all of them.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: an argument is wrong, or an unlimited list exceeds ``limits.unpaged_cap``
                (code ``result_too_large``).
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

    @abstractmethod
    async def update_relationship(self, relationship: Relationship) -> UUID:
        """Replace a stored relationship as a whole and return its id, by the rules of ``row_version``.

        ``created_at`` and ``recorded_at`` stay as stored, ``updated_at`` becomes the present. Safe to retry.

        Args:
            relationship: the new content; its ``row_version`` and ``updated_at`` are advanced in place on success.

        Raises:
            DuplicateError: another relationship of the group has the same ends, type and ``valid_from``
                (code ``relationship_exists``).
            InvalidDataError: the relationship names another group (code ``group_immutable``) or other ends (code
                ``endpoints_immutable``) than the stored one, exceeds a limit, or ``deleted_at`` is set.
            NotFoundError: the tenant has no relationship of that id.
            StaleVersionError: ``row_version`` is given and is not the stored one.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete_relationship(self, relationship_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        """Remove a relationship for good; False when the tenant has none of that id.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous; nothing is removed.
        """

    @abstractmethod
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
        """Return the entities that can be reached from some start entities, breadth-first.

        The walk never leaves the tenant and the group. Each entity is returned once, at its shortest distance; start
        entities are never returned. Entities and relationships that are not valid at ``as_of`` do not exist for it.

        Args:
            entity_ids: where to start; unknown ids, and those of other tenants and groups, contribute nothing.
            group_id: the group.
            depth: relationships to follow at most, 1 to 5.
            tenant_id: the owner.
            relation_types: only relationships of these types; None means every type, an empty collection none.
            direction: which way they are followed.
            as_of: the moment at which the graph is looked at; None means now.
            limit: rows, 1 to 1,000.

        Returns:
            Hits by distance, then entity id, ascending. ``via`` has ``distance`` relationships; of several shortest
            ways it is the one whose sequence of relationship ids is the least.

        Raises:
            InvalidDataError: group, depth (code ``depth_invalid``) or limit are wrong, or ``as_of`` is naive.
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """
