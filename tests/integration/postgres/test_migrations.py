"""Migrations: up, down and up again with rows in every table, and everything that can come in between."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.integration.postgres.seeded_rows import insert_rows, remove_rows, stored_rows, tables_of

from focal_core.errors import ConfigurationError, ConflictError, SchemaOutdatedError, StoreUnavailableError
from focal_postgres import migrate
from focal_postgres.migrations.session import lock_key, resolve_revision
from focal_postgres.revisions import REVISIONS
from focal_postgres.settings import PostgresOptions
from focal_testkit.servers.postgres import PostgresServer, connected

pytestmark = pytest.mark.asyncio

HEAD = REVISIONS[-1]
MIGRATION = "focal migration"
"""application_name of a migration."""


@pytest_asyncio.fixture
async def url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Yield the address of an empty database."""
    address = await postgres_server.create_database()
    yield address
    await postgres_server.drop_database(address)


@pytest.fixture
def options(url: str) -> PostgresOptions:
    """Return the options for the empty database."""
    return options_for(url)


def options_for(url: str, **others: Any) -> PostgresOptions:
    return PostgresOptions.model_validate({"url": url, **others})


async def until(connection: asyncpg.Connection[Any], question: str) -> Any:
    """Ask the server again and again until the answer is true."""
    async with asyncio.timeout(30):
        while not (answer := await connection.fetchval(question)):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.02)
    return answer


WAITING = f"SELECT pid FROM pg_stat_activity WHERE application_name = '{MIGRATION}' AND wait_event_type = 'Lock'"
NOT_WAITING = f"SELECT NOT EXISTS ({WAITING} AND datname = current_database())"


def waiting() -> str:
    return f"{WAITING} AND datname = current_database()"


async def test_empty_database_reaches_head_fast(options: PostgresOptions) -> None:
    """From nothing to the newest schema in under five seconds, every revision in order."""
    done: list[str] = []
    started = time.perf_counter()
    result = await migrate.upgrade(options, progress=done.append)
    seconds = time.perf_counter() - started
    print(f"empty to head: {seconds:.2f} s")
    assert (result.before, result.after, result.steps) == (None, HEAD, REVISIONS)
    assert tuple(done) == REVISIONS
    assert seconds < 5
    assert (await migrate.check(options)).up_to_date


async def test_upgrade_of_an_up_to_date_schema_changes_nothing(url: str, options: PostgresOptions) -> None:
    """A second upgrade finds nothing to do and keeps every row."""
    await migrate.upgrade(options)
    async with connected(url) as connection:
        await insert_rows(connection, "focal")
        before = await stored_rows(connection, "focal")
        again = await migrate.upgrade(options)
        assert (again.before, again.after, again.steps) == (HEAD, HEAD, ())
        assert await stored_rows(connection, "focal") == before


@pytest.mark.parametrize("revision", REVISIONS)
async def test_up_down_up_keeps_every_row_the_older_schema_can_hold(
    url: str, options: PostgresOptions, revision: str
) -> None:
    """A downgrade refuses, with the numbers, to drop rows; without such rows it goes through and loses nothing."""
    at = REVISIONS.index(revision)
    older = REVISIONS[at - 1] if at else "base"
    if at:
        await migrate.upgrade(options, older)
    async with connected(url) as connection:
        kept_tables = await tables_of(connection, "focal")
        await migrate.upgrade(options, revision)
        await insert_rows(connection, "focal")
        everything = await stored_rows(connection, "focal")
        own = sorted(everything.keys() - kept_tables)
        if own:
            with pytest.raises(ConflictError) as refused:
                await migrate.downgrade(options, older)
            assert refused.value.code == "rows_would_be_lost"
            assert refused.value.details["rows"] == {table: len(everything[table]) for table in own}
            assert await stored_rows(connection, "focal") == everything
            assert await migrate.current(options) == revision
            await remove_rows(connection, "focal", *own)
        down = await migrate.downgrade(options, older)
        assert (down.before, down.after, down.steps) == (revision, None if older == "base" else older, (revision,))
        left = await stored_rows(connection, "focal")
        brought = {"embedding_spaces": 2} if revision == "007_vector_indexes" else {}
        for table in kept_tables:
            assert set(left[table]) <= set(everything[table])
            assert len(left[table]) == len(everything[table]) - brought.get(table, 0)
        await migrate.upgrade(options, revision)
        again = await stored_rows(connection, "focal")
        assert {table: again[table] for table in kept_tables - brought.keys()} == {
            table: everything[table] for table in kept_tables - brought.keys()
        }
        await insert_rows(connection, "focal", own)
        await migrate.upgrade(options)
        final = await stored_rows(connection, "focal")
        assert {table: final[table] for table in everything if table != "embedding_spaces"} == {
            table: everything[table] for table in everything if table != "embedding_spaces"
        }


async def test_spaces_in_use_outlive_the_revision_that_brought_them(url: str, options: PostgresOptions) -> None:
    """Taking back 007 drops its indexes, and of its spaces only those without vectors."""
    await migrate.upgrade(options)
    async with connected(url) as connection:
        await insert_rows(connection, "focal")
        await connection.execute("UPDATE focal.rules SET condition_embedding_space_id = 1")
        await remove_rows(
            connection, "focal", "sessions", "consents", "profile_field_definitions", "scenario_field_requirements"
        )
        await migrate.downgrade(options, "006")
        assert await connection.fetchval("SELECT array_agg(id ORDER BY id) FROM focal.embedding_spaces") == [1, 7]
        assert await connection.fetchval("SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'hnsw%'") == 0


async def test_revisions_are_named_by_number_and_by_steps(options: PostgresOptions) -> None:
    """Targets may be numbers, head, base, +n and -n; the wrong direction and unknown names are told."""
    assert (await migrate.upgrade(options, "2")).after == "002_config_store"
    assert (await migrate.upgrade(options, "+1")).after == "003_memory_store"
    assert (await migrate.downgrade(options, "-2")).after == "001_initial_schema"
    assert [one.applied for one in await migrate.history(options)] == [True, *([False] * (len(REVISIONS) - 1))]
    with pytest.raises(ConfigurationError) as passed:
        await migrate.downgrade(options, "head")
    assert passed.value.code == "revision_not_reached"
    await migrate.upgrade(options)
    with pytest.raises(ConfigurationError) as passed:
        await migrate.upgrade(options, "003")
    assert passed.value.code == "revision_passed"
    for unknown in ("", "1234", "abc", "+99", "-99", "00", "head~1"):
        with pytest.raises(ConfigurationError) as refused:
            resolve_revision(unknown, REVISIONS, HEAD)
        assert refused.value.code == "revision_unknown"


async def test_check_names_what_is_pending(options: PostgresOptions) -> None:
    """Check tells where the schema is and what is missing, and writes nothing."""
    empty = await migrate.check(options)
    assert (empty.current, empty.pending, empty.up_to_date) == (None, REVISIONS, False)
    assert await migrate.current(options) is None
    await migrate.upgrade(options, "003")
    half = await migrate.check(options)
    assert (half.current, half.pending, half.ahead) == ("003_memory_store", REVISIONS[3:], False)


async def test_stamp_takes_over_a_schema_built_from_the_script(url: str, options: PostgresOptions) -> None:
    """The script that ``sql`` writes builds the schema, version and all; stamp only notes a version."""
    async with connected(url) as connection:
        # One by one, as psql does: a concurrent build cannot share an implicit transaction.
        for statement in split_script(await migrate.sql("focal")):
            await connection.execute(statement)
        assert (await migrate.check(options)).up_to_date
        await connection.execute("DROP TABLE focal.alembic_version")
        assert (await migrate.check(options)).pending == REVISIONS
        stamped = await migrate.stamp(options, "head")
        assert (stamped.before, stamped.after) == (None, HEAD)
        assert (await migrate.check(options)).up_to_date
        await insert_rows(connection, "focal")


def split_script(script: str) -> list[str]:
    """Return the statements of a script; a function's body keeps its semicolons."""
    statements, open_body = [""], False
    for line in script.splitlines():
        statements[-1] += f"{line}\n"
        open_body ^= line.count("$$") % 2 == 1
        if line.endswith(";") and not open_body:
            statements.append("")
    return [one for one in statements if one.strip()]


async def test_schemas_of_one_database_are_independent(url: str) -> None:
    """Two schemas are migrated side by side, also at the same time, each with its own version."""
    first, second = options_for(url, schema="one"), options_for(url, schema="two")
    await asyncio.gather(migrate.upgrade(first), migrate.upgrade(second))
    await migrate.downgrade(second, "base")
    assert await migrate.current(first) == HEAD
    assert await migrate.current(second) is None
    async with connected(url) as connection:
        assert await tables_of(connection, "two") == set()
        await insert_rows(connection, "one")


async def test_concurrent_upgrades_of_one_process_all_succeed(options: PostgresOptions) -> None:
    """Of a dozen tasks one migrates; the others find nothing to do."""
    results = await asyncio.gather(*(migrate.upgrade(options) for _ in range(12)))
    assert sorted(len(one.steps) for one in results) == [*([0] * 11), len(REVISIONS)]


async def test_lock_that_stays_taken_names_its_holder(url: str, options: PostgresOptions) -> None:
    """After the time-out the error names pid and application of who migrates."""
    holder = await asyncpg.connect(url, server_settings={"application_name": "the other one"})
    try:
        await holder.execute(f"SELECT pg_advisory_lock({lock_key('focal')})")
        with pytest.raises(StoreUnavailableError) as refused:
            await migrate.upgrade(options.model_copy(update={"migration_lock_timeout": 0.4}))
        assert refused.value.code == "migration_running"
        assert f"pid {holder.get_server_pid()} (the other one)" in str(refused.value)
    finally:
        await holder.close()
    assert (await migrate.upgrade(options)).after == HEAD


async def test_migration_lets_the_application_go_on_while_it_waits_for_a_table(
    url: str, options: PostgresOptions
) -> None:
    """A table that is locked is not queued for longer than the lock time-out; the revision is tried again."""
    await migrate.upgrade(options, "001")
    async with connected(url) as watch, connected(url) as busy:
        transaction = busy.transaction()
        await transaction.start()
        await busy.execute("LOCK TABLE focal.embedding_spaces IN ACCESS EXCLUSIVE MODE")
        upgrade = asyncio.create_task(migrate.upgrade(options))
        await until(watch, waiting())
        await until(watch, NOT_WAITING)
        assert not upgrade.done()
        await transaction.rollback()
        assert (await upgrade).after == HEAD


async def test_cancelled_migration_leaves_nothing_behind(url: str, options: PostgresOptions) -> None:
    """A cancelled upgrade gives its locks back at once: the next one does the work."""
    await migrate.upgrade(options, "001")
    async with connected(url) as watch, connected(url) as busy:
        async with busy.transaction():
            await busy.execute("LOCK TABLE focal.embedding_spaces IN ACCESS EXCLUSIVE MODE")
            upgrade = asyncio.create_task(migrate.upgrade(options))
            await until(watch, waiting())
            upgrade.cancel()
            with pytest.raises(asyncio.CancelledError):
                await upgrade
        assert (await migrate.upgrade(options)).steps == REVISIONS[1:]


async def test_table_that_stays_locked_ends_in_a_typed_error(url: str, options: PostgresOptions) -> None:
    """When the table is not to be had within ``migration_lock_timeout``, the error says so; nothing is half done."""
    await migrate.upgrade(options, "001")
    async with connected(url) as busy, busy.transaction():
        await busy.execute("LOCK TABLE focal.embedding_spaces IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailableError) as refused:
            await migrate.upgrade(options.model_copy(update={"migration_lock_timeout": 0.5}))
        assert refused.value.code == "lock_timeout"
    assert await migrate.current(options) == "001_initial_schema"
    assert (await migrate.upgrade(options)).after == HEAD


async def test_interrupted_index_build_is_rebuilt(url: str, options: PostgresOptions) -> None:
    """An index that a killed build has left invalid is listed by check and rebuilt by the next upgrade."""
    await migrate.upgrade(options, "006")
    async with connected(url) as watch, connected(url) as busy:
        transaction = busy.transaction()
        await transaction.start()
        await busy.execute("LOCK TABLE focal.rule_vectors IN ROW EXCLUSIVE MODE")
        upgrade = asyncio.create_task(migrate.upgrade(options))
        pid = await until(watch, waiting())
        await watch.execute(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(StoreUnavailableError):
            await upgrade
        await transaction.rollback()
        left = await migrate.check(options)
        assert left.current == "006_migration_plans"
        assert left.invalid_indexes == ("hnsw_rule_vectors_1",)
        again = await migrate.upgrade(options)
        assert (again.after, again.rebuilt) == (HEAD, ("hnsw_rule_vectors_1",))
        assert (await migrate.check(options)).up_to_date
        built = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'focal' AND indexname LIKE 'hnsw%'"
        assert await watch.fetchval(built) == 8


async def test_invalid_index_at_head_is_pending_and_rebuilt(url: str, options: PostgresOptions) -> None:
    """A schema at head with an invalid index is not up to date; upgrade rebuilds it, its definition unchanged."""
    await migrate.upgrade(options)
    async with connected(url) as connection:
        definition = "SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_rules_priority'"
        before = await connection.fetchval(definition)
        await connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'focal.ix_rules_priority'::regclass"
        )
        state = await migrate.check(options)
        assert (state.pending, state.invalid_indexes, state.up_to_date) == ((), ("ix_rules_priority",), False)
        assert (await migrate.upgrade(options)).rebuilt == ("ix_rules_priority",)
        assert await connection.fetchval(definition) == before


async def test_schema_of_a_later_release_is_left_alone(url: str, options: PostgresOptions) -> None:
    """A version this release does not know: check says ahead, upgrade and downgrade refuse and name the remedy."""
    await migrate.upgrade(options)
    async with connected(url) as connection:
        await connection.execute("UPDATE focal.alembic_version SET version_num = '999_future'")
    state = await migrate.check(options)
    assert (state.current, state.ahead, state.pending, state.up_to_date) == ("999_future", True, (), False)
    for refused in (migrate.upgrade(options), migrate.downgrade(options, "base"), migrate.history(options)):
        with pytest.raises(SchemaOutdatedError) as error:
            await refused
        assert error.value.code == "schema_ahead"
        assert "upgrade focal-postgres" in str(error.value.hint)


async def test_revisions_form_one_line_and_say_what_they_bring() -> None:
    """The tree is linear, in the order of REVISIONS, and every revision has its frozen SQL and a title."""
    from alembic.script import ScriptDirectory

    from focal_postgres.migrations.steps import statements

    script = ScriptDirectory.from_config(migrate.configuration("focal"))
    walked = [one.revision for one in script.walk_revisions()]
    assert tuple(reversed(walked)) == REVISIONS
    assert script.get_heads() == [HEAD]
    for revision in REVISIONS:
        assert migrate.title(revision).endswith(".")
        assert statements(revision, "focal")
    assert {name.removesuffix(".sql") for name in os.listdir(script.versions) if name.endswith(".sql")} == set(
        REVISIONS
    )
