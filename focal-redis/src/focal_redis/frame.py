"""How a session lies in its key: a header of fixed size that scripts read, then the session as JSON.

The header is the authority for version and times; the JSON leaves them out. A later format may only append to it.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from pydantic_core import PydanticSerializationError, from_json, to_json

from focal_core.context import Limits
from focal_core.conversation.channels import channel_digest
from focal_core.conversation.models import Session, SessionStatus
from focal_core.documents import SCHEMA_VERSION, dump_document, load_document
from focal_core.errors import SchemaOutdatedError, StoreError
from focal_core.gate import check_sizes, revalidated, within_limits
from focal_core.inmemory.table import micros
from focal_core.revalidation import document_reader

FORMAT = 1
PACKED, ESCAPED = 1, 2
"""Flags: the JSON is compressed; its text is that of ``focal_core.textcodec``."""
SMALLEST_PACKED = 1024
"""Bytes of JSON below which compression gains nothing."""

AGENT, CUSTOMER, SCENARIO, CHANNEL = (77, 92), (93, 109), (110, 126), (127, 158)
"""Where the header names the indexes a session is in: first and last byte, counted from 1 as Lua does."""

_HEADER = struct.Struct(">BBBBQ8s32sqqq16s17s17s32s")
SIZE = _HEADER.size
"""Bytes of a header."""

STATUS_CODES = {
    SessionStatus.ACTIVE: 1,
    SessionStatus.IDLE: 2,
    SessionStatus.PROCESSING: 3,
    SessionStatus.INTERRUPTED: 4,
    SessionStatus.CLOSED: 5,
}
_STATUSES = {code: status for status, code in STATUS_CODES.items()}
_FLAGS = 2
_ABSENT, NOBODY = bytes(17), bytes(32)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STORED = {"version", "created_at", "last_activity_at", "expires_at"}
_SERIALIZER = Session.__pydantic_serializer__
_READER = document_reader(Session, {}, dict.fromkeys(_STORED))


class Document(NamedTuple):
    """The JSON of a session, without version and times.

    Attributes:
        text: as UTF-8.
        flags: ``ESCAPED`` or none.
    """

    text: bytes
    flags: int


class Head(NamedTuple):
    """What a save decides of a session, and what the next one is judged by."""

    version: int
    write_token: bytes
    digest: bytes
    created_at: datetime
    last_activity_at: datetime
    expires_at: datetime
    agent_id: UUID
    status: SessionStatus


def admit(session: Session, limits: Limits) -> tuple[Session, Document]:
    """Return what ``gate.admit`` returns, and its document.

    Raises:
        InvalidDataError: the session is invalid, or a part of it exceeds a limit.
    """
    row = revalidated(session)
    document = dump(row)
    if not within_limits(len(document.text), limits):
        check_sizes(row, limits)
    return row, document


def dump(row: Session) -> Document:
    """Return the document of a valid session."""
    try:
        return Document(_SERIALIZER.to_json(row, exclude=_STORED), 0)
    except (PydanticSerializationError, UnicodeEncodeError):
        # Lone surrogates, which UTF-8 does not hold.
        left = {name: value for name, value in dump_document(row).items() if name not in _STORED}
        return Document(to_json(left), ESCAPED)


def digest(document: Document) -> bytes:
    """Return what tells the content of a document from any other."""
    return hashlib.sha256(document.text).digest()


def framed(row: Session, document: Document, head: Head, channel: bytes) -> bytes:
    """Return the frame of a session, not compressed.

    Args:
        row: the session.
        document: its JSON.
        head: what else the header says.
        channel: from ``channel_of``.
    """
    header = _HEADER.pack(
        FORMAT,
        SCHEMA_VERSION,
        document.flags,
        STATUS_CODES[row.status],
        head.version,
        head.write_token,
        head.digest,
        micros(head.created_at),
        micros(head.last_activity_at),
        micros(head.expires_at),
        row.agent_id.bytes,
        reference(row.customer_profile_id),
        reference(row.active_scenario_id),
        channel,
    )
    return header + document.text


def channel_of(row: Session) -> bytes:
    """Return the digest of the channel that leads to a session; ``NOBODY``, since none does, when it is closed."""
    return NOBODY if row.status is SessionStatus.CLOSED else channel_digest(row.channel, row.user_channel_id)


def reference(id: UUID | None) -> bytes:
    """Return the field of the header for a customer or scenario, or for none."""
    return _ABSENT if id is None else b"\x01" + id.bytes


def packed(frame: bytes) -> bytes:
    """Return a frame with its JSON compressed, or as it is where that gains nothing."""
    if frame[_FLAGS] & PACKED or len(frame) - SIZE < SMALLEST_PACKED:
        return frame
    small = zlib.compress(frame[SIZE:], 1)
    flags = bytes([frame[_FLAGS] | PACKED])
    return frame[:_FLAGS] + flags + frame[_FLAGS + 1 : SIZE] + small


def head_of(frame: bytes) -> Head:
    """Return the head of a frame, of which the header is enough.

    Raises:
        SchemaOutdatedError: a newer release wrote it.
        StoreError: code ``corrupt_record``.
    """
    _, status, version, token, content, created, active, expires, agent = _header(frame)
    return Head(version, token, content, created, active, expires, UUID(bytes=agent), _STATUSES[status])


def load(frame: bytes, now: datetime) -> Session | None:
    """Return the session of a frame; None when it has expired.

    Raises:
        SchemaOutdatedError: a newer release wrote it.
        StoreError: code ``corrupt_record``.
    """
    flags, _, version, _, _, created, active, expires, _ = _header(frame)
    if expires <= now:
        return None
    text = frame[SIZE:]
    try:
        if flags & PACKED:
            text = zlib.decompress(text)
        if flags & ESCAPED:
            row = load_document(Session, from_json(text, allow_inf_nan=False))
        else:
            row = _READER.validate_json(text, extra="ignore")
    except (zlib.error, ValueError) as error:
        raise _corrupt(f"{type(error).__name__} in what follows its header") from None
    settle(row, version, created, active, expires)
    return row


def settle(row: Session, version: int, created_at: datetime, last_activity_at: datetime, expires_at: datetime) -> None:
    """Set on a session that nobody else has seen yet what the store decides."""
    stored = {
        "version": version,
        "created_at": created_at,
        "last_activity_at": last_activity_at,
        "expires_at": expires_at,
    }
    row.__dict__.update(stored)
    row.__pydantic_fields_set__.update(stored)


def _header(frame: bytes) -> tuple[int, int, int, bytes, bytes, datetime, datetime, datetime, bytes]:
    """Return flags, status code, version, write token, digest, times and agent."""
    if len(frame) < SIZE:
        raise _corrupt("no header")
    kind, schema, flags, status, version, token, content, created, active, expires, agent, *_ = _HEADER.unpack_from(
        frame
    )
    if kind > FORMAT or schema > SCHEMA_VERSION:
        raise SchemaOutdatedError(
            f"a stored Session has format {kind} and schema_version {schema}, this release reads up to"
            f" {FORMAT} and {SCHEMA_VERSION}",
            hint="upgrade focal-core and focal-redis",
        )
    try:
        moments = (_moment(created), _moment(active), _moment(expires))
    except OverflowError:
        raise _corrupt("a time out of range") from None
    if status not in _STATUSES:
        raise _corrupt(f"status {status}")
    return flags, status, version, token, content, *moments, agent


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _corrupt(what: str) -> StoreError:
    return StoreError(f"a stored Session is not valid: {what}", code="corrupt_record")
