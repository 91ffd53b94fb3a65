"""Messages of runtime conversations."""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import InvalidDataError
from focal_core.runtime.store import RuntimeStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data import hostile
from focal_testkit.data.runtime import OTHER_SESSION, SESSION
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

MESSAGE = UUID("0190a000-0000-7000-8000-000000000001")


class ConversationContract(ContractBase):
    """``add_conversation_message``, ``get_conversation_history``."""

    async def _contents(self, store: RuntimeStore, session_id: str = SESSION, limit: int = 1000) -> list[str]:
        return [one["content"] for one in await store.get_conversation_history(session_id, limit, tenant_id=OURS)]

    @requirement("RUNTIME-020", since="1.0")
    async def test_message_round_trip(self, store: RuntimeStore, clock: ManualClock) -> None:
        """A message comes back with every field, although its session was never created.

        If this fails: a key is missing, the time is not the clock's, or a session is demanded.
        """
        added = await store.add_conversation_message(
            SESSION, "user", "hello", {"lang": "en"}, message_id=MESSAGE, tenant_id=OURS
        )
        await store.add_conversation_message(SESSION, "tool", "", tenant_id=OURS)

        assert added is True
        first, second = await store.get_conversation_history(SESSION, tenant_id=OURS)
        assert first == {
            "id": str(MESSAGE),
            "session_id": SESSION,
            "role": "user",
            "content": "hello",
            "metadata": {"lang": "en"},
            "timestamp": first["timestamp"],
            "seq": first["seq"],
        }
        assert datetime.fromisoformat(first["timestamp"]) == clock.now()
        assert (second["role"], second["content"], second["metadata"]) == ("tool", "", {})
        assert UUID(second["id"]) != MESSAGE
        assert await store.get_session(SESSION, tenant_id=OURS) is None

    @requirement("RUNTIME-021", since="1.0")
    async def test_history_newest_limit_oldest_first(self, store: RuntimeStore) -> None:
        """History is the newest ``limit`` messages, 50 by default, oldest first.

        If this fails: the oldest are returned, or the newest come first, or ten sorts before nine.
        """
        for n in range(60):
            await store.add_conversation_message(SESSION, "user", f"m{n}", tenant_id=OURS)
        await store.add_conversation_message(OTHER_SESSION, "user", "elsewhere", tenant_id=OURS)
        await store.add_conversation_message(SESSION, "user", "theirs", tenant_id=THEIRS)

        assert await self._contents(store, limit=3) == ["m57", "m58", "m59"]
        by_default = await store.get_conversation_history(SESSION, tenant_id=OURS)
        assert [one["content"] for one in by_default] == [f"m{n}" for n in range(10, 60)]
        assert await self._contents(store) == [f"m{n}" for n in range(60)]
        assert await self._contents(store, "unknown") == []

    @requirement("RUNTIME-022", since="1.0")
    async def test_history_beyond_cap_keeps_newest(self, store: RuntimeStore) -> None:
        """Of more messages than one call returns, the newest are there, none is lost.

        If this fails: the store stops taking messages, or drops from the wrong end.
        """
        for n in range(1003):
            await store.add_conversation_message(SESSION, "user", str(n), tenant_id=OURS)

        assert await self._contents(store) == [str(n) for n in range(3, 1003)]

    @requirement("RUNTIME-023", since="1.0")
    async def test_message_seq_concurrent(self, store: RuntimeStore) -> None:
        """``seq`` strictly increases within a session, however many append at once.

        If this fails: two messages share a number, or one is lost.
        """
        await asyncio.gather(
            *(store.add_conversation_message(SESSION, "user", str(n), tenant_id=OURS) for n in range(40))
        )
        await store.add_conversation_message(SESSION, "user", "last", tenant_id=OURS)

        history = await store.get_conversation_history(SESSION, 1000, tenant_id=OURS)

        assert len(history) == 41
        assert all(earlier["seq"] < later["seq"] for earlier, later in pairwise(history))
        assert history[-1]["content"] == "last"

    @requirement("RUNTIME-024", since="1.0")
    async def test_message_id_repeat(self, store: RuntimeStore) -> None:
        """A message id stored in the session already is a no-op that returns True; another session's id is free.

        If this fails: a retry doubles or changes a message, or an id of another conversation swallows one.
        """
        for content in ("first", "changed"):
            assert await store.add_conversation_message(SESSION, "user", content, message_id=MESSAGE, tenant_id=OURS)
        assert await store.add_conversation_message(OTHER_SESSION, "user", "own", message_id=MESSAGE, tenant_id=OURS)
        await store.add_conversation_message(SESSION, "user", "second", tenant_id=OURS)

        assert await self._contents(store) == ["first", "second"]
        assert await self._contents(store, OTHER_SESSION) == ["own"]

    @requirement("RUNTIME-025", since="1.0")
    async def test_history_limit_bounds(self, store: RuntimeStore) -> None:
        """A limit outside 1 to 1,000 is refused.

        If this fails: a limit is clipped in silence, or means everything.
        """
        await store.add_conversation_message(SESSION, "user", "x", tenant_id=OURS)
        limits: list[Any] = [0, -1, 1001, None, True]

        for limit in limits:
            with pytest.raises(InvalidDataError):
                await store.get_conversation_history(SESSION, limit, tenant_id=OURS)

        assert len(await store.get_conversation_history(SESSION, 1, tenant_id=OURS)) == 1

    @pytest.mark.parametrize("corpus", sorted(hostile.TEXTS))
    @requirement("RUNTIME-026", since="1.0")
    async def test_hostile_content(self, store: RuntimeStore, corpus: str) -> None:
        """The content of a message comes back to the letter, whatever it holds.

        If this fails: the backend cannot hold the character and does not apply the text codec, or interprets it.
        """
        await store.add_conversation_message(SESSION, "user", hostile.TEXTS[corpus], tenant_id=OURS)

        assert await self._contents(store) == [hostile.TEXTS[corpus]]

    @requirement("RUNTIME-027", since="1.0")
    async def test_bad_content_refused(self, store: RuntimeStore) -> None:
        """Content that is no str or too long is refused, and nothing is appended.

        If this fails: content is stringified or cut.
        """
        contents: list[Any] = [None, b"x", 5, "x" * 1_048_577]

        for content in contents:
            with pytest.raises(InvalidDataError):
                await store.add_conversation_message(SESSION, "user", content, tenant_id=OURS)

        assert await self._contents(store) == []
