"""Customer profiles, their accounts, fields and assets."""

from __future__ import annotations

from focal_postgres.migrations import steps

revision = "005_profile_store"
down_revision = "004_audit_store"


def upgrade() -> None:
    """Build it."""
    steps.apply(revision)


def downgrade() -> None:
    """Remove it, unless rows would be lost."""
    steps.drop_tables("channel_identities", "profile_fields", "profile_assets", "customer_profiles")
