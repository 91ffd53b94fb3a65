"""The runtime port: sessions, conversations, checkpoints, task contexts, pending writes; and the permanent archive."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar
from uuid import UUID

from focal_core.runtime.models import RuntimeMetrics
from focal_core.runtime.store.checkpointer import CheckpointerBackend
from focal_core.runtime.store.checkpoints import CheckpointStorage
from focal_core.runtime.store.conversations import ConversationStorage
from focal_core.runtime.store.permanent import PermanentStorageBackend
from focal_core.runtime.store.sessions import SessionStorage
from focal_core.runtime.store.task_context import TaskContextStorage
from focal_core.store import Store


class StorageBackend(SessionStorage, ConversationStorage, CheckpointStorage, TaskContextStorage):
    """Everything a runtime keeps, with the life cycle of what keeps it."""

    @abstractmethod
    async def initialize(self) -> bool:
        """Return True when the store is ready; a second call does nothing more. Changes no schema.

        Raises:
            StoreUnavailableError: no answer.
            SchemaOutdatedError: the schema is behind or ahead.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release the resource; a second call does nothing."""

    @abstractmethod
    async def health_check(self) -> dict[str, Any]:
        """Return ``HealthReport.as_dict()``; never raises."""

    @abstractmethod
    async def get_metrics(self, *, tenant_id: UUID | None = None) -> RuntimeMetrics:
        """Return counts of one tenant, or of all when it is omitted, without looking at every row or key.

        A session counts as active while its status is ``active``.
        """

    @abstractmethod
    async def cleanup_expired_sessions(self, max_idle_hours: int = 24, *, tenant_id: UUID | None = None) -> int:
        """Remove the sessions that were idle longer, whatever their status, and return how many.

        With them go their messages, their task contexts, and the checkpoints and pending writes of their threads: of
        the thread whose id is the session's, and of every thread with a checkpoint whose ``metadata["session_id"]`` is
        the session's id. A thread that belongs to a session that stays is left alone. Idle is the time since
        ``last_activity``, which only creating, updating and ending a session move.

        Args:
            max_idle_hours: at least 0; a session idle for exactly that long stays.
            tenant_id: the owner.

        Raises:
            InvalidDataError: the hours are negative (code ``max_idle_hours_invalid``).
        """


class RuntimeStore(Store, StorageBackend, CheckpointerBackend):
    """What the port ``runtime`` hands out.

    With capability ``archive``, its attribute ``archive`` is a ``PermanentStorageBackend``.
    """

    port: ClassVar[str] = "runtime"


ISessionStorage = SessionStorage
IConversationStorage = ConversationStorage
ICheckpointStorage = CheckpointStorage
ITaskContextStorage = TaskContextStorage
IStorageBackend = StorageBackend
IPermanentStorageBackend = PermanentStorageBackend
ICheckpointerBackend = CheckpointerBackend

__all__ = [
    "CheckpointStorage",
    "CheckpointerBackend",
    "ConversationStorage",
    "ICheckpointStorage",
    "ICheckpointerBackend",
    "IConversationStorage",
    "IPermanentStorageBackend",
    "ISessionStorage",
    "IStorageBackend",
    "ITaskContextStorage",
    "PermanentStorageBackend",
    "RuntimeStore",
    "SessionStorage",
    "StorageBackend",
    "TaskContextStorage",
]
