"""Where a conversation stands: sessions, their steps and scenarios, and the channels people use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Self
from uuid import UUID

from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import Alias, FocalModel, FrozenModel, TolerantEnum
from focal_core.clock import utc_now
from focal_core.ids import uuid7
from focal_core.values import Confidence, Identifier, JSONObject, JSONValue, Text, UTCDateTime

Count = Annotated[int, Field(ge=0)]
"""A number of times, or a turn number, which counts from 0."""

_CHANNEL_NAME = re.compile(r"[a-z][a-z0-9_-]{0,49}")


class Channel(TolerantEnum):
    """The way a person reaches an agent; open: any other lower-case name of up to 50 characters is a channel too.

    Channels are equal, and hash, by value. A further channel is a value, not a new member: reading a million
    different names costs no memory afterwards.
    """

    WHATSAPP = "whatsapp"
    SLACK = "slack"
    WEBCHAT = "webchat"
    WEB = "webchat"
    EMAIL = "email"
    VOICE = "voice"
    SMS = "sms"
    API = "api"

    @classmethod
    def alias_map(cls) -> Mapping[str, str]:
        """Return the short names of webchat."""
        return {"web": "webchat", "chat": "webchat"}

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if (member := super()._missing_(value)) is not None or not isinstance(value, str):
            return member
        name = value.lower()
        if _CHANNEL_NAME.fullmatch(name) is None:
            return None
        channel = str.__new__(cls, name)
        channel._name_ = name.upper()
        channel._value_ = name
        return channel


class SessionStatus(TolerantEnum):
    """What a session is doing; closed is the end."""

    ACTIVE = "active"
    IDLE = "idle"
    PROCESSING = "processing"
    INTERRUPTED = "interrupted"
    CLOSED = "closed"


class TransitionReason(TolerantEnum):
    """Why a step was entered."""

    ENTRY = "entry"
    TRANSITION = "transition"
    RELOCALIZE = "relocalize"


class InstanceStatus(TolerantEnum):
    """What one of several scenarios of a session is doing."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class Tier(TolerantEnum):
    """Where a two-tier store keeps a session."""

    HOT = "hot"
    """In the fast tier, and in the lasting one as well."""
    PERSIST = "persist"
    """In the lasting tier only."""


class StepVisit(FrozenModel):
    """One stay at a step of a scenario; never changes.

    Attributes:
        step_id: the step.
        step_name: its name when it was entered.
        entered_at: when it was entered.
        turn_number: the turn that entered it.
        transition_reason: why.
        confidence: how sure the choice of this step was.
        is_checkpoint: whether what was done here cannot be undone.
        checkpoint_description: what was done.
        step_content_hash: hash of the step's content when it was entered; how migrations find the step again.
    """

    step_id: UUID
    step_name: Identifier | None = None
    entered_at: UTCDateTime
    turn_number: Count
    transition_reason: TransitionReason | None = None
    confidence: Confidence = 1.0
    is_checkpoint: bool = False
    checkpoint_description: Text | None = None
    step_content_hash: Identifier | None = None


class PendingMigration(FocalModel):
    """A move to another version of the scenario, to be made at the session's next turn.

    Attributes:
        target_version: the version to move to.
        anchor_content_hash: hash of the step both versions share.
        migration_plan_id: the plan that asks for it.
        marked_at: when the session was marked.
    """

    target_version: int = Field(ge=1)
    anchor_content_hash: Identifier
    migration_plan_id: UUID
    marked_at: UTCDateTime


class ScenarioInstance(FocalModel):
    """One of several scenarios a session follows at a time.

    Attributes:
        scenario_id: the scenario.
        scenario_version: the version the session follows.
        current_step_id: where it stands.
        visited_steps: step -> number of visits.
        started_at: when it was begun.
        last_active_at: when it last moved.
        paused_at: when it was paused, if it is.
        variables: what it has collected.
        status: what it is doing.
    """

    scenario_id: UUID
    scenario_version: int = Field(ge=1)
    current_step_id: UUID
    visited_steps: dict[UUID, Count] = {}
    started_at: UTCDateTime
    last_active_at: UTCDateTime
    paused_at: UTCDateTime | None = None
    variables: dict[Identifier, JSONValue] = {}
    status: InstanceStatus = InstanceStatus.ACTIVE


class Session(FocalModel):
    """The state of one conversation between a person and an agent.

    ``active_scenario_id`` without a value means that its version and step have none either (INV-SE1): set the
    scenario first, and clear it last.

    Attributes:
        session_id: id of the session; with tenant_id, agent_id and created_at fixed by the first save (INV-SE2).
        tenant_id: the owner.
        agent_id: the agent talked to.
        channel: the way the person came.
        user_channel_id: the person's id on that channel.
        customer_profile_id: who the person is, once known.
        config_version: the version of the agent's configuration the session follows.
        status: what the session is doing; closed is terminal (INV-SE3).
        variables: what was collected, by name.
        variable_updated_at: when each variable was last set.
        active_scenario_id: the scenario the session follows.
        active_scenario_version: its version.
        current_step_id: the step it stands at.
        active_scenarios: all scenarios, when it follows several.
        step_history: the steps visited, newest last; a store keeps the newest ``SessionPolicy.step_history_limit``.
        step_history_dropped: visits that were dropped for it.
        relocalization_count: how often the step had to be searched anew.
        turn_count: turns so far.
        rule_fires: rule -> how often it applied.
        rule_last_fire_turn: rule -> the turn it last applied in.
        pending_migration: a move to another scenario version that is due.
        scenario_checksum: checksum of the scenario the session follows.
        metadata: whatever else the application wants kept.
        created_at: when the session began; the store's clock unless given before the first save.
        last_activity_at: when it was last saved; always the store's clock.
        expires_at: when it will be gone unless saved again; computed by the store.
        version: compare-and-swap token: 0 = not stored yet, advanced by exactly 1 in every save (INV-SE4).
    """

    session_id: UUID = Field(default_factory=uuid7)
    tenant_id: UUID
    agent_id: UUID
    channel: Channel
    user_channel_id: Identifier
    customer_profile_id: UUID | None = None
    config_version: int = Field(default=1, ge=1)
    status: SessionStatus = SessionStatus.ACTIVE
    variables: dict[Identifier, JSONValue] = {}
    variable_updated_at: dict[Identifier, UTCDateTime] = {}
    active_scenario_id: UUID | None = None
    active_scenario_version: int | None = Field(default=None, ge=1)
    current_step_id: UUID | None = None
    active_scenarios: list[ScenarioInstance] = []
    step_history: list[StepVisit] = []
    step_history_dropped: Count = 0
    relocalization_count: Count = 0
    turn_count: Count = 0
    rule_fires: dict[Identifier, Count] = {}
    rule_last_fire_turn: dict[Identifier, Count] = {}
    pending_migration: PendingMigration | None = None
    scenario_checksum: Identifier | None = None
    metadata: JSONObject = {}
    created_at: UTCDateTime = Field(default_factory=utc_now)
    last_activity_at: UTCDateTime = Field(default_factory=utc_now)
    expires_at: UTCDateTime | None = None
    version: int = Field(default=0, ge=0)

    id = Alias[UUID]("session_id")
    active_step_id = Alias[UUID | None]("current_step_id")

    _write_token: bytes | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _no_step_without_scenario(self) -> Self:
        stands = self.active_scenario_version is not None or self.current_step_id is not None
        if self.active_scenario_id is None and stands:
            raise PydanticCustomError(
                "focal.scenario_missing",
                "active_scenario_version and current_step_id need active_scenario_id",
            )
        return self
