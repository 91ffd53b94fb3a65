"""``focal db``: the schema on the command line. Exit codes: 0 up to date, 1 pending, 2 error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from focal_core.cli.output import print_error, print_json, print_table
from focal_core.errors import ConfigurationError, FocalError
from focal_core.opening import chosen_backends
from focal_core.plugins.hooks import hookimpl
from focal_core.settings import FocalSettings
from focal_postgres.settings import PostgresOptions

if TYPE_CHECKING:
    from focal_postgres.migrate import Migration, Progress

T = TypeVar("T")

PENDING = 1
FAILED = 2
NOWHERE = "postgresql://localhost/"
"""The address of commands that need none."""

Config = Annotated[Path | None, typer.Option(help="Settings file; ./focal.toml where there is one.")]
Backend = Annotated[str | None, typer.Option(help="The [backends] section, when several use PostgreSQL.")]
Url = Annotated[str | None, typer.Option(help="Another address than the configured one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Switch(StrEnum):
    """What ``focal db row-level-security`` is to do."""

    ON = "on"
    OFF = "off"
    STATUS = "status"


@hookimpl
def focal_add_commands(app: typer.Typer) -> None:
    """Add ``focal db``."""
    from focal_postgres import cli_index

    group = typer.Typer(no_args_is_help=True, help="Build and look after the PostgreSQL schema.")
    for command in (upgrade, downgrade, current, history, check, stamp, sql):
        # So that -1 is a revision.
        group.command(command.__name__, context_settings={"ignore_unknown_options": True})(command)
    group.command("row-level-security")(row_level_security)
    group.add_typer(cli_index.app, name="index")
    app.add_typer(group, name="db")


def upgrade(
    revision: Annotated[str, typer.Argument(help="A revision, its number, head or +n.")] = "head",
    config: Config = None,
    backend: Backend = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Bring the schema up to a revision. Any number of processes may do it at once."""
    from focal_postgres import migrate

    with exit_codes():
        options = options_for(config, backend, url)
        done = _working("upgrading", lambda progress: migrate.upgrade(options, revision, progress=progress))
        _print_migration(done, "applied", as_json)


def downgrade(
    revision: Annotated[str, typer.Argument(help="A revision, its number, base or -n.")],
    config: Config = None,
    backend: Backend = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Take the schema back to a revision; refused while rows are stored that it has no place for."""
    from focal_postgres import migrate

    with exit_codes():
        options = options_for(config, backend, url)
        done = _working("downgrading", lambda progress: migrate.downgrade(options, revision, progress=progress))
        _print_migration(done, "undone", as_json)


def current(config: Config = None, backend: Backend = None, url: Url = None, as_json: Json = False) -> None:
    """Print the revision the schema is at."""
    from focal_postgres import migrate

    with exit_codes():
        options = options_for(config, backend, url)
        found = asyncio.run(migrate.current(options))
        if as_json:
            print_json({"schema": options.schema_name, "current": found})
        else:
            typer.echo(found or "base")


def history(config: Config = None, backend: Backend = None, url: Url = None, as_json: Json = False) -> None:
    """List the revisions of this release, and which of them the schema has."""
    from focal_postgres import migrate

    with exit_codes():
        revisions = asyncio.run(migrate.history(options_for(config, backend, url)))
        if as_json:
            print_json([asdict(one) for one in revisions])
        else:
            rows = ((one.name, "applied" if one.applied else "pending", one.title) for one in revisions)
            print_table(("revision", "", "brings"), rows)


def check(config: Config = None, backend: Backend = None, url: Url = None, as_json: Json = False) -> None:
    """Say whether the schema is what this release needs; exit code 1 when something is pending."""
    from focal_postgres import migrate

    with exit_codes():
        state = asyncio.run(migrate.check(options_for(config, backend, url)))
        if as_json:
            print_json({**asdict(state), "up_to_date": state.up_to_date})
        else:
            typer.echo(f"schema {state.schema} is at {state.current or 'base'}; this release needs {state.head}")
            for revision in state.pending:
                typer.echo(f"pending: {revision}")
            for index in state.invalid_indexes:
                typer.echo(f"invalid index: {index}")
        if state.ahead:
            typer.echo("hint: a later release has migrated this schema: upgrade focal-postgres", err=True)
            raise typer.Exit(FAILED)
        if not state.up_to_date:
            typer.echo("hint: run `focal db upgrade`", err=True)
            raise typer.Exit(PENDING)


def stamp(
    revision: Annotated[str, typer.Argument(help="A revision, its number, head or base.")],
    config: Config = None,
    backend: Backend = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Note that the schema is at a revision, without running anything."""
    from focal_postgres import migrate

    with exit_codes():
        done = asyncio.run(migrate.stamp(options_for(config, backend, url), revision))
        _print_migration(done, "stamped", as_json)


def sql(
    revisions: Annotated[str, typer.Argument(help="from:to, such as base:head or 007:009.")] = "base:head",
    config: Config = None,
    backend: Backend = None,
    grants: Annotated[str | None, typer.Option(help="Print the rights of this run-time role instead.")] = None,
    maintenance: Annotated[bool, typer.Option("--maintenance", help="With --grants: it may purge and erase.")] = False,
) -> None:
    """Print the statements of an upgrade, for psql; no database is needed."""
    from focal_postgres import migrate
    from focal_postgres.schema.roles import grants as grants_of

    with exit_codes():
        schema = options_for(config, backend, NOWHERE).schema_name
        if grants is None:
            typer.echo(asyncio.run(migrate.sql(schema, revisions)), nl=False)
        else:
            for statement in grants_of(schema, grants, maintenance=maintenance):
                typer.echo(f"{statement};")


def row_level_security(
    state: Annotated[Switch, typer.Argument(help="on, off, or status to look only.")] = Switch.STATUS,
    config: Config = None,
    backend: Backend = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Let the server itself keep tenants apart: policies on every table that has a tenant, also for its owner.

    Backends need `row_level_security = true` and `maintenance_url` from then on, and a role that is neither superuser
    nor has BYPASSRLS.
    """
    from focal_postgres import row_security

    with exit_codes():
        options = options_for(config, backend, url)
        on = None if state is Switch.STATUS else state is Switch.ON
        found = asyncio.run(row_security.switch(options, on))
        if as_json:
            print_json({"schema": options.schema_name, **asdict(found), "on": found.on})
        else:
            counts = f"{len(found.secured)} of {len(found.tables)} tables of schema {options.schema_name}"
            typer.echo(f"row-level security is on for {counts}")
            if found.enabled and found.bypasses:
                typer.echo("this role sees every tenant all the same")


def options_for(config: Path | None, backend: str | None, url: str | None) -> PostgresOptions:
    """Return the options of the one backend the command is about.

    Raises:
        ConfigurationError: none or several could be meant.
    """
    settings = FocalSettings.load(config)
    able = sorted(
        name
        for name in {*chosen_backends(settings), *settings.backends}
        if settings.backend_use(name).partition("@")[0] == "postgres"
    )
    if backend is not None and backend not in able:
        raise ConfigurationError(
            f"no backend {backend!r} uses PostgreSQL", hint=f"one of: {', '.join(able) or 'none is configured'}"
        )
    if backend is None and len(able) > 1:
        raise ConfigurationError(f"several backends use PostgreSQL: {', '.join(able)}", hint="pass --backend NAME")
    # With nothing configured, the address may be an argument or DATABASE_URL.
    name = backend or (able[0] if able else "postgres")
    if url is not None:
        given = {"use": settings.backend_use(name), "url": url, "migration_url": None}
        settings = FocalSettings.load(settings, backends={name: given})
    options = settings.backend_options(name, PostgresOptions)
    assert isinstance(options, PostgresOptions)
    return options


@contextmanager
def exit_codes() -> Iterator[None]:
    """Print an error of focal's and end with exit code 2."""
    try:
        yield
    except FocalError as error:
        print_error(error)
        raise typer.Exit(FAILED) from None


def _working(doing: str, work: Callable[[Progress], Awaitable[T]]) -> T:
    """Run something while the terminal shows how far it is; nothing is shown on anything but a terminal."""
    from rich.console import Console

    async def run(progress: Progress) -> T:
        return await work(progress)

    with Console(stderr=True).status(doing) as status:
        return asyncio.run(run(lambda revision: status.update(f"{doing}: {revision} done")))


def _print_migration(done: Migration, verb: str, as_json: bool) -> None:
    if as_json:
        print_json(asdict(done))
        return
    for revision in done.steps:
        typer.echo(f"{verb} {revision}")
    for index in done.rebuilt:
        typer.echo(f"rebuilt invalid index {index}")
    unchanged = "" if done.steps or done.rebuilt or verb == "stamped" else ", nothing to do"
    typer.echo(f"schema {done.schema} is at {done.after or 'base'}{unchanged}")
