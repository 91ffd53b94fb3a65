"""Redis before PostgreSQL: the whole contract, and losing Redis under load, which loses no session."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.postgres.support import PostgresStoreCase, migrate, open_database
from tests.integration.redis.support import RedisStoreCase, open_client

from focal_core.context import BackendContext
from focal_core.conversation.models import Session
from focal_core.conversation.tiered import TieredSessionStore
from focal_core.errors import StaleVersionError
from focal_postgres.conversation import PostgresSessionStore
from focal_redis.conversation import RedisSessionStore
from focal_testkit.contracts.conversation import SessionStoreContract
from focal_testkit.data.conversation import placed
from focal_testkit.faults.histories import History
from focal_testkit.scenarios import OURS
from focal_testkit.servers.postgres import Migrate
from focal_testkit.servers.redis import FAST, LocalRedis

COUNT, WORKERS = 20, 16


@pytest.fixture(scope="session")
def postgres_migrate() -> Migrate:
    """Return what brings an empty database to the newest schema."""
    return migrate


class TestRedisBeforePostgres(RedisStoreCase, PostgresStoreCase, SessionStoreContract):
    verify_hot = True

    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[Any]:
        self.store_class = PostgresSessionStore
        async with PostgresStoreCase.open_store(self, context) as durable:
            self.store_class = RedisSessionStore
            async with RedisStoreCase.open_store(self, context) as hot:
                store = TieredSessionStore(hot, durable, context, verify_hot=self.verify_hot)
                yield store
                await store.drain()
                assert store.counts["hot_failures"] == 0

    @pytest.mark.asyncio
    async def test_reads_of_what_is_in_use_come_from_redis(self, store: TieredSessionStore) -> None:
        """A hundred sessions just saved, read at once, are copies."""
        sessions = [placed(n, user_channel_id=f"user {n}") for n in range(100)]
        await asyncio.gather(*(store.save(one) for one in sessions))

        found = await asyncio.gather(*(store.get(one.session_id, tenant_id=OURS) for one in sessions))

        assert found == sessions
        assert store.counts == {"hot": 100, "durable": 0, "stale": 0, "hot_failures": 0}


class TestRedisBeforePostgresBelieved(TestRedisBeforePostgres):
    verify_hot = False


class Load:
    """Workers that load and save a few sessions without pause, and the history of all of them.

    Attributes:
        failed: errors by name; with ``verify_hot`` there is none to be.
    """

    def __init__(self, store: TieredSessionStore) -> None:
        self.store = store
        self.history = History()
        self.failed: Counter[str] = Counter()
        self.rounds = 0
        self._over = False
        self._workers: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        for n in range(COUNT):
            one = placed(n, user_channel_id=f"user {n}", variables={"value": 0})
            await self._save(n, one)
        self._workers = [asyncio.create_task(self._work(worker)) for worker in range(WORKERS)]

    async def more(self, rounds: int = 300) -> None:
        """Return after so many more rounds of all workers together."""
        until = self.rounds + rounds
        async with asyncio.timeout(60):
            while self.rounds < until:
                await asyncio.sleep(0.01)
                for worker in self._workers:
                    if worker.done():
                        worker.result()

    async def end(self) -> None:
        """Stop, and check that every answer is explained and that what is read at last is what PostgreSQL has."""
        self._over = True
        await asyncio.gather(*self._workers)
        for n in range(COUNT):
            await self._load(n)
        self.history.assert_linearizable()
        assert self.failed == {}

    async def _work(self, worker: int) -> None:
        turn = 0
        while not self._over:
            n = (worker + 7 * turn) % COUNT
            turn += 1
            one = await self._load(n)
            assert one is not None, "a session is lost"
            one.variables["value"] = worker * 1_000_000 + turn
            await self._save(n, one)
            self.rounds += 1

    async def _load(self, n: int) -> Session | None:
        found: list[Session | None] = []

        async def call() -> tuple[int, Any]:
            one = await self.store.get(placed(n).session_id, tenant_id=OURS)
            found.append(one)
            return (0, None) if one is None else (one.version, one.variables["value"])

        await self._counted(self.history.record("load", (), call, key=n))
        return found[0]

    async def _save(self, n: int, one: Session) -> None:
        async def call() -> int:
            return (await self.store.save(one)).version

        await self._counted(self.history.record("save", (one.version, one.variables["value"]), call, key=n))

    async def _counted(self, call: Any) -> None:
        try:
            await call
        except StaleVersionError:
            raise
        except Exception as error:
            self.failed[type(error).__name__] += 1
            raise


class TestLosingRedis:
    """What happens to Redis while sixteen workers load and save twenty sessions."""

    @pytest_asyncio.fixture
    async def load(
        self, start_redis: Callable[..., LocalRedis], postgres_server: Any, postgres_template: str
    ) -> AsyncIterator[tuple[Load, LocalRedis]]:
        redis, context = start_redis(FAST), BackendContext()
        url = await postgres_server.create_database(template=postgres_template)
        try:
            async with (
                open_database(url, context) as database,
                open_client(redis.url, context, connect_timeout=1, deadline=2) as client,
            ):
                store = TieredSessionStore(
                    RedisSessionStore(client, context), PostgresSessionStore(database, context), context
                )
                load = Load(store)
                await load.begin()
                await load.more()
                yield load, redis
                await store.drain()
        finally:
            await postgres_server.drop_database(url)

    @pytest.mark.asyncio
    async def test_flushed(self, load: tuple[Load, LocalRedis]) -> None:
        """FLUSHALL, again and again: no call fails, no session is lost, and copies are kept again at once."""
        work, redis = load
        for _ in range(5):
            with redis.client() as client:
                client.flushall()
            await work.more(100)
        before = work.store.counts["hot"]
        await work.more()
        assert work.store.counts["hot"] > before
        assert work.store.counts["hot_failures"] == 0
        await work.end()

    @pytest.mark.asyncio
    async def test_killed(self, load: tuple[Load, LocalRedis]) -> None:
        """Killed and gone for a while: no call fails; when it is back, empty, it is used without a restart of focal."""
        work, redis = load
        for _ in range(2):
            redis.kill()
            await work.more()
            assert not (await work.store.health_check()).ok
            redis.start()
            await _used_again(work)
        await work.end()

    @pytest.mark.asyncio
    async def test_paused(self, load: tuple[Load, LocalRedis]) -> None:
        """Frozen with its connections standing: calls wait a moment, then go on without it; then it is used again."""
        work, redis = load
        redis.pause()
        try:
            await work.more()
        finally:
            redis.resume()
        await _used_again(work)
        await work.end()

    @pytest.mark.asyncio
    async def test_back_with_old_data(self, start_redis: Callable[..., LocalRedis], load: Any) -> None:
        """Back from a snapshot of a minute ago: what is old there is not returned, and is replaced."""
        work, redis = load
        with redis.client() as client:
            client.save()
        await work.more()
        redis.kill()
        await work.more()
        redis.start()
        with redis.client() as client:
            assert client.dbsize() > 0
        await _used_again(work)
        assert work.store.counts["stale"] > 0
        await work.end()


async def _used_again(work: Load) -> None:
    before = work.store.counts["hot"]
    async with asyncio.timeout(30):
        while work.store.counts["hot"] < before + 100:
            await work.more(50)
    assert (await work.store.health_check()).ok
