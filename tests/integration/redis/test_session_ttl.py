"""Real times to live, by the system's clock and the server's: nothing lost before its time, nothing returned after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from statistics import quantiles

import pytest
from tests.integration.redis.support import RedisStoreCase, open_client

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.conversation.models import Session, Tier
from focal_core.conversation.policy import SessionPolicy
from focal_core.errors import StaleVersionError
from focal_redis.conversation import RedisSessionStore
from focal_testkit.contracts.conversation.expiry import ExpiryContract
from focal_testkit.contracts.conversation.scenarios import SessionScenarios
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import placed
from focal_testkit.scenarios import OURS
from focal_testkit.servers.redis import RedisServer

CALLERS = 64
SLACK = timedelta(seconds=2)
"""How late a busy machine may notice what happened in time."""


class TestExpiryByTheHeader(RedisStoreCase, ExpiryContract):
    """The end of sessions where the server's clock stands still: the header alone decides."""

    store_class = RedisSessionStore
    scenarios = SessionScenarios()

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()


@asynccontextmanager
async def opened(server: RedisServer, prefix: str, hot: int, idle: int, age: int) -> AsyncIterator[RedisSessionStore]:
    """Yield a store whose sessions live for so many seconds, by the system's clock."""
    context = BackendContext(session_policy=SessionPolicy(hot, idle, age))
    async with open_client(server.url, context, key_prefix=prefix) as client:
        yield RedisSessionStore(client, context)
    server.forget(prefix)


async def answers_until(
    ends: datetime, answer: Callable[[], Awaitable[object]], *, until: Callable[[object], bool]
) -> datetime:
    """Ask again and again until the answer is the awaited one, and return when it was asked for.

    Raises:
        AssertionError: it had not come by ``SLACK`` after ``ends``.
    """
    while True:
        asked = datetime.now(UTC)
        if until(await answer()):
            return asked
        assert asked < ends + SLACK, "the awaited answer does not come"
        await asyncio.sleep(0.005)


async def never_before(ends: datetime, answer: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Assert that every answer given before a moment is what is stored, and every one asked for from then on None."""
    while True:
        asked = datetime.now(UTC)
        found = await answer()
        if asked >= ends:
            assert found is None, "returned after its time"
            return
        if datetime.now(UTC) < ends:
            assert found == wanted, "lost before its time"
        await asyncio.sleep(0.005)


@pytest.mark.asyncio
class TestRealTimes:
    async def test_hot_time_demotes_and_a_read_promotes(self, redis_server: RedisServer, redis_prefix: str) -> None:
        """Sessions leave the hot tier a second after their save, not sooner; none is lost; a read brings them back."""
        async with opened(redis_server, redis_prefix, hot=1, idle=60, age=60) as store:

            async def cool(n: int) -> None:
                one = placed(n, user_channel_id=f"user {n}")
                began = datetime.now(UTC)
                await store.save(one)
                id = one.session_id
                for _ in range(2):
                    await answers_until(
                        began + timedelta(seconds=1),
                        lambda: store.tier_of(id, tenant_id=OURS),
                        until=lambda tier: tier is not Tier.HOT,
                    )
                    # The server counts from when it was told, which is after we began.
                    assert datetime.now(UTC) >= began + timedelta(seconds=1)
                    assert await store.tier_of(id, tenant_id=OURS) is Tier.PERSIST
                    assert await store.get(id, tenant_id=OURS, promote=False) == one
                    began = datetime.now(UTC)
                    assert await store.get(id, tenant_id=OURS) == one
                    assert await store.tier_of(id, tenant_id=OURS) is Tier.HOT

            await asyncio.gather(*map(cool, range(16)))

    async def test_reading_keeps_hot(self, redis_server: RedisServer, redis_prefix: str) -> None:
        """A session that is read all the time is hot long after the hot time of its save; not read, it cools."""
        async with opened(redis_server, redis_prefix, hot=1, idle=60, age=60) as store:
            one = placed()
            await store.save(one)
            ends = datetime.now(UTC) + timedelta(seconds=2.5)
            while datetime.now(UTC) < ends:
                read = time.monotonic()
                assert await store.get(one.session_id, tenant_id=OURS) == one
                tier = await store.tier_of(one.session_id, tenant_id=OURS)
                assert tier is Tier.HOT or time.monotonic() - read > 0.9
                await asyncio.sleep(0.05)

            await answers_until(
                ends + timedelta(seconds=1),
                lambda: store.tier_of(one.session_id, tenant_id=OURS),
                until=lambda tier: tier is Tier.PERSIST,
            )

    @pytest.mark.parametrize("promote", [True, False], ids=["used", "peeked"])
    async def test_idle_time_ends_a_session(self, redis_server: RedisServer, redis_prefix: str, promote: bool) -> None:
        """A session that is not saved ends after its idle time, however often it is read; a save postpones that."""
        async with opened(redis_server, redis_prefix, hot=1, idle=2, age=60) as store:

            async def live(n: int) -> None:
                one = placed(n, user_channel_id=f"user {n}")
                await store.save(one)
                first = one.expires_at
                assert first is not None
                await asyncio.sleep(0.1 * n)
                await store.save(one)
                assert one.expires_at is not None
                assert one.expires_at > first
                await never_before(
                    one.expires_at, lambda: store.get(one.session_id, tenant_id=OURS, promote=promote), one
                )
                assert await store.get_by_channel(OURS, one.channel, f"user {n}") is None
                assert one.session_id not in [row.session_id for row in await store.list_by_agent(OURS, AGENT)]
                with pytest.raises(StaleVersionError):
                    await store.save(one)

            await asyncio.gather(*map(live, range(16)))
            assert await store.cleanup_expired() == 16

    async def test_maximum_age_ends_a_session_that_is_used(self, redis_server: RedisServer, redis_prefix: str) -> None:
        """However often it is saved and read a session ends at its maximum age, and is refused from then on."""
        async with opened(redis_server, redis_prefix, hot=1, idle=2, age=3) as store:

            async def use(n: int) -> None:
                one = placed(n, user_channel_id=f"user {n}")
                await store.save(one)
                ends = one.created_at + timedelta(seconds=3)
                while True:
                    asked = datetime.now(UTC)
                    try:
                        await store.save(one)
                    except StaleVersionError as refused:
                        last = refused.actual
                        break
                    assert asked < ends, "saved after its time"
                    assert one.expires_at is not None
                    assert one.expires_at <= ends
                    found = await store.get(one.session_id, tenant_id=OURS)
                    assert found == one or datetime.now(UTC) >= ends
                    await asyncio.sleep(0.05)
                assert datetime.now(UTC) >= ends, "refused before its time"
                assert last == 0
                assert await store.get(one.session_id, tenant_id=OURS) is None

            await asyncio.gather(*map(use, range(8)))

    async def test_the_server_drops_what_is_over(self, redis_server: RedisServer, redis_prefix: str) -> None:
        """Without any cleanup nothing is left of a session but its place among those that may have expired."""
        async with opened(redis_server, redis_prefix, hot=1, idle=1, age=2) as store:
            await store.save(placed())
            with redis_server.client() as server:

                async def names() -> set[bytes]:
                    return {name.rsplit(b":", 1)[-1] for name in server.keys(f"{redis_prefix}:*")}

                await answers_until(
                    datetime.now(UTC) + timedelta(seconds=2), names, until=lambda found: found == {b"all", b"tenants"}
                )
            assert await store.cleanup_expired() == 1

    async def test_moves_between_the_tiers_are_quick(self, redis_server: RedisServer, redis_prefix: str) -> None:
        """With 64 callers 99 of 100 promotions, by move or by read, and demotions take less than 50 ms."""
        async with opened(redis_server, redis_prefix, hot=60, idle=600, age=600) as store:
            sessions = [placed(n, user_channel_id=f"user {n}", metadata={"text": "x" * 4_000}) for n in range(CALLERS)]
            for one in sessions:
                await store.save(one)

            async def timed(move: Callable[[Session], Awaitable[object]], one: Session) -> float:
                began = time.perf_counter()
                assert await move(one)
                return (time.perf_counter() - began) * 1_000

            def demote(one: Session) -> Awaitable[object]:
                return store.demote_to_persistent(one.session_id, tenant_id=OURS)

            def promote(one: Session) -> Awaitable[object]:
                return store.promote_to_hot(one.session_id, tenant_id=OURS)

            def read(one: Session) -> Awaitable[object]:
                return store.get(one.session_id, tenant_id=OURS)

            best: dict[str, float] = {}
            for _ in range(5):
                took: dict[str, list[float]] = {"demotion": [], "promotion": [], "read of a demoted session": []}
                for _ in range(10):
                    for name, move in (("demotion", demote), ("promotion", promote)):
                        took[name] += await asyncio.gather(*(timed(move, one) for one in sessions))
                    await asyncio.gather(*map(demote, sessions))
                    took["read of a demoted session"] += await asyncio.gather(*(timed(read, one) for one in sessions))
                for name, times in took.items():
                    best[name] = min(best.get(name, 1e9), quantiles(times, n=100)[98])

            print(*(f"{name}: p99 {p99:.1f} ms" for name, p99 in best.items()), sep=", ")
            assert {name: p99 < 50 for name, p99 in best.items()} == dict.fromkeys(best, True)
