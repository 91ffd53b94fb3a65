"""Vectors that were paid for once: a cache in front of an embedding model, in memory or in a store."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from copy import copy
from decimal import Decimal
from typing import Any, Protocol, TypeAlias, TypeVar
from uuid import UUID

from focal_core.errors import (
    AuthenticationFailed,
    DeadlineExceeded,
    ModelNotFound,
    PermissionDenied,
    ProviderError,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from focal_core.ids import NIL
from focal_core.providers.embedding import EmbeddingProvider, check_texts
from focal_core.providers.models import NO_OPTIONS, Attempt, CallOptions, EmbeddingResponse, InputKind
from focal_core.providers.wrapping import EmbeddingWrapper
from focal_core.runtime.store.task_context import TaskContextStorage
from focal_core.usage import TokenUsage

T = TypeVar("T")

logger = logging.getLogger("focal.providers")

_Found: TypeAlias = tuple[list[float], bool]

_ENTRY_BYTES = 250
_CONCURRENT_KEYS = 16
# About the provider, not about the texts or the time of one call: whoever waits for the same need not ask again.
_SHARED_FAILURES = (Throttled, QuotaExceeded, Unavailable, AuthenticationFailed, PermissionDenied, ModelNotFound)


class VectorCache(Protocol):
    """Keeps vectors by key; may forget any of them at any time.

    A key tells the tenant, the space and the text apart; ``tenant_id`` is for caches that keep tenants apart
    themselves, None = no tenant was named.
    """

    async def get_many(self, keys: Sequence[str], *, tenant_id: UUID | None) -> list[bytes | None]:
        """Return what is kept under each key, in order; None where nothing is."""
        ...

    async def set_many(self, values: Mapping[str, bytes], *, tenant_id: UUID | None) -> None:
        """Keep values."""


class LRUVectorCache:
    """A cache in memory; what was not used for longest goes first.

    Args:
        max_bytes: size of all entries, keys and overhead included, at most.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, bytes] = OrderedDict()
        self.size = 0

    async def get_many(self, keys: Sequence[str], *, tenant_id: UUID | None) -> list[bytes | None]:
        """Return what is kept; it counts as used."""
        found = []
        for key in keys:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            found.append(value)
        return found

    async def set_many(self, values: Mapping[str, bytes], *, tenant_id: UUID | None) -> None:
        """Keep values, and drop what no longer fits."""
        for key, value in values.items():
            self._drop(key)
            self._entries[key] = value
            self.size += _ENTRY_BYTES + len(key) + len(value)
        while self.size > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: str) -> None:
        value = self._entries.pop(key, None)
        if value is not None:
            self.size -= _ENTRY_BYTES + len(key) + len(value)


class RuntimeVectorCache:
    """A cache in the runtime port, as task contexts of sessions that do not exist; outlives the process.

    Args:
        runtime: the store.
        shared_tenant: owner of the vectors of calls that name no tenant.
    """

    def __init__(self, runtime: TaskContextStorage, shared_tenant: UUID = NIL) -> None:
        self._runtime = runtime
        self._shared_tenant = shared_tenant

    async def get_many(self, keys: Sequence[str], *, tenant_id: UUID | None) -> list[bytes | None]:
        """Return what is kept; several keys at a time."""
        owner = tenant_id or self._shared_tenant

        async def get(key: str) -> Any:
            return await self._runtime.get_task_context(_session(key), tenant_id=owner)

        found = await _some_at_a_time(get, keys)
        return [value if isinstance(value, bytes) else None for value in found]

    async def set_many(self, values: Mapping[str, bytes], *, tenant_id: UUID | None) -> None:
        """Keep values, several at a time."""
        owner = tenant_id or self._shared_tenant

        async def keep(key: str) -> bool:
            return await self._runtime.store_task_context(_session(key), values[key], tenant_id=owner)

        await _some_at_a_time(keep, values)


class CachedEmbeddings(EmbeddingWrapper):
    """An embedding model that is asked for each text once.

    Tenants share nothing. Calls under way for one text share one request. Failures are not kept, nor vectors of texts
    that were shortened. A cache that fails is a cache without the vectors: it is logged, and the model is asked.
    ``usage``, ``attempts`` and ``cost`` are those of what was not cached.

    Args:
        inner: what embeds.
        cache: where vectors are kept.
    """

    def __init__(self, inner: EmbeddingProvider, cache: VectorCache) -> None:
        super().__init__(inner)
        self._cache = cache
        self._loop: asyncio.AbstractEventLoop | None = None
        self._under_way: dict[tuple[str, bool], asyncio.Future[_Found | ProviderError | None]] = {}
        self._closed = False

    async def embed(
        self,
        texts: Sequence[str],
        *,
        input_kind: InputKind = "document",
        truncate: bool = False,
        options: CallOptions = NO_OPTIONS,
    ) -> EmbeddingResponse:
        """Return cached vectors, and the inner one's for what is missing."""
        if self._closed:
            raise Unavailable("the provider is closed", provider=self.name, code="closed", retryable=False)
        check_texts(texts, self.name, self.model_id)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._under_way = loop, {}
        call = _Call({text: self._key(text, input_kind, options) for text in texts}, truncate, options)
        for text, vector in (await self._kept(call)).items():
            call.take(text, (vector, False))
        while missing := [text for text in call.keys if text not in call.vectors]:
            mine = [text for text in missing if (call.keys[text], truncate) not in self._under_way]
            if mine:
                await self._ask(call, mine, input_kind)
            else:
                await self._wait(call, missing)
        return EmbeddingResponse(
            embeddings=[call.vectors[text].copy() for text in texts],
            spec=self.spec,
            usage=call.usage or TokenUsage(requests=0, reported=False),
            attempts=call.attempts,
            truncated=tuple(index for index, text in enumerate(texts) if text in call.truncated),
            cost=call.cost,
        )

    async def aclose(self) -> None:
        """Refuse calls from now on, and close the inner one."""
        self._closed = True
        await super().aclose()

    def _key(self, text: str, input_kind: InputKind, options: CallOptions) -> str:
        tenant = "" if options.tenant_id is None else options.tenant_id.hex
        kind = input_kind if self.spec.asymmetric else ""
        # The text comes last: no part before it can hold a line break.
        parts = "\n".join((tenant, self.spec.fingerprint, kind, text))
        return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()

    async def _kept(self, call: _Call) -> dict[str, list[float]]:
        getting = self._cache.get_many(list(call.keys.values()), tenant_id=call.options.tenant_id)
        found = await self._careful(getting, call, "read") or [None] * len(call.keys)
        dimensions = self.spec.dimensions
        return {
            text: _unpacked(data)
            for text, data in zip(call.keys, found, strict=True)
            if data is not None and len(data) == 4 * dimensions
        }

    async def _careful(self, doing: Awaitable[T], call: _Call, what: str) -> T | None:
        try:
            async with asyncio.timeout_at(call.ends):
                return await doing
        except TimeoutError:
            return None
        except Exception as error:
            logger.warning("the cache of embeddings cannot be %s: %s", what, type(error).__name__)
            return None

    async def _ask(self, call: _Call, texts: list[str], input_kind: InputKind) -> None:
        asked = {text: (call.keys[text], call.truncate) for text in texts}
        under_way = self._under_way
        for one in asked.values():
            under_way[one] = asyncio.get_running_loop().create_future()
        failure: ProviderError | None = None
        try:
            response = await self._inner.embed(
                texts, input_kind=input_kind, truncate=call.truncate, options=call.left()
            )
            call.spend(response)
            for index, (text, vector) in enumerate(zip(texts, response.embeddings, strict=True)):
                call.take(text, (vector, index in response.truncated))
        except _SHARED_FAILURES as error:
            failure = error
            raise
        finally:
            for text, one in asked.items():
                under_way.pop(one).set_result(call.found(text) or failure)
        new = {call.keys[text]: _packed(call.vectors[text]) for text in texts if text not in call.truncated}
        await self._careful(self._cache.set_many(new, tenant_id=call.options.tenant_id), call, "written")

    async def _wait(self, call: _Call, texts: list[str]) -> None:
        shared = {text: self._under_way[call.keys[text], call.truncate] for text in texts}
        await asyncio.wait(shared.values(), timeout=call.left().deadline)
        for text, future in shared.items():
            found = future.result() if future.done() else None
            if isinstance(found, ProviderError):
                # One exception object raised by several calls would gather all their tracebacks.
                raise copy(found)
            # Without either it was cancelled, or failed for a reason of its own: this call asks itself.
            if found is not None:
                call.take(text, found)


class _Call:
    """One call of ``embed``: what is asked, what is known, and what it took."""

    def __init__(self, keys: Mapping[str, str], truncate: bool, options: CallOptions) -> None:
        clock = asyncio.get_running_loop().time
        self.keys = keys
        self.truncate = truncate
        self.options = options
        self.ends = None if options.deadline is None else clock() + options.deadline
        self.vectors: dict[str, list[float]] = {}
        self.truncated: set[str] = set()
        self.attempts: tuple[Attempt, ...] = ()
        self.usage: TokenUsage | None = None
        self.cost: Decimal | None = Decimal(0)

    def left(self) -> CallOptions:
        """Return the limits of what is still to be done.

        Raises:
            DeadlineExceeded: there is no time left.
        """
        if self.ends is None:
            return self.options
        seconds = self.ends - asyncio.get_running_loop().time()
        if seconds <= 0:
            raise DeadlineExceeded(
                "the deadline passed before all vectors were there", attempts=self.attempts, usage=self.usage
            )
        return self.options.model_copy(update={"deadline": seconds})

    def found(self, text: str) -> _Found | None:
        """Return the vector of a text, and whether the text was shortened; None when there is none yet."""
        return (self.vectors[text], text in self.truncated) if text in self.vectors else None

    def take(self, text: str, found: _Found) -> None:
        """Take a vector, and whether its text was shortened."""
        self.vectors[text], shortened = found
        if shortened:
            self.truncated.add(text)

    def spend(self, response: EmbeddingResponse) -> None:
        """Add what a request has tried and spent."""
        start = len(self.attempts)
        self.attempts += tuple(one.model_copy(update={"n": start + n}) for n, one in enumerate(response.attempts, 1))
        self.usage = response.usage if self.usage is None else self.usage + response.usage
        self.cost = None if self.cost is None or response.cost is None else self.cost + response.cost


def _session(key: str) -> str:
    return f"focal-vector:{key}"


async def _some_at_a_time(do: Callable[[str], Awaitable[T]], keys: Iterable[str]) -> list[T]:
    places = asyncio.Semaphore(_CONCURRENT_KEYS)

    async def one(key: str) -> T:
        async with places:
            return await do(key)

    return await asyncio.gather(*map(one, keys))


def _packed(vector: Sequence[float]) -> bytes:
    """Return (dim,) floats as float32, little-endian whatever the machine: caches are shared between machines."""
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


def _unpacked(data: bytes) -> list[float]:
    floats = array("f", data)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()
