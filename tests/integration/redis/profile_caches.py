"""What the tests of the profile cache share: caches before one store that is watched, held up and made to fail."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.redis.support import open_client

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.profile.delegation import DelegatingProfileStore
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.store import ProfileStore
from focal_redis.client import RedisClient
from focal_redis.profile_cache import CachedProfileStore
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
