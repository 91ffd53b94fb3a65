"""Row-level security as an operator meets it: switched on and off, refused where it would be none, paid for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from pydantic import ValidationError
from tests.integration.postgres.secured import Secured, as_role
from tests.integration.postgres.seeded_rows import TENANT, insert_rows
from tests.integration.postgres.support import SCHEMA, open_database

from focal_core.context import BackendContext, Isolation
from focal_core.errors import ConflictError, SettingsError, StoreError
from focal_postgres import index, migrate, row_security
from focal_postgres.backend import PostgresBackend
from focal_postgres.conversation import PostgresSessionStore
from focal_postgres.memory import PostgresMemoryStore, bulk
from focal_postgres.names import TENANT_SETTING
from focal_postgres.revisions import REVISIONS
from focal_postgres.settings import PostgresOptions
from focal_testkit.data.conversation import placed
from focal_testkit.data.memory import GROUP, at, episode
from focal_testkit.faults.postgres import PostgresFraming
from focal_testkit.faults.proxy import FaultProxy
from focal_testkit.faults.round_trips import round_trips
from focal_testkit.scenarios import OURS, THEIRS
from focal_testkit.servers.postgres import PostgresServer, connected

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def url(postgres_server: PostgresServer, secured_postgres: Secured) -> AsyncIterator[str]:
    """Yield the address of a database behind row-level security, for the superuser."""
    address = await postgres_server.create_database(template=secured_postgres.template)
    yield address
    await postgres_server.drop_database(address)


def options(url: str, **others: Any) -> PostgresOptions:
    return PostgresOptions.model_validate({"url": url, **others})


async def opened(given: dict[str, Any], context: BackendContext | None = None) -> str:
    """Return "opened", or the error of a backend that refuses to open, with its hint."""
    backend = PostgresBackend(options(**given), context or BackendContext())
    try:
        await backend.open()
    except SettingsError as error:
        return f"{error.code}: {error} | {error.hint}"
    finally:
        await backend.close()
    return "opened"


async def test_every_table_with_a_tenant_is_behind_its_policy(url: str, secured_postgres: Secured) -> None:
    """Of each of them the application sees and changes its tenant's row only, and without a tenant none."""
    async with connected(url) as connection:
        await insert_rows(connection, SCHEMA)
        tables = await connection.fetch(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = $1 AND column_name = 'tenant_id'",
            SCHEMA,
        )
    owner = options(as_role(url, secured_postgres.owner))
    assert set((await row_security.switch(owner)).secured) == {row[0] for row in tables}
    async with connected(as_role(url, secured_postgres.application)) as connection:
        for tenant, rows in ((None, 0), (THEIRS, 0), (TENANT, 1)):
            for (table,) in tables:
                async with connection.transaction():
                    if tenant is not None:
                        await connection.execute(f"SET LOCAL {TENANT_SETTING} = '{tenant}'")
                    assert await connection.fetchval(f"SELECT count(*) FROM {SCHEMA}.{table}") == rows, table
        await connection.execute("BEGIN")
        await connection.execute(f"SET LOCAL {TENANT_SETTING} = '{THEIRS}'")
        assert await connection.execute(f"DELETE FROM {SCHEMA}.rules") == "DELETE 0"
        foreign = f"SELECT (json_populate_record(NULL::{SCHEMA}.variables, json_build_object('tenant_id', $1::uuid))).*"
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            await connection.execute(f"INSERT INTO {SCHEMA}.variables {foreign}", TENANT)


async def test_what_would_be_no_wall_is_refused(url: str, secured_postgres: Secured) -> None:
    """A superuser, a maintenance role that sees nothing, option or schema without the other, trusting isolation."""
    given, owner = secured_postgres.options(url), as_role(url, secured_postgres.owner)
    assert await opened(given) == "opened"
    assert "no policy holds for it" in await opened({**given, "url": url})
    assert "no policy holds for it" in await opened({**given, "read_url": url})
    assert "sees the rows of no tenant" in await opened({**given, "maintenance_url": owner})
    assert "needs row_level_security = true" in await opened({"url": given["url"]})
    assert await opened({"url": url}) == "opened"
    assert "trusting" in await opened(given, BackendContext(isolation=Isolation.TRUSTING))
    async with connected(owner) as connection:
        await connection.execute(f"ALTER TABLE {SCHEMA}.rules NO FORCE ROW LEVEL SECURITY")
    assert "run `focal db row-level-security on`" in await opened(given)
    await row_security.switch(options(owner), False)
    assert "on for 0 of" in await opened(given)
    assert await opened({"url": given["url"]}) == "opened"


@pytest.mark.parametrize("url", ["embedded://somewhere", "postgresql://localhost/"])
async def test_options_that_cannot_hold_are_refused(url: str) -> None:
    """An embedded server has no roles; what is of no one tenant needs a role that sees all of them."""
    with pytest.raises(ValidationError, match=r"an embedded one has none|needs maintenance_url"):
        options(url, row_level_security=True)


async def test_only_the_owner_switches(url: str, secured_postgres: Secured) -> None:
    """Anybody else is told of the right that is missing; looking is free."""
    application = options(as_role(url, secured_postgres.application))
    with pytest.raises(StoreError) as refused:
        await row_security.switch(application, False)
    assert refused.value.code == "permission_denied"
    found = await row_security.switch(application)
    assert (found.on, found.bypasses, found.enabled) == (True, False, found.tables)
    assert (await row_security.switch(options(url))).bypasses


async def test_a_migration_loses_no_row_that_it_does_not_see(url: str, secured_postgres: Secured) -> None:
    """A downgrade by the owner, for whom the policies are in force too, counts the rows all the same, and refuses."""
    owner = options(as_role(url, secured_postgres.owner))
    async with connected(url) as connection:
        await insert_rows(connection, SCHEMA)
    async with connected(as_role(url, secured_postgres.owner)) as connection:
        assert await connection.fetchval(f"SELECT count(*) FROM {SCHEMA}.sessions") == 0

    with pytest.raises(ConflictError) as refused:
        await migrate.downgrade(owner, "008")

    assert refused.value.code == "rows_would_be_lost"
    assert await migrate.current(owner) == REVISIONS[8]
    assert (await migrate.upgrade(owner)).after == REVISIONS[-1]
    assert (await row_security.switch(owner)).enabled == ()


async def test_counting_what_is_hidden_is_refused(url: str, secured_postgres: Secured) -> None:
    """Advice about indexes counts everybody's vectors: the owner, who sees none, is told which role to use."""
    with pytest.raises(StoreError) as refused:
        await index.advise(options(as_role(url, secured_postgres.owner)))
    assert (refused.value.code, "BYPASSRLS" in str(refused.value.hint)) == ("permission_denied", True)
    assert await index.advise(options(as_role(url, secured_postgres.maintenance))) == []


async def test_a_statement_takes_three_round_trips(url: str, secured_postgres: Secured) -> None:
    """BEGIN with the tenant in one message, the statement, COMMIT; looking across tenants still takes one."""
    parts = urlsplit(url)
    async with FaultProxy(parts.hostname or "127.0.0.1", parts.port or 5432, framing=PostgresFraming) as proxy:
        given = secured_postgres.options(proxy.url(url), pool_size=1)
        async with open_database(context=BackendContext(), **given) as database:
            store = PostgresSessionStore(database)
            one = await store.save(placed())

            async def get() -> None:
                assert await store.get(one.session_id, tenant_id=OURS) is not None

            async def save() -> None:
                await store.save(one)

            async def tenants() -> None:
                assert list(await store.list_tenants()) == [OURS]

            calls = {"get": get, "save": save, "list_tenants": tenants}
            assert await round_trips(proxy, calls) == {"get": 3, "save": 3, "list_tenants": 1}


async def test_chunks_of_a_bulk_load_may_mix_tenants(
    url: str, secured_postgres: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staged rows are inserted for each tenant of their chunk: all of them, and nobody else's."""
    monkeypatch.setattr(bulk, "CHUNK_ROWS", 3)
    owners = [OURS, OURS, THEIRS, OURS, TENANT, TENANT, TENANT, THEIRS]
    rows = [episode(n, owner, embedding=at(1.0)) for n, owner in enumerate(owners)]
    async with open_database(context=BackendContext(), **secured_postgres.options(url)) as database:
        store = PostgresMemoryStore(database)
        await store.add_episodes(rows)
        for owner in set(owners):
            found = await store.list_episodes(GROUP, tenant_id=owner)
            near = await store.vector_search_episodes(at(1.0), GROUP, 10, tenant_id=owner)
            assert (
                {one.id for one in found}
                == {one.id for one, _ in near}
                == {one.id for one in rows if one.tenant_id == owner}
            )
