"""What the cache says to Redis, and how it goes on where Redis does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from datetime import timedelta
from typing import Literal, NamedTuple, TypeVar
from uuid import UUID

from focal_core.errors import OutcomeUnknownError, StoreError, StoreUnavailableError
from focal_core.profile.metrics import CACHE_ERRORS, Counters
from focal_redis.client import RedisClient
from focal_redis.connection import Argument
from focal_redis.profile_cache.frame import TOKEN
from focal_redis.profile_cache.keys import Entry, Scope
from focal_redis.script import Script

T = TypeVar("T")

_LEASE, _FILL = Script.load("cache_lease"), Script.load("cache_fill")
_FENCE, _RELEASE = Script.load("cache_fence"), Script.load("cache_release")

_GENERATION_LIFE = timedelta(hours=24)
FENCE_LIFE = timedelta(seconds=30)
"""How long a writer that died keeps what it was writing out of the cache; longer than any write may take."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Seconds between tries to reach Redis again."""
_TOLD_AT_ONCE = 100

Mark = Literal["0", "1", "x"]
"""What a release leaves: nothing known, a profile that stands for itself, or no fence of anybody's."""


class Looked(NamedTuple):
    """What lies in the keys of an entry.

    Attributes:
        data: the entry, or None.
        tokens: of its generations now; None where there is none.
        others: what lies in the other keys asked for.
    """

    data: bytes | None
    tokens: tuple[bytes | None, ...]
    others: list[bytes | None]


class Fence(NamedTuple):
    """A fence before a write.

    Attributes:
        writer: whose it is.
        scopes: what it is around.
        stands: whether Redis has it.
        own: of each scope, whether it is a profile known to stand for itself.
    """

    writer: bytes
    scopes: tuple[Scope, ...]
    stands: bool
    own: tuple[bool, ...]


class Released(NamedTuple):
    """What was found when a fence was taken away.

    Attributes:
        stood: whether it still stood; not where it had expired, or a merge had taken it away.
        others: how many other writers' fences stood there.
    """

    stood: bool
    others: int


class CacheServer:
    """Redis as the cache sees it: never the reason why an answer is wrong, nor, in fallback, why there is none.

    In fallback, once Redis has not answered, nobody asks it until it answers again, which one task finds out.

    Args:
        client: the open client.
        raises: whether an error is raised instead.
        counters: counts errors.
    """

    def __init__(self, client: RedisClient, raises: bool, counters: Counters) -> None:
        self._client = client
        self._raises = raises
        self._counters = counters
        self._silent: bytes | None = None
        self._suspended: dict[Scope, object] = {}
        self._task: asyncio.Task[None] | None = None

    async def look(self, method: str, entry: Entry, others: Sequence[bytes] = ()) -> Looked | None:
        """Return what lies in the keys of an entry; None when the cache is to be left alone.

        Raises:
            StoreUnavailableError: Redis did not answer, and that is to be raised.
        """
        if any(scope in self._suspended for scope in entry.scopes):
            return None
        keys = [entry.key, *(scope.generation for scope in entry.scopes), *others]
        found = await self._try("look", keys[0], lambda: self._client.call(method, "MGET", *keys, key=keys[0]))
        if found is None:
            return None
        count = len(entry.scopes) + 1
        return Looked(found[0], _tokens(found[1:count]), found[count:])

    async def lease(self, method: str, entry: Entry) -> tuple[bytes, ...] | None:
        """Return the tokens of an entry's generations, made where there is none; None while it cannot be filled.

        Raises:
            StoreUnavailableError: Redis did not answer, and that is to be raised.
        """
        keys = [key for scope in entry.scopes for key in (scope.generation, scope.fence)]
        args: list[Argument] = [_milliseconds(_GENERATION_LIFE), *(secrets.token_bytes(TOKEN) for _ in entry.scopes)]
        found = await self._try(
            "lease", keys[0], lambda: self._client.run(method, _LEASE, keys, args, writes=True, repeat=True)
        )
        return None if found is None else tuple(one[:TOKEN] for one in found)

    async def fill(
        self, method: str, entry: Entry, tokens: Sequence[bytes], frame: bytes, life: timedelta, own: bool
    ) -> None:
        """Store an entry, unless it was written since its tokens were read; whatever happens, nothing is raised.

        Args:
            method: the store's method.
            entry: the entry.
            tokens: of the generations the frame was filled under.
            frame: what to store.
            life: for how long.
            own: whether it is a profile that stands for itself.
        """
        keys = [entry.key, *(scope.generation for scope in entry.scopes)]
        lives = (_milliseconds(life), _milliseconds(_GENERATION_LIFE))
        args: list[Argument] = [*lives, "1" if own else "0", frame, *tokens]
        await self._attempt("fill", self._client.run(method, _FILL, keys, args, writes=True, repeat=True), keys[0])

    async def point(self, method: str, key: bytes, target: UUID, token: bytes) -> None:
        """Note which profile a look-up led to; whatever happens, nothing is raised."""
        value, life = target.bytes + token, _milliseconds(_GENERATION_LIFE)
        await self._attempt(
            "point", self._client.call(method, "SET", key, value, "PX", life, key=key, writes=True, repeat=True), key
        )

    async def drop(self, method: str, *keys: bytes) -> None:
        """Remove keys of one tenant; whatever happens, nothing is raised."""
        await self._attempt("drop", self._unlink(method, keys), keys[0])

    async def purge(self, method: str, pattern: bytes) -> None:
        """Remove the keys that match a pattern, on the server that holds it; whatever happens, nothing is raised."""
        await self._attempt("purge", self._purge(method, pattern), pattern)

    async def _purge(self, method: str, pattern: bytes) -> None:
        found = [key async for key in self._client.scan(method, pattern, key=pattern)]
        for start in range(0, len(found), 500):
            await self._unlink(method, found[start : start + 500])

    async def _unlink(self, method: str, keys: Sequence[bytes]) -> None:
        await self._client.call(method, "UNLINK", *keys, key=keys[0], writes=True, repeat=True)

    async def fence(self, method: str, *scopes: Scope) -> Fence:
        """Empty what a write concerns, and keep it empty until ``release``, or until the fence expires.

        Raises:
            StoreUnavailableError: Redis did not answer, and that is to be raised.
        """
        writer = secrets.token_bytes(TOKEN)
        found = await self._try("fence", scopes[0].fence, lambda: self._put_fence(method, writer, scopes))
        own = [generation is not None and generation[TOKEN:] == b"1" for generation in found or ()]
        return Fence(writer, scopes, found is not None, tuple(own) or (False,) * len(scopes))

    async def _put_fence(self, method: str, writer: bytes, scopes: Sequence[Scope]) -> list[bytes | None]:
        keys = [key for scope in scopes for key in scope]
        args: list[Argument] = [writer, _milliseconds(FENCE_LIFE)]
        found: list[bytes | None] = await self._client.run(method, _FENCE, keys, args, writes=True, repeat=True)
        return found

    async def release(self, method: str, fence: Fence, *marks: Mark) -> list[Released] | None:
        """Let what a write concerned be filled anew.

        Returns:
            what was found of each scope; None when Redis did not answer. Nothing is raised, and until Redis has been
            told, nothing of these scopes is read from it by this process.
        """
        keys = [key for scope in fence.scopes for key in scope]
        args: list[Argument] = [_milliseconds(_GENERATION_LIFE), fence.writer]
        for mark in marks:
            args += [mark, secrets.token_bytes(TOKEN)]
        if self._silent is None:
            told = await self._attempt(
                "release", self._client.run(method, _RELEASE, keys, args, writes=True, repeat=True), keys[0]
            )
            if told is not None:
                return [Released(bool(told[at]), told[at + 1]) for at in range(0, len(told), 2)]
        self.suspend(fence.scopes)
        return None

    def suspend(self, scopes: Sequence[Scope]) -> None:
        """Neither read nor fill anything of scopes until Redis has been told that they were written."""
        for scope in scopes:
            self._suspended[scope] = object()
        self._repair()

    async def drain(self) -> None:
        """Try once more to tell Redis what was written, and let it be."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        with contextlib.suppress(StoreError):
            await self._tell()

    @property
    def suspended(self) -> int:
        """Scopes that Redis has still to be told of."""
        return len(self._suspended)

    async def _try(self, step: str, key: bytes, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Return a reply, or None where Redis does not answer and that is no error."""
        if self._raises:
            try:
                return await ask()
            except StoreError as error:
                self._counters.increment(CACHE_ERRORS, step=step)
                raise StoreUnavailableError(
                    f"the profile cache does not answer: {error}",
                    code="cache_unavailable",
                    hint='set on_cache_error = "fallback" to be served by the store instead',
                    details=error.details,
                ) from error.__cause__
        if self._silent is not None:
            self._counters.increment(CACHE_ERRORS, step=step)
            return None
        return await self._attempt(step, ask(), key)

    async def _attempt(self, step: str, call: Awaitable[T], key: bytes) -> T | None:
        try:
            return await call
        except StoreError as error:
            self._counters.increment(CACHE_ERRORS, step=step)
            if isinstance(error, StoreUnavailableError) and not self._raises:
                self._silent = key
                self._repair()
            return None

    def _repair(self) -> None:
        if self._task is None or self._task.done():
            # In no caller's context: a caller's deadline is not the task's.
            self._task = asyncio.get_running_loop().create_task(self._keep_trying(), context=Context())

    async def _keep_trying(self) -> None:
        pause = _FIRST_PAUSE
        while self._silent is not None or self._suspended:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                if self._silent is not None:
                    await self._client.call("profile_cache", "EXISTS", self._silent, key=self._silent)
                    self._silent = None
                await self._tell()
            except StoreError as error:
                if error.code == "closed":
                    return

    async def _tell(self) -> None:
        """Fence what was written without Redis being told: when the fences expire, it is filled anew."""
        pending = list(self._suspended.items())
        for start in range(0, len(pending), _TOLD_AT_ONCE):
            some = pending[start : start + _TOLD_AT_ONCE]
            fences = (self._put_fence("profile_cache", secrets.token_bytes(TOKEN), [scope]) for scope, _ in some)
            answers = await asyncio.gather(*fences, return_exceptions=True)
            for (scope, marker), answer in zip(some, answers, strict=True):
                if isinstance(answer, BaseException):
                    raise answer
                # Unless it was written again meanwhile.
                if self._suspended.get(scope) is marker:
                    del self._suspended[scope]


def unknown_after_write(method: str) -> OutcomeUnknownError:
    """Return the error for a write that the store has, and the cache could not be told of."""
    return OutcomeUnknownError(
        f"{method}: written, but the profile cache could not be told",
        written=True,
        code="cache_invalidation_failed",
        hint="it is stored; other processes may read what was there before until the cache is reached or its TTL ends",
        details={"method": method},
    )


def _tokens(generations: Sequence[bytes | None]) -> tuple[bytes | None, ...]:
    return tuple(None if one is None else one[:TOKEN] for one in generations)


def _milliseconds(span: timedelta) -> int:
    return max(1, span // timedelta(milliseconds=1))
