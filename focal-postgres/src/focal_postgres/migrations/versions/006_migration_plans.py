"""Migration plans and archived versions of scenarios."""

from __future__ import annotations

from focal_postgres.migrations import steps

revision = "006_migration_plans"
down_revision = "005_profile_store"


def upgrade() -> None:
    """Build it."""
    steps.apply(revision)


def downgrade() -> None:
    """Remove it, unless rows would be lost."""
    steps.drop_tables("migration_plans", "scenario_archives")
