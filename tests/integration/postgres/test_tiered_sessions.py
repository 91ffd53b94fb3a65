"""Sessions in memory before PostgreSQL: the whole contract, compared and believed, and what a read costs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.integration.postgres.support import PostgresStoreCase

from focal_core.context import BackendContext
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.tiered import TieredSessionStore
from focal_postgres.conversation import PostgresSessionStore
from focal_testkit.contracts.conversation import SessionStoreContract
from focal_testkit.data.conversation import placed
from focal_testkit.scenarios import OURS


class TestMemoryBeforePostgres(PostgresStoreCase, SessionStoreContract):
    store_class = PostgresSessionStore
    verify_hot = True

    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[Any]:
        async with super().open_store(context) as durable:
            hot = InMemorySessionStore(context)
            store = TieredSessionStore(hot, durable, context, verify_hot=self.verify_hot)
            yield store
            await store.drain()
            assert store.counts["hot_failures"] == 0

    @pytest.mark.asyncio
    async def test_reads_of_what_is_in_use_load_no_document(self, store: TieredSessionStore) -> None:
        """A hundred sessions just saved, read at once, come from the hot store."""
        sessions = [placed(n, user_channel_id=f"user {n}") for n in range(100)]
        await asyncio.gather(*(store.save(one) for one in sessions))

        found = await asyncio.gather(*(store.get(one.session_id, tenant_id=OURS) for one in sessions))

        assert found == sessions
        assert store.counts == {"hot": 100, "durable": 0, "stale": 0, "hot_failures": 0}


class TestMemoryBeforePostgresBelieved(TestMemoryBeforePostgres):
    verify_hot = False


class TestMemoryBeforePostgresOneByOne(TestMemoryBeforePostgres):
    options = {"batching": False}
