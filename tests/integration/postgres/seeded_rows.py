"""A row for every table of the schema, made from the tables themselves, and what is stored, for comparison."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import asyncpg
from sqlalchemy import CheckConstraint, Column, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from focal_postgres.schema import metadata_for

TENANT = UUID("11111111-1111-4111-8111-111111111111")
SPACE = 7
FIXED: Mapping[str, Any] = {
    "scope_id": None,
    "merged_into_id": None,
    "deleted_at": None,
    "from_version": 1,
    "to_version": 2,
    "dims": 3,
    "metric": "cosine",
    "embedding": "[1,2,3]",
}
"""Columns whose checks a value made from the type alone would not pass."""

_VALUES: Mapping[str, Any] = {
    "BOOLEAN": True,
    "BIGINT": 3,
    "INTEGER": SPACE,
    "DOUBLE PRECISION": 0.25,
    "TIMESTAMP WITH TIME ZONE": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "JSON": '{"a": [1.5, null, "é"]}',
    "JSONB": '{"a": [1.5, null, "é"]}',
    "BYTEA": b"\x00\x01\xff",
    "UUID[]": [uuid5(TENANT, "one"), uuid5(TENANT, "two")],
    "TEXT[]": ["a", "b c"],
    "TSVECTOR": "'a':1 'b':2",
}


def seed_rows(schema: str, *, only_required: bool = False) -> Iterator[tuple[Table, dict[str, Any]]]:
    """Yield one row for each table, parents first.

    Args:
        schema: the PostgreSQL schema.
        only_required: whether columns that may be null, or have a default, are left out.
    """
    rows: dict[str, dict[str, Any]] = {}
    for table in metadata_for(schema).sorted_tables:
        row = {column.name: _value(table, column) for column in table.columns if column.computed is None}
        for key in table.foreign_key_constraints:
            parent = rows.get(key.referred_table.fullname)
            if parent is not None:
                for column, element in zip(key.columns, key.elements, strict=True):
                    row[column.name] = parent[element.column.name]
        rows[table.fullname] = row
        if only_required:
            row = {name: row[name] for name in row if _is_required(table.columns[name])}
            # What the vectors of other tables refer to.
            row |= {"id": SPACE} if table.name == "embedding_spaces" else {}
        yield table, row


def _is_required(column: Column[Any]) -> bool:
    return not column.nullable and column.server_default is None and column.identity is None


def _value(table: Table, column: Column[Any]) -> Any:
    if column.name in FIXED:
        return FIXED[column.name]
    if column.name == "tenant_id":
        return TENANT
    for check in table.constraints:
        if isinstance(check, CheckConstraint) and str(check.sqltext).startswith(f"{column.name} IN ("):
            return re.findall(r"'(\w+)'", str(check.sqltext))[0]
    kind = type_name(column.type)
    if kind == "UUID":
        return uuid5(TENANT, f"{table.name}.{column.name}")
    return f"{table.name} {column.name}" if kind == "TEXT" else _VALUES[kind]


def type_name(kind: TypeEngine[Any]) -> str:
    """Return the SQL name of a column's type, without collation."""
    return kind.compile(dialect=postgresql.dialect()).replace(' COLLATE "C"', "")


async def insert_rows(connection: asyncpg.Connection[Any], schema: str, tables: Collection[str] | None = None) -> None:
    """Insert a row into each of some tables, or of all there are in the database."""
    wanted = await tables_of(connection, schema) if tables is None else tables
    for table, row in seed_rows(schema):
        if table.name in wanted:
            await insert_row(connection, table, row)


async def insert_row(connection: asyncpg.Connection[Any], table: Table, row: Mapping[str, Any]) -> None:
    """Insert one row."""
    # asyncpg knows no codec for these two.
    casts = {"vector": "::text::vector", "TSVECTOR": "::text::tsvector"}
    kinds = [type_name(table.columns[name].type) for name in row]
    places = ", ".join(f"${at}{casts.get(kind, '')}" for at, kind in enumerate(kinds, start=1))
    await connection.execute(f"INSERT INTO {table.fullname} ({', '.join(row)}) VALUES ({places})", *row.values())


async def tables_of(connection: asyncpg.Connection[Any], schema: str) -> set[str]:
    """Return the names of the tables that are there, but for Alembic's."""
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    return {row[0] for row in rows} - {"alembic_version"}


async def stored_rows(connection: asyncpg.Connection[Any], schema: str) -> dict[str, list[str]]:
    """Return every row of every table as text, vectors in full."""
    found = {}
    for table in sorted(await tables_of(connection, schema)):
        rows = await connection.fetch(f"SELECT to_jsonb(t)::text FROM {schema}.{table} t ORDER BY 1")
        found[table] = [row[0] for row in rows]
    return found


async def remove_rows(connection: asyncpg.Connection[Any], schema: str, *tables: str) -> None:
    """Remove every row of some tables, append-only or not."""
    await connection.execute("SET session_replication_role = replica")
    for table in tables:
        await connection.execute(f"DELETE FROM {schema}.{table}")
    await connection.execute("RESET session_replication_role")
