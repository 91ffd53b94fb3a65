"""What makes a value an e-mail address, a date, a number: the rules behind every ``ValueType`` (INV-F5)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from focal_core.profile.models.enums import ValueType

MAX_EMAIL_CHARS = 254
"""Characters of an e-mail address at most."""

_PHONE = re.compile(r"\+?[0-9 ()./-]{4,32}")


def _is_email(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > MAX_EMAIL_CHARS or value.count("@") != 1:
        return False
    local, domain = value.split("@")
    if not local or any(char.isspace() for char in value):
        return False
    if domain.startswith("["):
        return domain.endswith("]") and len(domain) > 2
    labels = domain.split(".")
    return len(labels) > 1 and all(labels)


def _is_phone(value: Any) -> bool:
    if not isinstance(value, str) or _PHONE.fullmatch(value) is None:
        return False
    return 4 <= sum(char.isdigit() for char in value) <= 15


def _is_date(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    for kind in (date, datetime):
        try:
            kind.fromisoformat(value)
        except ValueError:
            continue
        return True
    return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_CHECKS: Mapping[ValueType, Callable[[Any], bool]] = {
    ValueType.STRING: lambda value: isinstance(value, str),
    ValueType.EMAIL: _is_email,
    ValueType.PHONE: _is_phone,
    ValueType.DATE: _is_date,
    ValueType.NUMBER: _is_number,
    ValueType.BOOLEAN: lambda value: isinstance(value, bool),
    ValueType.JSON: lambda value: isinstance(value, dict | list),
}


def matches_type(value: Any, value_type: ValueType) -> bool:
    """Return whether a JSON value is of a type.

    - ``number``: int or finite float, not bool. ``boolean``: bool. ``string``: str. ``json``: dict or list.
    - ``date``: a str that ``date.fromisoformat`` or ``datetime.fromisoformat`` reads.
    - ``email``: one "@", something before it, a dotted or bracketed domain behind it, no white space, at most 254
      characters.
    - ``phone``: 4 to 32 characters of ``0-9 ()./-`` behind an optional "+", 4 to 15 of them digits.
    """
    return _CHECKS[value_type](value)
