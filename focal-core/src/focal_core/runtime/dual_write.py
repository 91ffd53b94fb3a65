"""A runtime store in front of a permanent archive: the store answers, the archive gets a copy behind its back."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID, uuid5

from focal_core.errors import FocalError
from focal_core.ids import uuid7
from focal_core.paging import Page
from focal_core.runtime.codec import decode, encode
from focal_core.runtime.models import (
    ArchiveCounts,
    CheckpointRecord,
    ConversationMessage,
    OverflowPolicy,
    RuntimeMetrics,
    RuntimeSession,
)
from focal_core.runtime.store import PermanentStorageBackend, RuntimeStore

_log = logging.getLogger("focal.runtime")


@dataclass(frozen=True)
class _Entry:
    """One archive write that waits: a method of the archive, its arguments encoded, and the key whose order counts."""

    tenant_id: UUID | None
    key: str
    append: Callable[..., Awaitable[bool]]
    arguments: Any


class DualWriteStorage(RuntimeStore):
    """Everything is answered by a hot store; what it accepted is also appended to an archive.

    Archive writes wait in a bounded queue and are made by a task of this object, so that a slow or failing archive
    neither delays nor fails a call (unless ``overflow`` is ``block``). What is dropped or fails is counted, and makes
    the health degraded. Records of one key keep their order.

    Archived are: created, updated and ended sessions, messages, checkpoints, pending writes and task contexts.

    Args:
        hot: whose results and errors the caller gets.
        permanent: where copies go.
        max_queue: archive writes that may wait.
        batch_size: archive writes made at a time.
        overflow: what gives way when the queue is full.
        flush_on_close: seconds ``close`` waits for the queue; what is left then is dropped.

    Attributes:
        archive: the archive.
    """

    def __init__(
        self,
        hot: RuntimeStore,
        permanent: PermanentStorageBackend,
        *,
        max_queue: int = 10_000,
        batch_size: int = 200,
        overflow: OverflowPolicy = OverflowPolicy.DROP_OLDEST,
        flush_on_close: float = 5.0,
    ) -> None:
        self.archive = permanent
        self._hot = hot
        self._max_queue = max_queue
        self._batch_size = batch_size
        self._overflow = OverflowPolicy(overflow)
        self._flush_on_close = flush_on_close
        self._queue: deque[_Entry] = deque()
        self._under_way: list[_Entry] = []
        self._written = self._dropped = self._errors = 0
        self._changed = asyncio.Condition()
        self._worker: asyncio.Task[None] | None = None

    @property
    def capabilities(self) -> frozenset[str]:  # type: ignore[override]
        """What the hot store declares, and ``archive``."""
        return self._hot.capabilities | {"archive"}

