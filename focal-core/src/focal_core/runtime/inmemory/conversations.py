"""Messages of runtime conversations in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, ClassVar
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.gate import identifier
from focal_core.inmemory.store import InMemoryStore
from focal_core.inmemory.table import OrderedIndex, Table
from focal_core.runtime.arguments import free_text, iso, metadata_object, rows, tenant_of
from focal_core.runtime.codec import decode
from focal_core.runtime.models import ConversationMessage
from focal_core.runtime.store.conversations import ConversationStorage
from focal_core.values import JSON


@dataclass(frozen=True)
class MessageRow:
    """A stored message; metadata are encoded."""

    tenant_id: UUID
    session_id: str
    message_id: UUID
    seq: int
    role: str
    content: str
    metadata: JSON
    timestamp: datetime

    @property
    def id(self) -> tuple[str, UUID]:
        """What tells it from the tenant's other messages."""
        return self.session_id, self.message_id


class InMemoryConversations(InMemoryStore, ConversationStorage):
    """Messages in a table, ordered within their session."""

    tables: ClassVar[tuple[str, ...]] = ("_messages",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._messages_of_session = OrderedIndex[MessageRow](
            lambda row: (row.tenant_id, row.session_id), lambda row: (row.seq,)
        )
        self._messages = Table[MessageRow](self._messages_of_session)

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
        tenant = tenant_of(tenant_id, self.context, "add_conversation_message")
        session_id, role = identifier(session_id, "session_id"), identifier(role, "role")
        content = free_text(content, "content", self.context)
        encoded = metadata_object(metadata, self.context)
        message_id = message_id or self.context.id_factory()
        if self._messages.get(tenant, (session_id, message_id)) is None:
            newest = next(self._messages_of_session.backwards((tenant, session_id)), None)
            seq = 1 if newest is None else newest.seq + 1
            now = self.context.clock.now()
            self._messages.put(MessageRow(tenant, session_id, message_id, seq, role, content, encoded, now))
        return True

    async def get_conversation_history(
        self, session_id: str, limit: int = 50, *, tenant_id: UUID | None = None
    ) -> list[ConversationMessage]:
        tenant = tenant_of(tenant_id, self.context, "get_conversation_history")
        partition = (tenant, identifier(session_id, "session_id"))
        newest = list(islice(self._messages_of_session.backwards(partition), rows(limit)))
        return [_message(row) for row in reversed(newest)]


def _message(row: MessageRow) -> ConversationMessage:
    return ConversationMessage(
        id=str(row.message_id),
        session_id=row.session_id,
        role=row.role,
        content=row.content,
        metadata=decode(row.metadata),
        timestamp=iso(row.timestamp),
        seq=row.seq,
    )
