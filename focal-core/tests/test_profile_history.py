from __future__ import annotations

from uuid import UUID

import pytest

from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.audit.models import TurnRecord
from focal_core.conversation.models import Session
from focal_core.profile.history import audit_history, conversation_history
from focal_core.runtime.inmemory import InMemoryStorageBackend

TENANT = UUID(int=1)
AGENT = UUID(int=2)

pytestmark = pytest.mark.asyncio


async def test_gap_filling_reads_the_newest_turns_of_the_audit_trail() -> None:
    """The audit source gives the newest turns as messages, oldest first, of the session's tenant only."""
    audit = InMemoryAuditStore()
    session = Session(tenant_id=TENANT, agent_id=AGENT, channel="api", user_channel_id="u")
    for tenant, number, response in ((TENANT, 0, "old"), (TENANT, 1, "hi"), (TENANT, 2, None), (UUID(int=9), 3, "no")):
        await audit.save_turn(
            TurnRecord(
                tenant_id=tenant,
                session_id=session.session_id,
                turn_number=number,
                user_message=f"u{number}",
                assistant_response=response,
            )
        )

    messages = await audit_history(audit)(session, 2)

    assert [(one["role"], one["content"], one["seq"]) for one in messages] == [
        ("user", "u1", 2),
        ("assistant", "hi", 3),
        ("user", "u2", 4),
    ]


async def test_gap_filling_reads_the_end_of_a_long_audit_trail() -> None:
    """The newest turns are those of the last page, however many pages there are."""
    audit = InMemoryAuditStore()
    session = Session(tenant_id=TENANT, agent_id=AGENT, channel="api", user_channel_id="u")
    for number in range(1001):
        await audit.save_turn(
            TurnRecord(tenant_id=TENANT, session_id=session.session_id, turn_number=number, user_message=f"u{number}")
        )

    messages = await audit_history(audit)(session, 2)

    assert [one["content"] for one in messages] == ["u999", "u1000"]


async def test_gap_filling_reads_the_conversation_of_the_runtime_store() -> None:
    """The runtime source gives twice as many messages as turns, kept under the session's id."""
    storage = InMemoryStorageBackend()
    session = Session(tenant_id=TENANT, agent_id=AGENT, channel="api", user_channel_id="u")
    for number in range(7):
        await storage.add_conversation_message(str(session.session_id), "user", f"m{number}", tenant_id=TENANT)

    messages = await conversation_history(storage)(session, 3)

    assert [one["content"] for one in messages] == ["m1", "m2", "m3", "m4", "m5", "m6"]
