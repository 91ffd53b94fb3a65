"""Search by vectors: which spaces a search can mean, and by which plan its rows are found.

pgvector leaves the plan to PostgreSQL, which filters the few rows an index scan returns and answers short. Here the
plan is chosen: few rows are all compared, behind the tenant's index; many are searched through an HNSW index, and again
exactly when the answer comes back short. Either way it is one statement, and scores are computed in full precision.

pgvector squares in float32: among more rows than are asked for, vectors longer than 1e19 or shorter than 1e-19 may be
ranked wrongly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from focal_core.errors import InvalidDataError
from focal_core.paging import check_paging
from focal_core.vectors import best_first, check_query, choose_space, cosine_to
from focal_postgres.candidates import Candidates, Plan, VectorQuery, candidates
from focal_postgres.layout import Layout
from focal_postgres.spaces import Spaces, index_name
from focal_postgres.store import PostgresStore
from focal_postgres.transaction import Record

__all__ = [
    "ALWAYS_EXACT",
    "SMALL_SHARE",
    "Candidates",
    "Report",
    "VectorQuery",
    "checked",
    "most_compared",
    "nearest",
    "ranked",
    "search",
]

V = TypeVar("V", bound=Any)

ALWAYS_EXACT = 2_000
"""Rows of a scope up to which comparing all of them is as fast as an index."""

SMALL_SHARE = 0.15
"""Share of an index below which its scan passes over more rows than comparing all of a scope's takes."""


class Report(NamedTuple):
    """What a statement says of itself.

    Attributes:
        spaces: (id, model, dims) of the vectors in the searched partitions.
        size: vectors of the space in them, as far as they were counted; None when they were not.
        found: candidates that passed the filters, whatever their score.
    """

    spaces: list[tuple[int, str, int]]
    size: int | None
    found: int


async def nearest(
    store: PostgresStore,
    method: str,
    layout: Layout[V],
    *,
    tenant_id: UUID,
    partitions: Sequence[UUID] | Sequence[str],
    query_embedding: Sequence[float],
    limit: int,
    min_score: float | None,
    embedding_model: str | None,
    where: str = "",
    args: Sequence[Any] = (),
) -> list[tuple[V, float]]:
    """Return the rows nearest to a query with their cosines, best first, ties by id ascending.

    Args:
        store: whose rows.
        method: the store's method.
        layout: of the rows; it names the side table of their vectors.
        tenant_id: the owner.
        partitions: the agents or groups that are searched; agents that are deleted have no rows.
        query_embedding: (dim,) floats.
        limit: rows, 1 to 1,000.
        min_score: only rows of at least this score.
        embedding_model: the model whose vectors are compared, or None.
        where: a further condition on the alias ``r``; its parameters are ``$1`` to ``$len(args)``.
        args: its parameters.

    Raises:
        InvalidDataError: the query or the limit is wrong.
        EmbeddingSpaceError: the query cannot be compared with what is stored.
    """
    query = checked(tenant_id, partitions, query_embedding, limit, min_score, embedding_model, where=where, args=args)

    def statement(candidates: Candidates) -> tuple[str, list[Any]]:
        row = (
            f"SELECT {layout.select()} FROM {layout.source(store.schema)}"
            f" WHERE r.tenant_id = {candidates.tenant} AND r.id = n.id LIMIT 1"
        )
        return (
            f"WITH {candidates.ctes} SELECT p.report, n.distance, x.* FROM vector_report p"
            f" LEFT JOIN vector_nearest n ON true LEFT JOIN LATERAL ({row}) x ON true",
            candidates.args,
        )

    records, model = await search(store, method, layout, query, statement)
    found = [(layout.load(record, 2), record["distance"]) for record in records if record["distance"] is not None]
    return ranked(layout, query, model, found)


def checked(
    tenant_id: UUID,
    partitions: Sequence[UUID] | Sequence[str],
    query_embedding: Sequence[float],
    limit: int | None,
    min_score: float | None,
    embedding_model: str | None,
    *,
    where: str = "",
    args: Sequence[Any] = (),
) -> VectorQuery:
    """Return the arguments of a search, refused as the reference refuses them; parameters as of ``nearest``.

    Raises:
        InvalidDataError: the query or the limit is wrong.
    """
    check_paging(limit)
    if limit is None:
        raise InvalidDataError("limit must be from 1 to 1000, not None", code="limit_invalid")
    embedding = check_query(query_embedding)
    return VectorQuery(tenant_id, partitions, embedding, limit, min_score, embedding_model, where, args)


async def search(
    store: PostgresStore,
    method: str,
    layout: Layout[Any],
    query: VectorQuery,
    statement: Callable[[Candidates], tuple[str, list[Any]]],
) -> tuple[list[Record], str | None]:
    """Run a statement that holds a vector search until its answer is whole; once, when spaces and sizes are known.

    Args:
        store: whose rows.
        method: the store's method.
        layout: of the rows.
        query: what is searched for.
        statement: returns text and parameters of the statement around the candidates.

    Returns:
        The rows of the statement, and the model whose vectors were compared; None when the partitions hold no vectors.

    Raises:
        EmbeddingSpaceError: the query cannot be compared with what is stored.
    """
    spaces, policy = store.database.spaces, store.context.vector_policy
    dims = len(query.embedding)
    scope = (layout.table, query.tenant_id, tuple(query.partitions))
    model = query.model or policy.embedding_model or await _guess(spaces, scope, dims)
    exactly = False
    while True:
        space_id = None if model is None else (await spaces.known()).get((model, dims))
        plan = await _plan(store, layout, query, space_id, scope, exactly)
        text, args = statement(candidates(store, layout, query, plan))
        records = await store.database.fetch(method, text, *args, replica=True, search=plan.hnsw is not None)
        report = Report(**json.loads(records[0]["report"]))
        spaces.learn(report.spaces)
        if report.size is not None:
            spaces.sizes.put((*scope, space_id), report.size)
        right = choose_space(query.embedding, query.model, policy, {(name, size) for _, name, size in report.spaces})
        if right is None:
            return records, None
        if query.model is None:
            spaces.meant.put((*scope, dims), right)
        present = next((id for id, name, size in report.spaces if (name, size) == (right, dims)), space_id)
        too_many = plan.most is not None and report.size is not None and report.size > plan.most
        too_few = plan.hnsw is not None and report.found < query.limit
        if present == space_id and not too_many and not too_few:
            return records, right
        model, exactly = right, exactly or too_few


def ranked(
    layout: Layout[V], query: VectorQuery, model: str | None, found: Sequence[tuple[V, float]]
) -> list[tuple[V, float]]:
    """Return (row, cosine) pairs in the order of the reference, cut to the limit of the query.

    Args:
        layout: of the rows.
        query: what was searched for.
        model: the model whose vectors were compared.
        found: (row, distance by pgvector).
    """
    direction, dims = query.direction, len(query.embedding)

    def score(row: V, distance: float) -> float:
        vector = layout.vector(row)
        # The row's own vector may be of another space while its texts are being embedded anew.
        if vector is not None and len(vector) == dims and row.__dict__[f"{layout.vector_field}_model"] == model:
            return cosine_to(direction, vector)
        return max(-1.0, min(1.0, 1.0 - distance))

    return best_first(((score(row, distance), row.id, row) for row, distance in found), query.limit, query.min_score)


async def _guess(spaces: Spaces, scope: tuple[Any, ...], dims: int) -> str | None:
    """Return the model a search that names none will mean: that of the last one, or the only one of the length."""
    meant = spaces.meant.get((*scope, dims))
    if meant is not None:
        return meant
    fitting = [model for model, length in await spaces.known() if length == dims]
    return fitting[0] if len(fitting) == 1 else None


async def _plan(
    store: PostgresStore,
    layout: Layout[Any],
    query: VectorQuery,
    space_id: int | None,
    scope: tuple[Any, ...],
    exactly: bool,
) -> Plan:
    if space_id is None or exactly or layout.vectors is None:
        return Plan(space_id)
    indexes = await store.database.spaces.indexes()
    for tenant in (query.tenant_id, None):
        name = index_name(layout.vectors, space_id, tenant)
        if name not in indexes:
            continue
        most = most_compared(store.database.options.exact_search_max_rows, indexes[name].rows)
        size = store.database.spaces.sizes.get((*scope, space_id))
        if size is None:
            return Plan(space_id, most=most)
        if size > most:
            return Plan(space_id, name, tenant is not None, indexes[name].storage)
        break
    return Plan(space_id)


def most_compared(exact_search_max_rows: int, indexed: float) -> int:
    """Return how many rows of a scope are all compared rather than searched through an index.

    Args:
        exact_search_max_rows: as configured.
        indexed: rows in the index.
    """
    return min(exact_search_max_rows, max(ALWAYS_EXACT, int(SMALL_SHARE * indexed)))
