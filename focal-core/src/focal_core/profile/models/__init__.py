"""Customers: profiles, fields, assets, definitions, requirements, and what questions about them are answered with."""

from __future__ import annotations

from focal_core.conversation.models import Channel
from focal_core.profile.models.assets import ProfileAsset
from focal_core.profile.models.definitions import ProfileFieldDefinition, ScenarioFieldRequirement
from focal_core.profile.models.enums import (
    LINKED_SOURCES,
    FallbackAction,
    FieldScope,
    GapFillSource,
    ItemStatus,
    MergePolicy,
    OnDependents,
    ProfileFieldSource,
    RequiredLevel,
    SourceType,
    ValidationMode,
    ValueType,
    VerificationLevel,
)
from focal_core.profile.models.fields import ProfileField
from focal_core.profile.models.items import LineageItem, ProfileItem
from focal_core.profile.models.profile import ChannelIdentity, Consent, CustomerProfile
from focal_core.profile.models.results import DerivedItems, GapFillResult
from focal_core.profile.policy import ProfilePolicy, StaleFieldAction

__all__ = [
    "LINKED_SOURCES",
    "Channel",
    "ChannelIdentity",
    "Consent",
    "CustomerProfile",
    "DerivedItems",
    "FallbackAction",
    "FieldScope",
    "GapFillResult",
    "GapFillSource",
    "ItemStatus",
    "LineageItem",
    "MergePolicy",
    "OnDependents",
    "ProfileAsset",
    "ProfileField",
    "ProfileFieldDefinition",
    "ProfileFieldSource",
    "ProfileItem",
    "ProfilePolicy",
    "RequiredLevel",
    "ScenarioFieldRequirement",
    "SourceType",
    "StaleFieldAction",
    "ValidationMode",
    "ValueType",
    "VerificationLevel",
]
