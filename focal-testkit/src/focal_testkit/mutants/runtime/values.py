"""Runtime stores that break a rule about the values they keep."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import Enum
from typing import Any
from uuid import UUID

from focal_core.context import BackendContext, Limits
from focal_core.errors import InvalidDataError
from focal_core.ids import NIL
from focal_core.runtime.inmemory import InMemoryStorageBackend
from focal_core.runtime.models import RuntimeSession
from focal_testkit.mutants import mutant


@mutant("RUNTIME-050")
class TakesDictsOnly(InMemoryStorageBackend):
    """A context that is no dict is not stored."""

    async def store_task_context(self, session_id: str, context: Any, *, tenant_id: UUID | None = None) -> bool:
        return isinstance(context, dict) and await super().store_task_context(session_id, context, tenant_id=tenant_id)


@mutant("RUNTIME-051", "RUNTIME-052", "RUNTIME-053", "RUNTIME-054")
class StringifiesContexts(InMemoryStorageBackend):
    """What JSON does not know within a context becomes text."""

    async def store_task_context(self, session_id: str, context: Any, *, tenant_id: UUID | None = None) -> bool:
        plain = json.loads(json.dumps(context, default=str, skipkeys=True)) if _shallow(context) else context
        return await super().store_task_context(session_id, plain, tenant_id=tenant_id)


def _shallow(context: Any) -> bool:
    return len(repr(context)) < 10_000


@mutant("RUNTIME-053")
class RefusesEnums(InMemoryStorageBackend):
    """Members of an enum are refused in metadata."""

    async def create_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None, *, tenant_id: UUID | None = None
    ) -> RuntimeSession:
        if any(isinstance(item, Enum) for value in (metadata or {}).values() for item in _values(value)):
            raise InvalidDataError("an enum")
        return await super().create_session(session_id, user_id, metadata, tenant_id=tenant_id)


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []


@mutant("RUNTIME-055")
class SharesContexts(InMemoryStorageBackend):
    """The caller's own context is handed out again."""

    async def store_task_context(self, session_id: str, context: Any, *, tenant_id: UUID | None = None) -> bool:
        stored = await super().store_task_context(session_id, context, tenant_id=tenant_id)
        self.__dict__.setdefault("kept", {})[tenant_id or NIL, session_id] = context
        return stored

    async def get_task_context(self, session_id: str, *, tenant_id: UUID | None = None) -> Any | None:
        return self.__dict__.get("kept", {}).get((tenant_id or NIL, session_id))


@mutant("RUNTIME-056")
class OneLimitForAll(InMemoryStorageBackend):
    """Metadata may be as large as documents."""

    def __init__(self, context: BackendContext | None = None) -> None:
        limits = Limits() if context is None else context.limits
        limits = replace(limits, metadata_bytes=limits.document_bytes)
        super().__init__(replace(context or BackendContext(), limits=limits))


@mutant("RUNTIME-056")
class NoLimits(InMemoryStorageBackend):
    """Limits are the defaults, whatever the context says."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(replace(context or BackendContext(), limits=Limits()))
