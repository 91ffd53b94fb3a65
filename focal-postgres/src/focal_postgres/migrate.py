"""Migrations of focal's schema: what ``focal db`` and ``auto_migrate`` do, as functions.

Safe to call from any number of processes at once: one migrates, the others wait and then find nothing to do.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from focal_core.errors import ConfigurationError, SchemaOutdatedError
from focal_postgres.migrations.session import MigrationSession, alembic, connected, locked, resolve_revision
from focal_postgres.revisions import REVISIONS
from focal_postgres.settings import PostgresOptions

SQL_SECONDS = 60.0
"""How long ``sql`` waits for a migration of the same process."""
Progress = Callable[[str], None]
"""Told the name of each revision as it is done."""


@dataclass(frozen=True)
class Migration:
    """What a migration did.

    Attributes:
        schema: the PostgreSQL schema.
        before: where it was; None = nothing there.
        after: where it is now.
        steps: the revisions that were applied, or undone, in this order.
        rebuilt: invalid indexes that were built anew.
    """

    schema: str
    before: str | None
    after: str | None
    steps: tuple[str, ...]
    rebuilt: tuple[str, ...] = ()


@dataclass(frozen=True)
class SchemaState:
    """Where a schema is.

    Attributes:
        schema: the PostgreSQL schema.
        current: its revision; None = nothing there.
        head: what this release needs.
        pending: revisions still to be applied.
        ahead: whether it is at a revision this release does not know.
        invalid_indexes: indexes an interrupted build has left.
    """

    schema: str
    current: str | None
    head: str
    pending: tuple[str, ...]
    ahead: bool
    invalid_indexes: tuple[str, ...]

    @property
    def up_to_date(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.pending or self.ahead or self.invalid_indexes)


@dataclass(frozen=True)
class Revision:
    """One revision.

    Attributes:
        name: its name.
        title: what it brings.
        applied: whether the schema has it.
    """

    name: str
    title: str
    applied: bool


async def upgrade(options: PostgresOptions, revision: str = "head", *, progress: Progress | None = None) -> Migration:
    """Bring the schema up to a revision, each in a transaction of its own, and rebuild invalid indexes.

    Args:
        options: where and how.
        revision: a name or its number, ``head``, or ``+n``.
        progress: told of each revision.

    Raises:
        SchemaOutdatedError: code ``schema_ahead``: a later release has been here.
        ConfigurationError: there is no such revision, or the schema is past it.
        StoreUnavailableError: no connection, or a lock was not to be had in time.
        StoreError: pgvector or a right is missing.
    """
    async with locked(options) as session:
        before = await _known(session)
        target = resolve_revision(revision, REVISIONS, before)
        if _position(target) < _position(before):
            raise ConfigurationError(
                f"the schema is at {before}, past {target}", code="revision_passed", hint="use `focal db downgrade`"
            )
        await session.prepare()
        rebuilt = await session.rebuild_invalid()
        steps = REVISIONS[_position(before) : _position(target)]
        if steps:
            await session.run(lambda connection: command.upgrade(_config(session, connection, progress), target))
            await session.require_valid()
        return Migration(session.schema, before, target if steps else before, steps, tuple(rebuilt))


async def downgrade(options: PostgresOptions, revision: str, *, progress: Progress | None = None) -> Migration:
    """Take the schema back to a revision, each step in a transaction of its own.

    Args:
        options: where and how.
        revision: a name or its number, ``base``, or ``-n``.
        progress: told of each revision that was undone.

    Raises:
        ConflictError: code ``rows_would_be_lost``: the older schema has no place for stored rows; what was undone
            before that stays undone.
        SchemaOutdatedError: code ``schema_ahead``: only the later release can undo its revisions.
        ConfigurationError: there is no such revision, or the schema is not past it.
        StoreUnavailableError: no connection, or a lock was not to be had in time.
    """
    async with locked(options) as session:
        before = await _known(session)
        target = resolve_revision(revision, REVISIONS, before)
        if _position(target) > _position(before):
            raise ConfigurationError(
                f"the schema is at {before or 'base'}, before {target}",
                code="revision_not_reached",
                hint="use `focal db upgrade`",
            )
        steps = tuple(reversed(REVISIONS[_position(target) : _position(before)]))
        if steps:
            await session.run(lambda connection: command.downgrade(_config(session, connection, progress), target))
        after = target if steps else before
        return Migration(session.schema, before, None if after == "base" else after, steps)


async def current(options: PostgresOptions) -> str | None:
    """Return the revision the schema is at, or None where there is none of focal's."""
    async with connected(options) as session:
        return await session.current()


async def history(options: PostgresOptions) -> list[Revision]:
    """Return every revision of this release, oldest first."""
    async with connected(options) as session:
        position = _position(await _known(session))
    return [Revision(name, title(name), at < position) for at, name in enumerate(REVISIONS)]


async def check(options: PostgresOptions) -> SchemaState:
    """Return where the schema is; writes nothing."""
    async with connected(options) as session:
        found = await session.current()
        invalid = tuple(await session.invalid_indexes())
    ahead = found is not None and found not in REVISIONS
    pending = () if ahead else REVISIONS[_position(found) :]
    return SchemaState(options.schema_name, found, REVISIONS[-1], pending, ahead, invalid)


async def stamp(options: PostgresOptions, revision: str) -> Migration:
    """Note that the schema is at a revision, without running anything; for schemas built from ``sql``.

    Raises:
        ConfigurationError: there is no such revision.
        StoreUnavailableError: no connection, or a lock was not to be had in time.
    """
    async with locked(options) as session:
        before = await session.current()
        target = resolve_revision(revision, REVISIONS, before)
        await session.prepare()
        await session.run(lambda connection: command.stamp(_config(session, connection, None), target, purge=True))
        return Migration(session.schema, before, None if target == "base" else target, ())


async def sql(schema: str = "focal", revisions: str = "base:head") -> str:
    """Return the statements of an upgrade as a script for ``psql``; needs no database.

    Args:
        schema: the PostgreSQL schema.
        revisions: ``from:to``; names, numbers, ``base`` or ``head``.

    Raises:
        ConfigurationError: there is no such revision, or nothing lies between them.
    """
    start, _, end = revisions.rpartition(":")
    first, last = (resolve_revision(one, REVISIONS, None) for one in (start or "base", end))
    if _position(first) >= _position(last):
        raise ConfigurationError(f"nothing is upgraded by {revisions!r}", code="revision_unknown", hint="base:head")
    written = io.StringIO()
    config = configuration(schema, output_buffer=written)
    config.attributes["from_scratch"] = first == "base"
    async with alembic(asyncio.get_running_loop().time() + SQL_SECONDS):
        command.upgrade(config, f"{first}:{last}", sql=True)
    return written.getvalue()


def title(revision: str) -> str:
    """Return what a revision brings, one line."""
    text = files("focal_postgres.migrations").joinpath("versions", f"{revision}.py").read_text("utf-8")
    return text.split('"""')[1].strip().splitlines()[0]


def configuration(schema: str, **arguments: Any) -> Config:
    """Return Alembic's configuration for a schema."""
    config = Config(**arguments)
    config.set_main_option("script_location", str(files("focal_postgres.migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["schema"] = schema
    return config


def _config(session: MigrationSession, connection: Connection, progress: Progress | None) -> Config:
    config = configuration(session.schema)
    config.attributes["connection"] = connection
    if progress is not None:

        def applied(*, step: Any, **_: Any) -> None:
            progress(step.up_revision_id)

        config.attributes["on_version_apply"] = applied
    return config


async def _known(session: MigrationSession) -> str | None:
    found = await session.current()
    if found is not None and found not in REVISIONS:
        raise SchemaOutdatedError(
            f"the schema {session.schema!r} is at {found}, which this release does not know",
            code="schema_ahead",
            hint="upgrade focal-postgres; only the release that brought this revision can take it back",
        )
    return found


def _position(revision: str | None) -> int:
    return 0 if revision in (None, "base") else REVISIONS.index(str(revision)) + 1
