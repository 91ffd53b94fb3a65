"""Episodes by id and in order of time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from focal_core.errors import DuplicateError, InvalidDataError
from focal_core.memory.models import EpisodeSource, EpisodeType
from focal_core.memory.store import MemoryStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.memory import GROUP, HOUR, OTHER_GROUP, QUERY, START, at, entity, episode
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class EpisodeContract(ContractBase):
    """``add_episode``, ``add_episodes``, ``get_episode`` and ``list_episodes``."""

    @requirement("MEMORY-020", since="1.0")
    async def test_add_and_get_episode(self, store: MemoryStore) -> None:
        """An episode is found by its id with everything it carries.

        If this fails: the episode is not stored, or a field has no place in the store.
        """
        added = episode(
            5,
            episode_type=EpisodeType.FACT,
            source=EpisodeSource.USER,
            source_metadata={"channel": "web"},
            importance=0.9,
            embedding=at(0.8),
            entity_ids=[uuid4(), uuid4()],
            session_id=uuid4(),
            metadata={"a": {"b": [1, None]}},
            valid_to=START + HOUR,
        )

        assert await store.add_episode(added) == added.id

        found = await store.get_episode(added.id, tenant_id=OURS)
        assert found is not None
        clock_fields = {"created_at", "updated_at", "recorded_at"}
        assert found.model_dump(exclude=clock_fields) == added.model_dump(exclude=clock_fields)
        assert found.embedding_model == "default"
        assert await store.get_episode(uuid4(), tenant_id=OURS) is None

    @requirement("MEMORY-021", since="1.0")
    async def test_list_episodes_newest_first(self, store: MemoryStore) -> None:
        """Episodes of a group are listed by the time they occurred, latest first, then by id.

        If this fails: the order is that of saving, equal times are in no order, or other groups are listed.
        """
        for n in (2, 10, 5):
            await store.add_episode(episode(n))
        for n in (8, 6, 7):
            await store.add_episode(episode(n, occurred_at=START + timedelta(minutes=5)))
        await store.add_episode(episode(20, group_id=OTHER_GROUP))
        await store.add_episode(episode(21, THEIRS))

        found = await store.list_episodes(GROUP, tenant_id=OURS)

        assert [one.id for one in found] == [episode(n).id for n in (10, 5, 6, 7, 8, 2)]

    @requirement("MEMORY-022", since="1.0")
    async def test_list_episodes_filters(self, store: MemoryStore) -> None:
        """Type and time range hold together; the range holds its start and not its end.

        If this fails: filters are joined by "or", one is ignored, or a bound is compared the wrong way.
        """
        for n in range(5):
            await store.add_episode(episode(n, episode_type="summary"))
            await store.add_episode(episode(n + 10, occurred_at=START + timedelta(minutes=n), episode_type="fact"))
        start, end = START + timedelta(minutes=1), START + timedelta(minutes=3)

        async def listed(kind: EpisodeType | None, start: datetime | None, end: datetime | None) -> list[int]:
            found = await store.list_episodes(GROUP, tenant_id=OURS, episode_type=kind, start_time=start, end_time=end)
            return [int(one.content.split()[1]) for one in found]

        assert await listed(EpisodeType.SUMMARY, start, end) == [2, 1]
        assert await listed(EpisodeType.FACT, start, None) == [14, 13, 12, 11]
        assert await listed(None, None, start) == [0, 10]
        assert await listed(EpisodeType.META_SUMMARY, None, None) == []
        assert await listed(None, end, end) == []

    @requirement("MEMORY-023", since="1.0")
    async def test_episodes_are_kept_beyond_their_validity(self, store: MemoryStore) -> None:
        """An episode that is valid no more, or not yet, is found by its id and listed all the same.

        If this fails: history disappears when it ends.
        """
        past = episode(0, valid_to=START + HOUR)
        future = episode(1, valid_from=START + timedelta(days=36500))
        for one in (past, future):
            await store.add_episode(one)

        assert await store.get_episode(past.id, tenant_id=OURS) is not None
        assert await store.get_episode(future.id, tenant_id=OURS) is not None
        assert len(await store.list_episodes(GROUP, tenant_id=OURS)) == 2

    @requirement("MEMORY-024", since="1.0")
    async def test_naive_datetime_refused(self, store: MemoryStore) -> None:
        """A time without a zone is refused by every filter.

        If this fails: it is taken for the server's or for UTC.
        """
        naive = datetime(2026, 5, 4, 9)  # noqa: DTZ001
        for refused in (
            store.list_episodes(GROUP, tenant_id=OURS, start_time=naive),
            store.list_episodes(GROUP, tenant_id=OURS, end_time=naive),
            store.vector_search_episodes(at(1.0), GROUP, tenant_id=OURS, as_of=naive),
            store.text_search_episodes("episode", GROUP, tenant_id=OURS, as_of=naive),
            store.search_episodes("episode", group_ids=[GROUP], tenant_id=OURS, as_of=naive),
            store.vector_search_entities(at(1.0), GROUP, tenant_id=OURS, as_of=naive),
            store.get_entities(GROUP, tenant_id=OURS, as_of=naive),
            store.get_relationships(GROUP, tenant_id=OURS, as_of=naive),
            store.traverse_from_entities([], GROUP, tenant_id=OURS, as_of=naive),
        ):
            with pytest.raises(InvalidDataError) as caught:
                await refused
            assert caught.value.code == "datetime_naive"

    @requirement("MEMORY-025", since="1.0")
    async def test_update_moves_in_time(self, store: MemoryStore) -> None:
        """An update may change when an episode occurred; lists follow at once.

        If this fails: the order is kept apart from the row.
        """
        for n in range(3):
            await store.add_episode(episode(n))

        await store.update_episode(episode(0, occurred_at=START + HOUR))

        found = await store.list_episodes(GROUP, tenant_id=OURS)
        assert [one.id for one in found] == [episode(n).id for n in (0, 2, 1)]

    @requirement("MEMORY-027", since="1.0")
    async def test_default_limits(self, store: MemoryStore) -> None:
        """Without a limit a list of episodes has 100 rows at most, and a search 10; entities are listed all.

        If this fails: a caller that relies on the default gets more, or less, from another backend.
        """
        for n in range(101):
            await store.add_episode(episode(n, content="needle", embedding=at(1.0)))
            await store.add_entity(entity(n, embedding=at(1.0)))

        listed = await store.list_episodes(GROUP, tenant_id=OURS)
        rest = await store.list_episodes(GROUP, tenant_id=OURS, after=listed.next_cursor)
        assert (len(listed), len(rest), rest.next_cursor) == (100, 1, None)
        assert len(await store.vector_search_episodes(QUERY, GROUP, tenant_id=OURS)) == 10
        assert len(await store.text_search_episodes("needle", GROUP, tenant_id=OURS)) == 10
        assert len(await store.search_episodes("needle", QUERY, group_ids=[GROUP], tenant_id=OURS)) == 10
        assert len(await store.vector_search_entities(QUERY, GROUP, tenant_id=OURS)) == 10
        assert len(await store.get_entities(GROUP, tenant_id=OURS)) == 101

    @requirement("MEMORY-028", since="1.0")
    async def test_add_episodes(self, store: MemoryStore) -> None:
        """Several episodes are stored as each by itself would be, and their ids come in the order given.

        If this fails: the way of many loses a field, a vector or a word that the way of one keeps, or sorts the ids.
        """
        full: dict[str, Any] = {
            "content": "Needle & ha\u00ffstack \u4e2d\u6587\t\u2603",
            "session_id": uuid4(),
            "entity_ids": [uuid4(), uuid4()],
            "metadata": {"a": [1, 1.0, None, "\u2603"]},
            "embedding": at(0.8),
            "valid_to": START + timedelta(days=900),
            "importance": 0.9,
        }
        rows = [episode(9), episode(3, **full), episode(5, group_id=OTHER_GROUP), episode(4, embedding=at(1.0))]

        assert await store.add_episodes(rows) == [row.id for row in rows]

        await store.add_episode(episode(2, **full))
        bulk, single = [await store.get_episode(episode(n).id, tenant_id=OURS) for n in (3, 2)]
        assert bulk is not None
        assert single is not None
        assert bulk.model_dump(exclude={"id", "occurred_at"}) == single.model_dump(exclude={"id", "occurred_at"})
        assert bulk.occurred_at == rows[1].occurred_at
        assert [one.id for one in await store.list_episodes(GROUP, tenant_id=OURS)] == [
            episode(n).id for n in (9, 4, 3, 2)
        ]
        by_vector = await store.vector_search_episodes(QUERY, GROUP, tenant_id=OURS)
        assert [one.id for one, _ in by_vector] == [episode(n).id for n in (4, 2, 3)]
        by_text = await store.text_search_episodes("NEEDLE \u2603 ha\u00ffstack", GROUP, tenant_id=OURS)
        assert [one.id for one in by_text] == [episode(n).id for n in (3, 2)]
        assert await store.add_episodes([]) == []

    @requirement("MEMORY-029", since="1.0")
    async def test_add_episodes_repeats(self, store: MemoryStore) -> None:
        """Episodes that are stored already, or twice in one call, are repeats; other content under an id is refused.

        If this fails: a batch cannot be sent again after a lost reply, or replaces what was stored.
        """
        await store.add_episode(episode(1, embedding=at(1.0)))
        first = await store.get_episode(episode(1).id, tenant_id=OURS)
        batch = [episode(0), episode(1, embedding=at(1.0)), episode(0), episode(2), episode(1, THEIRS)]

        for _ in range(2):
            assert await store.add_episodes(batch) == [row.id for row in batch]

        assert len(await store.list_episodes(GROUP, tenant_id=OURS)) == 3
        assert await store.get_episode(episode(1).id, tenant_id=OURS) == first
        for differing in ([episode(1)], [episode(2, content="other")], [episode(6), episode(6, content="other")]):
            with pytest.raises(DuplicateError) as refused:
                await store.add_episodes(differing)
            assert refused.value.code == "record_differs"
        assert await store.get_episode(episode(1).id, tenant_id=OURS) == first
