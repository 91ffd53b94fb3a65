"""Memory stores that break a rule about episodes and their lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_core.memory.models import Episode, EpisodeSource, EpisodeType
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("MEMORY-020")
class LosesTheSource(InMemoryMemoryStore):
    """Who an episode comes from is not kept."""

    async def add_episode(self, episode: Episode) -> UUID:
        return await super().add_episode(episode.model_copy(update={"source": EpisodeSource.SYSTEM}))


@mutant("MEMORY-021", "MEMORY-022")
class OldestFirst(InMemoryMemoryStore):
    """Episodes are listed the other way round."""

    async def list_episodes(self, group_id: str, **options: Any) -> Page[Episode]:
        found = await super().list_episodes(group_id, **options)
        return Page(reversed(found), found.next_cursor)


@mutant("MEMORY-022")
class EndIsIncluded(InMemoryMemoryStore):
    """A time range holds its end."""

    async def list_episodes(self, group_id: str, *, end_time: datetime | None = None, **options: Any) -> Page[Episode]:
        later = None if end_time is None else end_time.replace(microsecond=end_time.microsecond + 1)
        return await super().list_episodes(group_id, end_time=later, **options)


@mutant("MEMORY-022")
class AnyType(InMemoryMemoryStore):
    """The type is ignored beside a time range."""

    async def list_episodes(
        self, group_id: str, *, episode_type: EpisodeType | None = None, **options: Any
    ) -> Page[Episode]:
        kind = None if options.get("start_time") else episode_type
        return await super().list_episodes(group_id, episode_type=kind, **options)


@mutant("MEMORY-023")
class ListsWhatIsValid(InMemoryMemoryStore):
    """Episodes that are not valid now are not listed."""

    async def list_episodes(self, group_id: str, **options: Any) -> Page[Episode]:
        found = await super().list_episodes(group_id, **options)
        return Page((one for one in found if one.is_valid(self.context.clock.now())), found.next_cursor)


@mutant("MEMORY-024")
class NaiveIsUTC(InMemoryMemoryStore):
    """A time without a zone is taken for UTC."""

    def moment_or_now(self, as_of: datetime | None) -> datetime:
        return super().moment_or_now(as_of and as_of.astimezone())


@mutant("MEMORY-025", "MEMORY-005")
class FirstTimeStays(InMemoryMemoryStore):
    """An update leaves occurred_at and the content as they were."""

    async def update_episode(self, episode: Episode) -> UUID:
        stored = self._episodes.get(episode.tenant_id, episode.id)
        kept = {} if stored is None else {"occurred_at": stored.occurred_at, "content": stored.content}
        return await super().update_episode(episode.model_copy(update=kept))


@mutant("MEMORY-028")
class BatchComesSorted(InMemoryMemoryStore):
    """The ids of a batch are those of its rows in the order of storage."""

    async def add_episodes(self, episodes: Sequence[Episode]) -> list[UUID]:
        return sorted(await super().add_episodes(episodes))


@mutant("MEMORY-028")
class BatchWithoutVectors(InMemoryMemoryStore):
    """Episodes that come in a batch are not found by their vectors."""

    async def add_episodes(self, episodes: Sequence[Episode]) -> list[UUID]:
        if len(episodes) > 1:
            episodes = [one.model_copy(update={"embedding": None, "embedding_model": None}) for one in episodes]
        return await super().add_episodes(episodes)


@mutant("MEMORY-029")
class BatchReplaces(InMemoryMemoryStore):
    """A batch removes what it finds under its ids."""

    async def add_episodes(self, episodes: Sequence[Episode]) -> list[UUID]:
        for one in episodes:
            self._episodes.remove(one.tenant_id, one.id)
        return await super().add_episodes(episodes)
