"""What all in-memory stores share: tenants, optimistic upserts, soft deletion, vector search."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.context import BackendContext
from focal_core.errors import ConflictError, InvalidDataError, StaleVersionError
from focal_core.gate import admit, ambiguous_tenant, require_tenant, same_content, stamp
from focal_core.inmemory.table import Table, VectorIndex
from focal_core.paging import Page, check_paging, cursor_scope, decode_cursor, encode_cursor
from focal_core.store import Store
from focal_core.vectors import best_first, check_query, choose_space, cosine_of_units, unit

V = TypeVar("V", bound=Any)


class InMemoryStore(Store):
    """Base of the in-memory stores.

    Args:
        context: clock, isolation, limits, policies; the defaults when None.
    """

    tables: ClassVar[tuple[str, ...]] = ()
    """Names of the attributes that hold the store's tables."""

    def __init__(self, context: BackendContext | None = None) -> None:
        self.context = context or BackendContext()

    @property
    def cap(self) -> int:
        """Rows of a list without a limit at most."""
        return self.context.limits.unpaged_cap

    def _tables(self) -> list[Table[Any]]:
        names = dict.fromkeys(name for cls in type(self).__mro__ for name in vars(cls).get("tables", ()))
        return [getattr(self, name) for name in names]

    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[UUID]:
        check_paging(limit, 0, after)
        scope = cursor_scope(None, f"{self.port}.list_tenants")
        start = "" if after is None else str(decode_cursor(after, scope)[0])
        tenants = sorted(set[UUID]().union(*(table.tenants() for table in self._tables())))
        left = [tenant for tenant in tenants if str(tenant) > start]
        page = left[:limit]
        return Page(page, encode_cursor(scope, [str(page[-1])]) if len(left) > limit else None)

    async def erase_tenant(self, tenant_id: UUID) -> int:
        return sum(table.erase(tenant_id) for table in self._tables())

    def resolve_tenant(
        self, tenant_id: UUID | None, candidates: Callable[[], Collection[UUID]], what: str
    ) -> UUID | None:
        """Return the tenant a call means, or None when nothing can match.

        Args:
            tenant_id: as given by the caller.
            candidates: the tenants a call without one could mean.
            what: method name for the error.

        Raises:
            TenantRequiredError: omitted under strict isolation, or ambiguous.
        """
        require_tenant(tenant_id, self.context, what)
        if tenant_id is not None:
            return tenant_id
        found = candidates()
        if len(found) > 1:
            raise ambiguous_tenant(what)
        return next(iter(found), None)

    def upsert(self, table: Table[V], model: V, check: Callable[[V], None] | None = None) -> UUID:
        """Insert or replace a versioned row by the rules of ``Versioned`` and of soft deletion.

        Args:
            table: where it belongs.
            model: what to store; its row_version, created_at and updated_at are advanced in place on success.
            check: raises when the row collides with another one (unique names and the like).

        Raises:
            InvalidDataError: the model is invalid.
            StaleVersionError: row_version is given and is not the stored one.
            ConflictError: the id is soft-deleted and this is no explicit revival.
        """
        row = admit(model, self.context.limits)
        stored = table.get(row.tenant_id, row.id)
        actual = 0 if stored is None else stored.row_version
        if stored is not None and stored.deleted_at is not None:
            if "deleted_at" not in row.model_fields_set or row.row_version != actual:
                raise ConflictError(
                    f"{type(row).__name__} {row.id} is deleted",
                    code="deleted",
                    hint=f"to revive it, construct it with deleted_at=None and row_version={actual}",
                )
        elif row.row_version not in (0, actual):
            # A repeat of a save whose reply was lost finds its own content: what it wants is so already.
            if stored is not None and same_content(row, stored):
                self._advance(model, stored)
                return row.id  # type: ignore[no-any-return]
            raise StaleVersionError(
                f"{type(row).__name__} {row.id} has version {actual}, not {row.row_version}",
                expected=row.row_version,
                actual=actual,
            )
        stamp(row, stored, self.context.clock.now())
        row.set_stored(row_version=actual + 1)
        # An explicit revival is explicit once: objects read from here on do not carry it.
        row.model_fields_set.discard("deleted_at")
        if check is not None:
            check(row)
        table.put(row)
        self._advance(model, row)
        return row.id  # type: ignore[no-any-return]

    @staticmethod
    def _advance(model: Any, row: Any) -> None:
        model.set_stored(row_version=row.row_version, created_at=row.created_at, updated_at=row.updated_at)

    def soft_delete(self, table: Table[V], tenant_id: UUID, id: UUID) -> bool:
        """Mark a row deleted; False when it is absent or deleted already."""
        stored = table.get(tenant_id, id)
        if stored is None or stored.deleted_at is not None:
            return False
        row = validated_copy(stored)
        row.set_stored(deleted_at=self.context.clock.now())
        table.put(row)
        return True

    def nearest(self, index: VectorIndex[V], *arguments: Any, **options: Any) -> list[tuple[V, float]]:
        """Return what ``ranked`` returns, as copies."""
        return [(validated_copy(row), score) for row, score in self.ranked(index, *arguments, **options)]

    def ranked(
        self,
        index: VectorIndex[V],
        partitions: Collection[Hashable],
        query_embedding: Collection[float],
        *,
        limit: int,
        min_score: float | None,
        embedding_model: str | None,
        keep: Callable[[V], bool],
    ) -> list[tuple[V, float]]:
        """Return the rows nearest to a query with their cosines, best first; not copies.

        Raises:
            InvalidDataError: the query or the limit is wrong.
            EmbeddingSpaceError: the query cannot be compared with what is stored.
        """
        check_paging(limit)
        if limit is None:
            raise InvalidDataError("limit must be from 1 to 1000, not None", code="limit_invalid")
        query = check_query(query_embedding)
        stored = set[tuple[str, int]]().union(*(index.spaces(partition) for partition in partitions))
        model = choose_space(query, embedding_model, self.context.vector_policy, stored)
        direction = unit(query)
        scored = (
            (cosine_of_units(direction, vector), row.id, row)
            for partition in partitions
            for vector, row in index.vectors(partition, model, len(query))
            if keep(row)
        )
        return best_first(scored, limit, min_score)
