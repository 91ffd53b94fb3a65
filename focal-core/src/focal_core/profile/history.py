"""Where gap filling reads what was said: the audit trail, or the conversations of the runtime port."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from focal_core.audit.models import TurnRecord
from focal_core.audit.store import AuditStore
from focal_core.conversation.models import Session
from focal_core.runtime.models import ConversationMessage
from focal_core.runtime.store import ConversationStorage

ConversationSource = Callable[[Session, int], Awaitable[Sequence[ConversationMessage]]]
"""Returns the messages of a session's newest turns, oldest first; the int is the number of turns."""


def audit_history(store: AuditStore) -> ConversationSource:
    """Return a source that reads the turns of the audit trail, two messages each."""

    async def read(session: Session, max_turns: int) -> list[ConversationMessage]:
        newest: deque[TurnRecord] = deque(maxlen=max_turns)
        after = None
        while True:
            page = await store.list_turns_by_session(session.session_id, 1000, tenant_id=session.tenant_id, after=after)
            newest.extend(page)
            after = page.next_cursor
            if after is None:
                return [message for turn in newest for message in _messages(turn)]

    return read


def conversation_history(storage: ConversationStorage) -> ConversationSource:
    """Return a source that reads the conversation kept under the session's id; a turn is two messages."""

    async def read(session: Session, max_turns: int) -> list[ConversationMessage]:
        return await storage.get_conversation_history(
            str(session.session_id), 2 * max_turns, tenant_id=session.tenant_id
        )

    return read


def _messages(turn: TurnRecord) -> list[ConversationMessage]:
    said = (("user", turn.user_message), ("assistant", turn.assistant_response))
    return [
        ConversationMessage(
            id=f"{turn.id}:{role}",
            session_id=str(turn.session_id),
            role=role,
            content=content,
            metadata={},
            timestamp=turn.created_at.isoformat(),
            seq=2 * turn.turn_number + place,
        )
        for place, (role, content) in enumerate(said)
        if content
    ]
