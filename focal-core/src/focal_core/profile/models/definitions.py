"""What an agent wants to know of customers: definitions of fields, and which scenario needs which."""

from __future__ import annotations

from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import AgentScoped, Versioned
from focal_core.ids import uuid7
from focal_core.profile.models.enums import FallbackAction, FieldScope, RequiredLevel, ValidationMode, ValueType
from focal_core.profile.patterns import compile_pattern
from focal_core.values import Confidence, Identifier, JSONValue, Text


def _compiles(pattern: str) -> str:
    compile_pattern(pattern)
    return pattern


class ProfileFieldDefinition(AgentScoped, Versioned):
    """What an agent expects of a field; unique by tenant, agent and name (INV-D1).

    Attributes:
        id: id of the definition.
        name: name of the field.
        display_name: the name people read; ``name`` by default.
        description: what the field means.
        value_type: type of its values.
        validation_regex: pattern the whole of a text value must match; no look-around, no back-references.
        validation_tool_id: tool that checks values further; not called by focal.
        allowed_values: the values it may have, types included: True is not 1.
        validation_mode: what becomes of a violation.
        required_verification: whether only a verified value counts.
        verification_methods: how it may be verified.
        collection_prompt: how to ask for it.
        extraction_examples: examples for extraction.
        extraction_prompt_hint: what to tell the model that extracts it.
        is_pii: whether it is personal data.
        encryption_required: whether it may be stored sealed only; needs ``is_pii`` (INV-D2).
        retention_days: days after which a value expires that has no ``expires_at`` of its own (INV-D3).
        freshness_seconds: age beyond which a value is stale; None, also given as 0, = never.
        scope: what the field belongs to.
        persist: whether values found by gap filling are stored.
        enabled: whether it is in use.
    """

    id: UUID = Field(default_factory=uuid7)
    name: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,49}$")]
    display_name: Text = Field(default_factory=lambda data: data["name"])
    description: Text | None = None
    value_type: ValueType = ValueType.STRING
    validation_regex: Annotated[str, AfterValidator(_compiles)] | None = None
    validation_tool_id: Identifier | None = None
    allowed_values: Annotated[list[JSONValue], Field(min_length=1)] | None = None
    validation_mode: ValidationMode = ValidationMode.STRICT
    required_verification: bool = False
    verification_methods: list[Identifier] = Field(default_factory=list)
    collection_prompt: Text | None = None
    extraction_examples: list[Text] = Field(default_factory=list)
    extraction_prompt_hint: Text | None = None
    is_pii: bool = False
    encryption_required: bool = False
    retention_days: int | None = Field(default=None, ge=1)
    freshness_seconds: Annotated[
        Annotated[int, Field(ge=1)] | None,
        BeforeValidator(lambda value: None if value == 0 and not isinstance(value, bool) else value),
    ] = None
    scope: FieldScope = FieldScope.IDENTITY
    persist: bool = True
    enabled: bool = True

    @model_validator(mode="after")
    def _check_encryption(self) -> Self:
        if self.encryption_required and not self.is_pii:
            raise PydanticCustomError("focal.encryption_without_pii", "encryption_required needs is_pii")
        return self


class ScenarioFieldRequirement(AgentScoped):
    """A field a scenario needs; unique by tenant, agent, scenario, step, rule and field name (INV-Q1).

    Attributes:
        id: id of the requirement.
        scenario_id: the scenario.
        step_id: the step that needs it; None = the whole scenario.
        rule_id: the rule that needs it, if one does.
        field_name: the field.
        required_level: whether the scenario can go on without; soft when the fallback is to skip (INV-Q2).
        fallback_action: what to do when it is missing.
        when_condition: when it applies, in words or in a language the caller evaluates; None = always.
        depends_on_fields: fields to have before this one; not itself (INV-Q3).
        collection_order: lists are sorted by it, ascending.
        needs_human_review: whether a person must look at the value.
        extraction_confidence: confidence an extracted value needs at least.
    """

    id: UUID = Field(default_factory=uuid7)
    scenario_id: UUID
    step_id: UUID | None = None
    rule_id: UUID | None = None
    field_name: Identifier
    required_level: RequiredLevel = RequiredLevel.HARD
    fallback_action: FallbackAction = FallbackAction.ASK
    when_condition: Text | None = None
    depends_on_fields: list[Identifier] = Field(default_factory=list)
    collection_order: int = 0
    needs_human_review: bool = False
    extraction_confidence: Confidence = 0.85

    @model_validator(mode="after")
    def _check_requirement(self) -> Self:
        if self.fallback_action is FallbackAction.SKIP and self.required_level is not RequiredLevel.SOFT:
            raise PydanticCustomError("focal.skip_needs_soft", "fallback_action skip needs required_level soft")
        if self.field_name in self.depends_on_fields:
            raise PydanticCustomError("focal.depends_on_itself", "a field must not depend on itself")
        return self
