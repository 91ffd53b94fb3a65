"""Search over episodes in memory: exact, filtered before it is cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Literal
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.memory.inmemory.tables import MemoryTables
from focal_core.memory.models import Episode, EpisodeType, SearchHit
from focal_core.memory.rules import check_rows
from focal_core.memory.search import best_texts, check_search, fuse
from focal_core.memory.store.search import EpisodeSearch


class InMemoryEpisodeSearch(MemoryTables, EpisodeSearch):
    """Looks at every episode of the group; copies only what it returns."""

    async def vector_search_episodes(
        self,
        query_embedding: list[float],
        group_id: str,
        limit: int = 10,
        *,
        tenant_id: UUID | None = None,
        min_score: float | None = None,
        as_of: datetime | None = None,
        embedding_model: str | None = None,
    ) -> list[tuple[Episode, float]]:
        partition = self.partition(tenant_id, group_id, "vector_search_episodes")
        then = self.moment_or_now(as_of)
        return self.nearest(
            self._episode_vectors,
            [partition],
            query_embedding,
            limit=limit,
            min_score=min_score,
            embedding_model=embedding_model,
            keep=lambda episode: episode.is_valid(then),
        )

    async def text_search_episodes(
        self,
        query: str,
        group_id: str,
        limit: int = 10,
        *,
        tenant_id: UUID | None = None,
        as_of: datetime | None = None,
    ) -> list[Episode]:
        partition = self.partition(tenant_id, group_id, "text_search_episodes")
        check_rows(limit)
        then = self.moment_or_now(as_of)
        rows = (episode for episode in self._episodes_of_group.rows(partition) if episode.is_valid(then))
        return [validated_copy(episode) for episode, _ in best_texts(query, rows)[:limit]]

    async def search_episodes(
        self,
        query_text: str | None = None,
        query_embedding: list[float] | None = None,
        *,
        mode: Literal["hybrid", "vector", "text"] = "hybrid",
        group_ids: Sequence[str],
        tenant_id: UUID | None = None,
        limit: int = 10,
        min_score: float | None = None,
        as_of: datetime | None = None,
        episode_types: Collection[EpisodeType] | None = None,
        embedding_model: str | None = None,
        rrf_k: int = 60,
    ) -> list[SearchHit[Episode]]:
        wanted = check_search(query_text, query_embedding, mode, group_ids, limit, rrf_k)
        then = self.moment_or_now(as_of)
        tenant = self.tenant_of(
            tenant_id, lambda: set().union(*map(self.tenants_of_group, wanted.group_ids)), "search_episodes"
        )
        partitions = [(tenant, group) for group in wanted.group_ids]

        def keep(episode: Episode) -> bool:
            return episode.is_valid(then) and (episode_types is None or episode.episode_type in episode_types)

        nearest: list[tuple[Episode, float]] | None = None
        if wanted.embedding is not None:
            nearest = self.ranked(
                self._episode_vectors,
                partitions,
                wanted.embedding,
                limit=wanted.depth,
                min_score=min_score,
                embedding_model=embedding_model,
                keep=keep,
            )
        matching: list[tuple[Episode, float]] | None = None
        if wanted.text is not None:
            rows = chain.from_iterable(map(self._episodes_of_group.rows, partitions))
            matching = best_texts(wanted.text, filter(keep, rows))
        return [replace(hit, item=validated_copy(hit.item)) for hit in fuse(nearest, matching, wanted)]
