"""Pages and cursors: limits, opaque cursors bound to what they continue."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from focal_core.errors import InvalidDataError
from focal_core.values import canonical_json

T = TypeVar("T")

MAX_LIMIT = 1000
"""Rows of one page at most."""


class Page(list[T]):
    """A list that knows how to go on.

    Attributes:
        next_cursor: pass it as ``after`` to get the following rows; None when the list is complete.
    """

    def __init__(self, rows: Iterable[T] = (), next_cursor: str | None = None) -> None:
        super().__init__(rows)
        self.next_cursor = next_cursor


def check_limit(limit: int | None) -> None:
    """Refuse a limit outside 1 to 1,000; None passes.

    Raises:
        InvalidDataError: code ``limit_invalid``.
    """
    if limit is not None and (isinstance(limit, bool) or not 1 <= limit <= MAX_LIMIT):
        raise InvalidDataError(f"limit must be from 1 to {MAX_LIMIT}, not {limit}", code="limit_invalid")


def check_paging(limit: int | None, offset: int = 0, after: str | None = None) -> None:
    """Refuse a bad limit, a negative offset, and an offset beside a cursor.

    Raises:
        InvalidDataError: codes ``limit_invalid`` and ``offset_invalid``.
    """
    check_limit(limit)
    if isinstance(offset, bool) or offset < 0:
        raise InvalidDataError(f"offset must not be negative, but is {offset}", code="offset_invalid")
    if after is not None and offset > 0:
        raise InvalidDataError("offset and after exclude each other", code="offset_invalid")


def too_many_rows(cap: int) -> InvalidDataError:
    """Return the error of a list without a limit that has more rows than such a list may return.

    Args:
        cap: ``limits.unpaged_cap``.
    """
    return InvalidDataError(
        f"more than {cap} rows", code="result_too_large", hint="pass limit=... and follow the cursor"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list | tuple | set | frozenset):
        plain = [_plain(item) for item in value]
        return sorted(plain) if isinstance(value, set | frozenset) else plain
    return value


def cursor_scope(tenant_id: UUID | None, method: str, **filters: Any) -> str:
    """Return the digest that ties a cursor to a tenant, a method and its filters."""
    scope = canonical_json([str(tenant_id), method, {name: _plain(value) for name, value in filters.items()}])
    return hashlib.blake2b(scope, digest_size=12).hexdigest()


def encode_cursor(scope: str, key: Sequence[str | int | float]) -> str:
    """Return an opaque cursor that continues behind a sort key.

    Args:
        scope: from ``cursor_scope``.
        key: the sort key of the last row of the page, as JSON scalars.
    """
    raw = canonical_json([scope, list(key)])
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")


def decode_cursor(cursor: str, scope: str) -> list[Any]:
    """Return the sort key of a cursor.

    Raises:
        InvalidDataError: code ``cursor_invalid``: malformed, or made for another tenant, method or filter.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found, key = json.loads(raw)
    except (binascii.Error, ValueError, TypeError):
        raise InvalidDataError("the cursor is malformed", code="cursor_invalid") from None
    if found != scope or not isinstance(key, list):
        raise InvalidDataError(
            "the cursor belongs to another tenant, method or filter",
            code="cursor_invalid",
            hint="pass a cursor only to the call that returned it, with the same arguments",
        )
    return key
