"""Instances of any model, made from its fields: one with nothing optional set, one with everything set."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from ipaddress import ip_address
from random import Random
from typing import Any, Literal, TypeVar, Union, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

M = TypeVar("M", bound=BaseModel)
Fixup = Callable[[dict[str, Any], Random], None]

_FIXUPS: dict[type[BaseModel], Fixup] = {}
_START = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def fixup(model: type[BaseModel]) -> Callable[[Fixup], Fixup]:
    """Register what makes generated values of a model obey its invariants; changes the dict of values in place."""

    def register(function: Fixup) -> Fixup:
        _FIXUPS[model] = function
        return function

    return register


def instance(model: type[M], *, full: bool, seed: int = 0, unset: frozenset[str] = frozenset(), **overrides: Any) -> M:
    """Return a valid instance of a model.

    Args:
        model: the class.
        full: True sets every field, False only the required ones.
        seed: another seed gives other values.
        unset: optional fields to leave alone even when ``full``.
        overrides: values given as they are.
    """
    return model(**_values(model, full, Random(f"{model.__name__}:{seed}"), unset, overrides))


def _values(
    model: type[BaseModel], full: bool, random: Random, unset: frozenset[str], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if name in overrides or name in unset or (not full and not info.is_required()):
            continue
        values[name] = _value(info.annotation, info, full, random, name)
    values.update(overrides)
    for base in reversed(model.__mro__):
        if base in _FIXUPS:
            _FIXUPS[base](values, random)
    return values


def _value(annotation: Any, info: FieldInfo | None, full: bool, random: Random, name: str) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _value(next(kind for kind in arguments if kind is not type(None)), info, full, random, name)
    if hasattr(annotation, "__metadata__"):
        return _value(annotation.__origin__, info, full, random, name)
    if origin is Literal:
        return random.choice(arguments)
    if origin is list:
        return [_value(arguments[0], None, full, random, name) for _ in range(2)]
    if origin is tuple and arguments == (float, ...):
        return [random.uniform(-1.0, 1.0) for _ in range(8)]
    if origin is tuple:
        return tuple(_value(arguments[0], None, full, random, name) for _ in range(2))
    if origin in (set, frozenset):
        return {_value(arguments[0], None, full, random, name) for _ in range(2)}
    if origin is dict or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if arguments[1] is Any:
            return _document(random)
        return {_value(arguments[0], None, full, random, name): _value(arguments[1], None, full, random, name)}
    if annotation is Any:
        return _document(random)
    return _scalar(annotation, info, full, random, name)


def _document(random: Random) -> dict[str, Any]:
    return {"text": f"v{random.randrange(1000)}", "list": [1, 1.0, True, None], "nested": {"n": random.random()}}


def _scalar(kind: Any, info: FieldInfo | None, full: bool, random: Random, name: str) -> Any:
    if not isinstance(kind, type):
        raise TypeError(f"{name}: no generator for {kind!r}")
    if issubclass(kind, BaseModel):
        return kind(**_values(kind, full, random, frozenset(), {}))
    if issubclass(kind, Enum):
        # The last member is never the default.
        return list(kind)[-1]
    low, high = _bounds(info)
    if kind is bool:
        return not (info is not None and info.default is True)
    if kind is int:
        return random.randint(int(low if low is not None else 1), int(high if high is not None else 90))
    if kind is float:
        return random.uniform(low if low is not None else 0.0, high if high is not None else 1.0)
    if kind is str:
        return f"{name}-{random.randrange(10**9)}"
    if kind is UUID:
        return UUID(int=random.getrandbits(128), version=4)
    if kind is datetime or kind is AwareDatetime:
        return _START + timedelta(microseconds=random.randrange(10**12))
    if kind is date:
        return (_START + timedelta(days=random.randrange(1000))).date()
    if "ipaddress" in kind.__module__ or kind.__name__.startswith("IPv"):
        return ip_address(random.getrandbits(32))
    raise TypeError(f"{name}: no generator for {kind!r}; register a fixup or extend focal_testkit.data.generate")


def _bounds(info: FieldInfo | None) -> tuple[float | None, float | None]:
    low = high = None
    for constraint in info.metadata if info is not None else ():
        low = getattr(constraint, "ge", getattr(constraint, "gt", low))
        high = getattr(constraint, "le", getattr(constraint, "lt", high))
    return low, high
