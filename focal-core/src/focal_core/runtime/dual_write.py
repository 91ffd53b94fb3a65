"""A runtime store in front of a permanent archive: the store answers, the archive gets a copy behind its back."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from focal_core.clock import Clock, SystemClock
from focal_core.health import CheckResult
from focal_core.ids import NIL, uuid7
from focal_core.paging import Page
from focal_core.runtime.archive_queue import ArchiveQueue
from focal_core.runtime.arguments import iso
from focal_core.runtime.models import (
    ArchiveCounts,
    CheckpointRecord,
    ConversationMessage,
    OverflowPolicy,
    RuntimeMetrics,
    RuntimeSession,
)
from focal_core.runtime.store import PermanentStorageBackend, RuntimeStore


class DualWriteStorage(RuntimeStore):
    """Everything is answered by a hot store; what it accepted is also appended to an archive.

    Archive writes wait in a bounded queue, so that a slow or failing archive neither delays nor fails a call (unless
    ``overflow`` is ``block``). What is dropped or fails is counted, and makes the health degraded. Records of one
    session or thread keep their order.

    Archived are: created, updated and ended sessions, messages, checkpoints, pending writes and task contexts.

    Args:
        hot: whose results and errors the caller gets.
        permanent: where copies go.
        max_queue: archive writes that may wait.
        batch_size: archive writes made at a time.
        overflow: what gives way when the queue is full.
        flush_on_close: seconds ``close`` waits for the queue; what is left then is dropped.
        clock: dates the records.

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
        clock: Clock | None = None,
    ) -> None:
        self.archive = permanent
        self._hot = hot
        self._clock = clock or SystemClock()
        self._flush_on_close = flush_on_close
        self._queue = ArchiveQueue(max_queue, batch_size, OverflowPolicy(overflow))
        self.capabilities = hot.capabilities | {"archive"}  # type: ignore[misc]

    async def create_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None, *, tenant_id: UUID | None = None
    ) -> RuntimeSession:
        """Return the hot store's session; a repeat is archived once."""
        session = await self._hot.create_session(session_id, user_id, metadata, tenant_id=tenant_id)
        created = session["created_at"]
        await self._event(
            session_id,
            "created",
            {"metadata": session["metadata"]},
            tenant_id,
            created,
            uuid5(NIL, f"{session_id} {created}"),
        )
        return session

    async def get_session(self, session_id: str, *, tenant_id: UUID | None = None) -> RuntimeSession | None:
        """Ask the hot store."""
        return await self._hot.get_session(session_id, tenant_id=tenant_id)

    async def update_session(
        self,
        session_id: str,
        updates: dict[str, Any] | None = None,
        increment_requests: bool = False,
        add_processing_time: float = 0.0,
        mark_error: bool = False,
        *,
        tenant_id: UUID | None = None,
    ) -> bool:
        """Update the hot store's session; an unknown one is not archived."""
        known = await self._hot.update_session(
            session_id, updates, increment_requests, add_processing_time, mark_error, tenant_id=tenant_id
        )
        if known:
            payload = {
                "updates": updates or {},
                "increment_requests": increment_requests,
                "add_processing_time": add_processing_time,
                "mark_error": mark_error,
            }
            await self._event(session_id, "updated", payload, tenant_id)
        return known

    async def end_session(self, session_id: str, status: str = "completed", *, tenant_id: UUID | None = None) -> bool:
        """End the hot store's session; an unknown one is not archived."""
        known = await self._hot.end_session(session_id, status, tenant_id=tenant_id)
        if known:
            await self._event(session_id, "ended", {"status": status}, tenant_id)
        return known

    async def add_conversation_message(
        self,
        session_id: str,
        role: str,
        content: str,
        metadata: dict[str, Any] | None = None,
        *,
        message_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> bool:
        """Append to both under one id, so that a repeat stays one message in both."""
        message_id = message_id or uuid7()
        added = await self._hot.add_conversation_message(
            session_id, role, content, metadata, message_id=message_id, tenant_id=tenant_id
        )
        await self._queue.put(
            tenant_id,
            session_id,
            self.archive.append_conversation_message,
            session_id=session_id,
            role=role,
            content=content,
            metadata=metadata,
            created_at=self._now(),
            event_id=uuid5(message_id, session_id),
        )
        return added

    async def get_conversation_history(
        self, session_id: str, limit: int = 50, *, tenant_id: UUID | None = None
    ) -> list[ConversationMessage]:
        """Ask the hot store."""
        return await self._hot.get_conversation_history(session_id, limit, tenant_id=tenant_id)

    async def store_checkpoint(
        self,
        thread_id: str,
        checkpoint_id: str,
        checkpoint_data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        checkpoint_ns: str = "",
        tenant_id: UUID | None = None,
    ) -> bool:
        """Store in the hot store and archive a copy; every version of a checkpoint is archived."""
        stored = await self._hot.store_checkpoint(
            thread_id, checkpoint_id, checkpoint_data, metadata, checkpoint_ns=checkpoint_ns, tenant_id=tenant_id
        )
        await self._queue.put(
            tenant_id,
            thread_id,
            self.archive.append_checkpoint,
            thread_id=thread_id,
            checkpoint_id=checkpoint_id,
            checkpoint_data=checkpoint_data,
            metadata=metadata,
            created_at=self._now(),
            checkpoint_ns=checkpoint_ns,
        )
        return stored

    async def put_checkpoint(
        self,
        thread_id: str,
        checkpoint_id: str,
        checkpoint_data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        checkpoint_ns: str = "",
        tenant_id: UUID | None = None,
    ) -> bool:
        """The same as ``store_checkpoint``."""
        return await self.store_checkpoint(
            thread_id, checkpoint_id, checkpoint_data, metadata, checkpoint_ns=checkpoint_ns, tenant_id=tenant_id
        )

    async def get_checkpoint(
        self,
        thread_id: str,
        checkpoint_id: str | None = None,
        *,
        checkpoint_ns: str = "",
        tenant_id: UUID | None = None,
    ) -> CheckpointRecord | None:
        """Ask the hot store."""
        return await self._hot.get_checkpoint(
            thread_id, checkpoint_id, checkpoint_ns=checkpoint_ns, tenant_id=tenant_id
        )

    async def list_checkpoints(
        self,
        thread_id: str,
        limit: int = 10,
        *,
        checkpoint_ns: str = "",
        before: str | None = None,
        tenant_id: UUID | None = None,
    ) -> list[CheckpointRecord]:
        """Ask the hot store."""
        return await self._hot.list_checkpoints(
            thread_id, limit, checkpoint_ns=checkpoint_ns, before=before, tenant_id=tenant_id
        )

    async def delete_thread(self, thread_id: str, *, tenant_id: UUID | None = None) -> int:
        """Delete in the hot store; the archive keeps what it has."""
        return await self._hot.delete_thread(thread_id, tenant_id=tenant_id)

    async def put_writes(
        self,
        thread_id: str,
        checkpoint_id: str,
        task_id: str,
        writes_data: list[tuple[Any, ...]],
        *,
        checkpoint_ns: str = "",
        tenant_id: UUID | None = None,
    ) -> bool:
        """Store in the hot store and archive a copy."""
        stored = await self._hot.put_writes(
            thread_id, checkpoint_id, task_id, writes_data, checkpoint_ns=checkpoint_ns, tenant_id=tenant_id
        )
        await self._queue.put(
            tenant_id,
            thread_id,
            self.archive.append_checkpoint_writes,
            thread_id=thread_id,
            checkpoint_id=checkpoint_id,
            task_id=task_id,
            writes_data=writes_data,
            created_at=self._now(),
            checkpoint_ns=checkpoint_ns,
        )
        return stored

    async def get_writes(
        self,
        thread_id: str,
        checkpoint_id: str,
        *,
        checkpoint_ns: str = "",
        with_task_ids: bool = False,
        tenant_id: UUID | None = None,
    ) -> list[tuple[Any, ...]]:
        """Ask the hot store."""
        return await self._hot.get_writes(
            thread_id, checkpoint_id, checkpoint_ns=checkpoint_ns, with_task_ids=with_task_ids, tenant_id=tenant_id
        )

    async def get_task_context(self, session_id: str, *, tenant_id: UUID | None = None) -> Any | None:
        """Ask the hot store."""
        return await self._hot.get_task_context(session_id, tenant_id=tenant_id)

    async def store_task_context(self, session_id: str, context: Any, *, tenant_id: UUID | None = None) -> bool:
        """Store in the hot store and archive a version; what is no dict is archived as ``{"value": ...}``."""
        stored = await self._hot.store_task_context(session_id, context, tenant_id=tenant_id)
        await self._queue.put(
            tenant_id,
            session_id,
            self._append_context,
            session_id=session_id,
            context_data=context,
            created_at=self._now(),
        )
        return stored

    async def cleanup_expired_sessions(self, max_idle_hours: int = 24, *, tenant_id: UUID | None = None) -> int:
        """Clean up the hot store; the archive keeps what it has."""
        return await self._hot.cleanup_expired_sessions(max_idle_hours, tenant_id=tenant_id)

    async def initialize(self) -> bool:
        """Return whether the hot store is ready; an archive that is not counts as an error."""
        ready = await self._hot.initialize()
        try:
            if not await self.archive.initialize():
                self._queue.failed()
        except Exception as error:
            self._queue.failed(error)
        return ready

    async def close(self) -> None:
        """Flush the queue for at most ``flush_on_close`` seconds, then close both."""
        await self._queue.stop(self._flush_on_close)
        try:
            await self.archive.close()
        except Exception as error:
            self._queue.failed(error)
        await self._hot.close()

    async def flush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - the limit of a wait, not of a call
        """Wait until no archive write waits any more; whether that came about within ``timeout`` seconds."""
        return await self._queue.flush(timeout)

    async def counters(self) -> ArchiveCounts:
        """Return what became of the archive writes so far."""
        return self._queue.counters()

    async def health_check(self) -> dict[str, Any]:
        """Return the hot store's report, degraded when archive writes were dropped or have failed."""
        report = await self._hot.health_check()
        counts = self._queue.counters()
        detail = ", ".join(f"{name} {count}" for name, count in counts.items())
        report["checks"]["archive"] = CheckResult(ok=not self._queue.degraded, detail=detail).model_dump(mode="json")
        if self._queue.degraded and report["status"] == "ok":
            report["status"] = "degraded"
        return report

    async def get_metrics(self, *, tenant_id: UUID | None = None) -> RuntimeMetrics:
        """Return the hot store's counts with those of the queue, which are of all tenants."""
        metrics = await self._hot.get_metrics(tenant_id=tenant_id)
        return {**metrics, "archive": self._queue.counters()}

    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[UUID]:
        """Ask the hot store."""
        return await self._hot.list_tenants(limit=limit, after=after)

    async def erase_tenant(self, tenant_id: UUID) -> int:
        """Erase in both, and in the queue between them."""
        erased = await self._hot.erase_tenant(tenant_id)
        await self._queue.forget(tenant_id)
        return erased + await self.archive.erase_tenant(tenant_id)

    def _now(self) -> str:
        return iso(self._clock.now())

    async def _event(
        self,
        session_id: str,
        event_type: str,
        payload: dict[str, Any],
        tenant_id: UUID | None,
        created_at: str | None = None,
        event_id: UUID | None = None,
    ) -> None:
        await self._queue.put(
            tenant_id,
            session_id,
            self._append_event,
            session_id=session_id,
            event_type=event_type,
            payload=payload,
            created_at=created_at or self._now(),
            event_id=event_id or uuid7(),
        )

    async def _append_event(self, *, session_id: str, tenant_id: UUID | None, **arguments: Any) -> bool:
        # The user is looked up here, behind the queue, so that updates need not wait for it.
        session = await self._hot.get_session(session_id, tenant_id=tenant_id)
        user_id = "unknown" if session is None else session["user_id"]
        return await self.archive.append_session_event(
            session_id=session_id, user_id=user_id, tenant_id=tenant_id, **arguments
        )

    async def _append_context(self, *, context_data: Any, **arguments: Any) -> bool:
        data = context_data if isinstance(context_data, dict) else {"value": context_data}
        return await self.archive.append_task_context_snapshot(context_data=data, **arguments)
