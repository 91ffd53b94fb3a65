"""Row-level security policies, not in force until ``focal db row-level-security on``."""

from __future__ import annotations

from alembic import op

from focal_postgres.migrations import steps
from focal_postgres.names import POLICY

revision = "010_row_level_security"
down_revision = "009_sessions"


def upgrade() -> None:
    """Build it."""
    steps.apply(revision)


def downgrade() -> None:
    """Remove it. What was secured is so no longer: behind a policy, rows that would be lost are not seen."""
    schema = steps.schema_name()
    for statement in steps.statements(revision, schema):
        table = statement.split()[4]
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        op.execute(f"DROP POLICY {POLICY} ON {table}")
