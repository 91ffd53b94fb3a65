"""JSON in JSONB columns: text that PostgreSQL holds and gives back unchanged.

JSONB holds neither NUL nor lone surrogates, and turns ``1e+16`` into an integer. Both are rare: they are looked for,
and only then paid for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal

from pydantic_core import PydanticSerializationError, from_json, to_json

from focal_core.textcodec import decode_json, encode_json
from focal_core.values import JSON

_SCIENTIFIC = re.compile(rb"[:,\[]-?\d+(?:\.\d+)?e|^-?\d+(?:\.\d+)?e")
_NUL = b"\\u0000"
_INTRODUCER = "\ue0f0".encode()


def dumps(value: JSON) -> str:
    """Return a JSON value as text for a JSONB parameter; ``loads`` gives the value back, 1 and 1.0 told apart."""
    try:
        text = to_json(value, inf_nan_mode="strings")
    except (PydanticSerializationError, UnicodeEncodeError):
        return _slowly(value)
    if _NUL in text or _INTRODUCER in text or _SCIENTIFIC.search(text):
        return _slowly(value)
    return text.decode()


def loads(text: str) -> JSON:
    """Return the JSON value of a JSONB column."""
    value = from_json(text, allow_inf_nan=False)
    return decode_json(value) if "\ue0f0" in text else value


def _slowly(value: JSON) -> str:
    return _written(encode_json(value))


def _written(value: JSON) -> str:
    if isinstance(value, float):
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else f"{text}.0"
    if isinstance(value, Mapping):
        return (
            f"{{{','.join(f'{json.dumps(key, ensure_ascii=False)}:{_written(item)}' for key, item in value.items())}}}"
        )
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    return json.dumps(value, ensure_ascii=False)
