"""``focal db``: what it prints and the exit codes that scripts rely on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import typer
from tests.integration.postgres.seeded_rows import insert_rows
from typer.testing import CliRunner, Result

from focal_postgres import cli
from focal_postgres.revisions import REVISIONS
from focal_postgres.schema import metadata
from focal_testkit.servers.postgres import PostgresServer, connected, run

HEAD = REVISIONS[-1]
APP = typer.Typer()
cli.focal_add_commands(APP)
APP.callback()(lambda: None)


@pytest.fixture
def url(postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the address of an empty database, in a folder without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    address = run(postgres_server.create_database())
    yield address
    run(postgres_server.drop_database(address))


def focal(*arguments: str) -> Result:
    return CliRunner().invoke(APP, ["db", *arguments])


def execute(url: str, statement: str) -> None:
    async def work() -> None:
        async with connected(url) as connection:
            await connection.execute(statement)

    run(work())


def test_exit_codes_tell_up_to_date_pending_and_error(url: str) -> None:
    """0 up to date, 1 pending, 2 error: before, half-way, at head, ahead, unreachable."""
    assert focal("check", "--url", url).exit_code == 1
    assert focal("upgrade", "004", "--url", url).exit_code == 0
    half = focal("check", "--url", url)
    assert half.exit_code == 1
    assert "pending: 005_profile_store" in half.output
    assert "focal db upgrade" in half.output
    assert focal("upgrade", "--url", url).exit_code == 0
    assert focal("check", "--url", url).exit_code == 0
    execute(url, "UPDATE focal.alembic_version SET version_num = '999_future'")
    for command in ("check", "upgrade", "history"):
        ahead = focal(command, "--url", url)
        assert ahead.exit_code == 2
        assert "upgrade focal-postgres" in ahead.output
    down = focal("check", "--url", "postgresql://focal:h1dden@127.0.0.1:1/focal")
    assert down.exit_code == 2
    assert "hint:" in down.output
    assert "h1dden" not in down.output


def test_upgrade_says_what_it_did(url: str) -> None:
    """Every revision by name; a second time that there was nothing to do."""
    first = focal("upgrade", "--url", url)
    assert [line.removeprefix("applied ") for line in first.output.splitlines()[:-1]] == list(REVISIONS)
    assert first.output.splitlines()[-1] == f"schema focal is at {HEAD}"
    assert focal("upgrade", "--url", url).output == f"schema focal is at {HEAD}, nothing to do\n"
    assert focal("current", "--url", url).output == f"{HEAD}\n"


def test_downgrade_with_rows_is_an_error_that_counts_them(url: str) -> None:
    """Exit code 2, the number of rows by table, what to do, and the schema where it was."""
    assert focal("upgrade", "--url", url).exit_code == 0

    async def fill() -> None:
        async with connected(url) as connection:
            await insert_rows(connection, "focal")

    run(fill())
    assert focal("downgrade", "009", "--url", url).exit_code == 0
    refused = focal("downgrade", "-1", "--url", url)
    assert refused.exit_code == 2
    assert "1 of sessions" in refused.output
    assert "hint:" in refused.output
    assert focal("current", "--url", url).output == "009_sessions\n"
    execute(url, "DELETE FROM focal.sessions")
    done = focal("downgrade", "008", "--url", url)
    assert done.output == "undone 009_sessions\nschema focal is at 008_profile_schema\n"


def test_json_is_for_programs(url: str) -> None:
    """Every command that tells something tells it as JSON too."""

    def told(*arguments: str) -> Any:
        return json.loads(CliRunner().invoke(APP, ["db", *arguments, "--url", url, "--json"]).stdout)

    assert told("current") == {"schema": "focal", "current": None}
    assert told("upgrade", "002")["steps"] == ["001_initial_schema", "002_config_store"]
    state = told("check")
    assert (state["current"], state["up_to_date"]) == ("002_config_store", False)
    assert [one["applied"] for one in told("history")][:3] == [True, True, False]
    assert told("downgrade", "base")["after"] is None
    assert told("stamp", "head")["after"] == HEAD


def test_backend_comes_from_the_settings(url: str) -> None:
    """focal.toml, the environment and --backend name what is migrated, schema included."""
    Path("focal.toml").write_text(
        f'[stores]\ndefault = "main"\n[backends.main]\nuse = "postgres"\nurl = "{url}"\nschema = "talks"\n'
        f'[backends.second]\nuse = "postgres"\nurl = "{url}"\nschema = "other"\n'
    )
    several = focal("upgrade")
    assert several.exit_code == 2
    assert "--backend" in several.output
    assert focal("upgrade", "--backend", "second").output.endswith(f"schema other is at {HEAD}\n")
    assert focal("check", "--backend", "main").exit_code == 1
    unknown = focal("check", "--backend", "third")
    assert unknown.exit_code == 2
    assert "main, second" in unknown.output


def test_misspelt_options_are_refused(url: str) -> None:
    """-1 is a revision, and still --dry is no option."""
    assert focal("check", "--dry", "--url", url).exit_code == 2
    assert focal("upgrade", "--dry", "--url", url).exit_code == 2
    assert focal("current", "--url", url).output == "base\n"


def test_one_address_is_enough(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing configured DATABASE_URL is migrated; without it the error names the setting."""
    missing = focal("upgrade")
    assert missing.exit_code == 2
    assert "url" in missing.output
    monkeypatch.setenv("DATABASE_URL", url)
    assert focal("upgrade").exit_code == 0
    assert focal("check").exit_code == 0


def test_sql_is_a_script_and_needs_no_database(url: str) -> None:
    """The script holds every revision of the range, in the configured schema; grants are statements too."""
    script = focal("sql").output
    for revision in REVISIONS:
        assert f"-> {revision}" in script
    part = focal("sql", "007:009").output
    assert "CREATE TABLE focal.sessions" in part
    assert "CREATE TABLE focal.agents" not in part
    Path("focal.toml").write_text('[backends.main]\nuse = "postgres"\nschema = "talks"\n')
    assert "CREATE TABLE talks.agents" in focal("sql").output
    assert focal("sql", "009:001").exit_code == 2
    focal("upgrade", "--url", url)
    execute(url, "CREATE ROLE focal_test_app_role")
    try:
        for statement in focal("sql", "--grants", "focal_test_app_role", "--maintenance").output.splitlines():
            execute(url, statement)
        execute(url, "SET ROLE focal_test_app_role; SELECT * FROM talks.turn_records")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            execute(url, "SET ROLE focal_test_app_role; DELETE FROM talks.turn_records")
    finally:
        execute(url, "DROP OWNED BY focal_test_app_role; DROP ROLE focal_test_app_role")


def test_row_level_security_is_switched_and_told(url: str) -> None:
    """Looked at, put in force and taken out of it; before the schema is up to date it says what to do."""
    early = focal("row-level-security", "on", "--url", url)
    assert (early.exit_code, "focal db upgrade" in early.output) == (2, True)
    focal("upgrade", "--url", url)
    tables = sum("tenant_id" in table.columns for table in metadata.tables.values())
    assert f"on for 0 of {tables} tables" in focal("row-level-security", "--url", url).output
    on = focal("row-level-security", "on", "--url", url)
    assert (on.exit_code, f"on for {tables} of {tables} tables" in on.output) == (0, True)
    assert "sees every tenant all the same" in on.output
    told = json.loads(focal("row-level-security", "status", "--url", url, "--json").output)
    assert (told["on"], len(told["secured"])) == (True, tables)
    assert f"on for 0 of {tables} tables" in focal("row-level-security", "off", "--url", url).output
    assert focal("row-level-security", "maybe", "--url", url).exit_code == 2
