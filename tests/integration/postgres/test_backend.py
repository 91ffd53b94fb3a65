"""The PostgreSQL backend under the contract of backends, and what an operator meets when something is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

import pytest

from focal_core import Focal
from focal_core.errors import FocalError, SchemaOutdatedError, SettingsError, StoreUnavailableError
from focal_core.memory.models import Episode
from focal_testkit.contracts.backend import BackendContract
from focal_testkit.servers.postgres import PostgresServer, connected, run


def settings(url: str, **options: Any) -> dict[str, Any]:
    return {"stores": {"default": "main"}, "backends": {"main": {"use": "postgres", "url": url, **options}}}


async def opening(url: str, **options: Any) -> FocalError:
    """Return the error that opening a Focal raises."""
    with pytest.raises(FocalError) as caught:
        async with Focal.open(settings(url, **options)):
            pass
    return caught.value


class TestPostgresBackend(BackendContract):
    backend = "postgres"
    url: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def embedded(cls, servers_folder: Any) -> None:
        # A server of its own: the shared one is not durable, and health says so.
        cls.url = f"embedded://{servers_folder / 'backend'}"

    def options(self) -> Mapping[str, Any]:
        return {"url": self.url}


@pytest.mark.asyncio
async def test_schema_behind_names_the_command(postgres_server: PostgresServer) -> None:
    """An empty database, and one that is behind, are refused with the command that brings them up."""
    url = await postgres_server.create_database()

    error = await opening(url)

    assert isinstance(error, SchemaOutdatedError)
    assert "focal db upgrade" in str(error.hint)


@pytest.mark.asyncio
async def test_schema_ahead_names_the_upgrade(postgres_database: str) -> None:
    """A schema of a later release is refused, not guessed at."""
    async with connected(postgres_database) as connection:
        await connection.execute("UPDATE focal.alembic_version SET version_num = '099_from_the_future'")

    error = await opening(postgres_database)

    assert isinstance(error, SchemaOutdatedError)
    assert "099_from_the_future" in str(error)
    assert "upgrade focal-postgres" in str(error.hint)


@pytest.mark.asyncio
async def test_automatic_migration_builds_the_schema(postgres_server: PostgresServer) -> None:
    """With auto_migrate an empty database is usable at once."""
    url = await postgres_server.create_database()

    async with Focal.open(settings(url, auto_migrate=True)) as focal:
        report = await focal.health()

    assert report.checks["main.schema"].ok


@pytest.mark.asyncio
async def test_embeddings_of_another_length_are_refused_when_opened(postgres_database: str) -> None:
    """A model whose stored vectors have another length than the provider's is told before anything is searched."""
    episode = Episode(
        tenant_id=UUID(int=1), group_id="g", content="c", embedding=[1.0] * 8, embedding_model="focal-hashing-1"
    )
    async with Focal.open(settings(postgres_database)) as focal:
        assert await focal.backends["main"].embedding_spaces() == set()
        await focal.memory.add_episode(episode)
        assert await focal.backends["main"].embedding_spaces() == {("focal-hashing-1", 8)}

    with pytest.raises(SettingsError) as caught:
        await Focal.open(settings(postgres_database) | {"providers": {"embedding": "hashing"}})

    assert caught.value.code == "embedding_dimensions_mismatch"


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (lambda url: url.replace(url.split(":")[2].split("@")[0], "wrong"), "login_refused"),
        (lambda url: url.rpartition("/")[0] + "/no_such_database", "database_missing"),
        (lambda url: f"{url.rpartition(':')[0]}:1/focal", "connect_failed"),
    ],
    ids=["wrong password", "no such database", "server down"],
)
def test_connection_errors_name_cause_and_remedy(postgres_database: str, broken: Any, code: str) -> None:
    """Whatever is wrong with the address, the message says what, the hint how to mend it, neither the password."""
    url = broken(postgres_database)

    error = run(opening(url))

    assert isinstance(error, StoreUnavailableError)
    assert error.code == code
    assert error.hint
    password = url.split(":")[2].split("@")[0]
    assert password not in f"{error} {error.hint} {error.details} {error.__cause__!r} {error.__context__!r}"
