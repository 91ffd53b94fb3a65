"""The PostgreSQL audit store under the audit contract, with appends that share statements and without."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.integration.postgres.support import PostgresStoreCase, open_database

from focal_core.context import BackendContext
from focal_core.errors import DuplicateError, ImmutableRecordError
from focal_postgres.audit import PostgresAuditStore
from focal_testkit.contracts.audit import AuditStoreContract
from focal_testkit.data.audit import SESSION, event, turn
from focal_testkit.scenarios import OURS


class TestPostgresAudit(PostgresStoreCase, AuditStoreContract):
    store_class = PostgresAuditStore


class TestPostgresAuditOneByOne(PostgresStoreCase, AuditStoreContract):
    store_class = PostgresAuditStore
    options = {"batching": False}


@pytest.mark.asyncio
class TestPostgresImports:
    @pytest_asyncio.fixture
    async def store(self, postgres_database: str) -> AsyncIterator[PostgresAuditStore]:
        """Yield a store over a database of the test class."""
        context = BackendContext()
        async with open_database(postgres_database, context) as database:
            yield PostgresAuditStore(database, context)

    async def test_all_turns_or_none(self, store: PostgresAuditStore) -> None:
        """One refused turn among many leaves none of them stored, whatever chunk it is in."""
        await store.save_turn(turn(0))
        turns = [turn(n) for n in range(1, 2_500)]

        with pytest.raises(DuplicateError) as refused:
            await store.save_turns([*turns, turn(0, user_message="rewritten")])

        assert refused.value.code == "record_differs"
        assert await store.list_turns_by_session(SESSION, tenant_id=OURS) == [turn(0)]
        assert len(await store.save_turns(turns)) == len(turns)
        assert len(await store.list_turns_by_tenant(OURS, limit=1000, offset=2_000)) == 500

    async def test_raw_changes_are_refused(self, store: PostgresAuditStore) -> None:
        """UPDATE, DELETE and TRUNCATE of a stored record fail in the database itself."""
        saved = turn(5_000)
        await store.save_turn(saved)
        await store.save_event(event(1))
        for table in ("turn_records", "audit_events"):
            for sql in (
                f"UPDATE focal.{table} SET payload = '{{}}'",
                f"DELETE FROM focal.{table}",
                f"TRUNCATE focal.{table}",
            ):
                with pytest.raises(ImmutableRecordError):
                    await store.database.write("raw", sql)
        assert await store.get_turn(saved.id, tenant_id=OURS) == saved
