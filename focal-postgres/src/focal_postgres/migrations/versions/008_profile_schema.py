"""Field definitions, scenario requirements and consents, with the functions that erase."""

from __future__ import annotations

from focal_postgres.migrations import steps

revision = "008_profile_schema"
down_revision = "007_vector_indexes"


def upgrade() -> None:
    """Build it."""
    steps.apply(revision)


def downgrade() -> None:
    """Remove it, unless rows would be lost."""
    steps.drop_tables("consents", "scenario_field_requirements", "profile_field_definitions")
    steps.drop_functions("erase_consents(uuid, uuid)", "erase_tenant_profiles(uuid)")
