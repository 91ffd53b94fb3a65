"""What fields and assets have in common: where they come from, and whether they still count."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from typing import Self, TypedDict
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import FocalModel
from focal_core.ids import uuid7
from focal_core.profile.models.enums import LINKED_SOURCES, ItemStatus, SourceType
from focal_core.values import JSONObject, UTCDateTime


class ProfileItem(FocalModel):
    """One version of a field or of an asset.

    Lineage (``source_item_*``) is written once. ``status``, ``superseded_by_id`` and ``superseded_at`` are the
    store's: what a caller gives there is not taken over.

    Attributes:
        id: names this version.
        source_item_id: the field or asset it was derived from; given exactly when the type is one of these (INV-F2).
        source_item_type: what it was derived from.
        source_metadata: how it was derived; for session, tool and external also the reference to them.
        status: what it still counts for.
        superseded_by_id: the version that took its place; set exactly when superseded (INV-F1).
        superseded_at: when that happened; set exactly when superseded.
        expires_at: first moment at which it counts no more, after it was taken in (INV-F4); None = never.
    """

    id: UUID = Field(default_factory=uuid7)
    source_item_id: UUID | None = None
    source_item_type: SourceType | None = None
    source_metadata: JSONObject = Field(default_factory=dict)
    status: ItemStatus = ItemStatus.ACTIVE
    superseded_by_id: UUID | None = None
    superseded_at: UTCDateTime | None = None
    expires_at: UTCDateTime | None = None

    @property
    @abstractmethod
    def taken_at(self) -> datetime:
        """When it was taken in; lists are sorted by it."""

    @property
    def is_orphaned(self) -> bool:
        """Whether what it was derived from is gone."""
        return self.status is ItemStatus.ORPHANED

    @model_validator(mode="after")
    def _check_item(self) -> Self:
        superseded = self.status is ItemStatus.SUPERSEDED
        if superseded != (self.superseded_by_id is not None) or superseded != (self.superseded_at is not None):
            raise PydanticCustomError(
                "focal.superseded_invalid",
                "superseded_by_id and superseded_at are set exactly when the status is superseded",
            )
        if (self.source_item_id is not None) != (self.source_item_type in LINKED_SOURCES):
            raise PydanticCustomError(
                "focal.lineage_invalid",
                "source_item_id is set exactly when source_item_type is profile_field or profile_asset",
            )
        if self.expires_at is not None and self.expires_at <= self.taken_at:
            raise PydanticCustomError("focal.expiry_invalid", "expires_at must be after the item was taken in")
        return self


class LineageItem(TypedDict):
    """One link of a derivation chain.

    Attributes:
        id: the item.
        type: ``profile_field`` or ``profile_asset``.
        name: its name.
        source_metadata: how it was derived.
    """

    id: UUID
    type: str
    name: str
    source_metadata: JSONObject
