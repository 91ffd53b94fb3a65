"""Episodes, entities and relationships."""

from __future__ import annotations

from focal_postgres.migrations import steps

revision = "003_memory_store"
down_revision = "002_config_store"


def upgrade() -> None:
    """Build it."""
    steps.apply(revision)


def downgrade() -> None:
    """Remove it, unless rows would be lost."""
    steps.drop_tables("relationships", "episode_vectors", "entity_vectors", "episodes", "entities")
