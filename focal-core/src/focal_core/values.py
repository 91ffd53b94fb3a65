"""The value types models are made of: identifiers, free text, JSON, times, vectors.

Each type validates once, at construction, with a pydantic error type ``focal.<code>`` that
``InvalidDataError.from_validation`` turns into the error's code.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeAlias

from pydantic import AfterValidator, AwareDatetime, Field, GetCoreSchemaHandler, PlainSerializer, SerializationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

JSON: TypeAlias = Any
"""null, bool, int of any size, finite float, str, list or dict whose keys are str without lone surrogates.

int and float stay apart: 1 and 1.0 come back as they were."""

MAX_JSON_DEPTH = 64
"""Levels of nesting in one JSON value; a scalar has none."""
MAX_DIMENSIONS = 16_000
"""Components of a vector."""

_CONTROLS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))


def _refuse(code: str, message: str) -> PydanticCustomError:
    # Braces would be taken for placeholders of the message's context.
    return PydanticCustomError(f"focal.{code}", message.replace("{", "(").replace("}", ")"))


STORED = "focal_stored"
"""Key of ``Checked.stored`` in the metadata of a core schema."""
PLAIN = "focal_plain"
"""Key of ``Checked.plain`` in the metadata of a core schema, which asks the check about what is not plain."""


@dataclass(frozen=True)
class Checked:
    """Annotation: validate with one function alone, serialize by the value's own type.

    pydantic's ``PlainValidator`` also wraps serialization in a Python call and warns for tuples in JSON mode.

    Attributes:
        check: returns the value as it is kept, or raises.
        stored: core schema of what is left to do for JSON made from checked values; None = the check.
        plain: core schemas, each of which takes some values as the check would and refuses all others.
    """

    check: Callable[[Any], Any]
    stored: CoreSchema | None = field(default=None, hash=False, compare=False)
    plain: tuple[CoreSchema, ...] = field(default=(), hash=False, compare=False)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        metadata: dict[str, Any] = {}
        if self.stored is not None:
            metadata[STORED] = self.stored
        if self.plain:
            metadata[PLAIN] = first_of(*self.plain, core_schema.no_info_plain_validator_function(self.check))
        return core_schema.no_info_plain_validator_function(self.check, metadata=metadata)


def first_of(*schemas: CoreSchema) -> CoreSchema:
    """Return the core schema that validates by the first of several that does not refuse."""
    return core_schema.union_schema([*schemas], mode="left_to_right")


_STR = core_schema.str_schema(strict=True)
_SCALARS = (_STR, core_schema.int_schema(strict=True), core_schema.bool_schema(strict=True), core_schema.none_schema())


def _has_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def check_identifier(value: str) -> str:
    """Return an identifier in NFC; refuse blanks, controls and lone surrogates.

    Raises:
        PydanticCustomError: code ``identifier_invalid``.
    """
    value = unicodedata.normalize("NFC", value)
    if not value.strip():
        raise _refuse("identifier_invalid", "an identifier must not be blank")
    if _has_surrogate(value):
        raise _refuse("identifier_invalid", "an identifier must not hold lone surrogates")
    if not _CONTROLS.isdisjoint(value):
        raise _refuse("identifier_invalid", "an identifier must not hold control characters")
    return value


def _string(value: object) -> str:
    # pydantic's own str refuses lone surrogates, which free text may hold and identifiers report under their own code.
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "Input should be a valid string")
    return str.__str__(value)


def _text(minimum: int, maximum: int | None = None) -> Checked:
    def check(value: object) -> str:
        text = _string(value)
        if len(text) < minimum:
            raise _refuse("text_too_short", f"text needs at least {minimum} character(s)")
        if maximum is not None and len(text) > maximum:
            raise _refuse("text_too_long", f"text may have at most {maximum} characters")
        return text

    return Checked(
        check, core_schema.str_schema(), (core_schema.str_schema(strict=True, min_length=minimum, max_length=maximum),)
    )


def _identifier(maximum: int) -> Checked:
    def check(value: object) -> str:
        # Nearly all of them: nothing to normalise, nothing to refuse.
        if type(value) is str and len(value) <= maximum and value.isascii() and value.isprintable() and value.strip():
            return value
        identifier = check_identifier(_string(value))
        if len(identifier) > maximum:
            raise _refuse("identifier_invalid", f"an identifier may have at most {maximum} characters")
        return identifier

    plain = core_schema.str_schema(strict=True, max_length=maximum, pattern="^[ -~]*[!-~][ -~]*$")
    return Checked(check, core_schema.str_schema(), (plain,))


Text = Annotated[str, _text(0)]
"""Free text: every Python str, untouched."""
RequiredText = Annotated[str, _text(1)]
"""Free text of at least one character."""
RequiredText1024 = Annotated[str, _text(1, 1024)]
"""As RequiredText, at most 1,024 characters."""
Identifier = Annotated[str, _identifier(255)]
"""A name or key: NFC, not blank, 1 to 255 characters, no controls, no lone surrogates."""
Identifier50 = Annotated[str, _identifier(50)]
"""As Identifier, at most 50 characters."""
Identifier100 = Annotated[str, _identifier(100)]
"""As Identifier, at most 100 characters."""
Identifier500 = Annotated[str, _identifier(500)]
"""As Identifier, at most 500 characters."""
Identifier1024 = Annotated[str, _identifier(1024)]
"""As Identifier, at most 1,024 characters."""


def in_utc(moment: datetime) -> datetime:
    """Return an aware moment in UTC."""
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


UTCDateTime = Annotated[AwareDatetime, AfterValidator(in_utc)]
"""An aware datetime, normalised to UTC; a naive one is refused."""
Confidence = Annotated[float, Field(ge=0.0, le=1.0)]
"""A degree from 0.0 to 1.0."""


class _FrozenObject(Mapping[str, JSON]):
    """A JSON object that was checked and never changes, so that checking it again costs nothing.

    Args:
        plain: the object as dicts and lists that nobody else holds. What is within it is frozen when it is looked at.
    """

    __slots__ = ("_plain",)

    def __init__(self, plain: dict[str, JSON]) -> None:
        self._plain = plain

    def __getitem__(self, key: str) -> JSON:
        return _frozen(self._plain[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._plain)

    def __len__(self) -> int:
        return len(self._plain)

    def __repr__(self) -> str:
        return f"frozen({self._plain!r})"


def _frozen(plain: JSON) -> JSON:
    """Return a view of checked JSON that cannot be changed."""
    kind = type(plain)
    if kind is dict:
        return _FrozenObject(plain)
    return tuple(map(_frozen, plain)) if kind is list else plain


def copy_json(value: object) -> JSON:
    """Return a deep copy of a JSON value, refusing whatever JSON cannot hold.

    Raises:
        PydanticCustomError: codes ``json_invalid`` and ``json_too_deep``; the path is in the message.
    """
    try:
        return _plain_copy(value, 0)
    except _UncommonError:
        return _copy_json(value, "$", 0)


class _UncommonError(Exception):
    """A value holds something that is not plainly JSON."""


def _plain_copy(value: Any, depth: int) -> JSON:
    """Return what ``_copy_json`` returns for the plain types, at a third of its cost, and give up on all else.

    Args:
        value: what to copy.
        depth: levels of nesting above it.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float and math.isfinite(value):
        return value
    if depth < MAX_JSON_DEPTH:
        if kind is _FrozenObject:
            return _plain_copy(value._plain, depth)
        if kind is dict:
            for key in value:
                if type(key) is not str or not (key.isascii() or not _has_surrogate(key)):
                    raise _UncommonError
            return {key: item if type(item) is str else _plain_copy(item, depth + 1) for key, item in value.items()}
        if kind is list or kind is tuple:
            return [item if type(item) is str else _plain_copy(item, depth + 1) for item in value]
    raise _UncommonError


def _copy_json(value: object, path: str, depth: int) -> JSON:
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if kind is str or kind is int:
        return value
    if isinstance(value, float) and kind is float:
        if not math.isfinite(value):
            raise _refuse("json_invalid", f"{path} is not a finite number")
        return value
    if isinstance(value, dict | Mapping):
        if depth >= MAX_JSON_DEPTH:
            raise _refuse("json_too_deep", f"{path[:80]} is nested deeper than {MAX_JSON_DEPTH} levels")
        copied = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise _refuse("json_invalid", f"{path} has a key that is not a string")
            if _has_surrogate(key):
                raise _refuse("json_invalid", f"{path} has a key with a lone surrogate")
            copied[str(key)] = _copy_json(item, f"{path}.{key}", depth + 1)
        return copied
    if isinstance(value, list | tuple):
        if depth >= MAX_JSON_DEPTH:
            raise _refuse("json_too_deep", f"{path[:80]} is nested deeper than {MAX_JSON_DEPTH} levels")
        return [_copy_json(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    # Subclasses (enum members, numpy-like floats) are stored as the plain value they stand for.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _copy_json(float(value), path, depth)
    raise _refuse("json_invalid", f"{path} is of type {kind.__name__}, which JSON cannot hold")


def _json_object(value: object) -> dict[str, JSON]:
    if not isinstance(value, Mapping):
        raise PydanticCustomError("dict_type", "Input should be a valid dictionary")
    copied: dict[str, JSON] = copy_json(value)
    return copied


def thaw_json(value: JSON) -> JSON:
    """Return plain dicts and lists for frozen JSON; a deep copy of anything else."""
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None:
        return value
    if kind is _FrozenObject:
        return thaw_json(value._plain)
    if kind is dict or isinstance(value, Mapping):
        return {key: thaw_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw_json(item) for item in value]
    return value


JSONValue = Annotated[Any, Checked(copy_json, core_schema.any_schema(), _SCALARS)]
"""Any JSON value; copied on validation."""
_FLAT = core_schema.dict_schema(_STR, first_of(*_SCALARS), strict=True)
JSONObject = Annotated[dict[str, Any], Checked(_json_object, core_schema.dict_schema(), (_FLAT,))]
"""A JSON object; copied on validation."""


def _frozen_json(value: object) -> JSON:
    return value if type(value) is _FrozenObject else _frozen(copy_json(value))


def _frozen_json_object(value: object) -> Mapping[str, JSON]:
    if not isinstance(value, Mapping):
        raise PydanticCustomError("dict_type", "Input should be a valid dictionary")
    frozen: Mapping[str, JSON] = _frozen_json(value)
    return frozen


def _thawed(value: JSON, info: SerializationInfo) -> JSON:
    # What is written as JSON need not be copied first.
    return value._plain if type(value) is _FrozenObject and info.mode == "json" else thaw_json(value)


_FROZEN_OBJECT = core_schema.is_instance_schema(_FrozenObject)
_FREEZING = core_schema.no_info_plain_validator_function(_frozen)
FrozenJSONValue = Annotated[
    Any,
    Checked(_frozen_json, core_schema.chain_schema([core_schema.any_schema(), _FREEZING]), (_FROZEN_OBJECT, *_SCALARS)),
    PlainSerializer(_thawed),
]
"""Any JSON value, read-only at every depth; dumped as plain lists and dicts."""
FrozenJSONObject = Annotated[
    Mapping[str, Any],
    Checked(_frozen_json_object, core_schema.chain_schema([core_schema.dict_schema(), _FREEZING]), (_FROZEN_OBJECT,)),
    PlainSerializer(_thawed),
]
"""A JSON object, read-only at every depth; dumped as plain lists and dicts."""


def canonical_json(value: JSON) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII. Equal values give equal bytes.

    Lone surrogates and NUL are escaped, so every Python str has a canonical text.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


class Float32Vector(tuple[float, ...]):
    """A vector that has been checked and rounded already: validating it again costs nothing.

    Made by ``to_vector``, and by backends from the float32 values they stored.

    Args:
        components: (dim,) floats.
        network: the attribute, where it is known.

    Attributes:
        network: the components as float32 in network byte order, 4 * dim bytes: what databases take.
    """

    network: bytes

    def __new__(cls, components: Iterable[float], network: bytes | None = None) -> Self:
        """Return the vector; its bytes are made where they are not given."""
        vector = super().__new__(cls, components)
        vector.network = struct.pack(f"!{len(vector)}f", *vector) if network is None else network
        return vector


def to_vector(value: Iterable[float]) -> tuple[float, ...]:
    """Return a vector as a tuple of floats rounded to float32, which is what every backend stores.

    Args:
        value: (dim,) numbers, dim from 1 to 16,000, all finite, at least one not zero.

    Raises:
        PydanticCustomError: code ``vector_invalid``.
    """
    if type(value) is Float32Vector:
        return value
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _refuse("vector_invalid", "a vector must be a sequence of numbers")
    items = value if isinstance(value, list | tuple) else list(value)
    if not 1 <= len(items) <= MAX_DIMENSIONS:
        raise _refuse("vector_invalid", f"a vector needs 1 to {MAX_DIMENSIONS} components, not {len(items)}")
    try:
        rounded = array("f", items)
    except (TypeError, OverflowError):
        raise _refuse("vector_invalid", "a vector must hold float32 numbers only") from None
    swapped = rounded[:]
    if sys.byteorder == "little":
        swapped.byteswap()
    vector = Float32Vector(rounded, swapped.tobytes())
    if not math.isfinite(sum(vector)):
        raise _refuse("vector_invalid", "a vector must be finite in every component")
    if not any(vector):
        raise _refuse("vector_invalid", "a vector must not be zero")
    return vector


Vector = Annotated[tuple[float, ...], Checked(to_vector)]
"""(dim,) floats, float32 precision, finite, not the zero vector; dim from 1 to 16,000."""
