"""Builders of sessions with fixed ids; their times are the store's clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from focal_core.clock import Clock
from focal_core.conversation.models import Channel, Session, StepVisit
from focal_testkit.data.audit import AGENT, numbered
from focal_testkit.scenarios import OURS

OTHER_AGENT = numbered(1, kind=9)
CUSTOMER = numbered(2, kind=9)
OTHER_CUSTOMER = numbered(3, kind=9)
SCENARIO = numbered(4, kind=9)
OTHER_SCENARIO = numbered(5, kind=9)
STEP = numbered(6, kind=9)
OTHER_STEP = numbered(7, kind=9)
USER = "O'Brien:42"


def session(n: int = 0, tenant: UUID = OURS, **fields: Any) -> Session:
    """Return a new session ``n`` of one person on one channel; ids ascend with n."""
    given: dict[str, Any] = {
        "session_id": numbered(n, kind=3),
        "tenant_id": tenant,
        "agent_id": AGENT,
        "channel": Channel.WEBCHAT,
        "user_channel_id": USER,
    }
    return Session(**{**given, **fields})


def placed(n: int = 0, tenant: UUID = OURS, **fields: Any) -> Session:
    """Return a new session of a known customer that stands at a step, so that every read can find it."""
    given: dict[str, Any] = {
        "customer_profile_id": CUSTOMER,
        "active_scenario_id": SCENARIO,
        "active_scenario_version": 1,
        "current_step_id": STEP,
    }
    return session(n, tenant, **{**given, **fields})


def copied(clock: Clock, n: int = 0, tenant: UUID = OURS, *, version: int = 1, **fields: Any) -> Session:
    """Return a placed session as another store would return it: saved so many times, just now for the last time."""
    now = clock.now()
    saved = {"created_at": now, "last_activity_at": now, "expires_at": now + timedelta(days=1), "version": version}
    return placed(n, tenant, **{**saved, **fields})


def visit(step_id: UUID, at: datetime, turn_number: int = 0, **fields: Any) -> StepVisit:
    """Return a visit of a step."""
    return StepVisit(step_id=step_id, entered_at=at, turn_number=turn_number, **fields)
