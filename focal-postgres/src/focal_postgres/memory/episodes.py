"""Episodes in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from focal_core.gate import moment
from focal_core.memory.models import Episode, EpisodeType
from focal_core.memory.store.episodes import EpisodeStore
from focal_core.paging import Page
from focal_postgres.keyset import Key
from focal_postgres.memory.tables import EPISODES, MemoryTables

_LATEST_FIRST = (Key("r.occurred_at", "timestamptz", descending=True), Key("r.id", "uuid"))


class PostgresEpisodes(MemoryTables, EpisodeStore):
    """Episodes, and beside each the text and the vector it is found by."""

    async def add_episode(self, episode: Episode) -> UUID:
        return (await self.add("add_episode", EPISODES, episode)).id

    async def get_episode(self, episode_id: UUID, *, tenant_id: UUID | None = None) -> Episode | None:
        return await self.read("get_episode", EPISODES, tenant_id, episode_id)

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
        partition = await self.partition(tenant_id, group_id, "list_episodes")
        start, end = moment(start_time, "start_time"), moment(end_time, "end_time")
        return await self.list_of_group(
            "list_episodes",
            EPISODES,
            partition,
            "($3::text IS NULL OR r.episode_type = $3) AND ($4::timestamptz IS NULL OR r.occurred_at >= $4)"
            " AND ($5::timestamptz IS NULL OR r.occurred_at < $5)",
            [episode_type and str(episode_type), start, end],
            order=_LATEST_FIRST,
            limit=limit,
            after=after,
            type=episode_type,
            start=start,
            end=end,
        )

    async def update_episode(self, episode: Episode) -> UUID:
        return (await self.update("update_episode", EPISODES, episode)).id

    async def delete_episode(self, episode_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        return await self.remove("delete_episode", EPISODES, tenant_id, episode_id)
