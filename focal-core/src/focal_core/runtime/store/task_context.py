"""Task contexts: one value for each session."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID


class TaskContextStorage(ABC):
    """One value for each session id; the session itself need not exist."""

    @abstractmethod
    async def get_task_context(self, session_id: str, *, tenant_id: UUID | None = None) -> Any | None:
        """Return the context as plain data, or None."""

    @abstractmethod
    async def store_task_context(self, session_id: str, context: Any, *, tenant_id: UUID | None = None) -> bool:
        """Insert or replace the context of a session and return True.

        Args:
            session_id: the session.
            context: anything the codec takes; pydantic models and dataclasses within it become dicts of their fields.
            tenant_id: the owner.

        Raises:
            InvalidDataError: something in it cannot be kept, or it is too large.
        """
