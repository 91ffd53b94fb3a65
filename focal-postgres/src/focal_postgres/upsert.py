"""The statement that saves a versioned row, with its vector."""

from __future__ import annotations

from typing import Any

from focal_postgres.layout import Layout


def upsert_text(layout: Layout[Any], schema: str, extra: str = "") -> str:
    """Return the statement behind ``PostgresStore.upsert``.

    ``extra`` is a further condition (``AND ...``) on the stored row, whose alias is ``t``.

    Parameters: the values of the layout, then the expected row_version, whether this is an explicit revival, and the
    vector where the layout has one. It returns ``row_version`` and ``created_at`` when the row was written.
    """
    count = len(layout.names)
    expected, revival, vector = f"${count + 1}::bigint", f"${count + 2}::boolean", f"${count + 3}::vector"
    kept = {"tenant_id", "id", "created_at", "row_version"}
    changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in layout.names if name not in kept)
    saved = (
        f"INSERT INTO {schema}.{layout.table} AS t ({', '.join(layout.names)})"
        f" SELECT {layout.parameters()} WHERE {expected} = 0 OR EXISTS (SELECT FROM {schema}.{layout.table} x"
        f" WHERE x.tenant_id = $%TENANT% AND x.id = $%ID%)"
        f" ON CONFLICT (tenant_id, id) DO UPDATE SET {changes}, row_version = t.row_version + 1"
        f" WHERE CASE WHEN t.deleted_at IS NULL THEN {expected} IN (0, t.row_version)"
        f" ELSE {revival} AND {expected} = t.row_version END{extra}"
        f" RETURNING tenant_id, id, row_version, created_at"
    )
    saved = saved.replace("%TENANT%", str(layout.names.index("tenant_id") + 1))
    saved = saved.replace("%ID%", str(layout.names.index("id") + 1))
    if layout.vectors is None:
        return saved
    return f"WITH saved AS ({saved}), {vector_writes(layout, schema, 'saved', vector)} SELECT * FROM saved"


def vector_writes(layout: Layout[Any], schema: str, saved: str, vector: str) -> str:
    """Return the CTEs that keep the side table in step with rows another CTE has saved.

    Args:
        layout: of the parent; its parameters come first in the statement.
        schema: the schema.
        saved: name of the CTE that returns ``tenant_id`` and ``id`` of what was written.
        vector: the parameter that holds the vector, with its type.
    """
    side = f"{schema}.{layout.vectors}"
    partition = "agent_id" if "agent_id" in layout.names and "group_id" not in layout.names else "group_id"
    owner = f"${layout.names.index(partition) + 1}::{layout.types[layout.names.index(partition)]}"
    space = f"${len(layout.names)}::integer"
    return (
        f"dropped AS (DELETE FROM {side} d USING {saved} s WHERE d.tenant_id = s.tenant_id AND d.id = s.id"
        f" AND d.space_id IS DISTINCT FROM {space}),"
        f" written AS (INSERT INTO {side} AS w (tenant_id, id, space_id, {partition}, embedding)"
        f" SELECT s.tenant_id, s.id, {space}, {owner}, {vector} FROM {saved} s WHERE {space} IS NOT NULL"
        f" ON CONFLICT (tenant_id, id, space_id) DO UPDATE SET embedding = EXCLUDED.embedding,"
        f" {partition} = EXCLUDED.{partition}"
        f" WHERE (w.embedding, w.{partition}) IS DISTINCT FROM (EXCLUDED.embedding, EXCLUDED.{partition}))"
    )
