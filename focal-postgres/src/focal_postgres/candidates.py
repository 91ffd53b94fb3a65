"""The statement of a vector search: the part that finds the nearest rows, by either plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from focal_core.vectors import unit
from focal_postgres.layout import Layout
from focal_postgres.spaces import indexed
from focal_postgres.store import PostgresStore

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

    @cached_property
    def direction(self) -> tuple[float, ...]:
        """The embedding, scaled to length 1."""
        return unit(self.embedding)


class Candidates(NamedTuple):
    """The part of a statement that finds the nearest rows.

    Attributes:
        ctes: ``name AS (...), ...`` for a WITH clause. ``vector_nearest (id, distance)`` holds a few rows more than the
            limit, in no order; ``vector_report (report)`` is one row, whose text column every row of the result must
            carry, under the name ``report``, also when nothing was found.
        args: parameters of the statement so far, those of ``VectorQuery.args`` first; more may follow.
        tenant: the expression for the tenant.
    """

    ctes: str
    args: list[Any]
    tenant: str


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


class _Words(NamedTuple):
    """What the texts of both plans are made of.

    Attributes:
        side: the side table.
        own: the condition that a vector (``v``) is of the tenant and one of the partitions.
        kept: joins the parent of ``v``, which must pass the filters.
        embedding: the query.
        limit: rows.
        space: the space.
        parameter: adds a parameter and returns it with its type.
    """

    side: str
    own: str
    kept: str
    embedding: str
    limit: str
    space: str
    parameter: Callable[[Any, str], str]


def candidates(store: PostgresStore, layout: Layout[Any], query: VectorQuery, plan: Plan) -> Candidates:
    """Return the part of a statement that finds the nearest rows by a plan.

    The planner sees no value that it could estimate by: all are behind a CTE. So its plan for given parameters costs
    what the one for any costs, and after five executions it makes none any more, which took a third of a search. No
    estimate decides how the rows are found: the text does.
    """
    args = [*query.args]

    def parameter(value: Any, kind: str) -> str:
        args.append(value)
        return f"${len(args)}::{kind}"

    schema, side = store.schema, f"{store.schema}.{layout.vectors}"
    owner = parameter(query.tenant_id, "uuid")
    by_agent = "agent_id" in layout.names and "group_id" not in layout.names
    partition, kind = ("agent_id", "uuid") if by_agent else ("group_id", "text")
    searched = parameter(list(query.partitions), f"{kind}[]")
    if by_agent:
        searched = (
            f"ARRAY(SELECT p FROM unnest({searched}) p WHERE NOT EXISTS (SELECT FROM {schema}.agents a"
            f" WHERE a.tenant_id = {owner} AND a.id = p AND a.deleted_at IS NOT NULL))"
        )
    farthest = None if query.min_score is None else 1.0 - query.min_score + _NOISE
    values = {
        "searched": searched,
        "tenant": owner,
        "embedding": parameter(query.direction, "vector"),
        "space": parameter(plan.space_id, "integer"),
        "wanted": parameter(query.limit, "bigint"),
        "worst": parameter(farthest, "float8"),
    }
    given = ", ".join(f"{value} AS {name}" for name, value in values.items())
    searched, tenant, embedding, space, limit, worst = (f"(SELECT {name} FROM vector_query)" for name in values)
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
        f"v.tenant_id = {tenant} AND v.{partition} = ANY ({searched}::{kind}[])",
        passes.format(f" AND ({query.where})" if query.where else ""),
        embedding,
        limit,
        space,
        parameter,
    )
    if plan.hnsw is None:
        found, size = _exact(words, plan, store.database.options.exact_search_max_rows + 1), "NULL"
        if plan.most is not None:
            size = "(SELECT size FROM vector_size)"
    else:
        found, size = _approximate(words, plan, query), "NULL"
    ordered = (
        f"vector_ordered AS MATERIALIZED (SELECT id, distance, nth_value(distance, {limit}::integer) OVER"
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
    query_values = f"vector_query AS MATERIALIZED (SELECT {given})"
    return Candidates(", ".join((query_values, present, found, ordered, cut, report)), args, tenant)


def _exact(words: _Words, plan: Plan, counted: int) -> str:
    """Return the CTEs that compare every vector of the scope; up to ``vector_found``.

    Args:
        words: the parts.
        plan: with the space, and the size from which nothing is compared.
        counted: vectors that are counted at most; more than ``plan.most``, which may be another one when the number is
            used again.
    """
    # As a range: of unknown bounds the planner expects few rows, and takes the index whatever the share of the tenant.
    whole = f"{words.own} AND v.space_id BETWEEN {words.space} AND {words.space}"
    size, guard = "", ""
    if plan.most is not None:
        rows = f"SELECT FROM {words.side} v WHERE {whole} LIMIT {int(counted)}"
        size = f"vector_size AS MATERIALIZED (SELECT count(*) AS size FROM ({rows}) c), "
        guard = f" AND (SELECT size FROM vector_size) <= {words.parameter(plan.most, 'bigint')}"
    return (
        f"{size}vector_scored AS MATERIALIZED (SELECT v.id, v.embedding <=> {words.embedding} AS distance"
        f" FROM {words.side} v WHERE {whole}{guard}),"
        " vector_found AS MATERIALIZED (SELECT v.id, v.distance FROM (SELECT id, distance FROM vector_scored"
        f" ORDER BY distance, id OFFSET 0) v {words.kept} ORDER BY v.distance, v.id LIMIT {words.limit} + {_SPARE})"
    )


def _approximate(words: _Words, plan: Plan, query: VectorQuery) -> str:
    """Return the CTEs that search through an HNSW index, in half precision, and score in full; up to ``vector_found``.

    Literals, or the partial index is lost with the first generic plan, and so may be any index where the planner does
    not know how few rows are wanted. CASE, or it may leave the index for the tenant's own, and sort.
    """
    literals = f"v.space_id = {int(plan.space_id or 0)}"
    if plan.own:
        literals += f" AND v.tenant_id = '{UUID(str(query.tenant_id))}'"
    dims = len(query.embedding)
    return (
        f"vector_scored AS MATERIALIZED (SELECT v.id, v.embedding <=> {words.embedding} AS distance"
        f" FROM (SELECT v.id, v.embedding FROM {words.side} v {words.kept}"
        f" WHERE {literals} AND CASE WHEN {words.own} THEN true END"
        f" ORDER BY {indexed('v.embedding', plan.storage, dims)} <=> {words.embedding}::{plan.storage}({dims})"
        f" LIMIT {2 << (query.limit - 1).bit_length()}) v),"
        " vector_found AS MATERIALIZED (SELECT id, distance FROM vector_scored"
        f" ORDER BY distance, id LIMIT {words.limit} + {_SPARE})"
    )
