"""Episodes by id and in order of time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from focal_core.memory.models import Episode, EpisodeType
from focal_core.paging import Page
from focal_core.store import Store


class EpisodeStore(Store):
    """Episodes: add, read, change, remove. They have no ``row_version``: the last update wins."""

    @abstractmethod
    async def add_episode(self, episode: Episode) -> UUID:
        """Store a new episode and return its id; a repeat of the same content changes nothing.

        Args:
            episode: what to remember; the caller's object is left as it is.

        Raises:
            DuplicateError: the id is stored with other content (code ``record_differs``).
            EmbeddingSpaceError: spaces are strict and the vector's is not registered.
            InvalidDataError: the episode exceeds a limit, or ``deleted_at`` is set.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    async def add_episodes(self, episodes: Sequence[Episode]) -> list[UUID]:
        """Store several episodes by the rules of ``add_episode`` and return their ids, in the order given.

        This default adds one after another: when one is refused, those before it stay. Stores that can take all of
        them in one step, or none, override it; so do those of focal.

        Args:
            episodes: what to remember, of any groups; the caller's objects are left as they are.

        Raises:
            DuplicateError: an id is stored, or given before, with other content (code ``record_differs``).
            EmbeddingSpaceError: spaces are strict and a vector's is not registered.
            InvalidDataError: an episode exceeds a limit, or its ``deleted_at`` is set.
            StoreUnavailableError: safe to retry.
        """
        return [await self.add_episode(episode) for episode in episodes]

    @abstractmethod
    async def get_episode(self, episode_id: UUID, *, tenant_id: UUID | None = None) -> Episode | None:
        """Return an episode, valid now or not, or None when the tenant has none of that id.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

    @abstractmethod
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
        """Return the episodes of a group, valid now or not, by occurred_at descending, then id ascending.

        Args:
            group_id: the group.
            tenant_id: the owner.
            episode_type: only episodes of this type.
            start_time: only episodes that occurred at or after it.
            end_time: only episodes that occurred before it.
            limit: rows, 1 to 1,000.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: group, limit or cursor are wrong, or a time is naive.
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

    @abstractmethod
    async def update_episode(self, episode: Episode) -> UUID:
        """Replace a stored episode as a whole and return its id.

        ``created_at`` and ``recorded_at`` stay as stored, ``updated_at`` becomes the present. Safe to retry.

        Raises:
            EmbeddingSpaceError: spaces are strict and the vector's is not registered.
            InvalidDataError: the episode names another group than the stored one (code ``group_immutable``),
                exceeds a limit, or ``deleted_at`` is set.
            NotFoundError: the tenant has no episode of that id.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete_episode(self, episode_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        """Remove an episode for good; False when the tenant has none of that id.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous; nothing is removed.
        """
