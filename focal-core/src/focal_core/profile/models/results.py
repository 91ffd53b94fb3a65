"""What questions about profiles are answered with."""

from __future__ import annotations

from typing import Self, TypedDict
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import FocalModel
from focal_core.profile.models.assets import ProfileAsset
from focal_core.profile.models.definitions import ProfileFieldDefinition
from focal_core.profile.models.enums import FallbackAction, GapFillSource, RequiredLevel, SourceType
from focal_core.profile.models.fields import ProfileField
from focal_core.values import Confidence, Identifier, JSONObject, JSONValue, Text


class DerivedItems(TypedDict):
    """What was derived from an item.

    Attributes:
        fields: fields.
        assets: assets.
    """

    fields: list[ProfileField]
    assets: list[ProfileAsset]


class GapFillResult(FocalModel):
    """What came of looking for a missing value.

    Attributes:
        field_name: the field.
        filled: whether a valid value was found; then ``source`` says where and there are no errors (INV-G1).
        value: what was found, also when it is not valid.
        source: where.
        confidence: how sure it is.
        needs_confirmation: whether to ask the customer before relying on it.
        extraction_quote: the words of the conversation it was read from.
        field_definition: the field's definition.
        validation_errors: why the value is not valid, a sentence each.
        source_item_id: the item it comes from.
        source_item_type: what it comes from.
        source_metadata: how it was found.
        required_level: of the requirement.
        fallback_action: of the requirement.
        collection_order: of the requirement.
        blocked: whether the scenario cannot go on: not filled, required hard, and the fallback is to block.
    """

    field_name: Identifier
    filled: bool = False
    value: JSONValue = None
    source: GapFillSource = GapFillSource.NOT_FOUND
    confidence: Confidence = 0.0
    needs_confirmation: bool = False
    extraction_quote: Text | None = None
    field_definition: ProfileFieldDefinition | None = None
    validation_errors: list[Text] = Field(default_factory=list)
    source_item_id: UUID | None = None
    source_item_type: SourceType | None = None
    source_metadata: JSONObject = Field(default_factory=dict)
    required_level: RequiredLevel | None = None
    fallback_action: FallbackAction | None = None
    collection_order: int = 0
    blocked: bool = False

    @model_validator(mode="after")
    def _check_filled(self) -> Self:
        if self.filled and (self.source is GapFillSource.NOT_FOUND or self.validation_errors):
            raise PydanticCustomError("focal.filled_invalid", "a filled result has a source and no validation errors")
        return self
