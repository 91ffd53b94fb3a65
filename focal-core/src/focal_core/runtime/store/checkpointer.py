"""Checkpoints and pending writes, under the names graph runtimes know them by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from focal_core.runtime.models import CheckpointRecord


class CheckpointerBackend(ABC):
    """Checkpoints, which are those of ``CheckpointStorage``, and the pending writes of their tasks."""

    @abstractmethod
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
        """Insert or replace a checkpoint and return True; the same as ``CheckpointStorage.store_checkpoint``."""

    @abstractmethod
    async def get_checkpoint(
        self,
        thread_id: str,
        checkpoint_id: str | None = None,
        *,
        checkpoint_ns: str = "",
        tenant_id: UUID | None = None,
    ) -> CheckpointRecord | None:
        """Return a checkpoint, the newest of the namespace when no id is given, or None."""

    @abstractmethod
    async def list_checkpoints(
        self,
        thread_id: str,
        limit: int = 10,
        *,
        checkpoint_ns: str = "",
        before: str | None = None,
        tenant_id: UUID | None = None,
    ) -> list[CheckpointRecord]:
        """Return checkpoints of a namespace, newest first; the same as ``CheckpointStorage.list_checkpoints``."""

    @abstractmethod
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
        """Store the writes of a task, each under its index in the list, and return True.

        A repeat is harmless: what is stored under an index is replaced, further indices stay. The checkpoint itself
        need not exist.

        Args:
            thread_id: the thread.
            checkpoint_id: the checkpoint they belong to.
            task_id: the task that wrote them.
            writes_data: tuples, kept with the types of their items.
            checkpoint_ns: the namespace.
            tenant_id: the owner.

        Raises:
            InvalidDataError: an argument is wrong; nothing was written.
        """

    @abstractmethod
    async def get_writes(
        self,
        thread_id: str,
        checkpoint_id: str,
        *,
        checkpoint_ns: str = "",
        with_task_ids: bool = False,
        tenant_id: UUID | None = None,
    ) -> list[tuple[Any, ...]]:
        """Return the writes of a checkpoint, as tuples, task after task.

        Args:
            thread_id: the thread.
            checkpoint_id: the checkpoint.
            checkpoint_ns: the namespace.
            with_task_ids: put the task id in front of each tuple.
            tenant_id: the owner.

        Returns:
            Tasks in the order of their first writes, the writes of a task by index.
        """
