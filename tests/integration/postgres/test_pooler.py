"""Every method through PgBouncer in transaction mode, where each transaction may meet another session.

Needs the ``pgbouncer`` of the system's packages; ``FOCAL_REQUIRE=pgbouncer`` makes a missing one a failure.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from tests.integration.calls import LONG, shown
from tests.integration.postgres.faulty import METHODS, SCENARIOS, Ids, Method, Worlds, open_worlds
from tests.integration.postgres.support import open_database

from focal_core.context import BackendContext
from focal_core.errors import FocalError, StoreUnavailableError
from focal_postgres.database import Database
from focal_testkit.servers import missing

pytestmark = pytest.mark.asyncio
SERVER_CONNECTIONS = 3
CLIENTS = 6
"""More than the pooler has server connections, so that they have to take turns."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Pooler:
    """A PgBouncer in front of one database.

    Args:
        folder: where its files are.
        url: the database, with user and password.
    """

    def __init__(self, folder: Path, url: str) -> None:
        parts, port = urlsplit(url), _free_port()
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        self.url = urlunsplit(parts._replace(netloc=f"{user}:{password}@127.0.0.1:{port}"))
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "auth_type": "plain",
            "auth_file": folder / "users.txt",
            "pool_mode": "transaction",
            "default_pool_size": SERVER_CONNECTIONS,
            "max_client_conn": 200,
            "logfile": folder / "pgbouncer.log",
            "pidfile": folder / "pgbouncer.pid",
        }
        database = f"* = host={parts.hostname} port={parts.port or 5432}"
        lines = ["[databases]", database, "[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items())]
        (folder / "pgbouncer.ini").write_text("\n".join(lines), encoding="utf-8")
        (folder / "users.txt").write_text(f'"{user}" "{password}"\n', encoding="utf-8")
        owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            # PgBouncer refuses to run as root.
            entry = pwd.getpwnam("nobody")
            for path in (folder, *folder.iterdir()):
                os.chown(path, entry.pw_uid, entry.pw_gid)
            owner = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.process = subprocess.Popen(
            [str(_binary()), str(folder / "pgbouncer.ini")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **owner,
        )

    def close(self) -> None:
        """Stop it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def _binary() -> str | None:
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


def _version() -> tuple[int, ...]:
    told = subprocess.run([str(_binary()), "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, told.split()[1].split(".")[:2]))


@pytest.fixture
def pooler_folder(servers_folder: Path) -> Iterator[Path]:
    """Yield a folder for a pooler; skips, or fails where it is required, when there is no PgBouncer."""
    if _binary() is None:
        missing("pgbouncer", "there is no pgbouncer on PATH; apt-get install pgbouncer")
    folder = servers_folder / f"pgbouncer-{uuid4().hex}"
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture
async def worlds(postgres_database: str) -> AsyncIterator[Worlds]:
    """Yield seeded worlds."""
    async with open_worlds(postgres_database) as worlds:
        yield worlds


@pytest_asyncio.fixture
async def pooled(worlds: Worlds, pooler_folder: Path) -> AsyncIterator[str]:
    """Yield the address of the worlds' database through a pooler that takes connections."""
    pooler = Pooler(pooler_folder, worlds.url)
    try:
        async with asyncio.timeout(LONG):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(pooler.url).port)
                    writer.close()
                    break
                except OSError:
                    await asyncio.sleep(0.01)
        yield pooler.url
    finally:
        pooler.close()


@asynccontextmanager
async def clients(worlds: Worlds, url: str, **options: Any) -> AsyncIterator[list[tuple[Database, Ids]]]:
    """Yield clients with pools of their own."""
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(CLIENTS):
            ids = Ids()
            context = BackendContext(clock=worlds.clock, id_factory=ids)
            found.append((await stack.enter_async_context(open_database(url, context, pool_size=1, **options)), ids))
        yield found


async def done(worlds: Worlds, method: Method, database: Database, ids: Ids) -> tuple[str, str]:
    """Return what a method answers on a fresh world, and what is stored then."""
    tenant: UUID = await worlds.copy(method.port)
    store = SCENARIOS[method.port][0](database, database.context)
    ids.next = 0
    answer = await method.call(store, tenant, worlds.worlds[method.port])
    return shown(answer).replace(str(tenant), ""), await worlds.stored(method.port, tenant)


async def failures(worlds: Worlds, pooled: list[tuple[Database, Ids]], methods: list[Method]) -> list[str]:
    """Run every method by all clients at once, and return what differs from the same over a direct connection."""
    found, ids = [], Ids()
    context = BackendContext(clock=worlds.clock, id_factory=ids)
    async with open_database(worlds.url, context, pool_size=1) as direct:
        for method in methods:
            right = await done(worlds, method, direct, ids)
            calls = [done(worlds, method, database, own) for database, own in pooled]
            for one in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(one, BaseException) and not isinstance(one, FocalError):
                    raise one
                if one != right:
                    found.append(f"{method}: {one!r}, not {right!r}")
    return found


async def test_every_method_works_through_a_transaction_pooler(worlds: Worlds, pooled: str) -> None:
    """P16: with ``pgbouncer = true`` each of six clients on three sessions gets what a direct connection gives."""
    async with clients(worlds, pooled, pgbouncer=True) as through:
        found = await failures(worlds, through, METHODS)
    assert not found, f"{len(found)}: " + "\n".join(found[:5])


async def test_control_settings_at_connect_are_refused(pooled: str) -> None:
    """Control: without ``pgbouncer`` the client asks for settings that a pooler cannot keep."""
    with pytest.raises(StoreUnavailableError):
        async with open_database(pooled, BackendContext(), connect_timeout=3):
            pass


async def test_control_kept_prepared_statements_are_reported(worlds: Worlds, pooled: str) -> None:
    """Control of P16: before 1.21 a statement that was prepared in one session is missing in another."""
    if _version() >= (1, 21):
        pytest.skip("this PgBouncer keeps prepared statements")
    methods = [one for one in METHODS if one.port in ("audit", "sessions")]
    async with clients(worlds, pooled, pgbouncer="1.21") as through:
        assert await failures(worlds, through, methods)
