"""The runtime codec: Python values to JSON-able data and back, with every type kept.

Values are JSON plus tuple, bytes, set, datetime, UUID and Decimal; an Enum member stands for its value. What JSON does
not know becomes an object with the key ``$focal`` that names the type, and so does a dict that has that key itself.
Nothing is pickled, imported or executed on the way back.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from focal_core.errors import InvalidDataError, SchemaOutdatedError
from focal_core.values import JSON, MAX_JSON_DEPTH, canonical_json

TAG = "$focal"
"""The key that marks a value JSON does not know; its value is the type, and ``v`` holds the content."""


def encode(value: object, *, models: bool = False) -> JSON:
    """Return JSON-able data that ``decode`` turns into an equal value of the same types; nothing is shared with it.

    Args:
        value: what to encode.
        models: also take pydantic models and dataclasses, as dicts of their fields.

    Raises:
        InvalidDataError: code ``value_unsupported``, ``json_too_deep`` or ``datetime_naive``; the path is in the
            message, the value is not.
    """
    return _encode(value, "$", 0, models)


def decode(data: JSON) -> Any:
    """Return the value that ``encode`` was given; nothing is shared with the data.

    Raises:
        SchemaOutdatedError: the data names a type this release does not know.
    """
    if isinstance(data, list):
        return [decode(item) for item in data]
    if not isinstance(data, Mapping):
        return data
    kind = data.get(TAG)
    if kind is None:
        return {key: decode(item) for key, item in data.items()}
    if kind not in _DECODERS:
        raise SchemaOutdatedError(
            f"a stored value is of type {kind!r}, which this release does not read", hint="upgrade focal-core"
        )
    return _DECODERS[kind](data["v"])


_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "dict": lambda content: {key: decode(item) for key, item in content.items()},
    "tuple": lambda content: tuple(map(decode, content)),
    "set": lambda content: set(map(decode, content)),
    "bytes": base64.b64decode,
    "datetime": datetime.fromisoformat,
    "uuid": UUID,
    "decimal": Decimal,
}


def _tagged(kind: str, content: JSON) -> JSON:
    return {TAG: kind, "v": content}


def _encode(value: object, path: str, depth: int, models: bool) -> JSON:
    if isinstance(value, Enum):
        value = value.value
    if value is None or type(value) in (bool, int, str):
        return value
    scalar = _SCALARS.get(type(value))
    if scalar is not None:
        return scalar(value, path)
    if depth >= MAX_JSON_DEPTH:
        raise InvalidDataError(f"{path[:80]} is nested deeper than {MAX_JSON_DEPTH} levels", code="json_too_deep")
    if models and isinstance(value, BaseModel):
        value = dict(value)
    elif models and is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if type(value) is dict:
        encoded = {_key(key, path): _encode(item, f"{path}.{key}", depth + 1, models) for key, item in value.items()}
        return _tagged("dict", encoded) if TAG in encoded else encoded
    if isinstance(value, list | tuple | set) and type(value) in (list, tuple, set):
        items = [_encode(item, f"{path}[{index}]", depth + 1, models) for index, item in enumerate(value)]
        if isinstance(value, list):
            return items
        return (
            _tagged("tuple", items) if isinstance(value, tuple) else _tagged("set", sorted(items, key=canonical_json))
        )
    raise InvalidDataError(
        f"{path[:80]} is of type {type(value).__name__}, which the runtime store does not keep",
        code="value_unsupported",
        hint="use JSON values, tuple, bytes, set, datetime, UUID or Decimal",
    )


def _key(key: object, path: str) -> str:
    if type(key) is not str or any("\ud800" <= char <= "\udfff" for char in key):
        raise InvalidDataError(f"{path[:80]} has a key that is no valid str", code="value_unsupported")
    return key


def _float(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise InvalidDataError(f"{path[:80]} is not a finite number", code="value_unsupported")
    return value


def _datetime(value: datetime, path: str) -> JSON:
    if value.utcoffset() is None:
        raise InvalidDataError(f"{path[:80]} has no time zone", code="datetime_naive", hint="use datetime.now(UTC)")
    return _tagged("datetime", value.isoformat())


def _decimal(value: Decimal, path: str) -> JSON:
    if not value.is_finite():
        raise InvalidDataError(f"{path[:80]} is not a finite number", code="value_unsupported")
    return _tagged("decimal", str(value))


_SCALARS: Mapping[type, Callable[[Any, str], JSON]] = {
    float: _float,
    bytes: lambda value, path: _tagged("bytes", base64.b64encode(value).decode("ascii")),
    datetime: _datetime,
    UUID: lambda value, path: _tagged("uuid", str(value)),
    Decimal: _decimal,
}
