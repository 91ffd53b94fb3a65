"""The in-memory config store under the config contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.context import BackendContext
from focal_testkit.contracts.config import ConfigStoreContract


class TestInMemoryConfig(ConfigStoreContract):
    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[InMemoryConfigStore]:
        yield InMemoryConfigStore(context)
