"""Ids and values of the runtime family."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

from focal_testkit.data import hostile

SESSION = "session-1"
OTHER_SESSION = "session-10"
USER = "user:ann"
OTHER_USER = "user:bob"
THREAD = "thread/1"
OTHER_THREAD = "thread/10"


class Colour(Enum):
    """An enum whose value is itself something for the codec."""

    RED = (1, 2)


class Level(IntEnum):
    """An enum that is an int."""

    HIGH = 3


KEPT: dict[str, Any] = {
    "tuple": (1, "a", (2.0, [3])),
    "list": [1, [2], (3,)],
    "bytes": b"\x00\xffraw",
    "set": {"b", "a", (1, 2)},
    "datetime": datetime(2026, 5, 4, 9, 0, 0, 123456, tzinfo=UTC),
    "datetime_offset": datetime(2026, 5, 4, 9, 0, tzinfo=timezone(timedelta(hours=-7))),
    "uuid": UUID("0190a000-0000-7000-8000-000000000001"),
    "decimal": Decimal("1.10"),
    "empty": {"t": (), "s": set(), "b": b""},
    "looks_like_tag": {"$focal": "bytes", "v": "AAAA"},
    "looks_like_unknown_tag": {"$focal": 7},
    "tag_within_tag": {"$focal": {"$focal": "tuple", "v": [{"$focal": None}]}},
    **{f"json_{name}": value for name, value in hostile.DOCUMENTS.items()},
}
"""Values that come back equal and of the same types, by name."""

REFUSED: dict[str, Any] = {
    "object": object(),
    "class": dict,
    "frozenset": frozenset({1}),
    "function": len,
    "complex": 1j,
    "bytearray": bytearray(b"x"),
    "date": datetime(2026, 5, 4, tzinfo=UTC).date(),
    "naive_datetime": datetime(2026, 5, 4),  # noqa: DTZ001 - what must be refused
    "nan": float("nan"),
    "infinity": float("inf"),
    "decimal_nan": Decimal("NaN"),
    "int_key": {1: "a"},
    "surrogate_key": {"\ud800": 1},
    "in_tuple": (1, object()),
    "exception": ValueError("x"),
    "integer_beyond_writing": 10**5000,
}
"""Values no runtime store keeps, by name."""


def deep(levels: int) -> Any:
    """Return a list nested that deep."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def typed(value: Any) -> Any:
    """Return a value together with its types, at every depth, so that 1, 1.0 and True differ."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value).__name__, [typed(item) for item in value]
    if isinstance(value, set):
        return "set", {(type(item).__name__, repr(item)) for item in value}
    return type(value).__name__, repr(value) if isinstance(value, float) else value
