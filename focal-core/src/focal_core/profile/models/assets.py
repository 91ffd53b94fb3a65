"""What a customer handed in: references to documents, never their bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from focal_core.base import Alias
from focal_core.clock import utc_now
from focal_core.profile.models.items import ProfileItem
from focal_core.values import Identifier, Identifier50, Identifier100, JSONObject, RequiredText1024, UTCDateTime


class ProfileAsset(ProfileItem):
    """One version of a document or other file of a customer.

    Attributes:
        asset_type: what kind of file it is.
        name: what it is; ``asset_type`` by default. Several active assets may share a name.
        storage_provider: where the bytes are.
        storage_path: what they are called there, to the letter.
        mime_type: their media type.
        size_bytes: how many there are.
        checksum: their SHA-256, 64 hexadecimal digits.
        metadata: whatever else the application wants kept.
        uploaded_at: when it was handed in; the moment of construction by default.
        uploaded_in_session_id: the session it was handed in.
        uploaded_in_scenario_id: the scenario followed then.
        derived_from_tool: the tool that made it.
        verified: whether it was checked.
        verification_result: what the check said.
        retention_policy: name of the rule for how long it is kept.
        analysis_field_ids: fields that were read from it.
    """

    asset_type: Identifier50
    name: Identifier = Field(default_factory=lambda data: data["asset_type"])
    storage_provider: Identifier100 = "external"
    storage_path: RequiredText1024
    mime_type: Identifier | None = None
    size_bytes: int | None = Field(default=None, ge=0)
    checksum: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    metadata: JSONObject = Field(default_factory=dict)
    uploaded_at: UTCDateTime = Field(default_factory=utc_now)
    uploaded_in_session_id: UUID | None = None
    uploaded_in_scenario_id: UUID | None = None
    derived_from_tool: Identifier | None = None
    verified: bool = False
    verification_result: JSONObject | None = None
    retention_policy: Identifier100 = "permanent"
    analysis_field_ids: list[UUID] = Field(default_factory=list)

    asset_reference = Alias[str]("storage_path")
    created_at = Alias[datetime]("uploaded_at")

    @property
    def taken_at(self) -> datetime:
        """``uploaded_at``."""
        return self.uploaded_at
