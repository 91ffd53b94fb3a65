"""Search over episodes: by vector, by text, and by both."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from focal_core.errors import EmbeddingSpaceError
from focal_core.gate import ambiguous_tenant
from focal_core.memory.models import Episode, EpisodeType, SearchHit
from focal_core.memory.search import best_texts, check_search, fuse
from focal_core.memory.store.episodes import EpisodeStore
from focal_core.paging import MAX_LIMIT


class EpisodeSearch(EpisodeStore):
    """Search over episodes. Every search leaves out what is not valid at ``as_of`` (now, when None)."""

    @abstractmethod
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
        """Return the episodes of a group nearest to a query vector, best first.

        An episode is never missed because others, left out by a filter, lie closer to the query.

        Args:
            query_embedding: (dim,) floats, finite, not all zero.
            group_id: the group.
            limit: rows, 1 to 1,000.
            tenant_id: the owner.
            min_score: only episodes with at least this score; None means every score, negative ones included.
            as_of: the moment at which an episode must be valid; None means now.
            embedding_model: the model whose vectors are compared; None means the configured one, else the only one
                that has vectors of the query's length in the group.

        Returns:
            (episode, score) pairs; score is the cosine in [-1.0, 1.0], descending, ties by id ascending. Left out:
            episodes without a vector or with one of another space, and those not valid at ``as_of``.

        Raises:
            InvalidDataError: vector, group or limit are wrong, or ``as_of`` is naive.
            EmbeddingSpaceError: the group has vectors but none of that length, or of several models.
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

    @abstractmethod
    async def text_search_episodes(
        self,
        query: str,
        group_id: str,
        limit: int = 10,
        *,
        tenant_id: UUID | None = None,
        as_of: datetime | None = None,
    ) -> list[Episode]:
        """Return the episodes of a group whose content has every term of the query, best first.

        Terms are what white space separates, in any order and any letter case; no character has a pattern's
        meaning. A term that stands in the content as a word is always found; whether one that is only a part of a
        word is found is the backend's choice. What does not contain every term, letter for letter, is never found.

        Args:
            query: the terms; blank means no result.
            group_id: the group.
            limit: rows, 1 to 1,000.
            tenant_id: the owner.
            as_of: the moment at which an episode must be valid; None means now.

        Returns:
            Best first by the backend's own ranking; equally good ones (equal contents always are) by occurred_at
            descending, then id ascending. The reference ranks by ``memory.search.text_score``.

        Raises:
            InvalidDataError: group or limit are wrong, or ``as_of`` is naive.
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

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
        """Return the best episodes of several groups, by vector, by text, or by both.

        The groups are searched as if they were one. ``hybrid`` fuses both rankings by reciprocal ranks: the score of
        an episode is the sum of ``1 / (rrf_k + rank)`` over the rankings it is in, each cut at its best
        ``max(limit, 100)`` rows; it is sorted by score descending, ties by id ascending. With only one of the two
        queries it is that mode. A single mode is sorted by its own score: the cosine, ties by id ascending, or the
        text score, ties by occurred_at descending, then id ascending.

        The text score, 0.0 to 1.0, is ``memory.search.text_score`` unless the backend ranks by one of its own.

        This default searches group by group through the two methods above, and applies ``episode_types`` to the best
        1,000 of each; stores that filter inside one search override it.

        Args:
            query_text: terms, as for ``text_search_episodes``.
            query_embedding: (dim,) floats, as for ``vector_search_episodes``.
            mode: which queries to use.
            group_ids: the groups, at least one; repetitions do not count.
            tenant_id: the owner of all of them.
            limit: rows, 1 to 1,000.
            min_score: least cosine of a row of the vector ranking; text rows are not affected.
            as_of: the moment at which an episode must be valid; None means now.
            episode_types: only episodes of these types; None means every type, an empty collection none.
            embedding_model: as for ``vector_search_episodes``.
            rrf_k: damping of the ranks, 0 or more.

        Raises:
            InvalidDataError: no query the mode can use, no group, or an argument is wrong.
            EmbeddingSpaceError: as for ``vector_search_episodes``.
            TenantRequiredError: tenant omitted under strict isolation, or the groups are those of several tenants.
        """
        wanted = check_search(query_text, query_embedding, mode, group_ids, limit, rrf_k)
        if tenant_id is None:
            firsts = [await self.list_episodes(group, limit=1) for group in wanted.group_ids]
            tenants = {episode.tenant_id for first in firsts for episode in first}
            if len(tenants) > 1:
                raise ambiguous_tenant("search_episodes")
            if not tenants:
                return []
            tenant_id = tenants.pop()

        def fits(episode: Episode) -> bool:
            return episode_types is None or episode.episode_type in episode_types

        depth = wanted.depth if episode_types is None else MAX_LIMIT
        nearest: list[tuple[Episode, float]] | None = None
        if wanted.embedding is not None:
            nearest = []
            for group in wanted.group_ids:
                nearest += await self.vector_search_episodes(
                    wanted.embedding,
                    group,
                    depth,
                    tenant_id=tenant_id,
                    min_score=min_score,
                    as_of=as_of,
                    embedding_model=embedding_model,
                )
            models = {episode.embedding_model for episode, _ in nearest}
            if len(models) > 1:
                raise EmbeddingSpaceError(
                    "the groups have vectors of several embedding models",
                    code="space_ambiguous",
                    hint="pass embedding_model=..., or configure one",
                )
            nearest = [(episode, score) for episode, score in nearest if fits(episode)]
            nearest.sort(key=lambda pair: (-pair[1], pair[0].id))
        matching: list[tuple[Episode, float]] | None = None
        if wanted.text is not None:
            found: list[Episode] = []
            for group in wanted.group_ids:
                found += await self.text_search_episodes(wanted.text, group, depth, tenant_id=tenant_id, as_of=as_of)
            matching = best_texts(wanted.text, filter(fits, found))
        return fuse(nearest, matching, wanted)
