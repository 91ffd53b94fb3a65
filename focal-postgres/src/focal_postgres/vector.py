"""Search by vectors: which spaces a search can mean, and by which plan its rows are found.

pgvector leaves the plan to PostgreSQL, which filters the few rows an index scan returns and answers short. Here the
plan is chosen: few rows are all compared, behind the tenant's index; many are searched through an HNSW index, and again
exactly when the answer comes back short. Either way it is one statement, and scores are computed in full precision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from focal_core.errors import InvalidDataError
from focal_core.paging import check_paging
from focal_core.vectors import best_first, check_query, choose_space, cosine_of_units, unit
from focal_postgres.database import Record
from focal_postgres.layout import Layout
from focal_postgres.spaces import Spaces, index_name
from focal_postgres.store import PostgresStore

V = TypeVar("V", bound=Any)

ALWAYS_EXACT = 2_000
"""Rows of a scope up to which comparing all of them is as fast as an index."""

SMALL_SHARE = 0.15
"""Share of an index below which its scan passes over more rows than comparing all of a scope's takes."""

_NOISE = 1e-5
"""How far pgvector's float32 distances may be off; what lies that close to the last row is scored as well."""

_SPARE = 16
"""Rows beyond the limit that are looked at for that."""


@dataclass(frozen=True)
class VectorQuery:
    """What is searched for, and where.

    Attributes:
        tenant_id: the owner.
        partitions: the agents or groups that are searched.
        embedding: (dim,) floats.
        limit: rows, 1 to 1,000.
        min_score: only rows of at least this score.
        model: the model the caller names.
        where: a further condition on the parent, alias ``r``; its parameters are ``$1`` to ``$len(args)``.
        args: its parameters.
    """

    tenant_id: UUID
    partitions: Sequence[UUID] | Sequence[str]
    embedding: tuple[float, ...]
    limit: int
    min_score: float | None = None
    model: str | None = None
    where: str = ""
    args: Sequence[Any] = ()


class Candidates(NamedTuple):
    """The part of a statement that finds the nearest rows.

    Attributes:
        ctes: ``name AS (...), ...`` for a WITH clause. ``vector_nearest (id, distance)`` holds a few rows more than the
            limit, in no order; ``vector_report (report)`` is one row, whose text column every row of the result must
            carry, under the name ``report``, also when nothing was found.
        args: parameters of the statement so far, those of ``VectorQuery.args`` first; more may follow.
        tenant: the parameter that is the tenant, such as ``$3::uuid``.
    """

    ctes: str
    args: list[Any]
    tenant: str


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


class Plan(NamedTuple):
    """How one statement searches.

    Attributes:
        space_id: the space; None finds nothing, and tells which spaces there are.
        hnsw: name of the HNSW index, or None to compare all vectors.
        own: whether that index is the tenant's own.
        storage: what the index casts to.
        most: rows of the scope up to which all are compared; None = however many there are.
    """

    space_id: int | None
    hnsw: str | None = None
    own: bool = False
    storage: str = "halfvec"
    most: int | None = None


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
    direction, dims = unit(query.embedding), len(query.embedding)

    def score(row: V, distance: float) -> float:
        vector = layout.vector(row)
        # The row's own vector may be of another space while its texts are being embedded anew.
        if vector is not None and len(vector) == dims and row.__dict__[f"{layout.vector_field}_model"] == model:
            return cosine_of_units(direction, unit(vector))
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


class _Words(NamedTuple):
    """What the texts of both plans are made of.

    Attributes:
        side: the side table.
        own: the condition that a vector (``v``) is of the tenant and one of the partitions.
        kept: joins the parent of ``v``, which must pass the filters.
        embedding: the query.
        limit: rows.
        parameter: adds a parameter and returns it with its type.
    """

    side: str
    own: str
    kept: str
    embedding: str
    limit: str
    parameter: Callable[[Any, str], str]


def candidates(store: PostgresStore, layout: Layout[Any], query: VectorQuery, plan: Plan) -> Candidates:
    """Return the part of a statement that finds the nearest rows by a plan."""
    args = [*query.args]

    def parameter(value: Any, kind: str) -> str:
        args.append(value)
        return f"${len(args)}::{kind}"

    schema, side = store.schema, f"{store.schema}.{layout.vectors}"
    tenant = parameter(query.tenant_id, "uuid")
    by_agent = "agent_id" in layout.names and "group_id" not in layout.names
    partition, kind = ("agent_id", "uuid") if by_agent else ("group_id", "text")
    searched = parameter(list(query.partitions), f"{kind}[]")
    if by_agent:
        searched = (
            f"ARRAY(SELECT p FROM unnest({searched}) p WHERE NOT EXISTS (SELECT FROM {schema}.agents a"
            f" WHERE a.tenant_id = {tenant} AND a.id = p AND a.deleted_at IS NOT NULL))"
        )
    # Cast once: in a select list the cast would be made for every row as soon as the plan is generic.
    given = (
        f"vector_query AS MATERIALIZED (SELECT {searched} AS searched,"
        f" {parameter(unit(query.embedding), 'float4[]')}::vector AS embedding)"
    )
    live = f"r.tenant_id = {tenant} AND r.id = v.id" + (" AND r.deleted_at IS NULL" if by_agent else "")
    # OFFSET 0 keeps the parent where it is: looked up for each vector in turn, and only until enough have passed.
    passes = f"CROSS JOIN LATERAL (SELECT FROM {schema}.{layout.table} r WHERE {live}{{}} OFFSET 0) k"
    # Ordered, so that the planner takes the index: of a large tenant it expects to meet a row of the space right away,
    # and reads the whole table where there is none.
    present = (
        f"vector_present AS MATERIALIZED (SELECT s.id, s.model, s.dims FROM {schema}.embedding_spaces s WHERE EXISTS"
        f" (SELECT FROM vector_query q CROSS JOIN LATERAL unnest(q.searched) p CROSS JOIN LATERAL (SELECT FROM {side} v"
        f" {passes.format('')} WHERE v.tenant_id = {tenant} AND v.{partition} = p AND v.space_id BETWEEN s.id AND s.id"
        " ORDER BY v.space_id LIMIT 1) e))"
    )
    words = _Words(
        side,
        f"v.tenant_id = {tenant} AND v.{partition} = ANY ((SELECT searched FROM vector_query)::{kind}[])",
        passes.format(f" AND ({query.where})" if query.where else ""),
        "(SELECT embedding FROM vector_query)",
        parameter(query.limit, "bigint"),
        parameter,
    )
    if plan.hnsw is None:
        found, size = _exact(words, plan, store.database.options.exact_search_max_rows + 1), "NULL"
        if plan.most is not None:
            size = "(SELECT size FROM vector_size)"
    else:
        found, size = _approximate(words, plan, query), "NULL"
    worst = parameter(None if query.min_score is None else 1.0 - query.min_score + _NOISE, "float8")
    ordered = (
        f"vector_ordered AS MATERIALIZED (SELECT id, distance, nth_value(distance, {words.limit}::integer) OVER"
        " (ORDER BY distance, id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last FROM vector_found)"
    )
    cut = (
        "vector_nearest AS MATERIALIZED (SELECT id, distance FROM vector_ordered"
        f" WHERE (last IS NULL OR distance <= last + {_NOISE}) AND ({worst} IS NULL OR distance <= {worst}))"
    )
    report = (
        "vector_report AS MATERIALIZED (SELECT json_build_object('spaces', (SELECT coalesce(json_agg("
        f"json_build_array(id, model, dims)), '[]') FROM vector_present), 'size', {size},"
        " 'found', (SELECT count(*) FROM vector_ordered))::text AS report)"
    )
    return Candidates(", ".join((given, present, found, ordered, cut, report)), args, tenant)


def _exact(words: _Words, plan: Plan, counted: int) -> str:
    """Return the CTEs that compare every vector of the scope; up to ``vector_found``.

    Args:
        words: the parts.
        plan: with the space, and the size from which nothing is compared.
        counted: vectors that are counted at most; more than ``plan.most``, which may be another one when the number is
            used again.
    """
    space = words.parameter(plan.space_id, "integer")
    size, guard = "", ""
    if plan.most is not None:
        rows = f"SELECT FROM {words.side} v WHERE {words.own} AND v.space_id = {space}"
        rows += f" LIMIT {words.parameter(counted, 'bigint')}"
        size = f"vector_size AS MATERIALIZED (SELECT count(*) AS size FROM ({rows}) c), "
        guard = f" AND (SELECT size FROM vector_size) <= {words.parameter(plan.most, 'bigint')}"
    return (
        f"{size}vector_scored AS MATERIALIZED (SELECT v.id, v.embedding <=> {words.embedding} AS distance"
        f" FROM {words.side} v WHERE {words.own} AND v.space_id = {space}{guard}),"
        " vector_found AS MATERIALIZED (SELECT v.id, v.distance FROM (SELECT id, distance FROM vector_scored"
        f" ORDER BY distance, id OFFSET 0) v {words.kept} ORDER BY v.distance, v.id LIMIT {words.limit} + {_SPARE})"
    )


def _approximate(words: _Words, plan: Plan, query: VectorQuery) -> str:
    """Return the CTEs that search through an HNSW index, in half precision, and score in full; up to ``vector_found``.

    Literals, or the partial index is lost with the first generic plan. CASE, or the planner may leave the index for the
    tenant's own, and sort.
    """
    indexed = f"v.space_id = {int(plan.space_id or 0)}"
    if plan.own:
        indexed += f" AND v.tenant_id = '{UUID(str(query.tenant_id))}'"
    kind = f"{plan.storage}({len(query.embedding)})"
    return (
        f"vector_scored AS MATERIALIZED (SELECT v.id, v.embedding <=> {words.embedding} AS distance"
        f" FROM (SELECT v.id, v.embedding FROM {words.side} v {words.kept}"
        f" WHERE {indexed} AND CASE WHEN {words.own} THEN true END"
        f" ORDER BY v.embedding::{kind} <=> {words.embedding}::{kind} LIMIT 2 * {words.limit}) v),"
        " vector_found AS MATERIALIZED (SELECT id, distance FROM vector_scored"
        f" ORDER BY distance, id LIMIT {words.limit} + {_SPARE})"
    )
