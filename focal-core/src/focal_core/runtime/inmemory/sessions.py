"""Runtime sessions in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import DuplicateError
from focal_core.gate import identifier
from focal_core.inmemory.store import InMemoryStore
from focal_core.inmemory.table import OrderedIndex, Table, micros
from focal_core.runtime.arguments import iso, metadata_object, processing_time, session_updates, tenant_of
from focal_core.runtime.codec import decode
from focal_core.runtime.models import RuntimeSession, RuntimeStatus
from focal_core.runtime.store.sessions import SessionStorage
from focal_core.values import JSON


@dataclass(frozen=True)
class SessionRow:
    """A stored session; metadata are encoded."""

    tenant_id: UUID
    id: str
    user_id: str
    status: str
    metadata: JSON
    created_at: datetime
    last_activity: datetime
    ended_at: datetime | None = None
    request_count: int = 0
    error_count: int = 0
    total_processing_time: float = 0.0


class InMemorySessions(InMemoryStore, SessionStorage):
    """Sessions in a table, ordered by their last activity and counted by status."""

    tables: ClassVar[tuple[str, ...]] = ("_sessions",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._sessions_by_activity = OrderedIndex[SessionRow](
            lambda row: row.tenant_id, lambda row: (micros(row.last_activity), row.id)
        )
        self._sessions_by_status = OrderedIndex[SessionRow](
            lambda row: (row.tenant_id, row.status), lambda row: (row.id,)
        )
        self._sessions = Table[SessionRow](self._sessions_by_activity, self._sessions_by_status)

    async def create_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None, *, tenant_id: UUID | None = None
    ) -> RuntimeSession:
        tenant = tenant_of(tenant_id, self.context, "create_session")
        session_id, user_id = identifier(session_id, "session_id"), identifier(user_id, "user_id")
        encoded = metadata_object(metadata, self.context)
        row = self._sessions.get(tenant, session_id)
        if row is None:
            now = self.context.clock.now()
            row = SessionRow(tenant, session_id, user_id, RuntimeStatus.ACTIVE.value, encoded, now, now)
            self._sessions.put(row)
        elif row.user_id != user_id:
            raise DuplicateError(f"session {session_id!r} belongs to another user", code="session_taken")
        return _session(row)

    async def get_session(self, session_id: str, *, tenant_id: UUID | None = None) -> RuntimeSession | None:
        tenant = tenant_of(tenant_id, self.context, "get_session")
        row = self._sessions.get(tenant, identifier(session_id, "session_id"))
        return None if row is None else _session(row)

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
        tenant = tenant_of(tenant_id, self.context, "update_session")
        row = self._sessions.get(tenant, identifier(session_id, "session_id"))
        status, added = session_updates(updates, self.context)
        processing_time(add_processing_time, 0.0)
        if row is None:
            return False
        self._sessions.put(
            replace(
                row,
                status=status or row.status,
                metadata=metadata_object({**decode(row.metadata), **added}, self.context),
                last_activity=self.context.clock.now(),
                request_count=row.request_count + bool(increment_requests),
                error_count=row.error_count + bool(mark_error),
                total_processing_time=processing_time(add_processing_time, row.total_processing_time),
            )
        )
        return True

    async def end_session(self, session_id: str, status: str = "completed", *, tenant_id: UUID | None = None) -> bool:
        tenant = tenant_of(tenant_id, self.context, "end_session")
        row = self._sessions.get(tenant, identifier(session_id, "session_id"))
        status = identifier(status, "status")
        if row is None:
            return False
        now = self.context.clock.now()
        self._sessions.put(replace(row, status=status, last_activity=now, ended_at=row.ended_at or now))
        return True


def _session(row: SessionRow) -> RuntimeSession:
    return RuntimeSession(
        session_id=row.id,
        user_id=row.user_id,
        status=row.status,
        metadata=decode(row.metadata),
        created_at=iso(row.created_at),
        last_activity=iso(row.last_activity),
        ended_at=None if row.ended_at is None else iso(row.ended_at),
        request_count=row.request_count,
        error_count=row.error_count,
        total_processing_time=row.total_processing_time,
    )
