"""Row-level security: the contracts behind it, also when every statement forgets the tenant."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.integration.postgres.secured import SecuredStoreCase
from tests.integration.postgres.support import open_database

from focal_core.context import BackendContext
from focal_postgres.audit import PostgresAuditStore
from focal_postgres.config import PostgresConfigStore
from focal_postgres.conversation import PostgresSessionStore
from focal_postgres.database import Database
from focal_postgres.memory import PostgresMemoryStore
from focal_postgres.profile import PostgresProfileStore
from focal_postgres.transaction import Record
from focal_testkit.contracts.audit import AuditStoreContract
from focal_testkit.contracts.config import ConfigStoreContract
from focal_testkit.contracts.conversation import SessionStoreContract
from focal_testkit.contracts.generated.isolation import IsolationChecks
from focal_testkit.contracts.memory import MemoryStoreContract
from focal_testkit.contracts.profile import ProfileStoreContract
from focal_testkit.data.conversation import placed
from focal_testkit.scenarios import OURS, THEIRS


class TestSecuredConfig(SecuredStoreCase, ConfigStoreContract):
    store_class = PostgresConfigStore


class TestSecuredMemory(SecuredStoreCase, MemoryStoreContract):
    store_class = PostgresMemoryStore


class TestSecuredSessions(SecuredStoreCase, SessionStoreContract):
    store_class = PostgresSessionStore


class TestSecuredAudit(SecuredStoreCase, AuditStoreContract):
    store_class = PostgresAuditStore


class TestSecuredProfiles(SecuredStoreCase, ProfileStoreContract):
    store_class = PostgresProfileStore


class CarelessDatabase(Database):
    """Takes the comparison with the tenant out of every statement that is not a transaction's."""

    forgotten = 0

    async def fetch(self, method: str, sql: str, *args: Any, **how: Any) -> list[Record]:
        return await super().fetch(method, self._careless(sql), *args, **how)

    async def fetchrow(self, method: str, sql: str, *args: Any, **how: Any) -> Record | None:
        return await super().fetchrow(method, self._careless(sql), *args, **how)

    async def write(self, method: str, sql: str, *args: Any, **how: Any) -> list[Record]:
        return await super().write(method, self._careless(sql), *args, **how)

    async def script(self, method: str, sql: str) -> str:
        return await super().script(method, self._careless(sql))

    def _careless(self, sql: str) -> str:
        text, changed = re.subn(r"(\w+\.)?tenant_id = (\$\d+|'[0-9a-f-]{36}')(::uuid)?", r"(\2)::uuid IS NOT NULL", sql)
        type(self).forgotten += changed
        return text


class CarelessCase(SecuredStoreCase, IsolationChecks):
    """The checks of isolation on a store whose statements forget the tenant."""

    database_class = CarelessDatabase

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def they_did_forget(cls, secured: None) -> Any:
        before = CarelessDatabase.forgotten
        yield
        assert CarelessDatabase.forgotten > before


class TestCarelessConfig(CarelessCase):
    store_class = PostgresConfigStore
    scenarios = ConfigStoreContract.scenarios


class TestCarelessMemory(CarelessCase):
    store_class = PostgresMemoryStore
    scenarios = MemoryStoreContract.scenarios


class TestCarelessSessions(CarelessCase):
    store_class = PostgresSessionStore
    scenarios = SessionStoreContract.scenarios


class TestCarelessAudit(CarelessCase):
    store_class = PostgresAuditStore
    scenarios = AuditStoreContract.scenarios


class TestCarelessProfiles(CarelessCase):
    store_class = PostgresProfileStore
    scenarios = ProfileStoreContract.scenarios


@pytest.mark.asyncio
async def test_careless_statements_leak_without_the_wall(postgres_database: str) -> None:
    """The control: a stranger sees the session, and no more once the statement is careful."""
    context = BackendContext()
    async with (
        open_database(postgres_database, context) as careful,
        open_database(postgres_database, context, kind=CarelessDatabase) as careless,
    ):
        await PostgresSessionStore(careful).save(placed())
        for database, seen in ((careful, []), (careless, [OURS])):
            found = await PostgresSessionStore(database).list_by_agent(THEIRS, placed().agent_id)
            assert [one.tenant_id for one in found] == seen
