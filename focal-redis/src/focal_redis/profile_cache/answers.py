"""Answers read through the cache: from Redis where they lie, else from the store, for everyone who asks meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from focal_core.base import FocalModel
from focal_core.clock import Clock
from focal_core.errors import StoreError
from focal_core.profile.metrics import CACHE_ERRORS, CACHE_HITS, CACHE_MISSES, Counters
from focal_redis.profile_cache import frame
from focal_redis.profile_cache.flights import Flights
from focal_redis.profile_cache.frame import Cipher
from focal_redis.profile_cache.keys import Entry
from focal_redis.profile_cache.server import CacheServer, Looked

M = TypeVar("M", bound=FocalModel)

NEGATIVE_LIFE = timedelta(seconds=60)
"""How long the store is believed when it has nothing."""

Tokens = tuple[bytes, ...]


@dataclass(frozen=True)
class Kind(Generic[M]):
    """A kind of answer.

    Attributes:
        name: the label its misses are counted under.
        model: what its rows are.
        life: how long an answer counts at most.
        cipher: seals its rows.
    """

    name: str
    model: type[M]
    life: timedelta
    cipher: Cipher | None = None

    def life_of(self, rows: Sequence[M]) -> timedelta:
        """Return how long an answer counts at most."""
        return self.life if rows else min(self.life, NEGATIVE_LIFE)


class Answers:
    """What is read through.

    Args:
        server: Redis.
        clock: tells whether an answer still counts.
        counters: counts hits and misses.
    """

    def __init__(self, server: CacheServer, clock: Clock, counters: Counters) -> None:
        self.server = server
        self._clock = clock
        self._counters = counters
        self._flights = Flights()

    def now(self) -> datetime:
        """Return the present moment."""
        return self._clock.now()

    async def read(self, method: str, kind: Kind[M], entry: Entry, ask: Callable[[], Awaitable[list[M]]]) -> list[M]:
        """Return an answer from the cache, or else the store's, which is kept.

        Args:
            method: the store's method.
            kind: the kind.
            entry: where the answer lies.
            ask: asks the store.
        """
        looked = await self.server.look(method, entry)
        rows = await self.found(method, kind, entry, looked)
        if rows is not None:
            return rows

        async def life(rows: list[M], tokens: Tokens) -> timedelta | None:
            return kind.life_of(rows)

        return await self.asked(method, kind, entry, looked, ask, life)

    async def found(self, method: str, kind: Kind[M], entry: Entry, looked: Looked | None) -> list[M] | None:
        """Return the answer that lies in the cache; None when there is none that counts."""
        if looked is None or looked.data is None:
            return None
        kept = frame.load(kind.model, looked.data, entry.key, len(entry.scopes), kind.cipher)
        if kept is None:
            self._counters.increment(CACHE_ERRORS, step="decode")
            await self.server.drop(method, entry.key)
            return None
        if kept.tokens != looked.tokens or not kept.is_of(self.now(), kind.life_of(kept.rows)):
            return None
        self._counters.increment(CACHE_HITS)
        return kept.rows

    async def asked(
        self,
        method: str,
        kind: Kind[M],
        entry: Entry,
        looked: Looked | None,
        ask: Callable[[], Awaitable[list[M]]],
        life: Callable[[list[M], Tokens], Awaitable[timedelta | None]],
    ) -> list[M]:
        """Return the store's answer, and keep it if it may be kept.

        Args:
            method: the store's method.
            kind: the kind.
            entry: where it will lie.
            looked: what lies there; None when the cache is to be left alone.
            ask: asks the store.
            life: tells from rows, and the tokens they were read under, how long to keep them; None = not at all.
        """
        self._counters.increment(CACHE_MISSES, kind=kind.name)
        known: tuple[bytes | None, ...] | None = None
        if looked is not None:
            known = looked.tokens if None not in looked.tokens else await self.server.lease(method, entry)
        if known is None:
            return await ask()
        tokens = tuple(one for one in known if one is not None)

        async def ask_and_keep() -> list[M]:
            rows = await ask()
            now = self.now()
            try:
                span = await life(rows, tokens)
            except StoreError:
                # Whether it may be kept could not be found out; it is the answer all the same.
                self._counters.increment(CACHE_ERRORS, step="judge")
                return rows
            data = None if span is None else frame.dump(rows, tokens, now, entry.key, kind.cipher)
            if span is not None and data is not None:
                own = entry.key == entry.scopes[0].body
                await self.server.fill(method, entry, tokens, data, span, own)
            return rows

        # Equal tokens: nothing was written between the other's look and ours, so its answer is as good as our own.
        return await self._flights.join((entry.key, tokens), ask_and_keep)
