"""The walk along relationships as one statement: a step for each distance, each from what the last one reached first.

A recursive CTE sees only its last step, and so expands an entity again at every distance; steps written out, five at
most, expand each entity once, end by construction, and can tell the least of several shortest ways.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from focal_core.base import validated_copy
from focal_core.memory.models import Direction, Relationship, TraversalHit
from focal_postgres.layout import Layout
from focal_postgres.memory.tables import ENTITIES, RELATIONSHIPS, valid
from focal_postgres.transaction import Record

_THEN, _KINDS = "$4::timestamptz", "$5::text[]"
_KIND, _DISTANCE, _WAY, _FIRST = 0, 1, 2, 3
"""Positions in the records: 0 for an entity and 1 for a relationship, and from _FIRST on the columns of both."""


@functools.cache
def walk_text(schema: str, depth: int, direction: Direction) -> str:
    """Return the statement for a depth and a direction, whose records ``hits_of`` takes.

    Parameters: tenant, group, start ids, moment, relation types or None, limit.

    Args:
        schema: where the tables are.
        depth: steps, 1 to 5.
        direction: which way relationships are followed.
    """
    steps = [
        f"step_0 AS MATERIALIZED (SELECT e.id, '{{}}'::uuid[] AS way FROM {schema}.entities e WHERE e.tenant_id = $1"
        f" AND e.group_id = $2 AND e.id = ANY ($3::uuid[]) AND {valid('e', _THEN)})",
        *(_step(schema, distance, direction) for distance in range(1, depth + 1)),
    ]
    reached = " UNION ALL ".join(
        f"SELECT id, way, {distance} AS distance FROM step_{distance}" for distance in range(1, depth + 1)
    )
    entities = (
        f"SELECT 0, h.distance, h.way, {ENTITIES.select()}, {_nulls(RELATIONSHIPS)} FROM hits h"
        f" JOIN {ENTITIES.source(schema)} ON r.tenant_id = $1 AND r.id = h.id"
    )
    relationships = (
        f"SELECT 1, NULL, NULL, {_nulls(ENTITIES)}, {RELATIONSHIPS.select()} FROM {RELATIONSHIPS.source(schema)}"
        " WHERE r.tenant_id = $1 AND r.id = ANY (ARRAY(SELECT DISTINCT unnest(h.way) FROM hits h))"
    )
    return (
        f"WITH {', '.join(steps)}, hits AS MATERIALIZED (SELECT * FROM ({reached}) s ORDER BY distance, id"
        f" LIMIT $6::bigint) {entities} UNION ALL {relationships}"
    )


def _step(schema: str, distance: int, direction: Direction) -> str:
    ways = {"from": "to", "to": "from"}
    if direction != Direction.BOTH:
        del ways["to" if direction == Direction.OUT else "from"]
    edges = " UNION ALL ".join(
        f"SELECT x.{there}_entity_id AS id, p.way || x.id AS way FROM step_{distance - 1} p"
        f" JOIN {schema}.relationships x ON x.tenant_id = $1 AND x.group_id = $2 AND x.{here}_entity_id = p.id"
        f" WHERE {valid('x', _THEN)} AND ({_KINDS} IS NULL OR x.relation_type = ANY ({_KINDS}))"
        for here, there in ways.items()
    )
    seen = " AND ".join(f"NOT EXISTS (SELECT FROM step_{before} b WHERE b.id = w.id)" for before in range(distance))
    # What is beyond the limit need not be looked for.
    enough = " + ".join(f"(SELECT count(*) FROM step_{before})" for before in range(1, distance)) or "0"
    return (
        f"step_{distance} AS MATERIALIZED (SELECT w.id, w.way FROM"
        f" (SELECT DISTINCT ON (w.id) w.id, w.way FROM ({edges}) w WHERE {seen} ORDER BY w.id, w.way) w"
        f" WHERE {enough} < $6 AND EXISTS (SELECT FROM {schema}.entities e WHERE e.tenant_id = $1"
        f" AND e.group_id = $2 AND e.id = w.id AND {valid('e', _THEN)}))"
    )


def _nulls(layout: Layout[Any]) -> str:
    types = [f"NULL::{one.type}" for one in layout.columns]
    return ", ".join([*types, "NULL::bytea"] if layout.vectors else types)


def hits_of(records: Sequence[Record]) -> list[TraversalHit]:
    """Return the hits by distance, then entity id, ascending."""
    after_entity = _FIRST + len(ENTITIES.columns) + 1
    edges: dict[object, Relationship] = {}
    for record in records:
        if record[_KIND] == 1:
            edge = RELATIONSHIPS.load(record, after_entity)
            edges[edge.id] = edge
    given: set[object] = set()

    def own(id: object) -> Relationship:
        """Return a relationship that no other hit has: most are of one hit only, and need no copy."""
        if id in given:
            return validated_copy(edges[id])
        given.add(id)
        return edges[id]

    hits = [
        TraversalHit(
            entity=ENTITIES.load(record, _FIRST), distance=record[_DISTANCE], via=[own(id) for id in record[_WAY]]
        )
        for record in records
        if record[_KIND] == 0
    ]
    return sorted(hits, key=lambda hit: (hit["distance"], hit["entity"].id))
