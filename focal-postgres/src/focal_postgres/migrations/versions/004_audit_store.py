"""Turn records and audit events: append-only, with the functions that purge and erase."""

from __future__ import annotations

from focal_postgres.migrations import steps

revision = "004_audit_store"
down_revision = "003_memory_store"


def upgrade() -> None:
    """Build it."""
    steps.apply(revision)


def downgrade() -> None:
    """Remove it, unless rows would be lost."""
    steps.drop_tables("turn_records", "audit_events")
    steps.drop_functions("purge_audit(uuid, timestamptz, uuid[])", "erase_tenant_audit(uuid)")
