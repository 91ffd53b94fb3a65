"""Search over episodes in PostgreSQL: by vector, by text, and by both, each in one statement."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from focal_core.memory.models import Episode, EpisodeType, SearchHit
from focal_core.memory.rules import check_rows
from focal_core.memory.search import check_search, fuse
from focal_core.memory.store.search import EpisodeSearch
from focal_postgres.memory.tables import EPISODES, MemoryTables, valid
from focal_postgres.memory.text import TextQuery
from focal_postgres.transaction import Record
from focal_postgres.vector import Candidates, checked, nearest, ranked, search

Ranking = list[tuple[Episode, float]]


class PostgresEpisodeSearch(MemoryTables, EpisodeSearch):
    """Search over episodes.

    Text: a word is found in every episode, a part of a word in the newest 1,000 of a group; groups up to that size are
    searched as the reference does. Results are ranked by ``text_score``, of more than 1,000 matches the newest.
    """

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
        tenant, group = await self.partition(tenant_id, group_id, "vector_search_episodes")
        where, args = _filters(self.moment_or_now(as_of), None)
        return await nearest(
            self,
            "vector_search_episodes",
            EPISODES,
            tenant_id=tenant,
            partitions=[group],
            query_embedding=query_embedding,
            limit=limit,
            min_score=min_score,
            embedding_model=embedding_model,
            where=where,
            args=args,
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
        tenant, group = await self.partition(tenant_id, group_id, "text_search_episodes")
        check_rows(limit)
        then = self.moment_or_now(as_of)
        found = await self._by_text("text_search_episodes", TextQuery(query, tenant, [group]), then, None, limit)
        return [episode for episode, _ in found]

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
        tenant = await self.tenant_of_groups(tenant_id, wanted.group_ids, "search_episodes")
        method, text = "search_episodes", None
        if wanted.text is not None:
            text = TextQuery(wanted.text, tenant, wanted.group_ids)
        if wanted.embedding is None:
            assert text is not None
            return fuse(None, await self._by_text(method, text, then, episode_types, wanted.depth), wanted)
        where, args = _filters(then, episode_types)
        query = checked(
            tenant, wanted.group_ids, wanted.embedding, wanted.depth, min_score, embedding_model, where=where, args=args
        )

        def statement(candidates: Candidates) -> tuple[str, list[Any]]:
            return self._joined(candidates, text, where, wanted.depth)

        records, model = await search(self, method, EPISODES, query, statement)
        rows = [(EPISODES.load(record, 3), record) for record in records if record["id"] is not None]
        by_vector = [(row, record["distance"]) for row, record in rows if record["distance"] is not None]
        by_text = None if text is None else _in_order(text, rows)
        return fuse(ranked(EPISODES, query, model, by_vector), by_text, wanted)

    async def _by_text(
        self, method: str, text: TextQuery, then: datetime, types: Collection[EpisodeType] | None, limit: int
    ) -> Ranking:
        if not text.terms:
            return []
        where, args = _filters(then, types)
        best = text.ctes(self.schema, _adding(args), where, limit)
        tenant = _adding(args)(text.tenant_id, "uuid")
        sql = (
            f"WITH {best} SELECT b.score, {EPISODES.select()} FROM text_best b JOIN {EPISODES.source(self.schema)}"
            f" ON r.tenant_id = {tenant} AND r.id = b.id"
        )
        records = await self.database.fetch(method, sql, *args, replica=True)
        return _in_order(text, [(EPISODES.load(record, 1), record) for record in records])

    def _joined(self, candidates: Candidates, text: TextQuery | None, where: str, limit: int) -> tuple[str, list[Any]]:
        """Return the statement that answers a search by vector, and one by text beside it."""
        ctes, hits = [candidates.ctes], "SELECT id, distance, NULL::float8 AS score FROM vector_nearest"
        args = candidates.args
        if text is not None and text.terms:
            ctes.append(text.ctes(self.schema, _adding(args), where, limit))
            hits += " UNION ALL SELECT id, NULL, score FROM text_best"
        row = (
            f"SELECT {EPISODES.select()} FROM {EPISODES.source(self.schema)}"
            f" WHERE r.tenant_id = {candidates.tenant} AND r.id = h.id LIMIT 1"
        )
        return (
            f"WITH {', '.join(ctes)} SELECT p.report, h.distance, h.score, x.* FROM vector_report p LEFT JOIN"
            f" (SELECT id, max(distance) AS distance, max(score) AS score FROM ({hits}) u GROUP BY id) h ON true"
            f" LEFT JOIN LATERAL ({row}) x ON true",
            args,
        )


def _filters(then: datetime, types: Collection[EpisodeType] | None) -> tuple[str, list[Any]]:
    """Return the condition every search makes on the alias ``r``, with its parameters ``$1`` and ``$2``."""
    return (
        f"{valid('r', '$1::timestamptz')} AND ($2::text[] IS NULL OR r.episode_type = ANY ($2))",
        [then, None if types is None else [str(one) for one in types]],
    )


def _adding(args: list[Any]) -> Any:
    def parameter(value: Any, kind: str) -> str:
        args.append(value)
        return f"${len(args)}::{kind}"

    return parameter


def _in_order(text: TextQuery, rows: Sequence[tuple[Episode, Record]]) -> Ranking:
    """Return the rows that match with their text scores, best first."""
    scored = [(row, text.score(row, record["score"])) for row, record in rows if record["score"] is not None]
    found = [pair for pair in scored if pair[1] > 0]
    found.sort(key=lambda pair: pair[0].id)
    found.sort(key=lambda pair: (pair[1], pair[0].occurred_at), reverse=True)
    return found
