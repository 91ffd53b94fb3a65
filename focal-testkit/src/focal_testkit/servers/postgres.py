"""A PostgreSQL with pgvector for tests, and databases on it."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

from focal_testkit.servers import ServerMissing, missing, require_docker

if TYPE_CHECKING:
    from asyncpg import Connection

    from focal_postgres.embedded import EmbeddedServer

ADDRESS = "FOCAL_TEST_POSTGRES_URL"
IMAGE = "pgvector/pgvector:pg16"
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "500"}
"""Settings for tests that do not ask what a crash leaves: nothing waits for a disk."""

Result = TypeVar("Result")


class PostgresServer:
    """A server that tests may fill with databases: one somebody else runs; the subclasses are ours.

    Args:
        url: its address.
        version: of the server.

    Attributes:
        url: an address of a role that may create databases, with its password.
        version: such as ``"18.4"``.
        source: ``"url"``, ``"docker"`` or ``"embedded"``.
        controllable: whether ``kill`` and ``restart`` work.
    """

    source = "url"
    controllable = False

    def __init__(self, url: str, version: str) -> None:
        self.url = url
        self.version = version

    def __repr__(self) -> str:
        return f"<PostgreSQL {self.version}, {self.source}>"

    async def create_database(self, template: str | None = None) -> str:
        """Return the address of a new database, a copy of another one if given.

        Args:
            template: the address of a database to which nobody is connected.
        """
        name = f"focal_test_{uuid4().hex}"
        source = "" if template is None else f' TEMPLATE "{_database(template)}"'
        async with connected(self.url) as connection:
            await connection.execute(f'CREATE DATABASE "{name}"{source}')
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{quote(name)}"))

    async def drop_database(self, url: str) -> None:
        """Remove a database, connected clients or not; a missing one is nothing.

        Args:
            url: what ``create_database`` returned.
        """
        async with connected(self.url) as connection:
            await connection.execute(f'DROP DATABASE IF EXISTS "{_database(url)}" WITH (FORCE)')

    def restart(self) -> None:
        """Start the server again at the same address, shut down before if it runs.

        A test that needs this on a server that is not ours is skipped, or fails where postgres is required.
        """
        missing("postgres", f"this test stops its server, and {self!r} is not ours to stop; unset {ADDRESS}")

    def kill(self) -> None:
        """End the server as a crash does (SIGKILL); ``restart`` brings it back.

        A test that needs this on a server that is not ours is skipped, or fails where postgres is required.
        """
        missing("postgres", f"this test kills its server, and {self!r} is not ours to kill; unset {ADDRESS}")

    def close(self) -> None:
        """Give the server up; what was started for the tests ends with its last user."""


class EmbeddedPostgres(PostgresServer):
    """The embedded server of focal-postgres in a folder; processes that name one folder share it.

    Args:
        folder: where it lives.
        settings: PostgreSQL settings, such as ``FAST``; durable when omitted.
    """

    source = "embedded"
    controllable = True

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        # A backend of the repository beside the kit, only where somebody asks for its server.
        from focal_postgres import embedded

        self._embedded = embedded
        self._settings = dict(settings or {})
        self._server: EmbeddedServer = embedded.join(folder, settings=self._settings)
        super().__init__(self._server.url, self._server.version)

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return self._server.pid

    def restart(self) -> None:  # noqa: D102
        self._embedded.stop(self._server)
        running = self._embedded.join(self._server.folder, settings=self._settings)
        self._embedded.leave(self._server)
        self._server, self.url = running, running.url

    def kill(self) -> None:  # noqa: D102
        self._embedded.stop(self._server, mode="kill")

    def close(self) -> None:  # noqa: D102
        self._embedded.leave(self._server)


class ContainerPostgres(PostgresServer):
    """A container of this process, through testcontainers."""

    source = "docker"

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from testcontainers.postgres import PostgresContainer

            self._container = PostgresContainer(IMAGE, username="focal", password=uuid4().hex, driver=None)
            self._container.start()
        super().__init__(self._container.get_connection_url(), "")

    def close(self) -> None:  # noqa: D102
        self._container.stop()


def postgres_server(folder: Path, *, settings: Mapping[str, str] | None = None) -> PostgresServer:
    """Return a server: of ``FOCAL_TEST_POSTGRES_URL``, else in a container, else embedded in the folder.

    Args:
        folder: where an embedded server lives; processes with the same folder share it.
        settings: settings of an embedded server; ``FAST`` when omitted, ``{}`` for a durable one.

    Raises:
        ServerMissing: none of the three is there; the message says how to get each.
    """
    tried = []
    ways: list[Callable[[], PostgresServer]] = [
        _container,
        lambda: EmbeddedPostgres(folder, FAST if settings is None else settings),
    ]
    if ADDRESS in os.environ:
        ways = [lambda: PostgresServer(os.environ[ADDRESS], "")]
    for way in ways:
        try:
            server = way()
        except Exception as error:
            tried.append(f"{type(error).__name__}: {error}")
            continue
        try:
            server.version = run(_checked_version(server.url))
        except Exception as error:
            server.close()
            tried.append(f"{type(error).__name__}: {error}")
        else:
            return server
    raise ServerMissing(
        f"set {ADDRESS}, or start Docker and install testcontainers[postgres], "
        f"or pip install 'focal-postgres[embedded]' (tried: {'; '.join(tried)})"
    )


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine in a loop of its own, whatever loop the caller is in, and return its result."""
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(asyncio.run, coroutine).result()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Yield a connection of its own to a database, closed afterwards.

    Args:
        url: the database's address.
    """
    import asyncpg

    connection = await asyncpg.connect(url, timeout=30, statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close(timeout=30)


def _container() -> PostgresServer:
    require_docker()
    return ContainerPostgres()


async def _checked_version(url: str) -> str:
    async with connected(url) as connection:
        version = str(await connection.fetchval("SHOW server_version")).split()[0]
        vector = await connection.fetchval("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
    if int(version.split(".")[0]) < 14 or vector is None:
        raise ServerMissing(f"the server is PostgreSQL {version} {'with' if vector else 'without'} pgvector; needs 14+")
    return version


def _database(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


Migrate = Callable[[str], Coroutine[Any, Any, None]]
"""What makes a database ready for a backend's stores: called with the address of an empty database."""
