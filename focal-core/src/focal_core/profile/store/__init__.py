"""The profiles port: the sum of its parts, one file each."""

from __future__ import annotations

from typing import ClassVar

from focal_core.profile.store.assets import ProfileAssets
from focal_core.profile.store.channels import ProfileChannels
from focal_core.profile.store.fields import ProfileFields
from focal_core.profile.store.lineage import ProfileLineage
from focal_core.profile.store.records import ProfileRecords
from focal_core.profile.store.requirements import ScenarioRequirements
from focal_core.profile.store.schema import FieldSchema

__all__ = [
    "FieldSchema",
    "ProfileAssets",
    "ProfileChannels",
    "ProfileFields",
    "ProfileLineage",
    "ProfileRecords",
    "ProfileStore",
    "ScenarioRequirements",
]


class ProfileStore(
    ProfileRecords, ProfileFields, ProfileAssets, ProfileLineage, ProfileChannels, ScenarioRequirements, FieldSchema
):
    """Profiles of customers: what is known of them, where it comes from, and what is still missing."""

    port: ClassVar[str] = "profiles"
