"""The profiles port on PostgreSQL: the sum of its parts, one file each."""

from __future__ import annotations

from focal_core.profile.store import ProfileStore
from focal_postgres.profile.assets import PostgresProfileAssets
from focal_postgres.profile.fields import PostgresProfileFields
from focal_postgres.profile.records import PostgresProfileRecords
from focal_postgres.profile.requirements import PostgresScenarioRequirements
from focal_postgres.profile.saving import PostgresProfileSaving

__all__ = ["PostgresProfileStore"]


class PostgresProfileStore(
    PostgresProfileRecords,
    PostgresProfileFields,
    PostgresProfileAssets,
    PostgresScenarioRequirements,
    PostgresProfileSaving,
    ProfileStore,
):
    """Customer profiles on PostgreSQL."""
