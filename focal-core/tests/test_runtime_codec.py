from __future__ import annotations

import json
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from focal_core.errors import InvalidDataError, SchemaOutdatedError
from focal_core.runtime.codec import decode, encode

Point = namedtuple("Point", "x y")


class Kind(StrEnum):
    A = "a"


class Text(str):
    pass


class Model(BaseModel):
    kind: Kind
    inner: tuple[int, ...] = ()


@dataclass
class Data:
    model: Model


def deep(levels: int, innermost: Any = None) -> Any:
    value = innermost
    for _ in range(levels):
        value = [value]
    return value


VALUES: list[Any] = [
    None,
    True,
    1,
    2**80,
    1.0,
    -0.0,
    "",
    "\ud800 \x00",
    b"\xff",
    (),
    ((1,), [2]),
    set(),
    {1, "a", (2, b"x")},
    datetime(2026, 5, 4, 9, 0, 0, 1, tzinfo=UTC),
    UUID(int=5),
    Decimal("1.50"),
    {"": {"a": [1, (2,)]}},
    {"$focal": "tuple", "v": [1]},
    {"$focal": None},
    {"$focal": {"$focal": ("x",)}},
    [{"v": 1, "$focal": "dict"}],
]


@pytest.mark.parametrize("value", VALUES, ids=map(str, range(len(VALUES))))
def test_values_survive_json_with_their_types(value: Any) -> None:
    """Encoded data are plain JSON, and decoding gives an equal value of the same types (INV-RT1)."""
    back = decode(json.loads(json.dumps(encode(value))))

    assert back == value
    assert repr(back) == repr(value) or isinstance(value, set)


def test_json_stays_what_it_is() -> None:
    """Plain JSON is encoded as itself, so that backends can index it."""
    value = {"a": [1, 2.5, "x", None, True, {"b": []}], "v": 1}

    assert encode(value) == value
    assert encode(value) is not value


def test_equal_sets_have_equal_data() -> None:
    """The data of a set do not depend on the order it is walked in."""
    words = [f"word{number}" for number in range(50)]

    assert encode(set(words))["v"] == sorted(words)
    assert encode({8, 0, 16}) == encode({16, 8, 0})


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Text("x"),
        OrderedDict(a=1),
        Point(1, 2),
        frozenset({1}),
        bytearray(b"x"),
        1j,
        range(3),
        {1: 2},
        {Text("a"): 1},
        {"\udfff": 1},
        {"lone \ud800": 1},
        float("nan"),
        float("-inf"),
        Decimal("Infinity"),
        Model(kind=Kind.A),
        Data(Model(kind=Kind.A)),
        Data(None),  # type: ignore[arg-type]
        Data,
        Model,
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_would_not_come_back_is_refused(value: Any) -> None:
    """Subclasses, other types, and models where none are expected: nothing is stringified or pickled."""
    for place in (value, [value], {"k": (value,)}):
        with pytest.raises(InvalidDataError) as caught:
            encode(place)
        assert caught.value.code == "value_unsupported"


def test_classes_are_no_data_even_where_models_are() -> None:
    """A dataclass or a model as such is not an instance of itself."""
    for value in (Data, Model, object()):
        with pytest.raises(InvalidDataError):
            encode(value, models=True)


def test_models_become_dicts_where_they_are_expected() -> None:
    """Models and dataclasses, nested in each other and in containers, are dicts of their fields."""
    value = [Data(Model(kind=Kind.A, inner=(1, 2)))]

    assert decode(encode(value, models=True)) == [{"model": {"kind": "a", "inner": (1, 2)}}]
    assert type(decode(encode(Kind.A))) is str


def test_naive_times_have_a_code_of_their_own() -> None:
    """A naive datetime is refused as everywhere in focal."""
    with pytest.raises(InvalidDataError) as caught:
        encode({"at": datetime(2026, 5, 4)})  # noqa: DTZ001

    assert caught.value.code == "datetime_naive"


def test_depth_is_bounded() -> None:
    """64 levels are kept, one more is refused, and so is a value that contains itself."""
    cyclic: list[Any] = []
    cyclic.append(cyclic)

    assert decode(encode(deep(64))) == deep(64)
    assert decode(encode(deep(62, {"a": ()}))) == deep(62, {"a": ()})
    nested: dict[str, Any] = {}
    for _ in range(64):
        nested = {"k": nested}
    for value in (deep(65), deep(64, {}), deep(64, ()), nested, cyclic):
        with pytest.raises(InvalidDataError) as caught:
            encode(value)
        assert caught.value.code == "json_too_deep"


def test_errors_name_the_place_and_not_the_value() -> None:
    """The path leads to what was refused; the value, which may be a customer's, is not shown."""

    class Secret:
        def __repr__(self) -> str:
            return "4111 1111 1111 1111"

    with pytest.raises(InvalidDataError) as caught:
        encode({"card": [1, Secret()]})

    assert "$.card[1]" in str(caught.value)
    assert "4111" not in str(caught.value)
    with pytest.raises(InvalidDataError) as caught:
        encode({"k" * 500: object()})
    assert len(str(caught.value)) < 200


def test_an_unknown_tag_is_a_newer_release() -> None:
    """Data with a type this release does not know are refused, not handed out half decoded."""
    with pytest.raises(SchemaOutdatedError):
        decode([{"$focal": "matrix", "v": [1]}])


def test_decoding_shares_nothing() -> None:
    """Each decoding is a copy of its own."""
    data = encode({"a": [1], "t": ([],)})

    first = decode(data)
    first["a"].append(2)
    first["t"][0].append(3)

    assert decode(data) == {"a": [1], "t": ([],)}
