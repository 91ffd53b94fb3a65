"""Task contexts in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.gate import identifier
from focal_core.inmemory.store import InMemoryStore
from focal_core.inmemory.table import Table
from focal_core.runtime.arguments import document, tenant_of
from focal_core.runtime.codec import decode
from focal_core.runtime.store.task_context import TaskContextStorage
from focal_core.values import JSON


@dataclass(frozen=True)
class ContextRow:
    """A stored context, encoded, under its session's id."""

    tenant_id: UUID
    id: str
    value: JSON


class InMemoryTaskContexts(InMemoryStore, TaskContextStorage):
    """Task contexts in a table."""

    tables: ClassVar[tuple[str, ...]] = ("_contexts",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._contexts = Table[ContextRow]()

    async def get_task_context(self, session_id: str, *, tenant_id: UUID | None = None) -> Any | None:
        tenant = tenant_of(tenant_id, self.context, "get_task_context")
        row = self._contexts.get(tenant, identifier(session_id, "session_id"))
        return None if row is None else decode(row.value)

    async def store_task_context(self, session_id: str, context: Any, *, tenant_id: UUID | None = None) -> bool:
        tenant = tenant_of(tenant_id, self.context, "store_task_context")
        value = document(context, "context", self.context, models=True)
        self._contexts.put(ContextRow(tenant, identifier(session_id, "session_id"), value))
        return True
