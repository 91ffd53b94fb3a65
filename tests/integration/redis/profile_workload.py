"""Writers and readers of a few profiles at once, and the check that no read was older than a write that had ended."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

from focal_core.conversation.models import Channel
from focal_core.profile.delegation import DelegatingProfileStore
from focal_core.profile.models import CustomerProfile
from focal_core.profile.store import ProfileStore
from focal_redis.profile_cache import CachedProfileStore
from focal_redis.profile_cache.keys import Entry, Scope
from focal_redis.profile_cache.server import CacheServer, Fence, Looked, Released
from focal_testkit.data.profile import USER, asset, consent, holding, identity, item, profile
from focal_testkit.scenarios import OURS

Pause = Callable[[], Awaitable[None]]


class Unhurried(DelegatingProfileStore):
    """A store that takes a while before and after everything it does, as one behind a network."""

    def __init__(self, backend: ProfileStore, pause: Pause) -> None:
        super().__init__(backend)
        for name in {*ProfileStore.__abstractmethods__, "list_pii_fields"}:
            setattr(self, name, self._slowed(getattr(backend, name), pause))

    @staticmethod
    def _slowed(method: Any, pause: Pause) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            await pause()
            answer = await method(*args, **kwargs)
            await pause()
            return answer

        return call


class DeletesOnly(CacheServer):
    """The cache that everybody writes first: fill after a read, delete after a write. The red control."""

    async def look(self, method: str, entry: Entry, others: Sequence[bytes] = ()) -> Looked | None:
        keys = [entry.key, *others]
        found = await self._client.call(method, "MGET", *keys, key=keys[0])
        return Looked(found[0], (bytes(8),) * len(entry.scopes), found[1:])

    async def fill(
        self, method: str, entry: Entry, tokens: Sequence[bytes], frame: bytes, life: Any, own: bool
    ) -> None:
        await self._client.call(method, "SET", entry.key, frame, "PX", 60_000, key=entry.key, writes=True)

    async def fence(self, method: str, *scopes: Scope) -> Fence:
        return Fence(b"", scopes, True, (True,) * len(scopes))

    async def release(self, method: str, fence: Fence, *marks: Any) -> list[Released] | None:
        for scope in fence.scopes:
            await self._client.call(method, "UNLINK", scope.body, key=scope.body, writes=True)
        return [Released(True, 0)] * len(fence.scopes)


class Unnoticing(CacheServer):
    """A cache to which it is all the same what became of a fence. The red control of merges."""

    async def release(self, method: str, fence: Fence, *marks: Any) -> list[Released] | None:
        told = await super().release(method, fence, *marks)
        return None if told is None else [Released(True, 0)] * len(told)


def with_server(cache: CachedProfileStore, kind: type[CacheServer]) -> CachedProfileStore:
    """Return a cache with another way to talk to Redis."""
    cache._server.__class__ = kind
    return cache


@dataclass
class Done:
    """A call that has ended.

    Attributes:
        start: when it was called, by a count that all calls share.
        end: when it answered.
        what: of a write the id of what it wrote; of a read the profile.
    """

    start: int
    end: int
    what: Any


@dataclass
class History:
    """What happened to one profile."""

    writes: list[Done] = field(default_factory=list)
    reads: list[Done] = field(default_factory=list)


class Workload:
    """Calls on a few profiles.

    Args:
        store: without a cache before it.
        profiles: how many.
        seed: of every choice.
    """

    def __init__(self, store: ProfileStore, profiles: int, seed: int) -> None:
        self.store = store
        self.histories = [History() for _ in range(profiles)]
        self._random = random.Random(seed)
        self._ticks, self._numbers = count(1), count(1000)

    async def seed(self) -> None:
        """Store the profiles."""
        for n in range(len(self.histories)):
            await self.store.save(
                profile(
                    n,
                    external_id=f"customer-{n}",
                    channel_identities=[identity(n)],
                    fields=holding(item(n, "city")),
                )
            )

    def choose(self) -> int:
        """Return the number of some profile."""
        return self._random.randrange(len(self.histories))

    async def write(self, cache: ProfileStore, n: int) -> None:
        """Write something new to a profile."""
        id, number, start = profile(n).id, next(self._numbers), next(self._ticks)
        kind = self._random.random()
        if kind < 0.6:
            written = await cache.update_field(OURS, id, item(number, "city", collected_at=item().collected_at))
        elif kind < 0.8:
            written = await cache.record_consent(OURS, id, consent(number))
        else:
            written = await cache.add_asset(OURS, id, asset(number))
        self.histories[n].writes.append(Done(start, next(self._ticks), written))

    async def read(self, cache: ProfileStore, n: int) -> None:
        """Read a profile by one of its look-ups."""
        made, start = profile(n), next(self._ticks)
        reads: list[Callable[[], Awaitable[CustomerProfile | None]]] = [
            lambda: cache.get_by_id(OURS, made.id),
            lambda: cache.get_by_customer_id(OURS, made.customer_id),
            lambda: cache.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}{n}"),
            lambda: cache.get_by_external_id(OURS, f"customer-{n}"),
            lambda: cache.get_or_create(OURS, Channel.WEBCHAT, f"{USER}{n}"),
        ]
        found = await self._random.choice(reads)()
        self.histories[n].reads.append(Done(start, next(self._ticks), found))

    async def stale_reads(self) -> list[str]:
        """Return what was read too old, or from the future: a sentence each."""
        wrong = []
        for n, history in enumerate(self.histories):
            order = await self._order(n)
            for read in history.reads:
                wrong += _judged(n, history, order, read)
        return wrong

    async def _order(self, n: int) -> dict[UUID, int]:
        """Return the versions of the profile's field with their places in the order in which they took over."""
        versions = {one.id: one for one in await self.store.get_field_history(OURS, profile(n).id, "city")}
        place, current = {}, versions[item(n).id]
        while True:
            place[current.id] = len(place)
            if current.superseded_by_id is None:
                assert len(place) == len(versions)
                return place
            current = versions[current.superseded_by_id]


def _judged(n: int, history: History, order: dict[UUID, int], read: Done) -> list[str]:
    found: CustomerProfile | None = read.what
    if found is None:
        return [f"profile {n}: nothing was found at {read.start}"]
    ended = {one.what for one in history.writes if one.end < read.start}
    seen = order[found.fields["city"].id]
    newest = max([order[id] for id in ended if id in order], default=0)
    wrong = []
    if seen < newest:
        wrong.append(f"profile {n}: version {seen} at {read.start}, though {newest} was written before")
    there = {one.id for one in (*found.consents, *found.assets)} | order.keys()
    if missing := ended - there:
        wrong.append(f"profile {n}: {len(missing)} records missing at {read.start}")
    return wrong
