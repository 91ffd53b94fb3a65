"""Alembic's entry: run by ``focal_postgres.migrate`` with a connection, or without one to write SQL."""

from __future__ import annotations

from typing import Any

from alembic import context

attributes = context.config.attributes
schema: str = attributes.get("schema", "focal")
common: dict[str, Any] = {
    "version_table_schema": schema,
    "transaction_per_migration": True,
    "on_version_apply": attributes.get("on_version_apply", ()),
}

if context.is_offline_mode():
    context.configure(dialect_name="postgresql+asyncpg", literal_binds=True, **common)
    with context.begin_transaction():
        if attributes.get("from_scratch"):
            context.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        context.run_migrations()
else:
    context.configure(connection=attributes["connection"], **common)
    with context.begin_transaction():
        context.run_migrations()
