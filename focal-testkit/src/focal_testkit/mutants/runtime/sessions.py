"""Runtime stores that break a rule about sessions."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import FocalError
from focal_core.ids import NIL, uuid7
from focal_core.runtime.inmemory import InMemoryStorageBackend
from focal_core.runtime.models import RuntimeSession
from focal_testkit.mutants import mutant


@mutant("RUNTIME-001", "RUNTIME-008")
class EndsAtBirth(InMemoryStorageBackend):
    """A new session has an end already."""

    async def create_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None, *, tenant_id: UUID | None = None
    ) -> RuntimeSession:
        created = await super().create_session(session_id, user_id, metadata, tenant_id=tenant_id)
        for row in self._sessions.rows(tenant_id or NIL):
            self._sessions.put(replace(row, ended_at=row.created_at))
        return {**created, "ended_at": created["created_at"]}


@mutant("RUNTIME-002", "RUNTIME-003", "RUNTIME-012")
class CreatesAnew(InMemoryStorageBackend):
    """Creating a stored session replaces it."""

    async def create_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None, *, tenant_id: UUID | None = None
    ) -> RuntimeSession:
        self._sessions.remove(tenant_id or NIL, session_id)
        return await super().create_session(session_id, user_id, metadata, tenant_id=tenant_id)


@mutant("RUNTIME-004")
class UpdateCreates(InMemoryStorageBackend):
    """An update of an unknown session creates it."""

    async def update_session(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        await self.create_session(session_id, "nobody", tenant_id=kwargs.get("tenant_id"))
        return await super().update_session(session_id, *args, **kwargs)


@mutant("RUNTIME-005")
class ReplacesMetadata(InMemoryStorageBackend):
    """Updates replace the metadata."""

    async def update_session(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        row = self._sessions.get(kwargs["tenant_id"], session_id)
        if row is not None:
            self._sessions.put(replace(row, metadata={}))
        return await super().update_session(session_id, *args, **kwargs)


@mutant("RUNTIME-006", "RUNTIME-007")
class CountsErrorsAsRequests(InMemoryStorageBackend):
    """Marking an error counts a request instead."""

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
        requested = increment_requests or mark_error
        return await super().update_session(session_id, updates, requested, add_processing_time, tenant_id=tenant_id)


@mutant("RUNTIME-007")
class ReadsThenWrites(InMemoryStorageBackend):
    """A session is read, and written after a pause."""

    async def update_session(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        before = self._sessions.get(kwargs["tenant_id"], session_id)
        await asyncio.sleep(0)
        if before is not None:
            self._sessions.put(before)
        return await super().update_session(session_id, *args, **kwargs)


@mutant("RUNTIME-008")
class EndsAgain(InMemoryStorageBackend):
    """A second end moves the first."""

    async def end_session(self, session_id: str, status: str = "completed", *, tenant_id: UUID | None = None) -> bool:
        row = self._sessions.get(tenant_id or NIL, session_id)
        if row is not None:
            self._sessions.put(replace(row, ended_at=None))
        return await super().end_session(session_id, status, tenant_id=tenant_id)


@mutant("RUNTIME-009")
class SwallowsBadUpdates(InMemoryStorageBackend):
    """A refused update is False."""

    async def update_session(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        try:
            return await super().update_session(session_id, *args, **kwargs)
        except FocalError:
            return False


@mutant("RUNTIME-010")
class CutsIds(InMemoryStorageBackend):
    """Session ids are cut at 64 characters."""

    async def create_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None, *, tenant_id: UUID | None = None
    ) -> RuntimeSession:
        return await super().create_session(session_id[:64], user_id, metadata, tenant_id=tenant_id)


@mutant("RUNTIME-011")
class TrimsIds(InMemoryStorageBackend):
    """Reading replaces what no id may hold."""

    async def get_session(self, session_id: str, *, tenant_id: UUID | None = None) -> RuntimeSession | None:
        plain = "".join(char for char in session_id if char.isalnum())[:255]
        return await super().get_session(plain or "none", tenant_id=tenant_id)


@mutant("RUNTIME-013")
class AnyTenantForNone(InMemoryStorageBackend):
    """A record without tenant gets a tenant of its own."""

    async def create_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None, *, tenant_id: UUID | None = None
    ) -> RuntimeSession:
        return await super().create_session(session_id, user_id, metadata, tenant_id=tenant_id or uuid7())


@mutant("RUNTIME-013")
class TrustsEverybody(InMemoryStorageBackend):
    """Strict isolation is ignored."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(BackendContext(clock=context.clock, isolation="trusting") if context else None)  # type: ignore[arg-type]
