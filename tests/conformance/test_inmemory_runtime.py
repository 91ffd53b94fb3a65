"""The in-memory runtime store under the runtime contract, alone and in front of an archive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from focal_core.context import BackendContext
from focal_core.runtime.dual_write import DualWriteStorage
from focal_core.runtime.inmemory import InMemoryPermanentStorage, InMemoryStorageBackend
from focal_core.runtime.store import PermanentStorageBackend, RuntimeStore
from focal_testkit.contracts.runtime import RuntimeContract, RuntimeDualWriteContract


class TestInMemoryRuntime(RuntimeContract):
    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[InMemoryStorageBackend]:
        yield InMemoryStorageBackend(context)


class TestInMemoryDualWrite(RuntimeDualWriteContract):
    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[InMemoryStorageBackend]:
        yield InMemoryStorageBackend(context)

    def combine(self, hot: RuntimeStore, permanent: PermanentStorageBackend, **options: Any) -> DualWriteStorage:
        return DualWriteStorage(hot, permanent, **options)


class TestDualWriteIsARuntimeStore(RuntimeContract):
    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[DualWriteStorage]:
        storage = DualWriteStorage(
            InMemoryStorageBackend(context), InMemoryPermanentStorage(context), clock=context.clock
        )
        yield storage
        await storage.close()


def test_both_can_be_made_without_a_context() -> None:
    """The context is optional."""
    for archive in (InMemoryPermanentStorage(), InMemoryStorageBackend().archive):
        assert isinstance(archive.context, BackendContext)
