"""Checkpoints of threads in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.gate import identifier
from focal_core.inmemory.store import InMemoryStore
from focal_core.inmemory.table import OrderedIndex, Table, micros
from focal_core.runtime.arguments import iso, json_object, metadata_object, namespace, rows, session_of, tenant_of
from focal_core.runtime.codec import decode
from focal_core.runtime.models import CheckpointRecord
from focal_core.runtime.store.checkpoints import CheckpointStorage
from focal_core.values import JSON


@dataclass(frozen=True)
class CheckpointRow:
    """A stored checkpoint; data and metadata are encoded."""

    tenant_id: UUID
    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    data: JSON
    metadata: JSON
    session_id: str | None
    created_at: datetime

    @property
    def id(self) -> tuple[str, str, str]:
        """What tells it from the tenant's other checkpoints."""
        return self.thread_id, self.checkpoint_ns, self.checkpoint_id


@dataclass(frozen=True)
class WriteRow:
    """A stored pending write; the value is encoded, ``position`` counts the tasks of the checkpoint."""

    tenant_id: UUID
    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    task_id: str
    index: int
    position: int
    value: JSON

    @property
    def id(self) -> tuple[str, str, str, str, int]:
        """What tells it from the tenant's other writes."""
        return self.thread_id, self.checkpoint_ns, self.checkpoint_id, self.task_id, self.index


def _age(row: CheckpointRow) -> tuple[int, str]:
    return micros(row.created_at), row.checkpoint_id


class InMemoryCheckpoints(InMemoryStore, CheckpointStorage):
    """Checkpoints and pending writes in tables, ordered within thread and namespace."""

    tables: ClassVar[tuple[str, ...]] = ("_checkpoints", "_writes")

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._checkpoints_by_age = OrderedIndex[CheckpointRow](
            lambda row: (row.tenant_id, row.thread_id, row.checkpoint_ns), _age
        )
        self._checkpoints_of_thread = OrderedIndex[CheckpointRow](
            lambda row: (row.tenant_id, row.thread_id), lambda row: row.id
        )
        self._checkpoints_of_session = OrderedIndex[CheckpointRow](
            lambda row: None if row.session_id is None else (row.tenant_id, row.session_id), lambda row: row.id
        )
        self._checkpoints = Table[CheckpointRow](
            self._checkpoints_by_age, self._checkpoints_of_thread, self._checkpoints_of_session
        )
        self._writes_in_order = OrderedIndex[WriteRow](
            lambda row: (row.tenant_id, row.thread_id, row.checkpoint_ns, row.checkpoint_id),
            lambda row: (row.position, row.index),
        )
        self._writes_of_thread = OrderedIndex[WriteRow](lambda row: (row.tenant_id, row.thread_id), lambda row: row.id)
        self._writes = Table[WriteRow](self._writes_in_order, self._writes_of_thread)

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
        tenant = tenant_of(tenant_id, self.context, "store_checkpoint")
        key = (
            identifier(thread_id, "thread_id"),
            namespace(checkpoint_ns),
            identifier(checkpoint_id, "checkpoint_id"),
        )
        data = json_object(checkpoint_data, "checkpoint_data", self.context)
        encoded = metadata_object(metadata, self.context)
        stored = self._checkpoints.get(tenant, key)
        self._checkpoints.put(
            CheckpointRow(
                tenant,
                *key,
                data=data,
                metadata=encoded,
                session_id=session_of(metadata),
                created_at=self.context.clock.now() if stored is None else stored.created_at,
            )
        )
        return True

    async def get_checkpoint(
        self,
        thread_id: str,
        checkpoint_id: str | None = None,
        *,
        checkpoint_ns: str = "",
        tenant_id: UUID | None = None,
    ) -> CheckpointRecord | None:
        tenant = tenant_of(tenant_id, self.context, "get_checkpoint")
        thread, space = identifier(thread_id, "thread_id"), namespace(checkpoint_ns)
        if checkpoint_id is None:
            row = next(self._checkpoints_by_age.backwards((tenant, thread, space)), None)
        else:
            row = self._checkpoints.get(tenant, (thread, space, identifier(checkpoint_id, "checkpoint_id")))
        return None if row is None else _record(row)

    async def list_checkpoints(
        self,
        thread_id: str,
        limit: int = 10,
        *,
        checkpoint_ns: str = "",
        before: str | None = None,
        tenant_id: UUID | None = None,
    ) -> list[CheckpointRecord]:
        tenant = tenant_of(tenant_id, self.context, "list_checkpoints")
        thread, space, limit = identifier(thread_id, "thread_id"), namespace(checkpoint_ns), rows(limit)
        start = None
        if before is not None:
            row = self._checkpoints.get(tenant, (thread, space, identifier(before, "before")))
            if row is None:
                return []
            start = _age(row)
        older = self._checkpoints_by_age.backwards((tenant, thread, space), start)
        return list(map(_record, islice(older, limit)))

    async def delete_thread(self, thread_id: str, *, tenant_id: UUID | None = None) -> int:
        tenant = tenant_of(tenant_id, self.context, "delete_thread")
        return self._remove_thread(tenant, identifier(thread_id, "thread_id"))

    def _remove_thread(self, tenant: UUID, thread: str) -> int:
        checkpoints = list(self._checkpoints_of_thread.rows((tenant, thread)))
        writes = list(self._writes_of_thread.rows((tenant, thread)))
        for checkpoint in checkpoints:
            self._checkpoints.remove(tenant, checkpoint.id)
        for write in writes:
            self._writes.remove(tenant, write.id)
        return len(checkpoints) + len(writes)


def _record(row: CheckpointRow) -> CheckpointRecord:
    return CheckpointRecord(
        thread_id=row.thread_id,
        checkpoint_ns=row.checkpoint_ns,
        checkpoint_id=row.checkpoint_id,
        checkpoint_data=decode(row.data),
        metadata=decode(row.metadata),
        created_at=iso(row.created_at),
    )
