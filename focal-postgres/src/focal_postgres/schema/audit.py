"""Tables of the port ``audit``: append-only."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Table, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB

from focal_postgres.schema.columns import index, metadata, moment_type, primary_key, text_type, uuid_type
from focal_postgres.schema.functions import APPEND_ONLY


def _record_columns() -> tuple[Column[Any], ...]:
    return (
        Column("created_at", moment_type(), nullable=False, server_default=text("now()")),
        Column("recorded_at", moment_type(), nullable=False, server_default=text("now()")),
        Column("digest", BYTEA, nullable=False),
        Column("payload", JSONB, nullable=False),
    )


turn_records = Table(
    "turn_records",
    metadata,
    Column("tenant_id", uuid_type(), nullable=False),
    Column("id", uuid_type(), nullable=False),
    Column("session_id", uuid_type(), nullable=False),
    Column("agent_id", uuid_type(), nullable=True),
    Column("turn_number", BigInteger, nullable=False),
    *_record_columns(),
    primary_key("turn_records"),
    UniqueConstraint("tenant_id", "session_id", "turn_number", name="uq_turn_records_turn_number"),
    index("turn_records", "created_at", "created_at", "id"),
    index("turn_records", "agent_id", "agent_id", "created_at", "id"),
    info={"then": APPEND_ONLY},
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("tenant_id", uuid_type(), nullable=False),
    Column("id", uuid_type(), nullable=False),
    Column("session_id", uuid_type(), nullable=True),
    Column("turn_id", uuid_type(), nullable=True),
    Column("event_type", text_type(), nullable=False),
    *_record_columns(),
    primary_key("audit_events"),
    index("audit_events", "created_at", "created_at", "id"),
    index("audit_events", "event_type", "event_type", "created_at", "id"),
    index("audit_events", "session_id", "session_id", "created_at", "id", where="session_id IS NOT NULL"),
    index("audit_events", "turn_id", "turn_id", "created_at", "id", where="turn_id IS NOT NULL"),
    info={"then": APPEND_ONLY},
)
