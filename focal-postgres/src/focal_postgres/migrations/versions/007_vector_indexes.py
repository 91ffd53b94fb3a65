"""The spaces of the usual models, and their vector indexes."""

from __future__ import annotations

import logging

from alembic import context, op
from sqlalchemy import text

from focal_postgres.migrations import steps

revision = "007_vector_indexes"
down_revision = "006_migration_plans"

TABLES = ("rule_vectors", "scenario_vectors", "episode_vectors", "entity_vectors")
PARENTS = {"rules": "condition_", "scenarios": "entry_", "episodes": "", "entities": ""}
SPACES = {1: 1536, 2: 1536}

logger = logging.getLogger("focal.postgres")


def _indexes() -> dict[str, str]:
    """Return name -> definition of the vector indexes."""
    return {
        f"hnsw_{table}_{space}": f"ON {steps.schema_name()}.{table} "
        f"USING hnsw ((l2_normalize(embedding)::halfvec({dims})) halfvec_cosine_ops) WHERE space_id = {space}"
        for table in TABLES
        for space, dims in SPACES.items()
    }


def _has_halfvec() -> bool:
    return context.is_offline_mode() or bool(op.get_bind().scalar(text("SELECT to_regtype('halfvec') IS NOT NULL")))


def upgrade() -> None:
    """Enter the spaces and build their indexes, concurrently; without halfvec (pgvector 0.7) searches stay exact."""
    steps.apply(revision)
    if not _has_halfvec():
        logger.warning("pgvector is older than 0.7: no vector index is built, every search compares all vectors")
        return
    with op.get_context().autocommit_block():
        # A concurrent build waits for every older transaction, however long it takes.
        op.execute("SET lock_timeout = 0")
        for name, definition in _indexes().items():
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} {definition}")
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    """Drop the indexes, and the spaces no vector uses."""
    schema = steps.schema_name()
    for name in _indexes():
        op.execute(f"DROP INDEX IF EXISTS {schema}.{name}")
    used = [
        *(f"SELECT space_id FROM {schema}.{table}" for table in TABLES),
        *(
            f"SELECT {prefix}embedding_space_id FROM {schema}.{table} WHERE {prefix}embedding_space_id IS NOT NULL"
            for table, prefix in PARENTS.items()
        ),
    ]
    op.execute(f"DELETE FROM {schema}.embedding_spaces WHERE id IN (1, 2) AND id NOT IN ({' UNION '.join(used)})")
