"""How an answer lies in its key: a header that scripts read, then the rows as lines of JSON.

Whatever cannot be read is no answer: the cache asks the store again, and writes what it can read.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, SchemaValidator

from focal_core.base import FocalModel
from focal_core.errors import StoreError
from focal_core.inmemory.table import micros
from focal_core.revalidation import document_reader
from focal_core.values import JSON

TOKEN = 8
"""Bytes of a generation's token."""
_HEADER = struct.Struct(">4sBqQ")
# A release that knows more fields must not take an older one's rows for whole.
_FORMAT = hashlib.sha256(f"1 {version('focal-core')}".encode()).digest()[:4]
_SEALED = 1


class Cipher(Protocol):
    """Seals what only focal may read."""

    def seal(self, value: JSON, *, aad: bytes) -> dict[str, Any]:
        """Return a value sealed and bound to a place."""
        ...

    def open(self, sealed: dict[str, Any], *, aad: bytes) -> JSON:
        """Return a sealed value.

        Raises:
            StoreError: code ``decrypt_failed``.
        """
        ...


class Frame(NamedTuple):
    """What lies in a key.

    Attributes:
        tokens: of the generations it was filled under.
        filled_at: microseconds since 1970 by the clock of whoever filled it.
        rows: the rows.
    """

    tokens: tuple[bytes, ...]
    filled_at: int
    rows: list[Any]

    def is_of(self, now: datetime, lifetime: timedelta) -> bool:
        """Return whether it was filled before a moment, and no longer ago than it may live."""
        return 0 <= micros(now) - self.filled_at < lifetime / timedelta(microseconds=1)


def dump(
    rows: Sequence[FocalModel], tokens: Sequence[bytes], now: datetime, key: bytes, cipher: Cipher | None
) -> bytes | None:
    """Return the frame of rows; None for rows whose text UTF-8 does not hold.

    Args:
        rows: what was read.
        tokens: of the generations it was read under.
        now: when.
        key: where the frame will lie; sealed rows can be read there alone.
        cipher: seals the rows.
    """
    try:
        # Rows that are read are not deleted; that one was told so would revive it if it is saved later.
        body = b"\n".join(type(row).__pydantic_serializer__.to_json(row, exclude={"deleted_at"}) for row in rows)
    except (PydanticSerializationError, UnicodeEncodeError):
        return None
    if cipher is not None:
        body = json.dumps(cipher.seal(body.decode(), aad=key)).encode()
    newest = max((getattr(row, "row_version", 0) for row in rows), default=0)
    return _HEADER.pack(_FORMAT, 0 if cipher is None else _SEALED, micros(now), newest) + b"".join(tokens) + body


def load(cls: type[FocalModel], data: bytes, key: bytes, scopes: int, cipher: Cipher | None) -> Frame | None:
    """Return what a frame holds; None when it cannot be read.

    Args:
        cls: what its rows are.
        data: the frame.
        key: where it lay.
        scopes: how many generations it was filled under.
        cipher: opens sealed rows; without one they cannot be read, and plain ones not with one.
    """
    start = _HEADER.size + TOKEN * scopes
    if len(data) < start:
        return None
    format, flags, filled_at, _ = _HEADER.unpack_from(data)
    if format != _FORMAT or flags != (0 if cipher is None else _SEALED):
        return None
    try:
        body = data[start:]
        if cipher is not None:
            body = cipher.open(json.loads(body), aad=key).encode()
        reader = _reader(cls)
        rows = [reader.validate_json(line) for line in body.split(b"\n")] if body else []
    except (StoreError, ValidationError, ValueError, TypeError, AttributeError):
        return None
    tokens = tuple(data[at : at + TOKEN] for at in range(_HEADER.size, start, TOKEN))
    return Frame(tokens, filled_at, rows)


@cache
def _reader(cls: type[FocalModel]) -> SchemaValidator:
    return document_reader(cls, {}, {})
