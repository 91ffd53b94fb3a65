"""The in-memory reference of the profiles port: the sum of its parts, one file each."""

from __future__ import annotations

from focal_core.profile.inmemory.assets import InMemoryProfileAssets
from focal_core.profile.inmemory.channels import InMemoryProfileChannels
from focal_core.profile.inmemory.fields import InMemoryProfileFields
from focal_core.profile.inmemory.lineage import InMemoryProfileLineage
from focal_core.profile.inmemory.records import InMemoryProfileRecords
from focal_core.profile.inmemory.requirements import InMemoryScenarioRequirements
from focal_core.profile.inmemory.schema import InMemoryFieldSchema
from focal_core.profile.store import ProfileStore

__all__ = [
    "InMemoryFieldSchema",
    "InMemoryProfileAssets",
    "InMemoryProfileChannels",
    "InMemoryProfileFields",
    "InMemoryProfileLineage",
    "InMemoryProfileRecords",
    "InMemoryProfileStore",
    "InMemoryScenarioRequirements",
]


class InMemoryProfileStore(
    InMemoryProfileRecords,
    InMemoryProfileFields,
    InMemoryProfileAssets,
    InMemoryScenarioRequirements,
    ProfileStore,
):
    """Customer profiles in memory."""
