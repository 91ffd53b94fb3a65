"""The in-memory session store under the sessions contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from focal_core.context import BackendContext
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_testkit.contracts.conversation import SessionStoreContract


class TestInMemorySessions(SessionStoreContract):
    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[InMemorySessionStore]:
        yield InMemorySessionStore(context)
