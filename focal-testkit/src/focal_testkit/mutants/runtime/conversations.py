"""Runtime stores that break a rule about messages."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from focal_core.ids import NIL
from focal_core.runtime.inmemory import InMemoryStorageBackend
from focal_core.runtime.models import ConversationMessage
from focal_testkit.mutants import mutant


@mutant("RUNTIME-020")
class DemandsASession(InMemoryStorageBackend):
    """A message of an unknown session is dropped."""

    async def add_conversation_message(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        if self._sessions.get(kwargs["tenant_id"], session_id) is None:
            return False
        return await super().add_conversation_message(session_id, *args, **kwargs)


@mutant("RUNTIME-021", "RUNTIME-022")
class OldestFirst(InMemoryStorageBackend):
    """History is the oldest messages."""

    async def get_conversation_history(
        self, session_id: str, limit: int = 50, *, tenant_id: UUID | None = None
    ) -> list[ConversationMessage]:
        found = await super().get_conversation_history(session_id, limit, tenant_id=tenant_id)
        rows = list(self._messages_of_session.rows((tenant_id or NIL, session_id)))
        return [{**one, "content": row.content} for one, row in zip(found, rows, strict=False)]


@mutant("RUNTIME-021")
class NewestFirst(InMemoryStorageBackend):
    """History starts with the newest message."""

    async def get_conversation_history(
        self, session_id: str, limit: int = 50, *, tenant_id: UUID | None = None
    ) -> list[ConversationMessage]:
        return (await super().get_conversation_history(session_id, limit, tenant_id=tenant_id))[::-1]


@mutant("RUNTIME-022")
class StopsAtAThousand(InMemoryStorageBackend):
    """A full conversation takes no more messages."""

    async def add_conversation_message(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        if self._messages_of_session.count((kwargs["tenant_id"], session_id)) >= 1000:
            return True
        return await super().add_conversation_message(session_id, *args, **kwargs)


@mutant("RUNTIME-023")
class NumbersThenWrites(InMemoryStorageBackend):
    """The number is taken before a pause, and the message written after it."""

    async def add_conversation_message(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        before = self._messages_of_session.count((kwargs["tenant_id"], session_id))
        await asyncio.sleep(0)
        while self._messages_of_session.count((kwargs["tenant_id"], session_id)) > before:
            newest = next(self._messages_of_session.backwards((kwargs["tenant_id"], session_id)))
            self._messages.remove(newest.tenant_id, newest.id)
        return await super().add_conversation_message(session_id, *args, **kwargs)


@mutant("RUNTIME-024")
class ForgetsMessageIds(InMemoryStorageBackend):
    """A repeated message is a further one."""

    async def add_conversation_message(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        return await super().add_conversation_message(session_id, *args, **{**kwargs, "message_id": None})


@mutant("RUNTIME-024")
class MessageIdsPerTenant(InMemoryStorageBackend):
    """A message id of another session swallows the message."""

    async def add_conversation_message(self, session_id: str, *args: Any, **kwargs: Any) -> bool:
        wanted = kwargs.get("message_id")
        if wanted is not None and any(row.message_id == wanted for row in self._messages.rows(kwargs["tenant_id"])):
            return True
        return await super().add_conversation_message(session_id, *args, **kwargs)


@mutant("RUNTIME-025")
class ClipsTheLimit(InMemoryStorageBackend):
    """A limit is clipped to 1 to 1,000."""

    async def get_conversation_history(
        self, session_id: str, limit: int = 50, *, tenant_id: UUID | None = None
    ) -> list[ConversationMessage]:
        return await super().get_conversation_history(session_id, max(1, min(1000, limit or 50)), tenant_id=tenant_id)


@mutant("RUNTIME-026")
class StripsContent(InMemoryStorageBackend):
    """Content loses controls and blanks at its ends."""

    async def add_conversation_message(
        self, session_id: str, role: str, content: str, *args: Any, **kwargs: Any
    ) -> bool:
        plain = content.replace("\x00", "").strip()
        return await super().add_conversation_message(session_id, role, plain, *args, **kwargs)


@mutant("RUNTIME-027")
class StringifiesContent(InMemoryStorageBackend):
    """Content that is no str is made one."""

    async def add_conversation_message(
        self, session_id: str, role: str, content: str, *args: Any, **kwargs: Any
    ) -> bool:
        return await super().add_conversation_message(session_id, role, str(content), *args, **kwargs)
