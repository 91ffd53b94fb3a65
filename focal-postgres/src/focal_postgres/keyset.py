"""Where a page goes on: sort keys in SQL, in cursors and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from focal_core.errors import InvalidDataError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Key(NamedTuple):
    """One column that a list is ordered by; every ordering column is NOT NULL.

    Attributes:
        column: the column, with its alias.
        type: its SQL type: ``timestamptz``, ``uuid``, ``text``, ``bigint`` or ``integer``.
        descending: whether greater values come first.
    """

    column: str
    type: str
    descending: bool = False


def scalar(value: Any) -> str | int:
    """Return a part of a sort key as a cursor holds it."""
    if isinstance(value, datetime):
        # The driver gives the end of time without its zone.
        return (value.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
    return value if isinstance(value, int) else str(value)


def parsed(key: Sequence[Any], order: Sequence[Key]) -> list[Any]:
    """Return the parameters of a cursor's sort key; a forged one is refused."""
    try:
        return [_READ[column.type](value) for value, column in zip(key, order, strict=True)]
    except (TypeError, ValueError, OverflowError, AttributeError):
        raise InvalidDataError("the cursor is malformed", code="cursor_invalid") from None


def _moment(value: Any) -> datetime:
    return _EPOCH + timedelta(microseconds=_integer(value))


def _integer(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("no integer")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError("no text")
    value.encode()
    return value


_READ: dict[str, Callable[[Any], Any]] = {
    "timestamptz": _moment,
    "uuid": UUID,
    "text": _text,
    "bigint": _integer,
    "integer": _integer,
}


def beyond(order: Sequence[Key], first: int) -> str:
    """Return the condition for rows behind a sort key whose parts are the parameters from ``$first`` on."""
    if len({key.descending for key in order}) == 1:
        columns = ", ".join(key.column for key in order)
        parameters = ", ".join(f"${first + at}::{key.type}" for at, key in enumerate(order))
        return f"({columns}) {'<' if order[0].descending else '>'} ({parameters})"
    condition = ""
    for at, key in reversed(list(enumerate(order))):
        sign, parameter = "<" if key.descending else ">", f"${first + at}::{key.type}"
        beyond = f"{key.column} {sign} {parameter}"
        # Bounded by the first column, so that an index on it can be used.
        condition = f"({key.column} {sign}= {parameter} AND ({beyond} OR {condition}))" if condition else beyond
    return condition
