"""Runtime stores that break a rule about checkpoints."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.ids import NIL
from focal_core.runtime.inmemory import InMemoryStorageBackend
from focal_core.runtime.models import CheckpointRecord
from focal_testkit.mutants import mutant


@mutant("RUNTIME-030", "RUNTIME-034")
class LosesMetadata(InMemoryStorageBackend):
    """Checkpoints are stored without metadata."""

    async def store_checkpoint(
        self,
        thread_id: str,
        checkpoint_id: str,
        checkpoint_data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        **place: Any,
    ) -> bool:
        return await super().store_checkpoint(thread_id, checkpoint_id, checkpoint_data, None, **place)


@mutant("RUNTIME-031")
class GreatestIdIsNewest(InMemoryStorageBackend):
    """The newest checkpoint is the one of the greatest id."""

    async def get_checkpoint(
        self, thread_id: str, checkpoint_id: str | None = None, **place: Any
    ) -> CheckpointRecord | None:
        listed = await self.list_checkpoints(thread_id, 1000, **place)
        newest = max((one["checkpoint_id"] for one in listed), default="none")
        return await super().get_checkpoint(thread_id, checkpoint_id or newest, **place)


@mutant("RUNTIME-032")
class StoringMoves(InMemoryStorageBackend):
    """A checkpoint stored again becomes the newest."""

    async def store_checkpoint(self, thread_id: str, checkpoint_id: str, *args: Any, **kwargs: Any) -> bool:
        key = thread_id, kwargs.get("checkpoint_ns", ""), checkpoint_id
        self._checkpoints.remove(kwargs["tenant_id"], key)
        return await super().store_checkpoint(thread_id, checkpoint_id, *args, **kwargs)


@mutant("RUNTIME-032", "RUNTIME-035")
class TiesById(InMemoryStorageBackend):
    """Checkpoints of one time are listed by id ascending."""

    async def list_checkpoints(self, thread_id: str, limit: int = 10, **place: Any) -> list[CheckpointRecord]:
        found = await super().list_checkpoints(thread_id, limit, **place)
        by_id = sorted(found, key=lambda one: one["checkpoint_id"])
        return sorted(by_id, key=lambda one: one["created_at"], reverse=True)


@mutant("RUNTIME-033")
class OneNamespace(InMemoryStorageBackend):
    """The namespace is shown but is no part of the key."""

    async def store_checkpoint(self, *args: Any, checkpoint_ns: str = "", tenant_id: UUID | None = None) -> bool:
        for space in ("", "a", "a|b"):
            await super().store_checkpoint(*args, checkpoint_ns=space, tenant_id=tenant_id)
        return True


@mutant("RUNTIME-034")
class PutGoesElsewhere(InMemoryStorageBackend):
    """put_checkpoint keeps its checkpoints in a namespace of its own."""

    async def put_checkpoint(self, *args: Any, checkpoint_ns: str = "", tenant_id: UUID | None = None) -> bool:
        return await super().put_checkpoint(*args, checkpoint_ns=f"put {checkpoint_ns}", tenant_id=tenant_id)


@mutant("RUNTIME-035")
class BeforeIncludes(InMemoryStorageBackend):
    """``before`` compares ids."""

    async def list_checkpoints(
        self, thread_id: str, limit: int = 10, *, before: str | None = None, **place: Any
    ) -> list[CheckpointRecord]:
        found = await super().list_checkpoints(thread_id, limit, **place)
        return [one for one in found if before is None or one["checkpoint_id"] < before]


@mutant("RUNTIME-036")
class ListsTwenty(InMemoryStorageBackend):
    """Twenty checkpoints are listed by default."""

    async def list_checkpoints(self, thread_id: str, limit: int = 20, **place: Any) -> list[CheckpointRecord]:
        return await super().list_checkpoints(thread_id, limit, **place)


@mutant("RUNTIME-037")
class DeletesOneNamespace(InMemoryStorageBackend):
    """Only the empty namespace of a thread is deleted."""

    async def delete_thread(self, thread_id: str, *, tenant_id: UUID | None = None) -> int:
        tenant = tenant_id or NIL
        rows = [row for row in self._checkpoints_of_thread.rows((tenant, thread_id)) if row.checkpoint_ns]
        writes = [row for row in self._writes_of_thread.rows((tenant, thread_id)) if row.checkpoint_ns]
        removed = await super().delete_thread(thread_id, tenant_id=tenant_id)
        for row in rows:
            self._checkpoints.put(row)
        for write in writes:
            self._writes.put(write)
        return removed
