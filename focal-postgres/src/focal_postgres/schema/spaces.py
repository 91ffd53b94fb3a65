"""Embedding spaces, and the side tables that hold the vectors."""

from __future__ import annotations

from sqlalchemy import Column, Constraint, Identity, Integer, Table, UniqueConstraint, text

from focal_postgres.schema.columns import (
    VectorType,
    check,
    foreign_key,
    index,
    metadata,
    moment_type,
    primary_key,
    text_type,
    uuid_type,
)

FIRST_FREE_SPACE = 100
"""Ids below are those of spaces that revisions bring."""

embedding_spaces = Table(
    "embedding_spaces",
    metadata,
    Column("id", Integer, Identity(start=FIRST_FREE_SPACE), nullable=False),
    Column("model", text_type(), nullable=False),
    Column("dims", Integer, nullable=False),
    Column("metric", text_type(), nullable=False, server_default=text("'cosine'")),
    Column("storage", text_type(), nullable=False, server_default=text("'halfvec'")),
    Column("created_at", moment_type(), nullable=False, server_default=text("now()")),
    primary_key("embedding_spaces", "id"),
    UniqueConstraint("model", "dims", "metric", name="uq_embedding_spaces_model_dims_metric"),
    check("embedding_spaces", "dims", "dims BETWEEN 1 AND 16000"),
    check("embedding_spaces", "metric", "metric = 'cosine'"),
    check("embedding_spaces", "storage", "storage IN ('halfvec', 'vector', 'exact')"),
)


def space_column(prefix: str = "") -> Column[int]:
    """Return the column that names the space of a row's vector."""
    return Column(f"{prefix}embedding_space_id", Integer, nullable=True)


def space_constraints(table: str, prefix: str = "") -> tuple[Constraint, ...]:
    """Return the foreign key to the space, and the check that model and space go together."""
    return (
        foreign_key(table, (f"{prefix}embedding_space_id",), "embedding_spaces", ("id",)),
        check(
            table,
            f"{prefix}embedding_space",
            f"({prefix}embedding_model IS NULL) = ({prefix}embedding_space_id IS NULL)",
        ),
    )


def vector_table(name: str, parent: str, partition: str) -> Table:
    """Return the side table with the vectors of a parent table.

    Args:
        name: its name.
        parent: the table whose rows the vectors belong to.
        partition: ``agent_id`` or ``group_id``, copied from the parent: what searches are confined to.
    """
    return Table(
        name,
        metadata,
        Column("tenant_id", uuid_type(), nullable=False),
        Column("id", uuid_type(), nullable=False),
        Column("space_id", Integer, nullable=False),
        Column(partition, uuid_type() if partition == "agent_id" else text_type(), nullable=False),
        Column("embedding", VectorType(), nullable=False),
        primary_key(name, "tenant_id", "id", "space_id"),
        foreign_key(name, ("tenant_id", "id"), parent, ("tenant_id", "id"), cascade=True),
        foreign_key(name, ("space_id",), "embedding_spaces", ("id",)),
        index(name, partition, partition, "space_id"),
        postgresql_with={"toast_tuple_target": "8160"},
        # Out of line from about 2,000 dimensions instead of failing, inline below: as fast as STORAGE PLAIN.
        info={"then": ("ALTER TABLE {table} ALTER COLUMN embedding SET STORAGE EXTERNAL",)},
    )
