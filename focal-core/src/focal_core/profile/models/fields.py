"""What is known of a customer, value by value."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import Alias
from focal_core.clock import utc_now
from focal_core.profile.models.enums import ProfileFieldSource, ValueType
from focal_core.profile.models.items import ProfileItem
from focal_core.profile.value_types import matches_type
from focal_core.values import Confidence, Identifier, JSONValue, Text, UTCDateTime


class ProfileField(ProfileItem):
    """One version of a value known of a customer.

    Attributes:
        name: what the value is; at most one active version of a name in a profile (INV-P1).
        value: the value as typed JSON, matching ``value_type`` (INV-F5).
        value_type: its type.
        source: who or what it comes from.
        source_session_id: the session it came up in.
        source_scenario_id: the scenario followed then.
        source_step_id: the step stood at then.
        verified: whether it was checked.
        verification_method: how.
        verified_at: when.
        verified_by: by whom.
        confidence: how sure the source is.
        requires_confirmation: whether the customer should be asked before it is relied on.
        collected_at: when it was learnt; the moment of construction by default.
        updated_at: when this version was last written; always the store's clock.
        field_definition_id: the definition it follows.
    """

    name: Identifier
    value: JSONValue
    value_type: ValueType = ValueType.STRING
    source: ProfileFieldSource = ProfileFieldSource.USER_PROVIDED
    source_session_id: UUID | None = None
    source_scenario_id: UUID | None = None
    source_step_id: UUID | None = None
    verified: bool = False
    verification_method: Text | None = None
    verified_at: UTCDateTime | None = None
    verified_by: Text | None = None
    confidence: Confidence = 1.0
    requires_confirmation: bool = False
    collected_at: UTCDateTime = Field(default_factory=utc_now)
    updated_at: UTCDateTime = Field(default_factory=utc_now)
    field_definition_id: UUID | None = None

    field_name = Alias[str]("name")
    field_value = Alias[Any]("value")
    valid_from = Alias[datetime]("collected_at")
    valid_to = Alias[datetime | None]("expires_at")

    @property
    def taken_at(self) -> datetime:
        """``collected_at``."""
        return self.collected_at

    @model_validator(mode="after")
    def _check_type(self) -> Self:
        if not matches_type(self.value, self.value_type):
            raise PydanticCustomError("focal.value_type_mismatch", f"value is no {self.value_type.value}")
        return self
