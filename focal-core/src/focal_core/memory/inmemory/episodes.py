"""Episodes in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.gate import admit, moment, stamp
from focal_core.memory.inmemory.tables import MemoryTables
from focal_core.memory.models import Episode, EpisodeType
from focal_core.memory.rules import not_found, refuse_if_moved, refuse_unless_repeat
from focal_core.memory.store.episodes import EpisodeStore
from focal_core.paging import Page


class InMemoryEpisodes(MemoryTables, EpisodeStore):
    """Episodes, ordered within their group by the time they occurred."""

    async def add_episode(self, episode: Episode) -> UUID:
        return (await self.add_episodes([episode]))[0]

    async def add_episodes(self, episodes: Sequence[Episode]) -> list[UUID]:
        new: dict[tuple[UUID, UUID], Episode] = {}
        for episode in episodes:
            row = admit(episode, self.context.limits)
            key = (row.tenant_id, row.id)
            stored = self._episodes.get(*key) or new.get(key)
            if stored is not None:
                refuse_unless_repeat(row, stored)
            else:
                new[key] = self._stamped(row, None)
        for row in new.values():
            self._episodes.put(row)
        return [episode.id for episode in episodes]

    async def get_episode(self, episode_id: UUID, *, tenant_id: UUID | None = None) -> Episode | None:
        row = self.get_row(self._episodes, tenant_id, episode_id, "get_episode")
        return None if row is None else validated_copy(row)

    async def list_episodes(
        self,
        group_id: str,
        *,
        tenant_id: UUID | None = None,
        episode_type: EpisodeType | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[Episode]:
        partition = self.partition(tenant_id, group_id, "list_episodes")
        start, end = moment(start_time, "start_time"), moment(end_time, "end_time")

        def keep(episode: Episode) -> bool:
            return (
                (episode_type is None or episode.episode_type == episode_type)
                and (start is None or episode.occurred_at >= start)
                and (end is None or episode.occurred_at < end)
            )

        return self.page_of(
            self._episodes_of_group,
            partition,
            "list_episodes",
            keep,
            limit=limit,
            after=after,
            type=episode_type,
            start=start,
            end=end,
        )

    async def update_episode(self, episode: Episode) -> UUID:
        row = admit(episode, self.context.limits)
        stored = self._episodes.get(row.tenant_id, row.id)
        if stored is None:
            raise not_found("episode", row.id)
        refuse_if_moved(row, stored)
        return self._put_episode(row, stored)

    async def delete_episode(self, episode_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        row = self.get_row(self._episodes, tenant_id, episode_id, "delete_episode")
        return row is not None and self._episodes.remove(row.tenant_id, row.id) is not None

    def _put_episode(self, row: Episode, stored: Episode | None) -> UUID:
        self._episodes.put(self._stamped(row, stored))
        return row.id

    def _stamped(self, row: Episode, stored: Episode | None) -> Episode:
        self.context.vector_policy.check(row.embedding_model, row.embedding)
        now = self.context.clock.now()
        stamp(row, stored, now)
        row.set_stored(recorded_at=now if stored is None else stored.recorded_at)
        return row
