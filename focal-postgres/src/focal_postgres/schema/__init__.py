"""The schema as SQLAlchemy Core tables: what the migrations build and what the stores' SQL relies on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from focal_postgres.schema import audit, config, memory, profile, sessions, spaces
from focal_postgres.schema.columns import metadata

__all__ = ["create_table", "metadata", "metadata_for"]

DOMAINS = (spaces, config, memory, audit, profile, sessions)


def metadata_for(schema: str) -> MetaData:
    """Return a copy of all tables in a schema; for Alembic of a host application and for comparisons."""
    placed = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(placed, schema=schema)
    return placed


def create_table(table: Table, schema: str) -> list[str]:
    """Return the statements that create a table of ``metadata`` in a schema, its indexes and triggers."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    indexes = sorted(table.indexes, key=lambda one: str(one.name))
    statements: list[ExecutableDDLElement] = [CreateTable(table), *(CreateIndex(one) for one in indexes)]
    placed: dict[str, Any] = {"schema_translate_map": {None: schema}, "render_schema_translate": True}
    then: Iterable[str] = table.info.get("then", ())
    return [
        *(str(one.compile(dialect=dialect, **placed)).strip() for one in statements),
        *(one.format(table=f"{schema}.{table.name}", schema=schema) for one in then),
    ]
