"""The in-memory reference of the runtime port."""

from __future__ import annotations

from datetime import timedelta
from time import perf_counter
from typing import Any, ClassVar
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import InvalidDataError
from focal_core.health import CheckResult, HealthReport
from focal_core.runtime.arguments import tenant_of
from focal_core.runtime.inmemory.checkpointer import InMemoryCheckpointer
from focal_core.runtime.inmemory.conversations import InMemoryConversations
from focal_core.runtime.inmemory.permanent import InMemoryPermanentStorage
from focal_core.runtime.inmemory.sessions import InMemorySessions
from focal_core.runtime.inmemory.task_context import InMemoryTaskContexts
from focal_core.runtime.models import ArchiveCounts, RuntimeMetrics, RuntimeStatus, SessionCounts
from focal_core.runtime.store import RuntimeStore

__all__ = ["InMemoryPermanentStorage", "InMemoryStorageBackend"]


class InMemoryStorageBackend(
    InMemorySessions, InMemoryConversations, InMemoryCheckpointer, InMemoryTaskContexts, RuntimeStore
):
    """Everything of the runtime port in memory.

    Attributes:
        archive: the permanent archive; nothing goes there by itself, see ``DualWriteStorage``.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"archive"})
    tables: ClassVar[tuple[str, ...]] = ("_archived",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self.archive = InMemoryPermanentStorage(self.context)
        self._archived = self.archive.records
        self._started = self.context.clock.now()

    async def initialize(self) -> bool:
        return True

    async def close(self) -> None:
        """Do nothing: the rows live as long as this object."""

    async def health_check(self) -> dict[str, Any]:
        started = perf_counter()
        checks = {"memory": CheckResult(ok=True, detail=f"{len(self._sessions.tenants())} tenants with sessions")}
        latency = (perf_counter() - started) * 1000
        return HealthReport(status="ok", checks=checks, latency_ms=latency, backend="inmemory").as_dict()

    async def get_metrics(self, *, tenant_id: UUID | None = None) -> RuntimeMetrics:
        tenants = {row for table in self._tables() for row in table.tenants()} if tenant_id is None else {tenant_id}
        active = RuntimeStatus.ACTIVE.value
        return RuntimeMetrics(
            sessions=SessionCounts(
                active=sum(self._sessions_by_status.count((tenant, active)) for tenant in tenants),
                total=sum(map(self._sessions.count, tenants)),
            ),
            messages=sum(map(self._messages.count, tenants)),
            checkpoints=sum(map(self._checkpoints.count, tenants)),
            archive=ArchiveCounts(queued=0, written=sum(map(self._archived.count, tenants)), dropped=0, errors=0),
            backend="inmemory",
            uptime_seconds=(self.context.clock.now() - self._started).total_seconds(),
        )

    async def cleanup_expired_sessions(self, max_idle_hours: int = 24, *, tenant_id: UUID | None = None) -> int:
        tenant = tenant_of(tenant_id, self.context, "cleanup_expired_sessions")
        if isinstance(max_idle_hours, bool) or not isinstance(max_idle_hours, int) or max_idle_hours < 0:
            raise InvalidDataError("max_idle_hours must be an int of at least 0", code="max_idle_hours_invalid")
        now, idle = self.context.clock.now(), timedelta(hours=max_idle_hours)
        expired = []
        for session in self._sessions_by_activity.rows(tenant):
            if now - session.last_activity <= idle:
                break
            expired.append(session.id)
        for session_id in expired:
            self._sessions.remove(tenant, session_id)
        threads = {row.thread_id for id in expired for row in self._checkpoints_of_session.rows((tenant, id))}
        for thread in threads.union(expired):
            if not self._belongs_to_a_session(tenant, thread):
                self._remove_thread(tenant, thread)
        for session_id in expired:
            self._contexts.remove(tenant, session_id)
            for message in list(self._messages_of_session.rows((tenant, session_id))):
                self._messages.remove(tenant, message.id)
        return len(expired)

    def _belongs_to_a_session(self, tenant: UUID, thread: str) -> bool:
        owners = {row.session_id for row in self._checkpoints_of_thread.rows((tenant, thread))} | {thread}
        return any(self._sessions.get(tenant, owner) is not None for owner in owners)
