"""The port ``audit`` on PostgreSQL."""

from __future__ import annotations

from focal_postgres.audit.store import PostgresAuditStore

__all__ = ["PostgresAuditStore"]
