"""Tool activations: which tools an agent may use."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from focal_core.base import AgentScoped, Alias
from focal_core.ids import uuid7
from focal_core.values import Identifier, JSONObject, UTCDateTime


class ToolActivation(AgentScoped):
    """A tool switched on or off for an agent; one for each (tenant, agent, tool_id).

    Deleting removes it for good: ``deleted_at`` is never set.

    Attributes:
        id: id of the activation.
        tool_id: the tool.
        enabled: whether the agent may use it.
        policy_overrides: what differs from the tool's own policy.
        enabled_at: when it was last switched on, as the application says.
        disabled_at: when it was last switched off, as the application says.
    """

    id: UUID = Field(default_factory=uuid7)
    tool_id: Identifier
    enabled: bool = True
    policy_overrides: JSONObject = Field(default_factory=dict)
    enabled_at: UTCDateTime | None = None
    disabled_at: UTCDateTime | None = None

    policy_override = Alias[dict[str, Any]]("policy_overrides")
