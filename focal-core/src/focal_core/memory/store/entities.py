"""Entities: the nodes of the graph."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from uuid import UUID

from focal_core.memory.models import Entity
from focal_core.paging import Page
from focal_core.store import Store


class EntityStore(Store):
    """Entities: add, read, search, change, remove."""

    @abstractmethod
    async def add_entity(self, entity: Entity) -> UUID:
        """Store a new entity and return its id; a repeat of the same content changes nothing.

        Args:
            entity: what to remember; its ``row_version``, ``created_at`` and ``updated_at`` become the stored ones.

        Raises:
            DuplicateError: the id is stored with other content (code ``record_differs``).
            EmbeddingSpaceError: spaces are strict and the vector's is not registered.
            InvalidDataError: the entity exceeds a limit, or ``deleted_at`` is set.
            StaleVersionError: nothing is stored and ``row_version`` is not 0.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def get_entity(self, entity_id: UUID, *, tenant_id: UUID | None = None) -> Entity | None:
        """Return an entity, valid now or not, or None when the tenant has none of that id.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

    @abstractmethod
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
        """Return the entities of a group by created_at, then id, ascending.

        Args:
            group_id: the group.
            entity_type: only entities of this type, exactly.
            tenant_id: the owner.
            as_of: the moment at which an entity must be valid; None means now.
            limit: rows, 1 to 1,000; None = all of them.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: an argument is wrong, or an unlimited list exceeds ``limits.unpaged_cap``
                (code ``result_too_large``).
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

    @abstractmethod
    async def update_entity(self, entity: Entity) -> UUID:
        """Replace a stored entity as a whole and return its id, by the rules of ``row_version``.

        ``created_at`` and ``recorded_at`` stay as stored, ``updated_at`` becomes the present. Safe to retry.

        Args:
            entity: the new content; its ``row_version`` and ``updated_at`` are advanced in place on success.

        Raises:
            EmbeddingSpaceError: spaces are strict and the vector's is not registered.
            InvalidDataError: the entity names another group than the stored one (code ``group_immutable``),
                exceeds a limit, or ``deleted_at`` is set.
            NotFoundError: the tenant has no entity of that id.
            StaleVersionError: ``row_version`` is given and is not the stored one.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete_entity(self, entity_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        """Remove an entity for good, with every relationship at either end of which it stands, in one step.

        Episodes that mention it keep its id. False when the tenant has none of that id.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous; nothing is removed.
        """

    @abstractmethod
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
        """Return the entities of a group nearest to a query vector, best first.

        An entity is never missed because others, left out by a filter, lie closer to the query.

        Args:
            query_embedding: (dim,) floats, finite, not all zero.
            group_id: the group.
            limit: rows, 1 to 1,000.
            tenant_id: the owner.
            min_score: only entities with at least this score; None means every score, negative ones included.
            as_of: the moment at which an entity must be valid; None means now.
            embedding_model: the model whose vectors are compared; None means the configured one, else the only one
                that has vectors of the query's length in the group.

        Returns:
            (entity, score) pairs; score is the cosine in [-1.0, 1.0], descending, ties by id ascending. Left out:
            entities without a vector or with one of another space, and those not valid at ``as_of``.

        Raises:
            InvalidDataError: vector, group or limit are wrong, or ``as_of`` is naive.
            EmbeddingSpaceError: the group has vectors but none of that length, or of several models.
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """
