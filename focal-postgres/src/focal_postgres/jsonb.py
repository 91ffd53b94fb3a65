"""JSON in JSONB columns: text that PostgreSQL holds and gives back unchanged.

JSONB holds neither NUL nor lone surrogates, turns ``1e+16`` into an integer and ``-0.0`` into ``0.0``. All of it is
rare: it is looked for, and only then paid for.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal

from pydantic_core import PydanticSerializationError, from_json, to_json

from focal_core.textcodec import decode_json, encode_json
from focal_core.values import JSON

INTRODUCER = "\ue0f0"
"""Begins an escape of ``focal_core.textcodec``."""

_SIGNED_EXPONENT = to_json(1e16) == b"1e+16"
_SCIENTIFIC = re.compile(r"[:,\[]-?\d+(?:\.\d+)?e|^-?\d+(?:\.\d+)?e")
_NEGATIVE_ZERO = "-1e-400"
"""A number that JSONB keeps and that every reader rounds to -0.0."""


def dumps(value: JSON) -> str:
    """Return a JSON value as text for a JSONB parameter; ``loads`` gives the value back, 1 and 1.0 told apart."""
    try:
        text = to_json(value, inf_nan_mode="strings").decode()
    except (PydanticSerializationError, UnicodeEncodeError):
        return written(encode_json(value))
    return written(encode_json(value)) if needs_care(text) else text


def needs_care(text: str) -> bool:
    """Return whether JSON text made by pydantic may hold what JSONB does not give back."""
    # A single character is looked for at no cost, and few texts hold one of these; from behind, "-" is the rarer end.
    return (
        ("\\" in text and "\\u0000" in text)
        or INTRODUCER in text
        or text.rfind("-0.0") >= 0
        or (("+" in text and "e+" in text) if _SIGNED_EXPONENT else _SCIENTIFIC.search(text) is not None)
    )


def loads(text: str) -> JSON:
    """Return the JSON value of a JSONB column."""
    value = from_json(text, allow_inf_nan=False)
    return decode_json(value) if INTRODUCER in text else value


def written(value: JSON) -> str:
    """Return a JSON value without unstorable text as JSON that JSONB keeps, number by number."""
    if isinstance(value, float):
        if value == 0 and math.copysign(1.0, value) < 0:
            return _NEGATIVE_ZERO
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else f"{text}.0"
    if isinstance(value, Mapping):
        return (
            f"{{{','.join(f'{json.dumps(key, ensure_ascii=False)}:{written(item)}' for key, item in value.items())}}}"
        )
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    return json.dumps(value, ensure_ascii=False)
