"""The in-memory audit store under the audit contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.context import BackendContext
from focal_testkit.contracts.audit import AuditStoreContract


class TestInMemoryAudit(AuditStoreContract):
    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[InMemoryAuditStore]:
        yield InMemoryAuditStore(context)
