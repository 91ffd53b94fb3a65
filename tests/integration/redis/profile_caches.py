"""What the tests of the profile cache share: caches before one store that is watched, held up and made to fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.redis.support import AgeingClock, open_client

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.conversation.models import Channel
from focal_core.profile.delegation import DelegatingProfileStore
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import CustomerProfile, MergePolicy, OnDependents, VerificationLevel
from focal_core.profile.store import ProfileStore
from focal_redis.client import RedisClient
from focal_redis.profile_cache import CachedProfileStore
from focal_testkit.data.profile import (
    OTHER,
    PROFILE,
    USER,
    asset,
    asset_id,
    consent,
    field_id,
    holding,
    identity,
    item,
    profile,
)
from focal_testkit.scenarios import OURS
from focal_testkit.servers.redis import RedisServer


class Gate:
    """Holds a call up: ``reached`` when it has come, on when ``opened``."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def hold(self) -> None:
        self.reached.set()
        await self.opened.wait()


class Watched(DelegatingProfileStore):
    """A store that counts its calls, and can be held up or made to fail in each.

    Attributes:
        calls: method -> calls.
        before: method -> holds the next call up before it starts.
        after: method -> holds the next call up when it is done, before it answers.
        failing: method -> what its next call raises.
    """

    def __init__(self, backend: ProfileStore) -> None:
        super().__init__(backend)
        self.calls: Counter[str] = Counter()
        self.before: dict[str, Gate] = {}
        self.after: dict[str, Gate] = {}
        self.failing: dict[str, Exception] = {}
        for name in ProfileStore.__dict__.keys() | _methods():
            setattr(self, name, self._watched(name))

    def _watched(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if (gate := self.before.pop(name, None)) is not None:
                await gate.hold()
            if (error := self.failing.pop(name, None)) is not None:
                raise error
            answer = await getattr(self.backend, name)(*args, **kwargs)
            if (gate := self.after.pop(name, None)) is not None:
                await gate.hold()
            return answer

        return call


def _methods() -> set[str]:
    return {*ProfileStore.__abstractmethods__, "list_pii_fields"}


class World:
    """A server, a watched store, and as many caches before it as there are processes to play.

    Attributes:
        clock: of store and caches.
        store: what the caches stand before.
    """

    def __init__(self, server: RedisServer, prefix: str, clock: ManualClock) -> None:
        self.server, self.prefix, self.clock = server, prefix, clock
        self.context = BackendContext(clock=clock)
        self.store = Watched(InMemoryProfileStore(self.context))

    @asynccontextmanager
    async def cache(self, *, client: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[CachedProfileStore]:
        """Yield a cache with a client of its own, as another process would have."""
        async with open_client(self.server.url, self.context, key_prefix=self.prefix, **client or {}) as opened:
            cache = CachedProfileStore(self.store, opened, key_prefix=self.prefix, **options)
            try:
                yield cache
            finally:
                await cache.drain()

    def keys(self, pattern: str = "*") -> dict[bytes, bytes | None]:
        """Return the keys that match, with what strings among them hold."""
        with self.server.client() as client:
            names = client.keys(f"{self.prefix}:{pattern}")
            return {name: client.get(name) if client.type(name) == b"string" else None for name in names}


async def followed(cache: CachedProfileStore, callers: int) -> None:
    """Return when so many callers wait for a look at the store that another one takes."""
    flights = cache._answers._flights
    while sum(flight.followers for flight in flights._out.values()) < callers:  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def count_round_trips(client: RedisClient) -> list[str]:
    """Return a list to which each exchange of a client adds its method."""
    seen: list[str] = []
    exchange = client._exchange

    async def counted(method: str, *args: Any) -> Any:
        seen.append(method)
        return await exchange(method, *args)

    client._exchange = counted  # type: ignore[method-assign]
    return seen


class CacheCase:
    """Gives tests ``world`` and ``cache``, one cache of it."""

    @pytest.fixture
    def world(self, redis_server: RedisServer, redis_prefix: str) -> World:
        redis_server.forget(redis_prefix)
        return World(redis_server, redis_prefix, AgeingClock((redis_server, redis_prefix)))

    @pytest_asyncio.fixture
    async def cache(self, world: World) -> AsyncIterator[CachedProfileStore]:
        async with world.cache() as cache:
            yield cache


def full(n: int = 0, **fields: Any) -> CustomerProfile:
    """Return a profile that every look-up finds."""
    given: dict[str, Any] = {
        "external_id": f"customer-{n}",
        "channel_identities": [identity(n)],
        "fields": holding(item(10 * n, "city"), item(10 * n + 1, "plan")),
        "assets": [asset(n)],
    }
    return profile(n, **{**given, **fields})


async def looked_up(store: ProfileStore, n: int = 0) -> list[CustomerProfile | None]:
    """Return what each look-up finds of a profile."""
    made = profile(n)
    return [
        await store.get_by_id(OURS, made.id),
        await store.get_by_customer_id(OURS, made.customer_id),
        await store.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}{n}"),
        await store.get_by_external_id(OURS, f"customer-{n}"),
    ]


async def warm(cache: CachedProfileStore, *profiles: int) -> None:
    """Have every look-up answered from the cache."""
    for n in profiles or (0,):
        for _ in range(3):
            await looked_up(cache, n)


WRITES: dict[str, Callable[[ProfileStore], Awaitable[Any]]] = {
    "save": lambda store: store.save(full(fields=holding(item(20, "city", value="new")))),
    "delete": lambda store: store.delete(OURS, PROFILE),
    "erase_profile": lambda store: store.erase_profile(OURS, PROFILE),
    "erase_tenant": lambda store: store.erase_tenant(OURS),
    "update_field": lambda store: store.update_field(OURS, PROFILE, item(21, "city", value="new")),
    "delete_field": lambda store: store.delete_field(OURS, PROFILE, field_id(1)),
    "delete_field, orphaning elsewhere": lambda store: store.delete_field(
        OURS, OTHER, field_id(10), on_dependents=OnDependents.ORPHAN
    ),
    "add_asset": lambda store: store.add_asset(OURS, PROFILE, asset(5)),
    "delete_asset": lambda store: store.delete_asset(OURS, PROFILE, asset_id(0)),
    "delete_asset, orphaning elsewhere": lambda store: store.delete_asset(
        OURS, OTHER, asset_id(1), on_dependents=OnDependents.ORPHAN
    ),
    "link_channel": lambda store: store.link_channel(OURS, PROFILE, identity(7)),
    "unlink_channel": lambda store: store.unlink_channel(OURS, PROFILE, Channel.WEBCHAT, f"{USER}0"),
    "merge_profiles, as source": lambda store: store.merge_profiles(
        OURS, source_profile_id=PROFILE, target_profile_id=OTHER
    ),
    "merge_profiles, as target": lambda store: store.merge_profiles(
        OURS, source_profile_id=OTHER, target_profile_id=PROFILE, policy=MergePolicy.SOURCE_WINS
    ),
    "record_consent": lambda store: store.record_consent(OURS, PROFILE, consent(1)),
    "set_verification_level": lambda store: store.set_verification_level(OURS, PROFILE, VerificationLevel.KYC_COMPLETE),
    "expire_stale_fields": lambda store: store.expire_stale_fields(OURS, PROFILE),
    "expire_stale_fields of all": lambda store: store.expire_stale_fields(OURS),
    "mark_orphaned_items": lambda store: store.mark_orphaned_items(OURS, PROFILE),
    "mark_orphaned_items of all": lambda store: store.mark_orphaned_items(OURS),
}
