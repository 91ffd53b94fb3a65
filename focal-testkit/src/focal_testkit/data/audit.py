"""Builders of audit records with fixed ids and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from focal_core.audit.models import AuditEvent, TurnRecord
from focal_core.usage import TokenUsage
from focal_testkit.data.generate import fixup
from focal_testkit.scenarios import OURS

SESSION = UUID("0190a000-0000-7000-8000-00000000005e")
OTHER_SESSION = UUID("0190a000-0000-7000-8000-00000000005f")
AGENT = UUID("0190a000-0000-7000-8000-0000000000a9")
START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


def numbered(n: int, kind: int = 0) -> UUID:
    """Return the n-th fixed id of a kind; ids ascend with n."""
    return UUID(int=(0x0190A000_0000_7000_8000 << 48) | (kind << 32) | n)


def turn(n: int = 0, tenant: UUID = OURS, **fields: Any) -> TurnRecord:
    """Return turn ``n`` of the session, a minute after turn ``n - 1``."""
    given: dict[str, Any] = {
        "id": numbered(n, kind=1),
        "tenant_id": tenant,
        "agent_id": AGENT,
        "session_id": SESSION,
        "turn_number": n,
        "user_message": f"message {n}",
        "created_at": START + timedelta(minutes=n),
    }
    return TurnRecord(**{**given, **fields})


def event(n: int = 0, tenant: UUID = OURS, **fields: Any) -> AuditEvent:
    """Return event ``n``, a minute after event ``n - 1``."""
    given: dict[str, Any] = {
        "id": numbered(n, kind=2),
        "tenant_id": tenant,
        "event_type": "rule.fired",
        "session_id": SESSION,
        "created_at": START + timedelta(minutes=n),
    }
    return AuditEvent(**{**given, **fields})


@fixup(TokenUsage)
def _total_covers_parts(values: dict[str, Any], random: Random) -> None:
    if "total_tokens" in values:
        values["total_tokens"] = values["prompt_tokens"] + values["completion_tokens"] + 1
