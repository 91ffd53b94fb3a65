"""Tables of the port ``profiles``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Column, Constraint, Table, text

from focal_core.profile.models import (
    ChannelIdentity,
    Consent,
    CustomerProfile,
    ProfileAsset,
    ProfileField,
    ProfileFieldDefinition,
    ScenarioFieldRequirement,
)
from focal_postgres.names import ASSET_COLUMNS, FIELD_COLUMNS, IDENTITY_COLUMNS, PROFILE_PARTS
from focal_postgres.schema.columns import (
    check,
    columns_of,
    enum_checks,
    foreign_key,
    index,
    metadata,
    primary_key,
    unique,
    uuid_type,
)
from focal_postgres.schema.functions import APPEND_ONLY

_ACTIVE = "status = 'active'"
_NIL = "'00000000-0000-0000-0000-000000000000'::uuid"


def _owned(model: type[BaseModel], renamed: Mapping[str, str] | None = None) -> list[Column[Any]]:
    """Return the columns of what belongs to a profile."""
    return [
        Column("tenant_id", uuid_type(), nullable=False),
        Column("profile_id", uuid_type(), nullable=False),
        *columns_of(model, renamed=renamed),
    ]


def _owner(table: str) -> Constraint:
    return foreign_key(table, ("tenant_id", "profile_id"), "customer_profiles", ("tenant_id", "id"))


customer_profiles = Table(
    "customer_profiles",
    metadata,
    *columns_of(CustomerProfile, without=PROFILE_PARTS),
    primary_key("customer_profiles"),
    *enum_checks("customer_profiles", CustomerProfile),
    check("customer_profiles", "merged", "merged_into_id IS NULL OR deleted_at IS NOT NULL"),
    foreign_key("customer_profiles", ("tenant_id", "merged_into_id"), "customer_profiles", ("tenant_id", "id")),
    unique("customer_profiles", "customer_id", "customer_id"),
    unique("customer_profiles", "external_id", "external_id", where="external_id IS NOT NULL AND deleted_at IS NULL"),
    index("customer_profiles", "created_at", "created_at", "id", where="deleted_at IS NULL"),
    index("customer_profiles", "merged_into_id", "merged_into_id", where="merged_into_id IS NOT NULL"),
)

channel_identities = Table(
    "channel_identities",
    metadata,
    *_owned(ChannelIdentity, IDENTITY_COLUMNS),
    primary_key("channel_identities"),
    _owner("channel_identities"),
    unique("channel_identities", "account", "channel", "channel_user_id"),
    unique("channel_identities", "primary", "profile_id", "channel", where="is_primary"),
    index("channel_identities", "profile_id", "profile_id", "created_at", "id"),
)

profile_fields = Table(
    "profile_fields",
    metadata,
    *_owned(ProfileField, FIELD_COLUMNS),
    primary_key("profile_fields"),
    *enum_checks("profile_fields", ProfileField, FIELD_COLUMNS),
    _owner("profile_fields"),
    unique("profile_fields", "active_name", "profile_id", "field_name", where=_ACTIVE),
    index("profile_fields", "field_name", "profile_id", "field_name", text("collected_at DESC"), text("id DESC")),
    index("profile_fields", "expires_at", "expires_at", where=f"{_ACTIVE} AND expires_at IS NOT NULL"),
    index("profile_fields", "source_item_id", "source_item_id", where="source_item_id IS NOT NULL"),
)

profile_assets = Table(
    "profile_assets",
    metadata,
    *_owned(ProfileAsset, ASSET_COLUMNS),
    primary_key("profile_assets"),
    *enum_checks("profile_assets", ProfileAsset, ASSET_COLUMNS),
    _owner("profile_assets"),
    index("profile_assets", "name", "profile_id", "name", text("uploaded_at DESC"), text("id DESC")),
    index("profile_assets", "asset_type", "profile_id", "asset_type"),
    index("profile_assets", "expires_at", "expires_at", where=f"{_ACTIVE} AND expires_at IS NOT NULL"),
    index("profile_assets", "source_item_id", "source_item_id", where="source_item_id IS NOT NULL"),
)

consents = Table(
    "consents",
    metadata,
    *_owned(Consent),
    primary_key("consents"),
    _owner("consents"),
    index("consents", "consent_type", "profile_id", "consent_type", text("created_at DESC")),
    info={"then": APPEND_ONLY},
)

profile_field_definitions = Table(
    "profile_field_definitions",
    metadata,
    *columns_of(ProfileFieldDefinition),
    primary_key("profile_field_definitions"),
    *enum_checks("profile_field_definitions", ProfileFieldDefinition),
    unique("profile_field_definitions", "name", "agent_id", "name"),
)

scenario_field_requirements = Table(
    "scenario_field_requirements",
    metadata,
    *columns_of(ScenarioFieldRequirement),
    primary_key("scenario_field_requirements"),
    *enum_checks("scenario_field_requirements", ScenarioFieldRequirement),
    unique(
        "scenario_field_requirements",
        "place",
        "agent_id",
        "scenario_id",
        # NULLS NOT DISTINCT needs PostgreSQL 15.
        text(f"COALESCE(step_id, {_NIL})"),
        text(f"COALESCE(rule_id, {_NIL})"),
        "field_name",
    ),
    index("scenario_field_requirements", "collection_order", "scenario_id", "collection_order", "field_name", "id"),
)
