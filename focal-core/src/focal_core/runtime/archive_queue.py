"""The bounded queue between a runtime store and a permanent archive."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from focal_core.errors import FocalError
from focal_core.ids import NIL
from focal_core.runtime.codec import decode, encode
from focal_core.runtime.models import ArchiveCounts, OverflowPolicy
from focal_core.values import JSON

_log = logging.getLogger("focal.runtime.archive")

Append = Callable[..., Awaitable[bool]]


@dataclass(frozen=True)
class _Entry:
    tenant_id: UUID
    key: Hashable
    append: Append
    arguments: dict[str, JSON]


class ArchiveQueue:
    """Archive writes that wait, and the task that makes them; the task lives only while something waits.

    Args:
        max_queue: writes that may wait; those under way do not count.
        batch_size: writes made at a time; those of one key are made one after the other.
        overflow: what gives way when the queue is full.
    """

    def __init__(self, max_queue: int, batch_size: int, overflow: OverflowPolicy) -> None:
        self._max_queue = max_queue
        self._batch_size = batch_size
        self._overflow = overflow
        self._waiting: deque[_Entry] = deque()
        self._under_way = 0
        self._written = self._dropped = self._errors = 0
        self._worker: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._room = asyncio.Event()

    @property
    def degraded(self) -> bool:
        """Whether anything was dropped or has failed."""
        return bool(self._dropped or self._errors)

    def counters(self) -> ArchiveCounts:
        """Return what became of the writes so far."""
        return ArchiveCounts(
            queued=len(self._waiting) + self._under_way,
            written=self._written,
            dropped=self._dropped,
            errors=self._errors,
        )

    async def put(self, tenant_id: UUID | None, key: str, append: Append, **arguments: Any) -> None:
        """Enter a write with copies of its arguments; waits only under the policy ``block``.

        Args:
            tenant_id: whose record it is.
            key: writes of one tenant and key keep their order.
            append: the archive's method.
            **arguments: what it is called with, besides ``tenant_id``.
        """
        try:
            encoded = {name: encode(value, models=True) for name, value in arguments.items()}
        except FocalError as error:
            self.failed(error)
            return
        while self._overflow is OverflowPolicy.BLOCK and len(self._waiting) >= self._max_queue:
            self._room.clear()
            await self._room.wait()
        if len(self._waiting) >= self._max_queue:
            self._dropped += 1
            if self._overflow is OverflowPolicy.DROP_NEWEST:
                return
            self._waiting.popleft()
        tenant = NIL if tenant_id is None else tenant_id
        self._waiting.append(_Entry(tenant, (tenant, key), append, {**encoded, "tenant_id": encode(tenant_id)}))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    def failed(self, error: BaseException | None = None) -> None:
        """Count a write that failed; the first one is also logged."""
        if not self._errors:
            _log.warning("a write to the permanent archive failed: %s", type(error).__name__ if error else "refused")
        self._errors += 1

    async def flush(self, seconds: float | None) -> bool:
        """Wait until nothing waits any more; whether that came about in time."""
        if self._worker is None:
            return True
        done, _ = await asyncio.wait({self._worker}, timeout=seconds)
        return bool(done)

    async def stop(self, seconds: float) -> None:
        """Flush, then give up on what is left and count it as dropped."""
        if self._worker is None or await self.flush(seconds):
            return
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        self._dropped += self._under_way + len(self._waiting)
        self._under_way = 0
        self._waiting.clear()
        self._room.set()

    async def forget(self, tenant_id: UUID) -> None:
        """Take a tenant's waiting writes out; on return none of them is under way either."""
        self._waiting = deque(entry for entry in self._waiting if entry.tenant_id != tenant_id)
        self._room.set()
        async with self._writing:
            pass

    async def _work(self) -> None:
        while self._waiting:
            by_key: dict[Hashable, list[_Entry]] = {}
            for _ in range(min(self._batch_size, len(self._waiting))):
                entry = self._waiting.popleft()
                by_key.setdefault(entry.key, []).append(entry)
                self._under_way += 1
            self._room.set()
            async with self._writing:
                await asyncio.gather(*map(self._append_all, by_key.values()))

    async def _append_all(self, entries: list[_Entry]) -> None:
        for entry in entries:
            try:
                if await entry.append(**{name: decode(value) for name, value in entry.arguments.items()}):
                    self._written += 1
                else:
                    self.failed()
            except Exception as error:
                self.failed(error)
            self._under_way -= 1
