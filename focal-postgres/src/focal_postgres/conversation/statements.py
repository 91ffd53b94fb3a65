"""The SQL of sessions, and how a session lies in its row."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from focal_core.conversation.models import Session
from focal_core.conversation.policy import SessionPolicy
from focal_postgres.documents import Document
from focal_postgres.layout import aware
from focal_postgres.transaction import Record

STORED = ("version", "created_at", "last_activity_at", "expires_at")
"""Fields the store decides: columns, and no part of the document."""

DOCUMENT = Document(Session, STORED)


class Write(NamedTuple):
    """One save: the columns of its row, in the order of the parameters, and what it expects.

    Attributes:
        created_at: for an update, what the stored one must be; None where any will do.
        expected: the version that must be stored; 0 where nothing may be.
    """

    tenant_id: UUID
    session_id: UUID
    agent_id: UUID
    customer_profile_id: UUID | None
    channel: str
    channel_hash: bytes
    status: str
    active_scenario_id: UUID | None
    last_activity_at: datetime
    created_at: datetime | None
    expected: int
    write_token: bytes
    digest: bytes
    document: str


_TYPES = {
    "tenant_id": "uuid",
    "session_id": "uuid",
    "agent_id": "uuid",
    "customer_profile_id": "uuid",
    "channel": "text",
    "channel_hash": "bytea",
    "status": "text",
    "active_scenario_id": "uuid",
    "last_activity_at": "timestamptz",
    "created_at": "timestamptz",
    "expected": "bigint",
    "write_token": "bytea",
    "digest": "bytea",
    "document": "json",
}
_OWN = ("agent_id", "customer_profile_id", "channel", "channel_hash", "status", "active_scenario_id")
_PROOF = ("write_token", "digest", "document")
_ONE = f"(VALUES ({', '.join(f'${at}::{kind}' for at, kind in enumerate(_TYPES.values(), 1))}))"
_MANY = f"unnest({', '.join(f'${at}::{kind}[]' for at, kind in enumerate(_TYPES.values(), 1))}) WITH ORDINALITY"
_READ = ", ".join(f"r.{name}" for name in ("document", *STORED))
_SAVED = "t.version, t.created_at, t.expires_at"


class Statements:
    """The statements of a schema under a policy.

    Those about several rows return first which of them a row is, counted from 1; ``create_many`` tenant and id instead.

    Args:
        schema: the schema.
        policy: how long sessions live.
    """

    def __init__(self, schema: str, policy: SessionPolicy) -> None:
        table = f"{schema}.sessions"
        state = ", ".join(f"r.{name}" for name in ("agent_id", "status", "write_token", "digest", *STORED))
        key = "r.tenant_id = $1 AND r.session_id = $2"
        self.get = f"SELECT {_READ} FROM {table} r WHERE {key} AND r.expires_at > $3"
        several = (
            "SELECT s.number, {read} FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY"
            " AS s (tenant_id, session_id, number)"
            f" JOIN {table} r ON r.tenant_id = s.tenant_id AND r.session_id = s.session_id WHERE r.expires_at > $3"
        )
        self.get_many = several.format(read=_READ)
        version = "r.version, r.last_activity_at"
        self.version = f"SELECT {version} FROM {table} r WHERE {key} AND r.expires_at > $3"
        self.version_many = several.format(read=version)
        self.state = f"SELECT {state} FROM {table} r WHERE {key} AND r.expires_at > $3"
        # As a literal in seconds: a parameter of days would follow the daylight saving of the server's time zone.
        idle = f"interval '{policy.idle_ttl_seconds} seconds'"
        age = f"interval '{policy.max_session_age_seconds} seconds'"
        # The driver writes the first moment of time as -infinity, to which nothing can be added.
        end = f"LEAST({{now}} + {idle}, GREATEST({{created}}, '0001-01-01 00:00+00') + {age})"
        our_end = end.format(now="s.last_activity_at", created="t.created_at")
        first_end = end.format(now="s.last_activity_at", created="s.created_at")
        ours = ", ".join(f"{name} = s.{name}" for name in (*_OWN, "last_activity_at", *_PROOF))
        update = (
            f"UPDATE {table} AS t SET {ours}, version = t.version + 1, expires_at = {our_end}"
            f" FROM {{rows}} AS s ({', '.join(_TYPES)}{{number}})"
            " WHERE t.tenant_id = s.tenant_id AND t.session_id = s.session_id AND t.version = s.expected"
            " AND t.expires_at > s.last_activity_at AND t.agent_id = s.agent_id"
            " AND (s.created_at IS NULL OR t.created_at = s.created_at)"
            f" AND (t.status <> 'closed' OR s.status = 'closed') RETURNING {{which}}{_SAVED}"
        )
        columns = [name for name in _TYPES if name != "expected"]
        values = ", ".join(f"s.{name}" for name in columns)
        kept = ("tenant_id", "session_id")
        theirs = ", ".join(f"{name} = EXCLUDED.{name}" for name in columns if name not in kept)
        gone = "t.expires_at <= EXCLUDED.last_activity_at"
        insert = (
            f"INSERT INTO {table} AS t ({', '.join(columns)}, expires_at, version) SELECT {values}, {first_end}, 1"
            f" FROM {{rows}} AS s ({', '.join(_TYPES)}{{number}}) ON CONFLICT (tenant_id, session_id) DO UPDATE"
        )
        anew = f"{theirs}, expires_at = EXCLUDED.expires_at, version = 1"
        create = f"{insert} SET {anew} WHERE {gone} RETURNING {{which}}{_SAVED}"
        one, many = {"rows": _ONE, "number": "", "which": ""}, {"rows": _MANY, "number": ", number"}
        self.update, self.update_many = update.format(**one), update.format(**many, which="s.number, ")
        self.create, self.create_many = (
            create.format(**one),
            create.format(**many, which="t.tenant_id, t.session_id, "),
        )
        given = f"${len(_TYPES) + 1}::timestamptz"
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in (*_OWN, "last_activity_at", *_PROOF))
        self.force = (
            f"{insert.format(**one)} SET {changes},"
            f" created_at = CASE WHEN {gone} THEN EXCLUDED.created_at ELSE t.created_at END,"
            f" expires_at = CASE WHEN {gone} THEN EXCLUDED.expires_at"
            f" ELSE {end.format(now='EXCLUDED.last_activity_at', created='t.created_at')} END,"
            f" version = CASE WHEN {gone} THEN 1 ELSE t.version + 1 END"
            f" WHERE {gone} OR (t.agent_id = EXCLUDED.agent_id AND ({given} IS NULL OR t.created_at = {given}))"
            f" RETURNING {_SAVED}"
        )
        self.delete = f"DELETE FROM {table} r WHERE {key} AND r.expires_at > $3 RETURNING 1"
        self.candidates = f"SELECT tenant_id FROM {table} WHERE session_id = $1 AND expires_at > $2"
        found = f"SELECT r.tenant_id, r.session_id FROM {table} r WHERE"
        late = "r.expires_at <= $1 ORDER BY r.expires_at, r.session_id LIMIT $2 FOR UPDATE SKIP LOCKED"
        removal = (
            f"DELETE FROM {table} d USING found f WHERE d.tenant_id = f.tenant_id AND d.session_id = f.session_id"
            " AND d.expires_at <= $1 RETURNING 1"
        )
        self.cleanup = f"WITH found AS MATERIALIZED ({found} {late}) {removal}"
        self.cleanup_tenant = f"WITH found AS MATERIALIZED ({found} r.tenant_id = $3 AND {late}) {removal}"
        self.list_by_agent = "r.tenant_id = $1 AND r.agent_id = $2 AND r.expires_at > $3"
        self.list_by_customer = "r.tenant_id = $1 AND r.customer_profile_id = $2 AND r.expires_at > $3"
        self.by_channel = (
            f"SELECT {_READ} FROM {table} r WHERE r.tenant_id = $1 AND r.channel_hash = $2 AND r.status <> 'closed'"
            " AND r.expires_at > $3 AND ($4::uuid IS NULL OR r.agent_id = $4)"
            " ORDER BY r.last_activity_at DESC, r.session_id LIMIT 1"
        )


class SessionRows:
    """How sessions are selected and read."""

    def select(self) -> str:
        """Return the select list, on the alias ``r``."""
        return _READ

    def source(self, schema: str) -> str:
        """Return the FROM item."""
        return f"{schema}.sessions r"

    def load(self, record: Record) -> Session:
        """Return the session of a record."""
        return DOCUMENT.load(
            record["document"],
            version=record["version"],
            created_at=aware(record["created_at"]),
            last_activity_at=aware(record["last_activity_at"]),
            expires_at=aware(record["expires_at"]),
        )


def columns(rows: list[Write]) -> list[list[Any]]:
    """Return the parameters of a statement over several rows: one array per column."""
    return [list(column) for column in zip(*rows, strict=True)]
