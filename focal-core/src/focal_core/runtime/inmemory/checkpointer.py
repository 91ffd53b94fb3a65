"""Pending writes in memory."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.gate import identifier
from focal_core.runtime.arguments import namespace, tenant_of, writes
from focal_core.runtime.codec import decode
from focal_core.runtime.inmemory.checkpoints import InMemoryCheckpoints, WriteRow
from focal_core.runtime.store.checkpointer import CheckpointerBackend


class InMemoryCheckpointer(InMemoryCheckpoints, CheckpointerBackend):
    """The checkpoints of ``InMemoryCheckpoints`` with the writes of their tasks."""

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
        return await self.store_checkpoint(
            thread_id, checkpoint_id, checkpoint_data, metadata, checkpoint_ns=checkpoint_ns, tenant_id=tenant_id
        )

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
        tenant = tenant_of(tenant_id, self.context, "put_writes")
        checkpoint = (
            identifier(thread_id, "thread_id"),
            namespace(checkpoint_ns),
            identifier(checkpoint_id, "checkpoint_id"),
        )
        task = identifier(task_id, "task_id")
        values = writes(writes_data, self.context)
        first = self._writes.get(tenant, (*checkpoint, task, 0))
        last = next(self._writes_in_order.backwards((tenant, *checkpoint)), None)
        position = first.position if first is not None else 0 if last is None else last.position + 1
        for index, value in enumerate(values):
            self._writes.put(WriteRow(tenant, *checkpoint, task_id=task, index=index, position=position, value=value))
        return True

    async def get_writes(
        self,
        thread_id: str,
        checkpoint_id: str,
        *,
        checkpoint_ns: str = "",
        with_task_ids: bool = False,
        tenant_id: UUID | None = None,
    ) -> list[tuple[Any, ...]]:
        tenant = tenant_of(tenant_id, self.context, "get_writes")
        thread, space = identifier(thread_id, "thread_id"), namespace(checkpoint_ns)
        partition = (tenant, thread, space, identifier(checkpoint_id, "checkpoint_id"))
        found = self._writes_in_order.rows(partition)
        return [(row.task_id, *decode(row.value)) if with_task_ids else decode(row.value) for row in found]
