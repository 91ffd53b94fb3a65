"""After a failover the client finds the new primary without being restarted."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import pytest
from tests.integration.calls import until
from tests.integration.postgres.support import SCHEMA, migrate, open_database

from focal_core.context import BackendContext
from focal_core.errors import StoreUnavailableError
from focal_core.ids import uuid7
from focal_postgres import _cluster
from focal_postgres.conversation import PostgresSessionStore
from focal_postgres.database import Database
from focal_testkit.data.conversation import placed
from focal_testkit.servers.postgres import EmbeddedPostgres, connected

pytestmark = pytest.mark.asyncio
PATIENCE = 30.0


class Standby:
    """A replica of an embedded server, made with the binaries of its wheel.

    Args:
        primary: the server.
        folder: an empty folder that the server's user may enter.
        port: where it listens.
    """

    def __init__(self, primary: EmbeddedPostgres, folder: Path, port: int) -> None:
        home = primary._server.folder
        self._program, self._folder, self.port = _cluster.program_of(home), folder, port
        parts = urlsplit(primary.url)
        where = (
            f"host={parts.hostname} port={parts.port} user={parts.username} password={unquote(parts.password or '')}"
        )
        self._run("pg_basebackup", "-D", "data", "-R", "-X", "stream", "-c", "fast", "-d", where)
        # The configuration of the data includes this file; the address on the command line goes before it.
        shutil.copy(home / "focal.conf", folder / "focal.conf")
        self._run("pg_ctl", "start", "-w", "-D", "data", "-l", "server.log", "-o", f"-p {port}")

    def promote(self) -> None:
        """Make it the primary."""
        self._run("pg_ctl", "promote", "-w", "-D", "data")

    def close(self) -> None:
        """Stop it."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-D", "data")

    def _run(self, name: str, *arguments: str) -> None:
        done = self._program.run(name, *arguments, folder=self._folder, quiet=name == "pg_ctl")
        assert done.returncode == 0, (name, arguments[0], done.stderr)


@pytest.fixture
def standby_folder(servers_folder: Path) -> Iterator[Path]:
    """Yield a folder for a replica."""
    folder = servers_folder / f"standby-{uuid4().hex}"
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        # Servers of root run as another user.
        owner = _cluster._user(folder)
        os.chown(folder, *owner)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def until_saved(database: Database, tenant: Any) -> float:
    """Return after how many seconds a save succeeds; endless after the patience."""
    store, began = PostgresSessionStore(database), time.monotonic()
    while time.monotonic() - began < PATIENCE:
        try:
            await store.save(placed(0, tenant, session_id=uuid7()))
            return time.monotonic() - began
        except StoreUnavailableError as error:
            if not (error.retryable or error.code == "read_only"):
                raise
            await asyncio.sleep(0.02)
    return float("inf")


async def test_the_client_finds_the_promoted_replica(private_postgres: EmbeddedPostgres, standby_folder: Path) -> None:
    """P10: two hosts and target_session_attrs; the primary is killed, the replica promoted: saves go on within 2 s."""
    url = await private_postgres.create_database()
    await migrate(url)
    standby = Standby(private_postgres, standby_folder, _free_port())
    parts, tenant = urlsplit(url), uuid7()
    user = parts.netloc.rpartition("@")[0]
    both = (
        f"postgresql://{user}@127.0.0.1:{parts.port},127.0.0.1:{standby.port}{parts.path}"
        "?target_session_attrs=read-write"
    )
    alone = f"postgresql://{user}@127.0.0.1:{standby.port}{parts.path}"
    try:
        async with open_database(both, BackendContext(), pool_size=4, deadline=5.0, connect_timeout=5.0) as database:
            assert await until_saved(database, tenant) < PATIENCE
            sent = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"
            async with connected(url) as primary:
                await until(lambda: primary.fetchval(sent), PATIENCE)
            await asyncio.to_thread(private_postgres.kill)
            await asyncio.to_thread(standby.promote)
            gap = await until_saved(database, tenant)
            assert gap <= 2.0, gap
        async with connected(alone) as promoted:
            assert await promoted.fetchval(f"SELECT count(*) FROM {SCHEMA}.sessions WHERE tenant_id = $1", tenant) == 2
        await _control(url, tenant)
    finally:
        standby.close()


async def _control(url: str, tenant: Any) -> None:
    """Control: a client that knows one host does not find the other."""
    with pytest.raises(StoreUnavailableError):
        async with open_database(url, BackendContext(), connect_timeout=2) as database:
            await until_saved(database, tenant)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
