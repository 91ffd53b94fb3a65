"""The in-memory memory store under the memory contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from focal_core.context import BackendContext
from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_testkit.contracts.memory import MemoryStoreContract


class TestInMemoryMemory(MemoryStoreContract):
    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[InMemoryMemoryStore]:
        yield InMemoryMemoryStore(context)
