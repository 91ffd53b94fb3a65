"""How audit records lie in their tables, and the SQL that appends them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from focal_core.audit.models import AuditEvent, AuditRecord, TurnRecord
from focal_core.context import Limits
from focal_postgres.documents import Document
from focal_postgres.layout import aware
from focal_postgres.transaction import Record

A = TypeVar("A", bound=AuditRecord)


class Entry(NamedTuple):
    """A record that is about to be appended: the parameters of its row, tenant and id first, payload last."""

    tenant_id: UUID
    id: UUID
    values: tuple[Any, ...]
    payload: str


class Records(Generic[A]):
    """Records of one kind.

    The payload is the whole record but ``recorded_at``. The digest is SHA-256 of the payload as it was sent: equal
    digests prove equal content, unequal ones leave it to the records themselves, since keys of an object may come in
    another order.

    Args:
        model: the class.
        table: its table, without schema.
        keys: column -> SQL type of the fields that are columns as well, besides tenant and id.
    """

    def __init__(self, model: type[A], table: str, keys: Mapping[str, str]) -> None:
        self.table = table
        self._keys = tuple(keys)
        self._document = Document(model, {"recorded_at"})
        types = {"tenant_id": "uuid", "id": "uuid", **keys, "recorded_at": "timestamptz", "digest": "bytea"}
        types["payload"] = "jsonb"
        one = f"(VALUES ({', '.join(f'${at}::{kind}' for at, kind in enumerate(types.values(), 1))}))"
        many = f"unnest({', '.join(f'${at}::{kind}[]' for at, kind in enumerate(types.values(), 1))})"
        names = ", ".join(types)
        append = (
            f"INSERT INTO {{schema}}.{table} ({names}) SELECT {names} FROM {{rows}} AS s ({names})"
            " ON CONFLICT DO NOTHING RETURNING tenant_id, id"
        )
        self._append, self._append_many = append.replace("{rows}", one), append.replace("{rows}", many)

    def append(self, schema: str) -> str:
        """Return the statement that appends one record, and returns its key unless something was in the way."""
        return self._append.format(schema=schema)

    def append_many(self, schema: str) -> str:
        """Return the statement that appends several records, and returns the keys of those that were appended."""
        return self._append_many.format(schema=schema)

    def admit(self, record: A, limits: Limits, now: datetime) -> tuple[A, Entry]:
        """Return a validated copy of a record as it is appended now, and its row.

        Raises:
            InvalidDataError: the record is invalid, or a part of it exceeds a limit.
        """
        row, payload = self._document.admit(record, limits)
        row.set_stored(recorded_at=now)
        held = row.__dict__
        digest = hashlib.sha256(payload.encode()).digest()
        keys = (held[name] for name in self._keys)
        return row, Entry(row.tenant_id, row.id, (row.tenant_id, row.id, *keys, now, digest, payload), payload)

    def select(self) -> str:
        """Return the select list, on the alias ``r``."""
        return "r.payload, r.recorded_at"

    def source(self, schema: str) -> str:
        """Return the FROM item."""
        return f"{schema}.{self.table} r"

    def load(self, record: Record) -> A:
        """Return the record of a row."""
        return self._document.load(record["payload"], recorded_at=aware(record["recorded_at"]))


TURNS = Records(
    TurnRecord,
    "turn_records",
    {"session_id": "uuid", "agent_id": "uuid", "turn_number": "bigint", "created_at": "timestamptz"},
)
EVENTS = Records(
    AuditEvent,
    "audit_events",
    {"session_id": "uuid", "turn_id": "uuid", "event_type": "text", "created_at": "timestamptz"},
)
