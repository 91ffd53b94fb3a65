"""Bulk loads of episodes on PostgreSQL: rows are made while they are sent, and still all are stored or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
import pytest_asyncio
from tests.integration.postgres.support import PostgresStoreCase

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError, FocalError, InvalidDataError
from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_core.memory.models import Episode
from focal_postgres.memory import PostgresMemoryStore, bulk
from focal_testkit.data.memory import GROUP, START, at, episode
from focal_testkit.scenarios import OURS

pytestmark = pytest.mark.asyncio

MANY = 2 * bulk.AT_ONCE


class TestPostgresEpisodeLoad(PostgresStoreCase):
    store_class = PostgresMemoryStore

    @pytest.fixture
    def context(self) -> BackendContext:
        return replace(BackendContext(), clock=ManualClock(START + timedelta(days=1)))

    @pytest_asyncio.fixture
    async def store(self, context: BackendContext) -> AsyncIterator[PostgresMemoryStore]:
        async with self.open_store(context) as store:
            yield store

    @pytest.mark.parametrize(
        ("bad", "error"),
        [
            (episode(MANY, deleted_at=START), InvalidDataError),
            (episode(0, content="other"), DuplicateError),
            (episode(MANY + 1, content="other"), DuplicateError),
        ],
        ids=["invalid", "given twice", "stored"],
    )
    async def test_what_is_refused_late_stores_nothing(
        self, store: PostgresMemoryStore, context: BackendContext, bad: Episode, error: type[FocalError]
    ) -> None:
        """A row that is refused after others were sent takes them with it; the next load finds all in order."""
        rows = [episode(n) for n in range(MANY)]
        for target in (store, InMemoryMemoryStore(context)):
            await target.add_episode(episode(MANY + 1))
            with pytest.raises(error):
                await target.add_episodes([*rows, bad])
            assert [one.id for one in await target.list_episodes(GROUP, tenant_id=OURS)] == [episode(MANY + 1).id]
            await target.add_episodes(rows)
            assert len(await target.list_episodes(GROUP, tenant_id=OURS, limit=1000)) == MANY + 1

    async def test_repeats_in_any_chunk_are_left_out(
        self, store: PostgresMemoryStore, context: BackendContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rows that are stored or given before are no rows; chunks end where rows or components are enough."""
        monkeypatch.setattr(bulk, "CHUNK_ROWS", 100)
        monkeypatch.setattr(bulk, "CHUNK_COMPONENTS", 5 * len(at(1.0)))
        vectors = {n: {"embedding": at(1.0 - n / MANY)} for n in range(250, 290)}
        rows = [episode(n, **vectors.get(n, {})) for n in range(MANY)]
        given = [*rows, *rows[50:60], *rows[-10:]]
        reference = InMemoryMemoryStore(context)
        for target in (store, reference):
            await target.add_episodes(rows[90:110])
            await target.add_episodes(rows[260:270])
            assert await target.add_episodes(given) == [row.id for row in given]
        found = await store.list_episodes(GROUP, tenant_id=OURS, limit=1000)
        assert found == await reference.list_episodes(GROUP, tenant_id=OURS, limit=1000)
        assert len(found) == MANY
        near = await store.vector_search_episodes(at(1.0), GROUP, 100, tenant_id=OURS)
        assert near == await reference.vector_search_episodes(at(1.0), GROUP, 100, tenant_id=OURS)
        assert len(near) == len(vectors)

    async def test_a_space_that_is_met_late(self, store: PostgresMemoryStore) -> None:
        """A vector of a new model may come after any number of others."""
        rows = [episode(n, embedding=at(1.0), embedding_model="first") for n in range(MANY)]
        rows += [episode(MANY + n, embedding=at(1.0), embedding_model=f"late {n}") for n in range(3)]
        await store.add_episodes(rows)
        for model, count in (("first", MANY), ("late 0", 1), ("late 2", 1)):
            found = await store.vector_search_episodes(
                list(at(1.0)), GROUP, 1000, tenant_id=OURS, embedding_model=model
            )
            assert len(found) == count

    async def test_rows_are_taken_as_they_are_at_the_call(self, store: PostgresMemoryStore) -> None:
        """What the caller makes of its episodes while the call runs reaches none of a batch of this size."""
        rows = [episode(n) for n in range(bulk.AT_ONCE)]
        call = asyncio.ensure_future(store.add_episodes(rows))
        await asyncio.sleep(0)
        for row in rows:
            row.metadata["changed"] = True
        await call
        assert not any(row.metadata for row in await store.list_episodes(GROUP, tenant_id=OURS, limit=1000))
