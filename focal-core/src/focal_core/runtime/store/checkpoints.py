"""Checkpoints of threads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from focal_core.runtime.models import CheckpointRecord


class CheckpointStorage(ABC):
    """Checkpoints by thread, namespace and id.

    The order of a thread's checkpoints in a namespace is newest first by ``created_at``, ties by id descending.
    """

    @abstractmethod
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
        """Insert or replace a checkpoint and return True; a replaced one keeps its ``created_at`` and its place.

        Args:
            thread_id: the thread.
            checkpoint_id: unique within thread and namespace.
            checkpoint_data: anything the codec takes.
            metadata: the same; ``metadata["session_id"]`` ties the thread to a session for
                ``cleanup_expired_sessions``.
            checkpoint_ns: empty, or an identifier; namespaces are apart.
            tenant_id: the owner.

        Raises:
            InvalidDataError: an argument is wrong.
        """

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
        """Return checkpoints of a namespace, newest first.

        Args:
            thread_id: the thread.
            limit: checkpoints, 1 to 1,000.
            checkpoint_ns: the namespace.
            before: only those that stand behind the checkpoint of this id; none when there is no such checkpoint.
            tenant_id: the owner.

        Raises:
            InvalidDataError: the limit is wrong.
        """

    @abstractmethod
    async def delete_thread(self, thread_id: str, *, tenant_id: UUID | None = None) -> int:
        """Remove all checkpoints and pending writes of a thread, of every namespace, and return how many."""
