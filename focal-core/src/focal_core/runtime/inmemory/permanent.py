"""The permanent archive in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import InvalidDataError
from focal_core.gate import identifier
from focal_core.inmemory.table import OrderedIndex, Table
from focal_core.paging import Page, cursor_scope, decode_cursor, encode_cursor
from focal_core.runtime.arguments import (
    free_text,
    iso,
    iso_argument,
    json_object,
    metadata_object,
    namespace,
    rows,
    tenant_of,
    writes,
)
from focal_core.runtime.codec import decode
from focal_core.runtime.models import ArchiveCounts, ArchiveRecord, ArchiveStream
from focal_core.runtime.store.permanent import PermanentStorageBackend
from focal_core.values import JSON


@dataclass(frozen=True)
class ArchiveRow:
    """A stored record; ``payload`` holds each of its values encoded."""

    tenant_id: UUID
    id: UUID
    number: int
    stream: ArchiveStream
    key: str
    payload: dict[str, JSON]
    created_at: str
    recorded_at: str


class InMemoryPermanentStorage(PermanentStorageBackend):
    """Records in a table; writing never fails.

    Args:
        context: clock, isolation, limits; the defaults when None.

    Attributes:
        records: the table.
    """

    def __init__(self, context: BackendContext | None = None) -> None:
        self.context = context or BackendContext()
        self._written = 0
        self._of_key = OrderedIndex[ArchiveRow](
            lambda row: (row.tenant_id, row.stream, row.key), lambda row: (row.number,)
        )
        self.records = Table[ArchiveRow](self._of_key)

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
        content = {
            "user_id": identifier(user_id, "user_id"),
            "event_type": identifier(event_type, "event_type"),
            "payload": json_object(payload, "payload", self.context),
        }
        return self._append(ArchiveStream.SESSION_EVENT, session_id, content, created_at, event_id, tenant_id)

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
        payload = {
            "role": identifier(role, "role"),
            "content": free_text(content, "content", self.context),
            "metadata": metadata_object(metadata, self.context),
        }
        return self._append(ArchiveStream.MESSAGE, session_id, payload, created_at, event_id, tenant_id)

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
        payload = {
            "checkpoint_ns": namespace(checkpoint_ns),
            "checkpoint_id": identifier(checkpoint_id, "checkpoint_id"),
            "checkpoint_data": json_object(checkpoint_data, "checkpoint_data", self.context),
            "metadata": metadata_object(metadata, self.context),
        }
        return self._append(ArchiveStream.CHECKPOINT, thread_id, payload, created_at, event_id, tenant_id)

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
        payload = {
            "checkpoint_ns": namespace(checkpoint_ns),
            "checkpoint_id": identifier(checkpoint_id, "checkpoint_id"),
            "task_id": identifier(task_id, "task_id"),
            "writes_data": writes(writes_data, self.context),
        }
        return self._append(ArchiveStream.CHECKPOINT_WRITES, thread_id, payload, created_at, event_id, tenant_id)

    async def append_conversation_session(
        self,
        session_key: str,
        session_data: dict[str, Any],
        created_at: str | None = None,
        *,
        event_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> bool:
        payload = json_object(session_data, "session_data", self.context)
        return self._append(ArchiveStream.CONVERSATION_SESSION, session_key, payload, created_at, event_id, tenant_id)

    async def append_task_context_snapshot(
        self,
        session_id: str,
        context_data: dict[str, Any],
        created_at: str | None = None,
        *,
        event_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> bool:
        payload = json_object(context_data, "context_data", self.context)
        return self._append(ArchiveStream.TASK_CONTEXT, session_id, payload, created_at, event_id, tenant_id)

    def _append(
        self,
        stream: ArchiveStream,
        key: str,
        payload: dict[str, JSON],
        created_at: str | None,
        event_id: UUID | None,
        tenant_id: UUID | None,
    ) -> bool:
        tenant = tenant_of(tenant_id, self.context, "append")
        key = identifier(key, "key")
        created = iso_argument(created_at, self.context)
        event_id = event_id or self.context.id_factory()
        if self.records.get(tenant, event_id) is None:
            self._written += 1
            recorded = iso(self.context.clock.now())
            self.records.put(ArchiveRow(tenant, event_id, self._written, stream, key, payload, created, recorded))
        return True

    async def read(
        self,
        stream: ArchiveStream,
        key: str,
        *,
        limit: int = 100,
        after: str | None = None,
        tenant_id: UUID | None = None,
    ) -> Page[ArchiveRecord]:
        tenant = tenant_of(tenant_id, self.context, "read")
        try:
            stream = ArchiveStream(stream)
        except ValueError:
            raise InvalidDataError(
                "no such stream", code="stream_unknown", hint=f"streams: {', '.join(ArchiveStream)}"
            ) from None
        key, limit = identifier(key, "key"), rows(limit)
        scope = cursor_scope(tenant, "archive.read", stream=stream.value, key=key)
        start = None if after is None else tuple(decode_cursor(after, scope))
        found = list(self._of_key.rows((tenant, stream, key), start))
        page = found[:limit]
        return Page(map(_record, page), encode_cursor(scope, [page[-1].number]) if len(found) > limit else None)

    async def erase_tenant(self, tenant_id: UUID) -> int:
        return self.records.erase(tenant_id)

    async def initialize(self) -> bool:
        return True

    async def close(self) -> None:
        """Do nothing: nothing is held back."""

    async def counters(self) -> ArchiveCounts:
        return ArchiveCounts(queued=0, written=self._written, dropped=0, errors=0)


def _record(row: ArchiveRow) -> ArchiveRecord:
    return ArchiveRecord(
        event_id=str(row.id),
        stream=row.stream.value,
        key=row.key,
        payload=decode(row.payload),
        created_at=row.created_at,
        recorded_at=row.recorded_at,
    )
