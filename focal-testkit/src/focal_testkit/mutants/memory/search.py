"""Memory stores that break a rule of text or hybrid search."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import UUID

from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_core.memory.models import Episode, SearchHit
from focal_core.memory.search import MODES
from focal_core.memory.store import EpisodeSearch
from focal_testkit.mutants import mutant

Hits = list[SearchHit[Episode]]


def _renumbered(hits: Hits) -> Hits:
    return [SearchHit(hit.item, hit.score, hit.vector_score, hit.text_score, n) for n, hit in enumerate(hits, start=1)]


@mutant("MEMORY-040", "MEMORY-043")
class AnyTermSuffices(InMemoryMemoryStore):
    """One of the terms, or its beginning, is enough."""

    async def text_search_episodes(self, query: str, group_id: str, limit: int = 10, **options: Any) -> list[Episode]:
        found: dict[UUID, Episode] = {}
        for term in query.split():
            for one in await super().text_search_episodes(term[:3], group_id, limit, **options):
                found[one.id] = one
        return list(found.values())


@mutant("MEMORY-041", "MEMORY-102", "MEMORY-103")
class GroupIsAPrefix(InMemoryMemoryStore):
    """A label stands for all labels that begin with it, in any letter case."""

    def partition(self, tenant_id: UUID | None, group_id: str, what: str) -> Any:
        tenant, group = super().partition(tenant_id, group_id, what)
        labels = {row.group_id for owner in self._episodes.tenants() for row in self._episodes.rows(owner)}
        return tenant, max((label for label in labels if label.lower().startswith(group.lower())), default=group)


@mutant("MEMORY-042")
class QueryIsAPattern(InMemoryMemoryStore):
    """Per cent and underscore stand for any text and any character."""

    async def text_search_episodes(self, query: str, group_id: str, limit: int = 10, **options: Any) -> list[Episode]:
        pattern = re.escape(query).replace("%", ".*").replace("_", ".")
        found = await self.list_episodes(group_id, tenant_id=options["tenant_id"])
        return [one for one in found if re.search(pattern, one.content)][:limit]


@mutant("MEMORY-043")
class QueryIsAPhrase(InMemoryMemoryStore):
    """The terms must follow each other."""

    async def text_search_episodes(self, query: str, group_id: str, limit: int = 10, **options: Any) -> list[Episode]:
        found = await super().text_search_episodes(query, group_id, limit, **options)
        return [one for one in found if query in one.content]


@mutant("MEMORY-044")
class BlankMatchesAll(InMemoryMemoryStore):
    """A blank query finds everything."""

    async def text_search_episodes(self, query: str, group_id: str, limit: int = 10, **options: Any) -> list[Episode]:
        if not query.strip():
            return list(await self.list_episodes(group_id, tenant_id=options["tenant_id"]))
        return await super().text_search_episodes(query, group_id, limit, **options)


@mutant("MEMORY-045")
class FoldsASCIIOnly(InMemoryMemoryStore):
    """Letter case matters beyond ASCII."""

    async def text_search_episodes(self, query: str, group_id: str, limit: int = 10, **options: Any) -> list[Episode]:
        found = await super().text_search_episodes(query, group_id, limit, **options)
        wanted = [[char for char in term if char > "\x7f"] for term in query.split()]
        return [one for one in found if all(char in one.content for chars in wanted for char in chars)]


@mutant("MEMORY-046")
class OldestMatchFirst(InMemoryMemoryStore):
    """Of equal contents the oldest comes first."""

    async def text_search_episodes(self, query: str, group_id: str, limit: int = 10, **options: Any) -> list[Episode]:
        found = await super().text_search_episodes(query, group_id, 1000, **options)
        return sorted(found, key=lambda one: one.occurred_at)[:limit]


@mutant("MEMORY-047")
class EndIsStillValid(InMemoryMemoryStore):
    """What ends at a moment is valid at it."""

    def moment_or_now(self, as_of: datetime | None) -> datetime:
        moment = super().moment_or_now(as_of)
        return (
            moment.replace(microsecond=moment.microsecond - 1)
            if moment.microsecond
            else moment.replace(second=59, microsecond=999_999, minute=59, hour=moment.hour - 1)
        )


@mutant("MEMORY-048")
class TextFindsItsOwnRows(InMemoryMemoryStore):
    """Text search hands out the stored episodes."""

    async def text_search_episodes(self, query: str, group_id: str, limit: int = 10, **options: Any) -> list[Episode]:
        found = await super().text_search_episodes(query, group_id, limit, **options)
        rows = (self._episodes.get(one.tenant_id, one.id) for one in found)
        return [row for row in rows if row is not None]


@mutant("MEMORY-050")
class RanksFromZero(InMemoryMemoryStore):
    """The first rank is 0."""

    async def search_episodes(self, *queries: Any, rrf_k: int = 60, **options: Any) -> Hits:
        return await super().search_episodes(*queries, rrf_k=max(0, rrf_k - 1), **options)


@mutant("MEMORY-050", "MEMORY-056")
class AddsScores(InMemoryMemoryStore):
    """The scores of both modes are added."""

    async def search_episodes(self, *queries: Any, limit: int = 10, **options: Any) -> Hits:
        hits = await super().search_episodes(*queries, limit=1000, **options)
        added = [
            SearchHit(hit.item, (hit.vector_score or 0) + (hit.text_score or 0), hit.vector_score, hit.text_score, 0)
            for hit in hits
        ]
        return _renumbered(sorted(added, key=lambda hit: (-hit.score, hit.item.id)))[:limit]


@mutant("MEMORY-051")
class OneQueryIsFusedToo(InMemoryMemoryStore):
    """A search with one query has fused scores."""

    async def search_episodes(self, *queries: Any, rrf_k: int = 60, **options: Any) -> Hits:
        hits = await super().search_episodes(*queries, rrf_k=rrf_k, **options)
        return [SearchHit(hit.item, 1 / (rrf_k + hit.rank), hit.vector_score, hit.text_score, hit.rank) for hit in hits]


@mutant("MEMORY-052")
class GroupAfterGroup(InMemoryMemoryStore):
    """Each group has a ranking of its own, one after the other."""

    async def search_episodes(self, *queries: Any, group_ids: Any, limit: int = 10, **options: Any) -> Hits:
        found: Hits = []
        for group in [group_ids] if isinstance(group_ids, str) or not group_ids else [[one] for one in group_ids]:
            found += await super().search_episodes(*queries, group_ids=group, limit=limit, **options)
        return _renumbered(found[:limit])


@mutant("MEMORY-053")
class NothingIsRefused(InMemoryMemoryStore):
    """A search that makes no sense finds nothing."""

    async def search_episodes(self, *queries: Any, group_ids: Any, mode: Any = "hybrid", **options: Any) -> Hits:
        if not group_ids or mode not in MODES:
            return []
        return await super().search_episodes(*queries, group_ids=group_ids, mode=mode, **options)


@mutant("MEMORY-054")
class TypesAfterTheLimit(InMemoryMemoryStore):
    """Types are filtered out of the result."""

    async def search_episodes(self, *queries: Any, episode_types: Any = None, **options: Any) -> Hits:
        hits = await super().search_episodes(*queries, **options)
        return [hit for hit in hits if episode_types is None or hit.item.episode_type in episode_types]


@mutant("MEMORY-055")
class MinimumOfTheFusedScore(InMemoryMemoryStore):
    """min_score bounds whatever the result is sorted by."""

    async def search_episodes(self, *queries: Any, min_score: float | None = None, **options: Any) -> Hits:
        hits = await super().search_episodes(*queries, **options)
        return [hit for hit in hits if min_score is None or hit.score >= min_score]


@mutant("MEMORY-056")
class FusesTheWholeRanking(InMemoryMemoryStore):
    """Rankings are fused as deep as they are."""

    async def search_episodes(self, *queries: Any, limit: int = 10, **options: Any) -> Hits:
        return (await super().search_episodes(*queries, limit=1000, **options))[:limit]


@mutant("MEMORY-058")
class GroupsOfAnyTenant(InMemoryMemoryStore):
    """Without a tenant each group is searched under its own."""

    async def search_episodes(
        self, *queries: Any, group_ids: Any, tenant_id: UUID | None = None, **options: Any
    ) -> Hits:
        found: Hits = []
        for group in group_ids:
            found += await super().search_episodes(*queries, group_ids=[group], tenant_id=tenant_id, **options)
        return found


@mutant("MEMORY-057")
class GroupsOfAnyModel(InMemoryMemoryStore):
    """Each group is compared with a model of its own."""

    async def search_episodes(self, *queries: Any, group_ids: Any, **options: Any) -> Hits:
        found: Hits = []
        for group in group_ids:
            found += await EpisodeSearch.search_episodes(self, *queries, group_ids=[group], **options)
        return found
