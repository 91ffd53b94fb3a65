"""A customer: who they are on each channel, what is known of them, what they agreed to."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from pydantic import Field, IPvAnyAddress, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import Alias, FocalModel, TenantScoped, Versioned
from focal_core.clock import utc_now
from focal_core.conversation.models import Channel
from focal_core.ids import uuid7
from focal_core.profile.models.assets import ProfileAsset
from focal_core.profile.models.enums import ItemStatus, VerificationLevel
from focal_core.profile.models.fields import ProfileField
from focal_core.values import Identifier, Identifier100, UTCDateTime


class ChannelIdentity(FocalModel):
    """A customer's account on a channel; belongs to at most one live profile of a tenant (INV-P3).

    Attributes:
        id: id of the identity.
        channel: the channel.
        channel_user_id: the customer's id there.
        verified: whether the account was shown to be the customer's.
        verified_at: when.
        primary: whether it is the account to use on this channel; at most one of a profile and channel (INV-CI1).
        created_at: when it was linked; always the store's clock.
    """

    id: UUID = Field(default_factory=uuid7)
    channel: Channel
    channel_user_id: Identifier
    verified: bool = False
    verified_at: UTCDateTime | None = None
    primary: bool = False
    created_at: UTCDateTime = Field(default_factory=utc_now)

    is_primary = Alias[bool]("primary")


class Consent(FocalModel):
    """Something a customer agreed to, or withdrew; never changed once recorded. The newest of a type is in effect.

    Attributes:
        id: id of the record.
        consent_type: what it is about.
        granted: whether the customer agrees.
        granted_at: when they agreed.
        revoked_at: when they withdrew it.
        source_session_id: the session it was given in.
        ip_address: the address it was given from.
        created_at: when it was recorded; always the store's clock.
    """

    id: UUID = Field(default_factory=uuid7)
    consent_type: Identifier100
    granted: bool
    granted_at: UTCDateTime | None = None
    revoked_at: UTCDateTime | None = None
    source_session_id: UUID | None = None
    ip_address: IPvAnyAddress | None = None
    created_at: UTCDateTime = Field(default_factory=utc_now)


class CustomerProfile(TenantScoped, Versioned):
    """All that is known of one customer.

    Identities and consents are listed by created_at, then id; active assets by uploaded_at, then id; histories
    newest first. ``row_version`` covers the profile's own values, not its fields, assets, identities and consents.

    Attributes:
        id: id of the profile.
        customer_id: the customer; unique in a tenant.
        external_id: the customer's id in another system; unique among the live profiles of a tenant.
        channel_identities: the customer's accounts.
        fields: the effectively active fields; the key is the field's name (INV-P2).
        field_history: every other version by name; filled only by reads with ``include_history``, never saved.
        assets: the effectively active assets.
        asset_history: every other asset version; filled only by reads with ``include_history``, never saved.
        verification_level: how well the customer is known.
        consents: everything they agreed to or withdrew.
        last_interaction_at: when they were last heard of.
        merged_into_id: the profile this one was merged into; set by stores only, and then deleted_at is set (INV-P4).
    """

    id: UUID = Field(default_factory=uuid7)
    customer_id: UUID = Field(default_factory=uuid7)
    external_id: Identifier | None = None
    channel_identities: list[ChannelIdentity] = Field(default_factory=list)
    fields: dict[Identifier, ProfileField] = Field(default_factory=dict)
    field_history: dict[Identifier, list[ProfileField]] = Field(default_factory=dict)
    assets: list[ProfileAsset] = Field(default_factory=list)
    asset_history: list[ProfileAsset] = Field(default_factory=list)
    verification_level: VerificationLevel = VerificationLevel.UNVERIFIED
    consents: list[Consent] = Field(default_factory=list)
    last_interaction_at: UTCDateTime | None = None
    merged_into_id: UUID | None = None

    @property
    def active_field_count(self) -> int:
        """Active fields."""
        return len(self.fields)

    @property
    def expired_field_count(self) -> int:
        """Expired field versions in the history; 0 when it was read without."""
        return sum(one.status is ItemStatus.EXPIRED for versions in self.field_history.values() for one in versions)

    @model_validator(mode="after")
    def _check_profile(self) -> Self:
        if self.merged_into_id is not None and self.deleted_at is None:
            raise PydanticCustomError("focal.merged_not_deleted", "merged_into_id needs deleted_at")
        misplaced = any(field.name != key for key, field in self.fields.items())
        if misplaced or any(one.name != key for key, versions in self.field_history.items() for one in versions):
            raise PydanticCustomError("focal.field_key_mismatch", "a field's key must be its name")
        accounts = [(one.channel, one.channel_user_id) for one in self.channel_identities]
        if len(set(accounts)) < len(accounts):
            raise PydanticCustomError("focal.identity_duplicate", "an account is listed twice")
        for listed in (self.consents, self.assets):
            if len({one.id for one in listed}) < len(listed):
                raise PydanticCustomError("focal.id_duplicate", "a consent or an asset is listed twice")
        primaries = [one.channel for one in self.channel_identities if one.primary]
        if len(set(primaries)) < len(primaries):
            raise PydanticCustomError("focal.primary_duplicate", "a channel has two primary accounts")
        return self
