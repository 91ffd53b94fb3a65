"""The in-memory profile store under the profiles contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from focal_core.context import BackendContext
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_testkit.contracts.profile import ProfileStoreContract


class TestInMemoryProfiles(ProfileStoreContract):
    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[InMemoryProfileStore]:
        yield InMemoryProfileStore(context)
