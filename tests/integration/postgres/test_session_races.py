"""Sessions under concurrency: no update is lost, and every history of calls has an order that explains it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.integration.postgres.support import open_database

from focal_core.context import BackendContext
from focal_core.conversation.models import Session
from focal_core.errors import StaleVersionError
from focal_postgres.conversation import PostgresSessionStore
from focal_testkit.data.conversation import session
from focal_testkit.faults.histories import History
from focal_testkit.scenarios import OURS

WRITERS = 100


@pytest.mark.asyncio
class TestSessionRaces:
    @pytest_asyncio.fixture(params=[True, False], ids=["shared statements", "one by one"])
    async def stores(
        self, request: pytest.FixtureRequest, postgres_database: str
    ) -> AsyncIterator[list[PostgresSessionStore]]:
        """Yield two stores over one database, as two processes have them."""
        context, options = BackendContext(), {"batching": request.param}
        async with (
            open_database(postgres_database, context, **options) as one,
            open_database(postgres_database, context, **options) as other,
        ):
            stores = [PostgresSessionStore(database, context) for database in (one, other)]
            yield stores
            for store in stores:
                await store.drain()
            await stores[0].erase_tenant(OURS)

    async def test_no_update_is_lost(self, stores: list[PostgresSessionStore]) -> None:
        """Of 100 concurrent writers of one session each either counts or is told that it lost (StaleVersionError)."""
        await stores[0].save(session())
        lost = 0

        async def write(n: int) -> None:
            nonlocal lost
            store = stores[n % 2]
            while True:
                loaded = await store.get(session().session_id, tenant_id=OURS)
                assert loaded is not None
                loaded.turn_count += 1
                try:
                    await store.save(loaded)
                except StaleVersionError:
                    lost += 1
                else:
                    return

        await asyncio.gather(*map(write, range(WRITERS)))

        found = await stores[0].get(session().session_id, tenant_id=OURS)
        assert found is not None
        assert (found.turn_count, found.version) == (WRITERS, WRITERS + 1)
        assert lost, "nobody raced"

    async def test_one_of_many_first_saves_wins(self, stores: list[PostgresSessionStore]) -> None:
        """Of 50 writers that begin one session exactly one succeeds, and its content is what is stored."""
        rivals = [session(5, variables={"writer": n}) for n in range(50)]

        results = await asyncio.gather(
            *(stores[n % 2].save(rival) for n, rival in enumerate(rivals)), return_exceptions=True
        )

        won = [result for result in results if isinstance(result, Session)]
        assert len(won) == 1
        assert sum(isinstance(result, StaleVersionError) for result in results) == 49
        assert await stores[0].get(won[0].session_id, tenant_id=OURS) == won[0]

    async def test_flights_of_two_processes_do_not_lock_each_other_out(
        self, stores: list[PostgresSessionStore]
    ) -> None:
        """Two processes that save the same 40 sessions in opposite orders, all at once, end without an error."""
        for n in range(40):
            await stores[0].save(session(n))

        async def rewrite(store: PostgresSessionStore, n: int) -> None:
            for _ in range(5):
                loaded = await store.get(session(n).session_id, tenant_id=OURS)
                assert loaded is not None
                try:
                    await store.save(loaded)
                except StaleVersionError:
                    continue

        await asyncio.wait_for(
            asyncio.gather(
                *(rewrite(stores[0], n) for n in range(40)), *(rewrite(stores[1], n) for n in reversed(range(40)))
            ),
            30,
        )

    async def test_histories_are_linearizable(self, stores: list[PostgresSessionStore]) -> None:
        """Loads, saves and deletes of a few sessions by eight callers of two processes have an order that fits all."""
        for seed in range(20):
            history, chance = History(), random.Random(seed)

            async def call(caller: int, history: History = history, chance: random.Random = chance) -> None:
                store = stores[caller % 2]
                for turn in range(6):
                    n = chance.randrange(2)
                    wanted = session(n)

                    async def load(store: PostgresSessionStore = store, wanted: Session = wanted) -> tuple[int, object]:
                        found = await store.get(wanted.session_id, tenant_id=OURS)
                        return (0, None) if found is None else (found.version, found.variables.get("by"))

                    version, _ = await history.record("load", (), load, key=n)
                    if chance.random() < 0.15:

                        async def delete(store: PostgresSessionStore = store, wanted: Session = wanted) -> bool:
                            return await store.delete(wanted.session_id, tenant_id=OURS)

                        await history.record("delete", (), delete, key=n)
                        continue
                    value = f"{caller}.{turn}"
                    changed = session(n, version=version, variables={"by": value})

                    async def save(store: PostgresSessionStore = store, changed: Session = changed) -> int:
                        return (await store.save(changed)).version

                    await history.record("save", (version, value), save, key=n)

            await asyncio.gather(*map(call, range(8)))
            history.assert_linearizable()
            await stores[0].erase_tenant(OURS)
