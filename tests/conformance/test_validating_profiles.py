"""The validating wrapper is a profile store like any other: the whole contract runs through it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from focal_core.context import BackendContext
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.validation import ValidatingProfileStore
from focal_testkit.contracts.profile import ProfileStoreContract


class TestValidatingProfiles(ProfileStoreContract):
    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[ValidatingProfileStore]:
        yield ValidatingProfileStore(InMemoryProfileStore(context), policy=context.profile_policy)
