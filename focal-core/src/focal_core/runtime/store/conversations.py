"""Messages of runtime conversations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from uuid import UUID

from focal_core.runtime.models import ConversationMessage


class ConversationStorage(ABC):
    """Messages by session id; the session itself need not exist."""

    @abstractmethod
    async def add_conversation_message(
        self,
        session_id: str,
        role: str,
        content: str,
        metadata: dict[str, Any] | None = None,
        *,
        message_id: UUID | None = None,
        tenant_id: UUID | None = None,
    ) -> bool:
        """Append a message and return True.

        ``seq`` is greater than that of every message of the session so far, whoever else appends at the same time.

        Args:
            session_id: the conversation.
            role: an identifier, such as ``"user"``.
            content: free text, kept to the letter.
            metadata: anything the codec takes.
            message_id: makes a repeat harmless: a message of this id in this session is kept as it is. None = a new
                id.
            tenant_id: the owner.

        Raises:
            InvalidDataError: an argument is wrong.
        """

    @abstractmethod
    async def get_conversation_history(
        self, session_id: str, limit: int = 50, *, tenant_id: UUID | None = None
    ) -> list[ConversationMessage]:
        """Return the newest messages of a session, oldest first.

        Args:
            session_id: the conversation.
            limit: messages, 1 to 1,000.
            tenant_id: the owner.

        Raises:
            InvalidDataError: the limit is wrong.
        """
