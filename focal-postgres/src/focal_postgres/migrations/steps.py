"""What revisions are made of: frozen statements, and removals that refuse to lose rows."""

from __future__ import annotations

from importlib.resources import files

from alembic import op
from sqlalchemy import text

from focal_core.errors import ConflictError

SEPARATOR = ";\n\n"
"""Between two statements of a revision's SQL file."""


def statements(revision: str, schema: str) -> list[str]:
    """Return the frozen statements of a revision."""
    frozen = files("focal_postgres.migrations").joinpath("versions", f"{revision}.sql").read_text("utf-8")
    return [one for one in frozen.replace("{schema}", schema).removesuffix(";\n").split(SEPARATOR) if one]


def schema_name() -> str:
    """Return the schema that is being migrated."""
    return str(op.get_context().version_table_schema)


def apply(revision: str) -> None:
    """Run the frozen statements of a revision."""
    for statement in statements(revision, schema_name()):
        op.execute(text(statement))


def drop_tables(*tables: str) -> None:
    """Drop tables in this order, unless one of them holds rows.

    Raises:
        ConflictError: code ``rows_would_be_lost``; ``details`` gives the number of rows by table.
    """
    schema, held = schema_name(), {}
    for table in tables:
        op.execute(f"LOCK TABLE {schema}.{table} IN ACCESS EXCLUSIVE MODE")
        rows = op.get_bind().scalar(text(f"SELECT count(*) FROM {schema}.{table}"))
        if rows:
            held[table] = rows
    if held:
        counted = ", ".join(f"{rows} of {table}" for table, rows in held.items())
        raise ConflictError(
            f"the older schema has no place for rows that are stored: {counted}",
            code="rows_would_be_lost",
            hint="save these rows elsewhere and remove them (erase_tenant), then downgrade again",
            details={"rows": held},
        )
    for table in tables:
        op.execute(f"DROP TABLE {schema}.{table}")


def drop_functions(*signatures: str) -> None:
    """Drop functions."""
    for signature in signatures:
        op.execute(f"DROP FUNCTION {schema_name()}.{signature}")
