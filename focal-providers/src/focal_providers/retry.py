"""What a vendor's headers say about trying again, and about its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from focal_core.errors import AuthenticationFailed, PermissionDenied, ProviderError, QuotaExceeded
from focal_core.providers.models import RateLimitState
from focal_core.providers.retry import Advice

_FINAL = (AuthenticationFailed, PermissionDenied, QuotaExceeded)
_SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a vendor asks to wait, from ``retry-after-ms`` or ``retry-after``.

    Milliseconds, seconds and HTTP dates are understood; infinity when it asks for more than a number can say. None
    when it asks nothing, or nothing that makes sense: NaN, a negative number, a date in the past, other text.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            date = _http_date(text)
            if date is None:
                continue
            seconds = (date - datetime.now(UTC)).total_seconds()
        if seconds >= 0.0:
            return seconds
    return None


def advised(error: ProviderError, headers: Mapping[str, str]) -> Advice:
    """Return what to do about an error reply: the error's own nature, unless ``x-should-retry`` says otherwise.

    ``false`` is final. ``true`` allows another try, but for a refused key and a used-up quota.
    """
    said = headers.get("x-should-retry")
    if said == "true":
        retryable = not isinstance(error, _FINAL)
    else:
        retryable = error.retryable and said != "false"
    return Advice(error, retryable, retry_after(headers))


def rate_limit_state(headers: Mapping[str, str], names: str) -> RateLimitState | None:
    """Return what the headers of a reply say about limits; None when they say nothing.

    Args:
        headers: of the reply.
        names: of the headers, with ``{kind}`` and ``{what}``; see ``Vendor.rate_limits``.
    """
    told: dict[str, Any] = {}
    for kind in ("requests", "tokens"):
        for what in ("limit", "remaining"):
            text = headers.get(names.format(kind=kind, what=what))
            if text is not None and text.isascii() and text.isdigit() and len(text) < 19:
                told[f"{kind}_{what}"] = int(text)
        reset = _moment(headers.get(names.format(kind=kind, what="reset")))
        if reset is not None:
            told[f"{kind}_reset_at"] = reset
    return RateLimitState(**told) if told else None


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _moment(text: str | None) -> datetime | None:
    """Return a moment told as a date (``2030-01-01T00:00:00Z``) or as a span from now (``1m6.5s``, ``250ms``)."""
    if not text:
        return None
    span = _SPAN.fullmatch(text)
    try:
        if span is not None:
            days, hours, minutes, seconds, milliseconds = (float(part or 0) for part in span.groups())
            return datetime.now(UTC) + timedelta(
                days=days, hours=hours, minutes=minutes, seconds=seconds, milliseconds=milliseconds
            )
        date = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
