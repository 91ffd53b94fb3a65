"""The tiered store is a session store like any other: the whole contract runs through it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from focal_core.context import BackendContext
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.tiered import TieredSessionStore
from focal_testkit.contracts.conversation import SessionStoreContract


class TestTieredSessions(SessionStoreContract):
    verify_hot = True

    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[TieredSessionStore]:
        hot, durable = InMemorySessionStore(context), InMemorySessionStore(context)
        store = TieredSessionStore(hot, durable, context, verify_hot=self.verify_hot)
        yield store
        await store.drain()
        assert store.counts["hot_failures"] == 0


class TestTieredSessionsUnverified(TestTieredSessions):
    verify_hot = False
