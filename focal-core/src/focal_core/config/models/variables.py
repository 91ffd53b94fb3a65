"""Variables: values the agent looks up during a conversation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import AgentScoped, TolerantEnum, Versioned
from focal_core.ids import uuid7
from focal_core.values import Identifier, JSONValue, Text

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,49}")


def _check_name(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise PydanticCustomError(
            "focal.identifier_invalid",
            "a variable name has 1 to 50 characters of a-z, 0-9 and _, and starts with no digit",
        )
    return value


VariableName = Annotated[Identifier, AfterValidator(_check_name)]
"""``[a-z_][a-z0-9_]*``, 1 to 50 characters."""


class VariableUpdatePolicy(TolerantEnum):
    """When a variable is looked up anew."""

    ON_EACH_TURN = "on_each_turn"
    ON_DEMAND = "on_demand"
    ON_SCENARIO_ENTRY = "on_scenario_entry"
    ON_SESSION_START = "on_session_start"


class VariableMergePolicy(TolerantEnum):
    """How a new value meets the old one."""

    REPLACE = "replace"
    APPEND = "append"
    MERGE = "merge"


class Variable(AgentScoped, Versioned):
    """A value with a name.

    Attributes:
        id: id of the variable.
        name: what it is called; unique among the live variables of the agent.
        description: what it is for.
        default_value: what it is before it was looked up.
        merge_policy: how a new value meets the old one; also accepted as ``update_policy``.
        update_policy: when it is looked up anew.
        resolver_tool_id: the tool that looks it up.
        cache_ttl_seconds: how long a value stays good; 0 = not at all.
    """

    id: UUID = Field(default_factory=uuid7)
    name: VariableName
    description: Text | None = None
    default_value: JSONValue = None
    merge_policy: VariableMergePolicy = VariableMergePolicy.REPLACE
    update_policy: VariableUpdatePolicy = VariableUpdatePolicy.ON_DEMAND
    resolver_tool_id: Identifier | None = None
    cache_ttl_seconds: int = Field(default=0, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _move_merge_policy(cls, data: Any) -> Any:
        given = data.get("update_policy") if isinstance(data, Mapping) else None
        if not isinstance(given, str) or given.lower() not in set(VariableMergePolicy):
            return data
        moved = {name: value for name, value in data.items() if name != "update_policy"}
        if str(moved.setdefault("merge_policy", given)).lower() != given.lower():
            raise PydanticCustomError(
                "focal.alias_conflict", "'update_policy' and 'merge_policy' are given with different merge policies"
            )
        return moved
