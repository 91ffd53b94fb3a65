"""The in-memory reference of the memory port."""

from __future__ import annotations

from focal_core.memory.inmemory.entities import InMemoryEntities
from focal_core.memory.inmemory.episodes import InMemoryEpisodes
from focal_core.memory.inmemory.groups import InMemoryGroups
from focal_core.memory.inmemory.relationships import InMemoryRelationships
from focal_core.memory.inmemory.search import InMemoryEpisodeSearch
from focal_core.memory.store import MemoryStore

__all__ = ["InMemoryMemoryStore"]


class InMemoryMemoryStore(
    InMemoryEpisodeSearch, InMemoryEpisodes, InMemoryEntities, InMemoryRelationships, InMemoryGroups, MemoryStore
):
    """Episodes, entities and relationships in memory; searches are exact."""
