"""The memory port on PostgreSQL."""

from __future__ import annotations

from typing import ClassVar

from focal_core.memory.store import MemoryStore
from focal_postgres.memory.bulk import PostgresEpisodeLoad
from focal_postgres.memory.entities import PostgresEntities
from focal_postgres.memory.episodes import PostgresEpisodes
from focal_postgres.memory.groups import PostgresGroups
from focal_postgres.memory.relationships import PostgresRelationships
from focal_postgres.memory.search import PostgresEpisodeSearch
from focal_postgres.store import PostgresStore

__all__ = ["PostgresMemoryStore"]


class PostgresMemoryStore(
    PostgresEpisodeSearch,
    PostgresEpisodeLoad,
    PostgresEpisodes,
    PostgresEntities,
    PostgresRelationships,
    PostgresGroups,
    MemoryStore,
):
    """Episodes, entities and relationships in PostgreSQL."""

    capabilities: ClassVar[frozenset[str]] = PostgresStore.capabilities | {"vector_index"}
