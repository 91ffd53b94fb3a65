"""What every runtime backend checks of its arguments, in one place."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import InvalidDataError
from focal_core.gate import identifier, moment, require_tenant
from focal_core.ids import NIL
from focal_core.paging import check_paging
from focal_core.runtime.codec import decode, encode
from focal_core.values import JSON, canonical_json


def tenant_of(tenant_id: UUID | None, context: BackendContext, what: str) -> UUID:
    """Return the tenant a call means: the nil tenant when it is omitted under trusting isolation.

    Raises:
        TenantRequiredError: omitted under strict isolation.
    """
    require_tenant(tenant_id, context, what)
    return NIL if tenant_id is None else tenant_id


def namespace(checkpoint_ns: str) -> str:
    """Return a checkpoint namespace: empty, or an identifier.

    Raises:
        InvalidDataError: code ``identifier_invalid``.
    """
    return checkpoint_ns if checkpoint_ns == "" else identifier(checkpoint_ns, "checkpoint_ns")


def rows(limit: int) -> int:
    """Return a limit from 1 to 1,000.

    Raises:
        InvalidDataError: code ``limit_invalid``.
    """
    check_paging(limit)
    if limit is None:
        raise InvalidDataError("limit must be from 1 to 1000, not None", code="limit_invalid")
    return limit


def free_text(value: str, name: str, context: BackendContext) -> str:
    """Return a text within the limits.

    Raises:
        InvalidDataError: codes ``value_unsupported`` and ``text_too_long``.
    """
    if not isinstance(value, str):
        raise InvalidDataError(f"{name} must be a str, not {type(value).__name__}", code="value_unsupported")
    if len(value) > context.limits.text_chars:
        raise InvalidDataError(f"{name} exceeds {context.limits.text_chars} characters", code="text_too_long")
    return str(value)


def document(value: object, name: str, context: BackendContext, *, models: bool = False) -> JSON:
    """Return any value encoded, within the limit of a document.

    Raises:
        InvalidDataError: as ``codec.encode``, and code ``document_too_large``.
    """
    return _sized(encode(value, models=models), context.limits.document_bytes, name, "document_too_large")


def json_object(value: dict[str, Any], name: str, context: BackendContext) -> dict[str, JSON]:
    """Return a dict encoded, within the limit of a document.

    Raises:
        InvalidDataError: as ``document``, and code ``value_unsupported`` when it is no dict.
    """
    return document(_dict(value, name), name, context)  # type: ignore[no-any-return]


def metadata_object(value: dict[str, Any] | None, context: BackendContext) -> dict[str, JSON]:
    """Return metadata encoded, within their limit; none are an empty dict.

    Raises:
        InvalidDataError: as ``json_object``, and code ``metadata_too_large``.
    """
    encoded = encode({} if value is None else _dict(value, "metadata"))
    return _sized(encoded, context.limits.metadata_bytes, "metadata", "metadata_too_large")  # type: ignore[no-any-return]


def session_of(metadata: dict[str, Any] | None) -> str | None:
    """Return the id of the session a checkpoint's metadata tie its thread to, or None."""
    session_id = (metadata or {}).get("session_id")
    return unicodedata.normalize("NFC", session_id) if isinstance(session_id, str) else None


def writes(writes_data: Sequence[tuple[Any, ...]], context: BackendContext) -> list[JSON]:
    """Return pending writes encoded, one by one.

    Raises:
        InvalidDataError: as ``document``; code ``value_unsupported`` for what is no list of tuples, and
            ``too_many_items``.
    """
    if not isinstance(writes_data, list | tuple) or not all(type(write) is tuple for write in writes_data):
        raise InvalidDataError("writes_data must be a list of tuples", code="value_unsupported")
    if len(writes_data) > context.limits.list_items:
        raise InvalidDataError(f"writes_data exceeds {context.limits.list_items} items", code="too_many_items")
    return [document(write, f"writes_data[{index}]", context) for index, write in enumerate(writes_data)]


def session_updates(updates: dict[str, Any] | None, context: BackendContext) -> tuple[str | None, dict[str, Any]]:
    """Return the status that updates set, if any, and the metadata they add.

    Raises:
        InvalidDataError: as ``json_object``; the status is no identifier, or ``metadata`` is no dict.
    """
    rest = {} if updates is None else decode(json_object(updates, "updates", context))
    status = rest.pop("status", None)
    if status is not None:
        status = identifier(free_text(status, "status", context), "status")
    return status, {**_dict(rest.pop("metadata", {}), "metadata"), **rest}


def processing_time(added: float, total: float) -> float:
    """Return a sum of processing times.

    Raises:
        InvalidDataError: code ``processing_time_invalid``: what is added is negative or the sum is not finite.
    """
    if isinstance(added, bool) or not isinstance(added, int | float) or added < 0 or not math.isfinite(added + total):
        raise InvalidDataError("add_processing_time must be a number of at least 0", code="processing_time_invalid")
    return float(added + total)


def iso(value: datetime) -> str:
    """Return a moment as ISO 8601 in UTC with microseconds, so that text order is time order."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def iso_argument(value: str | None, context: BackendContext) -> str:
    """Return a time given as ISO 8601 with an offset, in UTC; the present when None.

    Raises:
        InvalidDataError: codes ``datetime_invalid`` and ``datetime_naive``.
    """
    if value is None:
        return iso(context.clock.now())
    try:
        parsed = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidDataError("created_at is no ISO 8601 time", code="datetime_invalid") from None
    moment(parsed, "created_at")
    return iso(parsed)


def _dict(value: dict[str, Any], name: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise InvalidDataError(f"{name} must be a dict, not {type(value).__name__}", code="value_unsupported")
    return value


def _sized(encoded: JSON, limit: int, name: str, code: str) -> JSON:
    try:
        size = len(canonical_json(encoded))
    except ValueError:
        # Python refuses to write integers of more than 4,300 digits.
        raise InvalidDataError(f"{name} holds an integer too large to be written", code=code) from None
    if size > limit:
        raise InvalidDataError(f"{name} exceeds {limit} bytes", code=code)
    return encoded
