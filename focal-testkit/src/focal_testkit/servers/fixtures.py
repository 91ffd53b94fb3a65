"""Fixtures of the PostgreSQL server; the kit's pytest plugin offers them wherever the kit is installed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from focal_core.errors import FocalError
from focal_testkit.servers import ServerMissing, missing
from focal_testkit.servers.postgres import EmbeddedPostgres, Migrate, PostgresServer, run
from focal_testkit.servers.postgres import postgres_server as open_server


def run_folder(base: Path) -> Path:
    """Return the folder of a test run's servers.

    Args:
        base: pytest's folder for temporary files of the run; the same in every xdist worker.
    """
    if os.name != "nt" and os.geteuid() == 0:
        # The user a server of root runs as may not enter pytest's own folder.
        return Path(tempfile.gettempdir()) / f"focal-servers-{base.name}-{base.stat().st_ino}"
    return base / "focal-servers"


def remove_servers(config: pytest.Config) -> None:
    """Remove the folder of the run's servers once nothing uses it; xdist workers leave that to their controller."""
    base: Path | None = getattr(getattr(config, "_tmp_path_factory", None), "_basetemp", None)
    # Another run may have pruned pytest's folder, and with it what names ours.
    if base is not None and base.exists() and not hasattr(config, "workerinput"):
        shutil.rmtree(run_folder(base), ignore_errors=True)


@pytest.fixture(scope="session")
def servers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of this run's servers, which every xdist worker shares; the run removes it at its end."""
    base = tmp_path_factory.getbasetemp()
    folder = run_folder(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)
    folder.mkdir(mode=0o711, exist_ok=True)
    if os.name != "nt" and folder.stat().st_uid != os.geteuid():
        pytest.fail(f"{folder} belongs to another user", pytrace=False)
    return folder


@pytest.fixture(scope="session")
def postgres_server(servers_folder: Path) -> Iterator[PostgresServer]:
    """Yield the PostgreSQL of this run; skips, or fails where it is required, when there is none."""
    try:
        server = open_server(servers_folder / "postgres")
    except ServerMissing as error:
        missing("postgres", str(error))
    yield server
    server.close()


@pytest.fixture
def private_postgres(servers_folder: Path) -> Iterator[EmbeddedPostgres]:
    """Yield an embedded server of the test's own, durable, for a test that stops or kills it."""
    folder = servers_folder / f"private-{uuid4().hex}"
    try:
        server = EmbeddedPostgres(folder)
    except (ImportError, FocalError) as error:
        missing("postgres", f"{error}; this test needs a server of its own: pip install 'focal-postgres[embedded]'")
    yield server
    server.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_migrate() -> Migrate:
    """Return what brings an empty database to the newest schema: nothing, until a suite overrides this fixture."""

    async def nothing(url: str) -> None:
        """Leave the database empty."""

    return nothing


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer, postgres_migrate: Migrate) -> Iterator[str]:
    """Yield the address of a migrated database that others are copies of; never connect to it."""
    url = run(postgres_server.create_database())
    run(postgres_migrate(url))
    yield url
    run(postgres_server.drop_database(url))


@pytest.fixture(scope="class")
def postgres_database(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """Yield the address of a fresh, migrated database of the test class."""
    url = run(postgres_server.create_database(template=postgres_template))
    yield url
    run(postgres_server.drop_database(url))
