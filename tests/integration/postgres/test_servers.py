"""The kit's PostgreSQL for tests: where it comes from, who shares it, and what happens without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from tests.integration.postgres.support import PostgresStoreCase, empty, open_database

from focal_core.context import BackendContext
from focal_testkit.servers import ServerMissing, missing, postgres
from focal_testkit.servers.postgres import ADDRESS, EmbeddedPostgres, PostgresServer, connected, run

ROOT = Path(__file__).parents[3]

SUITE = """
import pytest
from focal_testkit.servers.postgres import connected, run


@pytest.mark.parametrize("number", range(4))
class TestShared:
    def test_it(self, postgres_server, postgres_database, number):
        async def ask():
            async with connected(postgres_database) as connection:
                return await connection.fetchval("SELECT pg_postmaster_start_time()::text")

        print("SERVER", postgres_server.url, run(ask()), postgres_database)
"""


def pytest_of(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on a suite of its own in another process."""
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "FOCAL_", "CI"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-o", "asyncio_default_fixture_loop_scope=function", *arguments],
        cwd=tmp_path,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class TestDatabases:
    async def names(self, server: PostgresServer) -> set[str]:
        async with connected(server.url) as connection:
            return {row[0] for row in await connection.fetch("SELECT datname FROM pg_database")}

    @pytest.mark.asyncio
    async def test_databases_are_made_and_dropped(self, postgres_server: PostgresServer) -> None:
        """A new database is empty and of its own name; dropping it does not wait for its clients."""
        url = await postgres_server.create_database()
        name = urlsplit(url).path[1:]
        assert name in await self.names(postgres_server)
        client = await asyncpg.connect(url)
        await postgres_server.drop_database(url)
        await postgres_server.drop_database(url)
        assert name not in await self.names(postgres_server)
        client.terminate()

    @pytest.mark.asyncio
    async def test_a_database_is_a_copy_of_its_template(self, postgres_server: PostgresServer) -> None:
        """Copies hold what the template holds and do not see each other."""
        template = await postgres_server.create_database()
        async with connected(template) as connection:
            await connection.execute("CREATE TABLE things AS SELECT 1 AS one")
        copies = [await postgres_server.create_database(template) for _ in range(2)]
        async with connected(copies[0]) as connection:
            await connection.execute("DELETE FROM things")
        async with connected(copies[1]) as connection:
            assert await connection.fetchval("SELECT one FROM things") == 1
        for url in (template, *copies):
            await postgres_server.drop_database(url)

    def test_the_server_is_new_enough_and_has_pgvector(self, postgres_server: PostgresServer) -> None:
        """What the fixture gives can hold focal's schema."""
        assert int(postgres_server.version.split(".")[0]) >= 14
        assert postgres_server.version in repr(postgres_server)


class TestWithoutServer:
    def test_an_address_that_does_not_answer_is_not_replaced(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who names a server means that one; the message tells all ways and no password."""
        monkeypatch.setenv(ADDRESS, "postgresql://focal:secret@127.0.0.1:1/focal")
        with pytest.raises(ServerMissing) as caught:
            postgres.postgres_server(tmp_path)
        assert all(way in str(caught.value) for way in (ADDRESS, "Docker", "focal-postgres[embedded]"))
        assert "secret" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("environment", "outcome"),
        [
            ({}, pytest.skip.Exception),
            ({"FOCAL_REQUIRE": "redis"}, pytest.skip.Exception),
            ({"FOCAL_REQUIRE": "redis, postgres"}, pytest.fail.Exception),
            ({"CI": "true"}, pytest.fail.Exception),
        ],
    )
    def test_missing_is_red_where_it_is_required(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], outcome: type[BaseException]
    ) -> None:
        """A skip with a reason on a desk, a failure where the service is required and in CI."""
        for name in ("FOCAL_REQUIRE", "CI"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(outcome, match="start it"):
            missing("postgres", "start it")

    def test_a_whole_run_is_skipped_or_fails(self, tmp_path: Path) -> None:
        """The fixtures ask as told above."""
        nowhere = {ADDRESS: "postgresql://focal:secret@127.0.0.1:1/focal"}
        skipped = pytest_of(tmp_path, **nowhere)
        failed = pytest_of(tmp_path, **nowhere, FOCAL_REQUIRE="postgres")
        assert "4 skipped" in skipped.stdout
        assert skipped.returncode == 0
        assert "4 errors" in failed.stdout
        assert "secret" not in skipped.stdout + failed.stdout

    def test_a_server_of_others_is_neither_stopped_nor_killed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A test that needs that is skipped there, or fails where postgres is required."""
        monkeypatch.setenv("FOCAL_REQUIRE", "")
        monkeypatch.delenv("CI", raising=False)
        theirs = PostgresServer("postgresql://there", "16.1")
        for way in (theirs.kill, theirs.restart):
            with pytest.raises(pytest.skip.Exception, match="not ours"):
                way()


class TestRuns:
    def test_workers_of_a_run_share_one_server(self, tmp_path: Path) -> None:
        """One server, a database per class and worker, and nothing left behind; the run needs no set-up."""
        pytest.importorskip("xdist")
        done = pytest_of(tmp_path, "-n", "2", "-p", "no:cacheprovider")
        lines = {line for line in done.stdout.splitlines() if line.startswith("SERVER")}
        assert done.returncode == 0, done.stdout
        assert len({line.split()[1] for line in lines}) == 1
        assert len({" ".join(line.split()[2:4]) for line in lines}) == 1
        assert len({line.split()[-1] for line in lines}) >= 2

    def test_a_run_leaves_no_folder(self, tmp_path: Path) -> None:
        """The folder of the run's servers goes with the run."""
        done = pytest_of(tmp_path, f"--basetemp={tmp_path / 'base'}")
        assert done.returncode == 0, done.stdout
        assert not list(tmp_path.glob("base/focal-servers*"))
        assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("focal-servers-base-*"))


class TestPrivateServer:
    def test_it_is_durable(self, private_postgres: EmbeddedPostgres) -> None:
        """A server that tests kill waits for its disk."""

        async def fsync() -> object:
            async with connected(private_postgres.url) as connection:
                return await connection.fetchval("SHOW fsync")

        assert run(fsync()) == "on"

    @pytest.mark.parametrize("killed", [False, True])
    def test_it_comes_back_at_its_address_with_its_data(self, private_postgres: EmbeddedPostgres, killed: bool) -> None:
        """After a restart or a crash the acknowledged is there."""

        async def execute(sql: str) -> object:
            async with connected(private_postgres.url) as connection:
                return await connection.fetchval(sql)

        run(execute("CREATE TABLE kept AS SELECT 42 AS answer"))
        url, pid = private_postgres.url, private_postgres.pid
        if killed:
            private_postgres.kill()
            with pytest.raises(OSError):
                run(execute("SELECT 1"))
        private_postgres.restart()
        assert (private_postgres.url, private_postgres.pid != pid) == (url, True)
        assert run(execute("SELECT answer FROM kept")) == 42


class _Handle:
    def __init__(self, database: Any, context: BackendContext) -> None:
        self.database = database


class TestStoreCase(PostgresStoreCase):
    store_class = _Handle

    @pytest.mark.asyncio
    @pytest.mark.parametrize("time", [1, 2])
    async def test_every_store_begins_empty(self, time: int) -> None:
        """Rows of append-only tables too are gone when the next store opens."""
        event = (
            "INSERT INTO focal.audit_events (tenant_id, id, event_type, digest, payload)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), 'e', '', '{}')"
        )
        async with (
            self.open_store(BackendContext()) as store,
            connected(store.database.options.url.get_secret_value()) as connection,
        ):
            assert await connection.fetchval("SELECT count(*) FROM focal.audit_events") == 0
            await connection.execute(event)
            with pytest.raises(asyncpg.PostgresError):
                await connection.execute("DELETE FROM focal.audit_events")

    @pytest.mark.asyncio
    async def test_stores_open_together_share_nothing(self) -> None:
        """A second store gets a database of its own, and opening it does not empty the first."""
        async with self.open_store(BackendContext()) as one, self.open_store(BackendContext()) as two:
            assert one.database.options.url != two.database.options.url

    @pytest.mark.asyncio
    async def test_emptying_twice_is_nothing(self, postgres_database: str) -> None:
        """An empty database stays usable."""
        await empty(postgres_database)
        await empty(postgres_database)
        async with open_database(postgres_database, BackendContext()) as database:
            assert await database.fetch("agents", "SELECT id FROM focal.agents") == []
