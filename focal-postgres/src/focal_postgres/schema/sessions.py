"""The table of the port ``sessions``."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Table, text
from sqlalchemy.dialects.postgresql import BYTEA

from focal_core.conversation.models import Session
from focal_postgres.schema.columns import enum_checks, index, metadata, moment_type, primary_key, text_type, uuid_type

sessions = Table(
    "sessions",
    metadata,
    Column("tenant_id", uuid_type(), nullable=False),
    Column("session_id", uuid_type(), nullable=False),
    Column("agent_id", uuid_type(), nullable=False),
    Column("customer_profile_id", uuid_type(), nullable=True),
    Column("channel", text_type(), nullable=False),
    Column("channel_hash", BYTEA, nullable=False),
    Column("status", text_type(), nullable=False, server_default=text("'active'")),
    Column("active_scenario_id", uuid_type(), nullable=True),
    Column("last_activity_at", moment_type(), nullable=False, server_default=text("now()")),
    Column("created_at", moment_type(), nullable=False, server_default=text("now()")),
    Column("expires_at", moment_type(), nullable=True),
    Column("version", BigInteger, nullable=False),
    Column("write_token", BYTEA, nullable=True),
    Column("digest", BYTEA, nullable=True),
    # Not JSONB: no index looks into it, and making JSONB of text and text of JSONB costs the server two fifths of all
    # that a save and a load cost it.
    Column("document", JSON, nullable=False),
    primary_key("sessions", "tenant_id", "session_id"),
    *enum_checks("sessions", Session),
    index("sessions", "agent_id", "agent_id", text("last_activity_at DESC"), "session_id"),
    index(
        "sessions",
        "customer_profile_id",
        "customer_profile_id",
        text("last_activity_at DESC"),
        "session_id",
        where="customer_profile_id IS NOT NULL",
    ),
    index("sessions", "channel_hash", "channel_hash", text("last_activity_at DESC"), "session_id"),
    index(
        "sessions",
        "active_scenario_id",
        "active_scenario_id",
        text("last_activity_at DESC"),
        "session_id",
        where="active_scenario_id IS NOT NULL",
    ),
    index("sessions", "expires_at", "expires_at", "session_id", where="expires_at IS NOT NULL"),
)
