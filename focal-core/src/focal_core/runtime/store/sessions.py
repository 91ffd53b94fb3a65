"""Runtime sessions: counters and activity of whatever runs an agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from focal_core.runtime.models import RuntimeSession


class SessionStorage(ABC):
    """Sessions by an id the caller chooses.

    Of every runtime method: ids are identifiers (NFC, 1 to 255 characters). An omitted tenant is an error under strict
    isolation and the nil tenant under trusting isolation. Dicts and contexts keep the types of the runtime codec:
    JSON plus tuple, bytes, set, datetime, UUID, Decimal; an Enum member is kept as its value.
    """

    @abstractmethod
    async def create_session(
        self, session_id: str, user_id: str, metadata: dict[str, Any] | None = None, *, tenant_id: UUID | None = None
    ) -> RuntimeSession:
        """Return a new active session, or the stored one unchanged when the user has it already.

        Args:
            session_id: chosen by the caller, unique within the tenant.
            user_id: whose session it is.
            metadata: of a new session; of a stored one it is not looked at.
            tenant_id: the owner.

        Raises:
            DuplicateError: another user has the session (code ``session_taken``).
            InvalidDataError: an id or the metadata are wrong.
        """

    @abstractmethod
    async def get_session(self, session_id: str, *, tenant_id: UUID | None = None) -> RuntimeSession | None:
        """Return a session, ended or not, or None."""

    @abstractmethod
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
        """Change a session in one step and return True; False when it is unknown.

        Counters are increments: none is lost when many callers update at once. ``last_activity`` becomes the present.

        Args:
            session_id: the session.
            updates: ``status`` sets the status, ``metadata`` is merged into the metadata key by key, every other key
                is set in the metadata.
            increment_requests: add one to ``request_count``.
            add_processing_time: add to ``total_processing_time``; at least 0.
            mark_error: add one to ``error_count``.
            tenant_id: the owner.

        Raises:
            InvalidDataError: an update is of the wrong type or size, or the time is negative or not finite.
        """

    @abstractmethod
    async def end_session(self, session_id: str, status: str = "completed", *, tenant_id: UUID | None = None) -> bool:
        """Set status, ``ended_at`` and ``last_activity`` and return True; False when the session is unknown.

        Ending again sets the status again and keeps the first ``ended_at``.

        Args:
            session_id: the session.
            status: one of ``RuntimeStatus`` or any other identifier.
            tenant_id: the owner.

        Raises:
            InvalidDataError: the status is no identifier.
        """
