"""Text search, bulk loads and walks on PostgreSQL beside the reference: the same answers, in one statement."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from tests.integration.postgres.support import PostgresStoreCase

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError, InvalidDataError
from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_core.memory.models import Direction, Episode
from focal_postgres.memory import PostgresMemoryStore
from focal_postgres.memory.text import LOOKED_AT
from focal_testkit.data import hostile
from focal_testkit.data.memory import GROUP, OTHER_GROUP, QUERY, START, at, entity, entity_id, episode, relationship
from focal_testkit.scenarios import OURS, THEIRS

pytestmark = pytest.mark.asyncio

_TEXTS = [
    *hostile.TEXTS.values(),
    "Die Straße nach GROẞENHAIN",
    "İstanbul'da ılık bir gün",
    "返金をお願いします。",
    "ขอคืนเงิน",
    "हिन्दी में",
    "2nd/3rd floor, 10.5 % off! a_b a-b it's C++ & C#",
    "x@example.com https://example.com/a?b=c#d",
    "👩‍👩‍👧 😀 €5 ½ ²",
    "naïve cafe\u0301 CAFÉ",
    "\x00 nul \ud800 lone \ue0f0 0000 introducer",
    "back\\slash 'quoted' \"double\" %percent _under & | ! ( ) : * <->",
    "w" * 3000,
    "\u2003em\u00a0space\u3000wide\u0085next",
]


class TestPostgresMemorySearch(PostgresStoreCase):
    store_class = PostgresMemoryStore

    @pytest.fixture
    def context(self) -> BackendContext:
        return replace(BackendContext(), clock=ManualClock(START + timedelta(days=1)))

    @pytest_asyncio.fixture
    async def store(self, context: BackendContext) -> AsyncIterator[PostgresMemoryStore]:
        async with self.open_store(context) as store:
            yield store

    @pytest.fixture
    def statements(self, store: PostgresMemoryStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Names the method of every statement from now on."""
        seen: list[str] = []
        run = store.database._run

        async def noted(pool: Any, method: str, *arguments: Any, **options: Any) -> Any:
            seen.append(method)
            return await run(pool, method, *arguments, **options)

        monkeypatch.setattr(store.database, "_run", noted)
        return seen

    async def test_text_search_answers_as_the_reference(
        self, store: PostgresMemoryStore, context: BackendContext
    ) -> None:
        """Hostile texts are found by every word, part and pair of words in them, ranked as the reference ranks."""
        reference = InMemoryMemoryStore(context)
        rows = [episode(n, content=text) for n, text in enumerate(_TEXTS) if text.strip()]
        for target in (store, reference):
            await target.add_episodes(rows)
        random = Random(1)
        words = [word for row in rows for word in row.content.split()]
        parts = [word[at : at + 1 + random.randrange(4)] for word in words for at in [random.randrange(len(word))]]
        pairs = [f"{left} {right}" for left, right in pairwise(words)]

        for query in dict.fromkeys([*words, *parts, *pairs, *hostile.TEXTS.values(), "' & '", "\\", "''"]):
            expected = await reference.search_episodes(query, group_ids=[GROUP], tenant_id=OURS, limit=1000)
            assert await store.search_episodes(query, group_ids=[GROUP], tenant_id=OURS, limit=1000) == expected

    async def test_words_are_found_however_old(self, store: PostgresMemoryStore) -> None:
        """A word, punctuation beside it or not, is found beyond the newest episodes; only parts of words are not."""
        old = ["refund, please", "THE REFUND", "refunds", "返金をお願い", "C++", "100%", "😀 ok", "größe", "w" * 3000]
        rows = [episode(n, content=text, occurred_at=START) for n, text in enumerate(old)]
        rows += [_numbered(n) for n in range(LOOKED_AT)]
        await store.add_episodes(rows)

        async def found(query: str) -> list[str]:
            return [one.content for one in await store.text_search_episodes(query, GROUP, 1000, tenant_id=OURS)]

        assert await found("refund") == ["refund, please", "THE REFUND"]
        assert await found("返金") == ["返金をお願い"]
        for query, content in (
            ("c++", "C++"),
            ("100%", "100%"),
            ("😀", "😀 ok"),
            ("GRÖSSE", "größe"),
            ("w" * 3000, old[-1]),
        ):
            assert await found(query) == [content]
        assert await found("fund") == []
        assert len(await found("ewes")) == LOOKED_AT

    async def test_text_with_too_many_words_is_found(self, store: PostgresMemoryStore) -> None:
        """A text whose words fill more than a tsvector holds is stored, and found by its last word."""
        content = " ".join(f"{n:x}\u00e9" for n in range(130_000))
        rows = [episode(0, content=content, occurred_at=START), *(_numbered(n) for n in range(LOOKED_AT))]
        await store.add_episodes(rows)

        (hit,) = await store.text_search_episodes(content.rpartition(" ")[2], GROUP, tenant_id=OURS)

        assert hit.id == episode(0).id

    async def test_updates_are_found_by_their_new_text(self, store: PostgresMemoryStore) -> None:
        """After an update the old words find nothing, the new ones the row; another tenant's and group's stay apart."""
        await store.add_episodes([episode(0, content="old"), episode(0, THEIRS, content="new")])
        await store.add_episode(episode(1, group_id=OTHER_GROUP, content="new"))
        await store.update_episode(episode(0, content="new"))

        assert await store.text_search_episodes("old", GROUP, tenant_id=OURS) == []
        assert [one.id for one in await store.text_search_episodes("new", GROUP, tenant_id=OURS)] == [episode(0).id]

    async def test_bulk_is_all_or_nothing(self, store: PostgresMemoryStore) -> None:
        """A batch with one row that is refused stores none of its rows; so in memory."""
        for target in (store, InMemoryMemoryStore(store.context)):
            await target.add_episode(episode(7))
            for bad, error in ((episode(7, content="other"), DuplicateError), (_deleted(8), InvalidDataError)):
                with pytest.raises(error):
                    await target.add_episodes([episode(1, embedding=at(1.0)), bad, episode(2)])
            assert [one.id for one in await target.list_episodes(GROUP, tenant_id=OURS)] == [episode(7).id]

    async def test_each_call_is_one_statement(self, store: PostgresMemoryStore, statements: list[str]) -> None:
        """Adding, updating, deleting, every search and every walk is one statement once the spaces are known."""
        rows = [episode(n, content="needle", embedding=at(1.0)) for n in range(3)]
        await store.add_episodes(rows)
        await store.search_episodes("needle", QUERY, group_ids=[GROUP], tenant_id=OURS)
        statements.clear()

        await store.add_episode(episode(9, embedding=at(0.6)))
        await store.update_episode(episode(9, embedding=at(0.8)))
        for n in range(2):
            await store.add_entity(entity(n))
        await store.add_relationship(relationship(0, 0, 1))
        await store.search_episodes("needle", QUERY, group_ids=[GROUP], tenant_id=OURS)
        await store.text_search_episodes("needle", GROUP, tenant_id=OURS)
        await store.vector_search_episodes(QUERY, GROUP, tenant_id=OURS)
        await store.traverse_from_entities([entity_id(0)], GROUP, 5, tenant_id=OURS)
        await store.delete_entity(entity_id(0), tenant_id=OURS)
        await store.delete_by_group(GROUP, tenant_id=OURS)

        assert len(statements) == 11

    async def test_walks_answer_as_the_reference(self, store: PostgresMemoryStore, context: BackendContext) -> None:
        """Random graphs give the same hits, distances and ways as in memory, whatever the depth and direction."""
        reference = InMemoryMemoryStore(context)
        random = Random(5)
        for target in (store, reference):
            for n in range(25):
                await target.add_entity(entity(n))
        for n in range(60):
            edge = relationship(n, random.randrange(25), random.randrange(25), relation_type=random.choice("ab"))
            edge = edge.model_copy(update={"valid_from": START - timedelta(minutes=n)})
            for target in (store, reference):
                await target.add_relationship(edge.model_copy())

        for depth in range(1, 6):
            for direction in Direction:
                for options in ({}, {"relation_types": ["a"]}, {"limit": 3}):
                    starts = [entity_id(random.randrange(25)) for _ in range(random.randrange(3))]
                    given: dict[str, Any] = {"tenant_id": OURS, "direction": direction, **options}
                    expected = await reference.traverse_from_entities(starts, GROUP, depth, **given)
                    assert await store.traverse_from_entities(starts, GROUP, depth, **given) == expected


def _numbered(n: int) -> Episode:
    return Episode(
        tenant_id=OURS,
        id=UUID(int=(7 << 76) | (2 << 62) | (n + 1)),
        group_id=GROUP,
        content=f"newest {n}",
        occurred_at=START + timedelta(minutes=1),
        valid_from=START,
    )


def _deleted(n: int) -> Episode:
    row = episode(n)
    row.set_stored(deleted_at=START)
    return row
