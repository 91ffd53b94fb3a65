"""Rights of the roles that use a schema and do not own it."""

from __future__ import annotations

from focal_postgres.schema.columns import metadata
from focal_postgres.schema.functions import APPEND_ONLY, AUDIT_FUNCTIONS, PROFILE_FUNCTIONS


def grants(schema: str, role: str, *, maintenance: bool = False) -> list[str]:
    """Return the statements, to be run by the owner after each upgrade, that let a role use a schema.

    The run-time role may read and write, but only insert into append-only tables. A maintenance role may also call the
    functions that purge and erase them: ``purge``, ``erase_profile`` and ``erase_tenant`` need it.

    Args:
        schema: the PostgreSQL schema.
        role: name of the role.
        maintenance: whether it is a maintenance role.
    """
    to = '"{}"'.format(role.replace('"', '""'))
    appended = sorted(name for name, table in metadata.tables.items() if table.info.get("then") == APPEND_ONLY)
    written = sorted(metadata.tables.keys() - set(appended))
    statements = [
        f"GRANT USAGE ON SCHEMA {schema} TO {to}",
        f"GRANT SELECT ON {schema}.alembic_version TO {to}",
        f"GRANT SELECT, INSERT ON {', '.join(f'{schema}.{name}' for name in appended)} TO {to}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(f'{schema}.{name}' for name in written)} TO {to}",
    ]
    if maintenance:
        functions = ", ".join(f"{schema}.{signature}" for signature in (*AUDIT_FUNCTIONS, *PROFILE_FUNCTIONS))
        statements.append(f"GRANT EXECUTE ON FUNCTION {functions} TO {to}")
    return statements
