"""What is looked at once, before a database is used."""

from __future__ import annotations

import functools

from focal_core.context import Isolation
from focal_core.errors import SchemaOutdatedError, SettingsError
from focal_postgres.database import Database
from focal_postgres.errors import SCHEMA_HINT
from focal_postgres.revisions import REVISIONS
from focal_postgres.row_security import RowSecurity, look


async def check_schema(database: Database) -> None:
    """Refuse a schema that is behind or ahead of this release.

    Raises:
        SchemaOutdatedError: with the command to run.
    """
    sql = f"SELECT version_num FROM {database.schema}.alembic_version"
    try:
        rows = await database.fetch("open", sql)
    except SchemaOutdatedError:
        rows = []
    found = rows[0][0] if rows else None
    if found == REVISIONS[-1]:
        return
    if found is None:
        raise SchemaOutdatedError(f"the database has no schema {database.schema!r} of focal's", hint=SCHEMA_HINT)
    if found in REVISIONS:
        raise SchemaOutdatedError(
            f"the schema {database.schema!r} is at {found}, this release needs {REVISIONS[-1]}", hint=SCHEMA_HINT
        )
    raise SchemaOutdatedError(
        f"the schema {database.schema!r} is at {found}, which this release does not know",
        hint="upgrade focal-postgres, or `focal db downgrade` with the release that wrote it",
    )


async def check_row_security(database: Database) -> None:
    """Refuse a database where the option and the schema disagree, or a role for which the wall is none.

    Raises:
        SettingsError: code ``row_level_security``.
    """
    found = await _role(database)
    if not database.options.row_level_security:
        if found.enabled and not found.bypasses:
            raise _refused(
                f"row-level security is on in the schema {database.schema!r}, so that this role would see nothing",
                "the backend needs row_level_security = true, and maintenance_url",
            )
        return
    if database.context.isolation is not Isolation.STRICT:
        raise _refused("row_level_security and isolation = 'trusting' exclude each other", "choose one of them")
    if not found.on:
        raise _refused(
            f"row-level security is on for {len(found.secured)} of {len(found.tables)} tables"
            f" of the schema {database.schema!r}",
            "run `focal db row-level-security on`",
        )
    roles = {"url": found}
    if database.options.read_url is not None:
        roles["read_url"] = await _role(database, replica=True)
    for name, role in roles.items():
        if role.bypasses:
            raise _refused(
                f"the role of {name} is a superuser or has BYPASSRLS, so that no policy holds for it",
                "give the application a role of its own: `focal db sql --grants ROLE`",
            )
    if not (await _role(database, maintenance=True)).bypasses:
        raise _refused(
            "the role of maintenance_url sees the rows of no tenant", "ALTER ROLE ... BYPASSRLS, as a superuser"
        )


async def _role(database: Database, *, replica: bool = False, maintenance: bool = False) -> RowSecurity:
    fetch = functools.partial(database.fetch, "open", replica=replica, maintenance=maintenance)
    return await look(fetch, database.schema)


def _refused(what: str, hint: str) -> SettingsError:
    return SettingsError(what, code="row_level_security", hint=hint)
