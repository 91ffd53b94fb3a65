"""Sessions."""

from __future__ import annotations

from focal_postgres.migrations import steps

revision = "009_sessions"
down_revision = "008_profile_schema"


def upgrade() -> None:
    """Build it."""
    steps.apply(revision)


def downgrade() -> None:
    """Remove it, unless rows would be lost."""
    steps.drop_tables("sessions")
