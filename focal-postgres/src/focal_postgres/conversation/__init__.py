"""The port ``sessions`` on PostgreSQL."""

from __future__ import annotations

from focal_postgres.conversation.store import PostgresSessionStore

__all__ = ["PostgresSessionStore"]
