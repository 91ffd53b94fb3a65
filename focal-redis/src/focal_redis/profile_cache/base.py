"""What the parts of the cached store share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID

from focal_core.errors import FocalError, OutcomeUnknownError, StoreError
from focal_core.profile.delegation import DelegatingProfileStore
from focal_core.profile.metrics import CACHE_HITS, CACHE_INVALIDATIONS, CACHE_MISSES, Counters, MetricsSink
from focal_core.profile.models import CustomerProfile, ProfileFieldDefinition, ScenarioFieldRequirement
from focal_core.profile.store import ProfileStore
from focal_redis.client import RedisClient
from focal_redis.profile_cache.answers import Answers, Kind
from focal_redis.profile_cache.frame import Cipher
from focal_redis.profile_cache.keys import CacheKeys, Scope
from focal_redis.profile_cache.privacy import Privacy
from focal_redis.profile_cache.server import CacheServer, Fence, Mark, Released, unknown_after_write

T = TypeVar("T")


class CachedProfileBase(DelegatingProfileStore):
    """A profile store before which a cache stands; see ``CachedProfileStore``."""

    def __init__(
        self,
        backend: ProfileStore,
        redis_client: RedisClient,
        cache_ttl: timedelta = timedelta(minutes=30),
        field_defs_ttl: timedelta = timedelta(hours=1),
        *,
        scenario_reqs_ttl: timedelta = timedelta(hours=1),
        key_prefix: str = "focal",
        on_cache_error: Literal["fallback", "raise"] = "fallback",
        cipher: Cipher | None = None,
        metrics: MetricsSink | None = None,
    ) -> None:
        super().__init__(backend)
        self._raises = on_cache_error == "raise"
        self._counters = Counters(metrics)
        self._keys = CacheKeys(key_prefix)
        self._server = CacheServer(redis_client, self._raises, self._counters)
        self._answers = Answers(self._server, self.context.clock, self._counters)
        self._privacy = None if cipher is not None else Privacy(backend, self.context.clock, field_defs_ttl)
        self._profiles = Kind("profile", CustomerProfile, cache_ttl, cipher)
        self._definitions = Kind("field_definitions", ProfileFieldDefinition, field_defs_ttl)
        self._requirements = Kind("scenario_requirements", ScenarioFieldRequirement, scenario_reqs_ttl)
        self._finishing: set[asyncio.Task[Any]] = set()

    @property
    def counts(self) -> dict[str, int]:
        """How often what happened in this process; the names are those of ``focal_core.profile.metrics``."""
        return dict(self._counters.counts)

    @property
    def hit_ratio(self) -> float | None:
        """The part of all reads that was answered from the cache; None before the first."""
        hits, misses = (self._counters.total(name) for name in (CACHE_HITS, CACHE_MISSES))
        return hits / (hits + misses) if hits + misses else None

    @property
    def pending_invalidations(self) -> int:
        """Writes of which Redis has still to be told; other processes may read what was there before them."""
        return self._server.suspended

    async def drain(self) -> None:
        """Finish what is under way and try once more to tell Redis what was written; before the client is closed."""
        if self._finishing:
            await asyncio.wait(set(self._finishing))
        await self._server.drain()

    async def _write(
        self, method: str, operation: Callable[[], Awaitable[T]], *scopes: Scope, lists: Sequence[Scope] = ()
    ) -> T:
        """Run a write behind fences, and invalidate what it concerned.

        Args:
            method: the store's method.
            operation: the write.
            scopes: what it may change.
            lists: further ones, whose fence is left until it expires: the store may read them from a replica, and must
                not be asked what to keep while that lags behind.

        Raises:
            StoreUnavailableError: Redis did not answer before the write, and that is to be raised; nothing is written.
            OutcomeUnknownError: as before, but after the write (code ``cache_invalidation_failed``).
        """
        fence = await self._server.fence(method, *scopes, *lists)
        result = await self._guarded(method, operation, [fence])
        self._leave([fence._replace(scopes=tuple(lists))])
        return await self._finish(self._released(method, result, fence._replace(scopes=scopes)))

    async def _write_to(
        self, method: str, tenant_id: UUID, profile_id: UUID, operation: Callable[[], Awaitable[T]], *also: Scope
    ) -> T:
        """Run a write to the profile that an id stands for; as ``_write``.

        Args:
            method: the store's method.
            tenant_id: the owner.
            profile_id: the profile, or one that was merged into it.
            operation: the write.
            also: what else it may change.
        """
        fences = [await self._server.fence(method, self._keys.profile(tenant_id, profile_id), *also)]
        own = fences[0].own[0]
        if not own:
            survivor = await self._guarded(method, lambda: self._survivor(tenant_id, profile_id), fences)
            own = survivor == profile_id
            if not own:
                fences.append(await self._server.fence(method, self._keys.profile(tenant_id, survivor)))
        result = await self._guarded(method, operation, fences)
        return await self._finish(self._followed(method, result, tenant_id, profile_id, fences, own))

    async def _guarded(self, method: str, operation: Callable[[], Awaitable[T]], fences: list[Fence]) -> T:
        """Run what stands behind fences; when it fails, leave them so that nothing wrong can be read."""
        try:
            return await operation()
        except FocalError as error:
            if isinstance(error, OutcomeUnknownError):
                self._leave(fences)
            else:
                for fence in fences:
                    await self._server.release(method, fence, *_unmarked(fence))
            raise
        except BaseException:
            self._leave(fences)
            raise

    def _leave(self, fences: list[Fence]) -> None:
        """Let fences stand until they expire, or see to it that there will be some."""
        for fence in fences:
            if not fence.stands:
                self._server.suspend(fence.scopes)

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run what follows a write to its end, also when the caller is cancelled meanwhile."""
        task = asyncio.create_task(work)
        self._finishing.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._finishing.discard(task)
        if not task.cancelled():
            # Nobody else may be there to be told.
            task.exception()

    async def _released(self, method: str, result: T, fence: Fence) -> T:
        self._counters.increment(CACHE_INVALIDATIONS, reason=method)
        if fence.scopes:
            self._check(method, await self._server.release(method, fence, *_unmarked(fence)))
        return result

    async def _followed(
        self, method: str, result: T, tenant_id: UUID, profile_id: UUID, fences: list[Fence], own: bool
    ) -> T:
        """Release fences, and find the profile that was written when it may be another one than was fenced."""
        self._counters.increment(CACHE_INVALIDATIONS, reason=method)
        first, *others = fences
        told = [await self._server.release(method, first, "1" if own else "0", *_unmarked(first)[1:])]
        for fence in others:
            told.append(await self._server.release(method, fence, *_unmarked(fence)))
        if told[0] is None or not told[0][0].stood:
            # It was merged into another profile meanwhile, or the fence was lost and it might have been.
            try:
                survivor = await self._survivor(tenant_id, profile_id)
                scope = self._keys.profile(tenant_id, survivor)
            except StoreError:
                scope = self._keys.profiles(tenant_id)
            if all(scope not in fence.scopes for fence in fences):
                told.append(await self._server.release(method, Fence(b"", (scope,), False, (False,)), "0"))
        self._check(method, *told)
        return result

    async def _survivor(self, tenant_id: UUID, profile_id: UUID) -> UUID:
        """Return the profile that an id stands for; the id itself when there is none."""
        found = await self.backend.get_by_id(tenant_id, profile_id)
        return profile_id if found is None else found.id

    def _check(self, method: str, *told: list[Released] | None) -> None:
        if self._raises and None in told:
            raise unknown_after_write(method)


def _unmarked(fence: Fence) -> list[Mark]:
    return ["0"] * len(fence.scopes)
