"""Runtime stores that clean up, count or live wrongly."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.errors import FocalError
from focal_core.runtime import store as runtime
from focal_core.runtime.inmemory import InMemoryStorageBackend
from focal_core.runtime.models import RuntimeMetrics
from focal_testkit.mutants import mutant


@mutant("RUNTIME-060", "RUNTIME-062")
class ForgetsMappedThreads(InMemoryStorageBackend):
    """Only the thread of the session's own id goes with it."""

    async def cleanup_expired_sessions(self, max_idle_hours: int = 24, *, tenant_id: UUID | None = None) -> int:
        mapped = [row for row in self._checkpoints.rows(tenant_id) if row.session_id] if tenant_id else []
        writes = self._writes.rows(tenant_id) if tenant_id else []
        removed = await super().cleanup_expired_sessions(max_idle_hours, tenant_id=tenant_id)
        for row in mapped:
            self._checkpoints.put(row)
        for write in writes:
            self._writes.put(write)
        return removed


@mutant("RUNTIME-060")
class EmptiesTheTenant(InMemoryStorageBackend):
    """All messages of the tenant go with an expired session."""

    async def cleanup_expired_sessions(self, max_idle_hours: int = 24, *, tenant_id: UUID | None = None) -> int:
        removed = await super().cleanup_expired_sessions(max_idle_hours, tenant_id=tenant_id)
        if removed and tenant_id:
            self._messages.erase(tenant_id)
        return removed


@mutant("RUNTIME-061")
class CountsDaysNotHours(InMemoryStorageBackend):
    """The hours are taken for an hour less."""

    async def cleanup_expired_sessions(self, max_idle_hours: int = 24, *, tenant_id: UUID | None = None) -> int:
        hours = max_idle_hours - 1 if type(max_idle_hours) is int and max_idle_hours > 0 else max_idle_hours
        return await super().cleanup_expired_sessions(hours, tenant_id=tenant_id)


@mutant("RUNTIME-061")
class MessagesAreActivity(InMemoryStorageBackend):
    """A message keeps its session alive."""

    async def add_conversation_message(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        await self.update_session(session_id, tenant_id=kwargs.get("tenant_id"))
        return await super().add_conversation_message(session_id, *args, **kwargs)


@mutant("RUNTIME-062")
class RemovesSharedThreads(InMemoryStorageBackend):
    """A thread goes with the first of its sessions."""

    def _belongs_to_a_session(self, tenant: UUID, thread: str) -> bool:
        return False


@mutant("RUNTIME-063")
class TakesAnyHours(InMemoryStorageBackend):
    """Hours that are no int of at least 0 are made 0."""

    async def cleanup_expired_sessions(self, max_idle_hours: int = 24, *, tenant_id: UUID | None = None) -> int:
        hours = max_idle_hours if type(max_idle_hours) is int and max_idle_hours >= 0 else 0
        return await super().cleanup_expired_sessions(hours, tenant_id=tenant_id)


@mutant("RUNTIME-064")
class CountsEveryTenant(InMemoryStorageBackend):
    """Metrics of one tenant are those of all."""

    async def get_metrics(self, *, tenant_id: UUID | None = None) -> RuntimeMetrics:
        return await super().get_metrics()


@mutant("RUNTIME-065")
class HealthIsABool(InMemoryStorageBackend):
    """Health is told without a report."""

    async def health_check(self) -> dict[str, Any]:
        return {"ok": True}


@mutant("RUNTIME-065")
class ClosesOnce(InMemoryStorageBackend):
    """A second close is an error."""

    async def close(self) -> None:
        if self.__dict__.setdefault("closed", False):
            raise FocalError("closed already")
        self.closed = True


@mutant("RUNTIME-066")
class CountsDown(InMemoryStorageBackend):
    """The time up runs backwards."""

    async def get_metrics(self, *, tenant_id: UUID | None = None) -> RuntimeMetrics:
        metrics = await super().get_metrics(tenant_id=tenant_id)
        return {**metrics, "uptime_seconds": 100.0 - metrics["uptime_seconds"]}


@mutant("RUNTIME-067")
class ForgetsTheOldNames(InMemoryStorageBackend):
    """A name the interfaces had before is gone."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        vars(runtime).pop("ITaskContextStorage", None)
