"""The permanent archive: append-only copies of what the runtime store was told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from focal_core.paging import Page
from focal_core.runtime.models import ArchiveCounts, ArchiveRecord, ArchiveStream


class PermanentStorageBackend(ABC):
    """Records in streams, never changed.

    Of every ``append_*`` method: it returns True when the record is stored, or was already under this ``event_id``;
    a failure of the archive is False and counts as an error, it is never raised. Only wrong arguments are.

    Args common to them:
        created_at: ISO 8601 with an offset; None = the present.
        event_id: makes a repeat harmless: a record of this id is kept as it is. None = a new id.
        tenant_id: the owner; omitted as in the whole runtime family.

    They raise:
        InvalidDataError: an id, a value or the time is wrong.
        TenantRequiredError: the tenant is omitted under strict isolation.
    """

    @abstractmethod
    async def append_session_event(
        self,
        session_id: str,
        user_id: str,
        event_type: str,
        payload: dict[str, Any],
        created_at: str | None = None,
        *,
        event_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> bool:
        """Append what happened to a session; key session id, payload ``user_id``, ``event_type``, ``payload``."""

    @abstractmethod
    async def append_conversation_message(
        self,
        session_id: str,
        role: str,
        content: str,
        metadata: dict[str, Any] | None = None,
        created_at: str | None = None,
        *,
        event_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> bool:
        """Append a message; key session id, payload ``role``, ``content``, ``metadata``."""

    @abstractmethod
    async def append_checkpoint(
        self,
        thread_id: str,
        checkpoint_id: str,
        checkpoint_data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        created_at: str | None = None,
        *,
        checkpoint_ns: str = "",
        event_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> bool:
        """Append a checkpoint; key thread id, payload the other arguments by name."""

    @abstractmethod
    async def append_checkpoint_writes(
        self,
        thread_id: str,
        checkpoint_id: str,
        task_id: str,
        writes_data: list[tuple[Any, ...]],
        created_at: str | None = None,
        *,
        checkpoint_ns: str = "",
        event_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> bool:
        """Append pending writes; key thread id, payload the other arguments by name."""

    @abstractmethod
    async def append_conversation_session(
        self,
        session_key: str,
        session_data: dict[str, Any],
        created_at: str | None = None,
        *,
        event_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> bool:
        """Append the data of a conversation session; key session key, payload the data."""

    @abstractmethod
    async def append_task_context_snapshot(
        self,
        session_id: str,
        context_data: dict[str, Any],
        created_at: str | None = None,
        *,
        event_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> bool:
        """Append a version of a task context; key session id, payload the data. Earlier versions stay."""

    @abstractmethod
    async def read(
        self,
        stream: ArchiveStream,
        key: str,
        *,
        limit: int = 100,
        after: str | None = None,
        tenant_id: UUID | None = None,
    ) -> Page[ArchiveRecord]:
        """Return the records of a stream that have a key, in the order they were recorded.

        Args:
            stream: kind of record; its name does too.
            key: session id, thread id or session key.
            limit: records, 1 to 1,000.
            after: cursor of the previous page.
            tenant_id: the owner.

        Raises:
            InvalidDataError: stream, limit or cursor are wrong.
        """

    @abstractmethod
    async def erase_tenant(self, tenant_id: UUID) -> int:
        """Remove every record of a tenant for good and return how many; privileged and idempotent."""

    @abstractmethod
    async def initialize(self) -> bool:
        """Return True when the archive is ready; a second call does nothing more."""

    @abstractmethod
    async def close(self) -> None:
        """Write what is still held back and release the resource; a second call does nothing."""

    async def flush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - the limit of a wait, not of a call
        """Write what is still held back; whether everything was written within ``timeout`` seconds."""
        return True

    async def counters(self) -> ArchiveCounts:
        """Return what became of the records appended so far, of all tenants."""
        return ArchiveCounts(queued=0, written=0, dropped=0, errors=0)
