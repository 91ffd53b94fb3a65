"""The default ``search_episodes`` of the memory port, over a store that has none of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from focal_core.context import BackendContext
from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_testkit.contracts.memory.scenarios import MemoryScenarios
from focal_testkit.contracts.memory.search import EpisodeSearchContract
from focal_testkit.contracts.memory.text import TextSearchContract


class TestDefaultEpisodeSearch(EpisodeSearchContract, TextSearchContract):
    scenarios = MemoryScenarios()

    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[InMemoryMemoryStore]:
        # Imported here, so that the mutant runner can put a mutated port in its place.
        from focal_core.memory.store import search

        class Store(InMemoryMemoryStore):
            search_episodes = search.EpisodeSearch.search_episodes

        yield Store(context)
