"""Builders of profiles, fields, assets, definitions and requirements with fixed ids and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from focal_core.conversation.models import Channel
from focal_core.profile.models import (
    ChannelIdentity,
    Consent,
    CustomerProfile,
    ProfileAsset,
    ProfileField,
    ProfileFieldDefinition,
    ScenarioFieldRequirement,
    ValueType,
)
from focal_testkit.data.audit import AGENT, numbered
from focal_testkit.data.generate import fixup
from focal_testkit.scenarios import OURS

START = datetime(2024, 5, 4, 9, 0, tzinfo=UTC)
"""When everything was collected: long past by any clock."""
MINUTE = timedelta(minutes=1)
LAPSED = START + timedelta(days=1)
"""An expiry behind everything built here, and long past."""
FAR = datetime(2124, 5, 4, tzinfo=UTC)
"""An expiry that no test reaches unless it moves the clock there."""
OTHER_AGENT = numbered(1, kind=9)
SCENARIO = numbered(4, kind=9)
OTHER_SCENARIO = numbered(5, kind=9)
STEP = numbered(6, kind=9)
OTHER_STEP = numbered(7, kind=9)
USER = "O'Brien:42"
"""A user name that takes quoting, and that other names begin with."""


def profile_id(n: int) -> UUID:
    """Return the id of profile ``n``."""
    return numbered(n, kind=41)


def field_id(n: int) -> UUID:
    """Return the id of field version ``n``."""
    return numbered(n, kind=42)


def asset_id(n: int) -> UUID:
    """Return the id of asset ``n``."""
    return numbered(n, kind=43)


PROFILE = profile_id(0)
OTHER = profile_id(1)
UNKNOWN = profile_id(99)


def profile(n: int = 0, tenant: UUID = OURS, **fields: Any) -> CustomerProfile:
    """Return profile ``n``, created a minute after profile ``n - 1``, with nothing in it."""
    given: dict[str, Any] = {
        "id": profile_id(n),
        "tenant_id": tenant,
        "customer_id": numbered(n, kind=48),
        "created_at": START + n * MINUTE,
    }
    return CustomerProfile(**{**given, **fields})


def identity(n: int = 0, **fields: Any) -> ChannelIdentity:
    """Return the channel identity of person ``n`` in the web chat."""
    given: dict[str, Any] = {"id": numbered(n, kind=44), "channel": Channel.WEBCHAT, "channel_user_id": f"{USER}{n}"}
    return ChannelIdentity(**{**given, **fields})


def item(n: int = 0, name: str = "email", **fields: Any) -> ProfileField:
    """Return field version ``n``, collected a minute after version ``n - 1``."""
    given: dict[str, Any] = {
        "id": field_id(n),
        "name": name,
        "value": f"value {n}",
        "collected_at": START + n * MINUTE,
    }
    return ProfileField(**{**given, **fields})


def holding(*items: ProfileField) -> dict[str, ProfileField]:
    """Return fields as a profile holds them: by name."""
    return {one.name: one for one in items}


def asset(n: int = 0, name: str = "passport", **fields: Any) -> ProfileAsset:
    """Return asset ``n``, uploaded a minute after asset ``n - 1``."""
    given: dict[str, Any] = {
        "id": asset_id(n),
        "name": name,
        "asset_type": "document",
        "storage_path": f"s3://vault/{n}",
        "uploaded_at": START + n * MINUTE,
    }
    return ProfileAsset(**{**given, **fields})


def derived(n: int, source: ProfileField | ProfileAsset, **fields: Any) -> ProfileField:
    """Return field version ``n`` named after its number and derived from another item."""
    return item(n, **{"name": f"derived_{n}", **_source(source), **fields})


def derived_asset(n: int, source: ProfileField | ProfileAsset, **fields: Any) -> ProfileAsset:
    """Return asset ``n`` named after its number and derived from another item."""
    return asset(n, **{"name": f"derived_{n}", **_source(source), **fields})


def _source(source: ProfileField | ProfileAsset) -> dict[str, Any]:
    kind = "profile_field" if isinstance(source, ProfileField) else "profile_asset"
    return {"source_item_id": source.id, "source_item_type": kind}


def consent(n: int = 0, kind: str = "marketing", granted: bool = True, **fields: Any) -> Consent:
    """Return consent ``n``."""
    return Consent(**{"id": numbered(n, kind=45), "consent_type": kind, "granted": granted, **fields})


def definition(n: int = 0, name: str = "email", tenant: UUID = OURS, **fields: Any) -> ProfileFieldDefinition:
    """Return field definition ``n`` of the agent."""
    given: dict[str, Any] = {
        "id": numbered(n, kind=46),
        "tenant_id": tenant,
        "agent_id": AGENT,
        "name": name,
        "value_type": ValueType.STRING,
    }
    return ProfileFieldDefinition(**{**given, **fields})


def needs(n: int = 0, name: str = "email", tenant: UUID = OURS, **fields: Any) -> ScenarioFieldRequirement:
    """Return requirement ``n`` of the scenario, collected in the order of the numbers."""
    given: dict[str, Any] = {
        "id": numbered(n, kind=47),
        "tenant_id": tenant,
        "agent_id": AGENT,
        "scenario_id": SCENARIO,
        "field_name": name,
        "collection_order": n,
    }
    return ScenarioFieldRequirement(**{**given, **fields})


_STORE_MANAGED = ("status", "superseded_by_id", "superseded_at", "source_item_id")


@fixup(ProfileField)
def _active_field(values: dict[str, Any], random: Random) -> None:
    for name in _STORE_MANAGED:
        values.pop(name, None)
    if "expires_at" in values:
        values["expires_at"] = FAR


@fixup(ProfileAsset)
def _active_asset(values: dict[str, Any], random: Random) -> None:
    _active_field(values, random)
    if "checksum" in values:
        values["checksum"] = f"{random.getrandbits(256):064x}"


@fixup(ChannelIdentity)
def _not_primary(values: dict[str, Any], random: Random) -> None:
    # Two generated identities are of one channel, and a channel has one primary at most.
    values.pop("primary", None)
    values.pop("created_at", None)


@fixup(Consent)
def _recorded_by_the_store(values: dict[str, Any], random: Random) -> None:
    values.pop("created_at", None)


@fixup(CustomerProfile)
def _in_order(values: dict[str, Any], random: Random) -> None:
    if isinstance(values.get("fields"), dict):
        values["fields"] = {one.name: one for one in values["fields"].values()}
    for name in ("channel_identities", "consents", "assets"):
        if isinstance(values.get(name), list):
            values[name].sort(key=lambda one: (getattr(one, "uploaded_at", None) or START, one.id))


@fixup(ProfileFieldDefinition)
def _plain_name(values: dict[str, Any], random: Random) -> None:
    values["name"] = values["name"].replace("name-", "name_")
