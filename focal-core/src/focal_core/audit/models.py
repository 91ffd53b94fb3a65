"""What happened: turn records and audit events, frozen at every depth.

Nested lists are tuples and nested mappings read-only; ``model_dump()`` yields plain types.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from focal_core.base import Alias, FocalModel, FrozenModel
from focal_core.clock import utc_now
from focal_core.ids import uuid7
from focal_core.usage import TokenUsage
from focal_core.values import (
    FrozenJSONObject,
    FrozenJSONValue,
    Identifier,
    Identifier50,
    Text,
    UTCDateTime,
    canonical_json,
)

_NO_OBJECT: Mapping[str, Any] = {}


class AuditRecord(FocalModel):
    """Base of the append-only records: frozen, compared and digested by content.

    Attributes:
        id: id of the record.
        tenant_id: the owner.
        created_at: when it happened; a value given at construction survives.
        recorded_at: when it was stored; always the store's clock.
    """

    model_config = ConfigDict(frozen=True)
    clock_fields: ClassVar[frozenset[str]] = frozenset({"recorded_at"})

    id: UUID = Field(default_factory=uuid7)
    tenant_id: UUID
    created_at: UTCDateTime = Field(default_factory=utc_now)
    recorded_at: UTCDateTime = Field(default_factory=utc_now)

    def digest(self) -> bytes:
        """Return SHA-256 over the canonical JSON of the content, clock fields left out: the key of idempotency."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json", exclude=set(self.clock_fields)))).digest()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.digest() == other.digest()

    def __hash__(self) -> int:
        return hash((type(self), self.tenant_id, self.id))


class ToolCall(FrozenModel):
    """One tool that was run during a turn.

    Attributes:
        tool_id: the tool.
        tool_name: its name for people.
        input: what it was given.
        output: what it returned.
        success: whether it worked.
        error: why it did not.
        latency_ms: how long it took.
    """

    tool_id: Identifier
    tool_name: Identifier | None = None
    input: FrozenJSONObject = Field(default=_NO_OBJECT, validate_default=True)
    output: FrozenJSONValue = None
    success: bool = True
    error: Text | None = None
    latency_ms: float | None = Field(default=None, ge=0)


class ScenarioState(FrozenModel):
    """Where a scenario stood when a turn ended."""

    scenario_id: UUID
    step_id: UUID | None = None
    version: int | None = Field(default=None, ge=1)


class TurnRecord(AuditRecord):
    """One turn of a conversation: what was said, matched, run and spent.

    Attributes:
        agent_id: the agent, when known.
        session_id: the session.
        turn_number: from 0; unique within the session.
        user_message: what the user said; may be empty.
        assistant_response: what was answered.
        context_extracted: what was understood.
        rules_matched: the rules that applied, in order.
        scenario_state: where the scenario stood.
        tools_executed: the tools that ran, in order.
        token_usage: tokens spent; an int given as ``tokens_used`` is the total.
        latency_ms: how long the turn took.
        extra: whatever else the application wants kept.
    """

    agent_id: UUID | None = None
    session_id: UUID
    turn_number: int = Field(ge=0)
    user_message: Text
    assistant_response: Text | None = None
    context_extracted: FrozenJSONObject | None = None
    rules_matched: tuple[UUID, ...] = ()
    scenario_state: ScenarioState | None = None
    tools_executed: tuple[ToolCall, ...] = ()
    token_usage: TokenUsage | None = None
    latency_ms: float | None = Field(default=None, ge=0)
    extra: FrozenJSONObject = Field(default=_NO_OBJECT, validate_default=True)

    turn_id = Alias[UUID]("id")
    agent_response = Alias[str | None]("assistant_response")
    matched_rule_ids = Alias[tuple[UUID, ...]]("rules_matched")
    tool_calls = Alias[tuple[ToolCall, ...]]("tools_executed")
    tokens_used = Alias[TokenUsage | None]("token_usage")
    timestamp = Alias[UTCDateTime]("created_at")
    occurred_at = Alias[UTCDateTime]("created_at")

    @model_validator(mode="before")
    @classmethod
    def _read_total(cls, data: Any) -> Any:
        usage = data.get("tokens_used", data.get("token_usage")) if isinstance(data, dict) else None
        if isinstance(usage, int) and not isinstance(usage, bool):
            name = "tokens_used" if "tokens_used" in data else "token_usage"
            return {**data, name: {"total_tokens": usage}}
        return data


class AuditEvent(AuditRecord):
    """Something worth keeping besides turns.

    Attributes:
        event_type: what kind of thing, such as ``"profile.merged"``.
        event_data: what is known of it.
        session_id: the session it belongs to, if any.
        turn_id: the turn it belongs to, if any; not checked, so an event may come before its turn.
    """

    event_type: Identifier50
    event_data: FrozenJSONObject = Field(default=_NO_OBJECT, validate_default=True)
    session_id: UUID | None = None
    turn_id: UUID | None = None

    timestamp = Alias[UTCDateTime]("created_at")
