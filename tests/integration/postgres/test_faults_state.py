"""Nothing depends on the state of a session: methods leave a connection as they found it, and no source sets any."""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.calls import LONG
from tests.integration.postgres.faulty import METHODS, SEEDED, Lane, Method, Worlds, open_lane, open_worlds

import focal_postgres

SOURCES = Path(focal_postgres.__file__).parent
DEDICATED = ("migrate.py", "migrations/", "index.py")
"""Sources whose statements run on direct connections of their own, never on pooled ones."""
SESSION_STATE = re.compile(
    r"(?:^|;\s*)SET\s+(?!LOCAL\b)(?:SESSION\s+)?[a-z_.]+\s*(?:=|\bTO\b)(?!\s*\$)"
    r"|\bset_config\s*\((?![^()]*,\s*true\s*\))|\bLISTEN\s+[a-z]"
    r"|\bpg_(?:try_)?advisory_lock|\bCREATE\s+(?:LOCAL\s+|GLOBAL\s+)?TEMP(?!.*\bON COMMIT DROP\b)"
    r"|^\s*(?:PREPARE|DECLARE)\s",
    re.IGNORECASE,
)
STATE = """
SELECT (SELECT string_agg(name || '=' || setting, E'\\n' ORDER BY name) FROM pg_settings
        WHERE source = 'session') AS set,
       (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory') AS advisory,
       (SELECT count(*) FROM pg_listening_channels()) AS channels,
       (SELECT count(*) FROM pg_prepared_statements) AS prepared,
       (SELECT count(*) FROM pg_cursors WHERE statement NOT LIKE '%pg_cursors%') AS cursors,
       pg_my_temp_schema() AS temporary, current_user || session_user AS users,
       current_setting('work_mem') || current_setting('search_path') || current_setting('TimeZone') AS settings
"""
"""All that a session can remember. What a client asks for at connect has another source than ``session``."""


@pytest_asyncio.fixture
async def worlds(postgres_database: str) -> AsyncIterator[Worlds]:
    """Yield seeded worlds."""
    async with open_worlds(postgres_database) as worlds:
        yield worlds


async def state(lane: Lane) -> dict[str, Any]:
    """Return what the single connection of a lane remembers."""
    row = await lane.database.fetchrow("state", STATE)
    assert row is not None
    return dict(row)


async def changed_by(lane: Lane, worlds: Worlds, method: Method) -> dict[str, Any]:
    """Return what of the connection's state a call changes."""
    before = await state(lane)
    tenant = SEEDED if method.reads else await worlds.copy(method.port)
    await method.call(lane.store(method.port), tenant, worlds.worlds[method.port])
    return {name: value for name, value in (await state(lane)).items() if value != before[name]}


@pytest.mark.asyncio
async def test_no_method_leaves_anything_in_the_session(worlds: Worlds) -> None:
    """After every method settings, locks, channels, temporary tables, cursors and prepared statements are as before."""
    async with open_lane(worlds, LONG, pool_size=1, pgbouncer=True) as lane:
        found = {method.name: changed for method in METHODS if (changed := await changed_by(lane, worlds, method))}
    assert found == {}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "sql",
    ["SET work_mem = '5MB'", "SELECT pg_advisory_lock(7)", "CREATE TEMP TABLE t ()", "SET TIME ZONE 'Asia/Tokyo'"],
)
async def test_control_what_stays_in_the_session_is_reported(worlds: Worlds, sql: str) -> None:
    """Control: a method that sets, locks or makes something for its session."""

    async def careless(store: Any, tenant: Any, world: Any) -> Any:
        return await store.database.fetch("careless", sql)

    async with open_lane(worlds, LONG, pool_size=1, pgbouncer=True) as lane:
        assert await changed_by(lane, worlds, Method("sessions.careless", "sessions", careless, True))


def texts(source: str) -> list[str]:
    """Return the string constants of a module, the parts of f-strings joined; docstrings left out."""
    tree = ast.parse(source)
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(one.value if isinstance(one, ast.Constant) else "x" for one in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
            found.append(node.value)
    return found


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for path in SOURCES.rglob("*.py")
        if not (name := path.relative_to(SOURCES).as_posix()).startswith(DEDICATED)
    ),
)
def test_no_source_sets_what_outlives_its_transaction(name: str) -> None:
    """No SET without LOCAL, session lock, LISTEN, temporary table that stays or cursor in a statement of the pool."""
    assert [text for text in texts((SOURCES / name).read_text(encoding="utf-8")) if SESSION_STATE.search(text)] == []


@pytest.mark.parametrize(
    "sql",
    [
        "SET work_mem = '5MB'",
        "BEGIN; SET search_path TO x",
        "SELECT set_config('focal.tenant_id', $1, false)",
        "SELECT pg_try_advisory_lock(1)",
        "LISTEN changes",
        "create temporary table t (a int)",
    ],
)
def test_control_statements_that_set_something_are_found(sql: str) -> None:
    """Control of the search."""
    assert [text for text in texts(f"run({sql!r})") if SESSION_STATE.search(text)] == [sql]


def test_changes_of_rows_and_local_settings_are_not_found() -> None:
    """UPDATE ... SET, SET LOCAL and a table that goes with the transaction are no state of a session."""
    source = (
        "run('UPDATE t SET a = 1'); run('BEGIN; SET LOCAL work_mem = 5'); run(' ON CONFLICT DO UPDATE SET a = 1');"
        "run('CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1')"
    )
    assert not [text for text in texts(source) if SESSION_STATE.search(text)]
