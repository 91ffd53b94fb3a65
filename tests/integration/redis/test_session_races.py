"""Sessions under concurrency: no update is lost, no move between the tiers brings an old copy back."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.integration.redis.support import open_client

from focal_core.context import BackendContext
from focal_core.conversation.models import Session, SessionStatus
from focal_core.errors import StaleVersionError
from focal_redis.conversation import RedisSessionStore
from focal_redis.frame import SIZE
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import placed, session
from focal_testkit.faults.histories import History
from focal_testkit.scenarios import OURS
from focal_testkit.servers.redis import RedisServer

WRITERS = 100
ROUNDS = int(os.environ.get("FOCAL_RACE_ROUNDS", "5"))


@pytest.mark.asyncio
class TestSessionRaces:
    @pytest_asyncio.fixture(params=[True, False], ids=["shared pipelines", "one by one"])
    async def stores(
        self, request: pytest.FixtureRequest, redis_server: RedisServer, redis_prefix: str
    ) -> AsyncIterator[list[RedisSessionStore]]:
        """Yield two stores over one server, as two processes have them."""
        context = BackendContext()
        options = {"batching": request.param, "key_prefix": redis_prefix}
        async with (
            open_client(redis_server.url, context, **options) as one,
            open_client(redis_server.url, context, **options) as other,
        ):
            stores = [RedisSessionStore(client, context) for client in (one, other)]
            yield stores
            await stores[0].erase_tenant(OURS)

    async def test_every_acknowledged_save_is_in_the_final_state(self, stores: list[RedisSessionStore]) -> None:
        """Of 100 concurrent writers of one session each is in what is stored in the end, or was told it is stale."""
        refused = 0
        for turn in range(ROUNDS):
            await stores[0].save(session(turn))
            acknowledged: set[str] = set()

            async def write(n: int, turn: int = turn, acknowledged: set[str] = acknowledged) -> None:
                nonlocal refused
                store = stores[n % 2]
                loaded = await store.get(session(turn).session_id, tenant_id=OURS)
                assert loaded is not None
                loaded.variables[str(n)] = True
                try:
                    await store.save(loaded)
                except StaleVersionError:
                    refused += 1
                else:
                    acknowledged.add(str(n))

            await asyncio.gather(*map(write, range(WRITERS)))

            for promote in (True, False):
                found = await stores[1].get(session(turn).session_id, tenant_id=OURS, promote=promote)
                assert found is not None
                assert (set(found.variables), found.version) == (acknowledged, len(acknowledged) + 1)
        assert refused, "nobody raced"

    async def test_writers_that_load_again_all_get_through(self, stores: list[RedisSessionStore]) -> None:
        """A hundred writers that load again when they are stale raise a counter a hundred times."""
        await stores[0].save(session())

        async def write(n: int) -> None:
            while True:
                loaded = await stores[n % 2].get(session().session_id, tenant_id=OURS)
                assert loaded is not None
                loaded.turn_count += 1
                try:
                    await stores[n % 2].save(loaded)
                except StaleVersionError:
                    continue
                return

        await asyncio.gather(*map(write, range(WRITERS)))

        found = await stores[0].get(session().session_id, tenant_id=OURS)
        assert found is not None
        assert (found.turn_count, found.version) == (WRITERS, WRITERS + 1)

    async def test_forced_saves_all_count(self, stores: list[RedisSessionStore]) -> None:
        """Ten forced saves at once all succeed, each with a version of its own, and the last one is what is stored."""
        await stores[0].save(session())

        saved = await asyncio.gather(*(stores[n % 2].save(session(variables={"by": n}), force=True) for n in range(10)))

        assert sorted(one.version for one in saved) == [*range(2, 12)]
        assert await stores[0].get(session().session_id, tenant_id=OURS) == max(saved, key=lambda one: one.version)

    async def test_one_of_many_first_saves_wins(self, stores: list[RedisSessionStore]) -> None:
        """Of 50 writers that begin one session exactly one succeeds, and its content is what is stored."""
        rivals = [session(5, variables={"writer": n}) for n in range(50)]

        results = await asyncio.gather(
            *(stores[n % 2].save(rival) for n, rival in enumerate(rivals)), return_exceptions=True
        )

        won = [result for result in results if isinstance(result, Session)]
        assert len(won) == 1
        assert sum(isinstance(result, StaleVersionError) for result in results) == 49
        assert await stores[0].get(won[0].session_id, tenant_id=OURS) == won[0]

    async def test_moves_between_the_tiers_bring_nothing_back(self, stores: list[RedisSessionStore]) -> None:
        """Loads, saves and deletes have an order that explains them while others demote and promote all the time.

        Afterwards both tiers hold the same version, or nothing.
        """
        for seed in range(ROUNDS * 4):
            history, chance = History(), random.Random(seed)
            wanted = [session(n) for n in range(2)]
            done = asyncio.Event()

            async def move(
                store: RedisSessionStore, chance: random.Random = chance, done: asyncio.Event = done
            ) -> None:
                while not done.is_set():
                    id = session(chance.randrange(2)).session_id
                    moves = (store.demote_to_persistent, store.promote_to_hot, store.tier_of)
                    await moves[chance.randrange(3)](id, tenant_id=OURS)

            async def call(caller: int, history: History = history, chance: random.Random = chance) -> None:
                store = stores[caller % 2]
                for turn in range(5):
                    n = chance.randrange(2)
                    id, promote = session(n).session_id, chance.random() < 0.7

                    async def load(
                        store: RedisSessionStore = store, id: object = id, promote: bool = promote
                    ) -> tuple[int, object]:
                        found = await store.get(id, tenant_id=OURS, promote=promote)  # type: ignore[arg-type]
                        return (0, None) if found is None else (found.version, found.variables.get("by"))

                    version, _ = await history.record("load", (), load, key=n)
                    if chance.random() < 0.25:

                        async def delete(store: RedisSessionStore = store, id: object = id) -> bool:
                            return await store.delete(id, tenant_id=OURS)  # type: ignore[arg-type]

                        await history.record("delete", (), delete, key=n)
                        continue
                    value = f"{caller}.{turn}"
                    text = "x" * chance.choice((10, 2_000))
                    changed = session(n, version=version, variables={"by": value, "text": text})

                    async def save(store: RedisSessionStore = store, changed: Session = changed) -> int:
                        return (await store.save(changed)).version

                    await history.record("save", (version, value), save, key=n)

            movers = [asyncio.create_task(move(stores[n % 2])) for n in range(4)]
            await asyncio.gather(*map(call, range(6)))
            done.set()
            await asyncio.gather(*movers)

            history.assert_linearizable()
            for one in wanted:
                names = stores[0]._keys.session(OURS, one.session_id)
                hot, persist = [
                    await stores[0].client.call("test", "GETRANGE", key, 3, SIZE - 1, key=key)
                    for key in (names.hot, names.persist)
                ]
                assert hot in (b"", persist)
            await stores[0].erase_tenant(OURS)

    async def test_a_thousand_operations_at_once(self, stores: list[RedisSessionStore]) -> None:
        """A thousand concurrent operations of every kind end without an error, and each had its effect."""
        for n in range(200):
            await stores[0].save(placed(n, user_channel_id=f"user {n}"))

        async def update(n: int, store: RedisSessionStore) -> None:
            one = await store.get(placed(n).session_id, tenant_id=OURS)
            assert one is not None
            one.turn_count += 1
            one.status = SessionStatus.IDLE
            assert (await store.save(one)).version == 2

        async def move(n: int, store: RedisSessionStore) -> None:
            assert await store.demote_to_persistent(placed(n).session_id, tenant_id=OURS)
            assert await store.promote_to_hot(placed(n).session_id, tenant_id=OURS)

        async def find(n: int, store: RedisSessionStore) -> None:
            found = await store.get_by_channel(OURS, placed().channel, f"user {n}")
            assert found is not None
            assert found.session_id == placed(n).session_id

        async def page(n: int, store: RedisSessionStore) -> None:
            assert len(await store.list_by_agent(OURS, AGENT, limit=5, offset=n % 100)) == 5

        async def come_and_go(n: int, store: RedisSessionStore) -> None:
            await store.save(placed(1_000 + n, user_channel_id=f"user {1_000 + n}"))
            assert await store.delete(placed(1_000 + n).session_id, tenant_id=OURS)

        kinds = (update, move, find, page, come_and_go)
        await asyncio.gather(*(kind(n, stores[n % 2]) for n in range(200) for kind in kinds))

        rows = await stores[0].list_by_agent(OURS, AGENT, limit=1000)
        assert len(rows) == 200
        assert {(row.version, row.turn_count, row.status) for row in rows} == {(2, 1, SessionStatus.IDLE)}
