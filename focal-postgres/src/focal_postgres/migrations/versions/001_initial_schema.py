"""Schema, pgvector, embedding spaces and the function that protects append-only tables."""

from __future__ import annotations

from focal_postgres.migrations import steps

revision = "001_initial_schema"
down_revision = None


def upgrade() -> None:
    """Build it."""
    steps.apply(revision)


def downgrade() -> None:
    """Remove it, unless rows would be lost."""
    steps.drop_tables("embedding_spaces")
    steps.drop_functions("refuse_change()")
