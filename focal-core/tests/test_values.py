"""The value types models are made of."""

from __future__ import annotations

import copy
import math
import pickle
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from focal_core.base import FocalModel
from focal_core.values import (
    Float32Vector,
    FrozenJSONObject,
    Identifier,
    JSONObject,
    JSONValue,
    RequiredText,
    Text,
    UTCDateTime,
    Vector,
    canonical_json,
    to_vector,
)
from focal_testkit.data import hostile


class Holder(FocalModel):
    """One field of each kind."""

    name: Identifier = "n"
    text: Text = ""
    needed: RequiredText = "x"
    value: JSONValue = None
    document: JSONObject = {}
    frozen: FrozenJSONObject = {}
    at: UTCDateTime = datetime(2026, 1, 1, tzinfo=UTC)
    vector: Vector | None = None


@pytest.mark.parametrize("name", sorted(hostile.IDENTIFIERS))
def test_identifiers_take_any_visible_text(name: str) -> None:
    assert Holder(name=hostile.IDENTIFIERS[name]).name == hostile.IDENTIFIERS[name]


@pytest.mark.parametrize("name", sorted(hostile.REFUSED_IDENTIFIERS))
def test_identifiers_refuse_what_breaks_keys(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Holder(name=hostile.REFUSED_IDENTIFIERS[name])
    assert refused.value.errors()[0]["type"] == "focal.identifier_invalid"


def test_identifiers_are_normalised() -> None:
    assert Holder(name="e\u0301").name == "\u00e9"


@pytest.mark.parametrize("name", sorted(hostile.TEXTS))
def test_free_text_is_untouched(name: str) -> None:
    assert Holder(text=hostile.TEXTS[name]).text == hostile.TEXTS[name]


def test_required_text_is_not_empty() -> None:
    with pytest.raises(ValidationError):
        Holder(needed="")


@pytest.mark.parametrize("name", sorted(hostile.DOCUMENTS))
def test_json_keeps_every_type(name: str) -> None:
    document = hostile.DOCUMENTS[name]
    held = Holder(document=document, value=document, frozen=document)
    for found in (held.document, held.value, held.model_dump()["frozen"]):
        assert canonical_json(found) == canonical_json(document)
        assert found is not document


@pytest.mark.parametrize("name", sorted(hostile.REFUSED_NUMBERS))
def test_json_refuses_numbers_it_cannot_hold(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Holder(document={"list": [1, hostile.REFUSED_NUMBERS[name]]})
    assert "$.list[1]" in str(refused.value)


@pytest.mark.parametrize("value", [object(), {1: "x"}, {"x": {1, 2}}, b"bytes", {"\ud800": 1}, datetime.now(UTC)])
def test_json_refuses_other_types(value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Holder(value=value)
    assert refused.value.errors()[0]["type"] == "focal.json_invalid"


@pytest.mark.parametrize(("depth", "fits"), [(63, True), (64, True), (65, False), (3000, False)])
def test_json_depth_is_bounded(depth: int, fits: bool) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    if fits:
        assert Holder(value=value).value == value
    else:
        with pytest.raises(ValidationError) as refused:
            Holder(value=value)
        assert refused.value.errors()[0]["type"] == "focal.json_too_deep"


def test_frozen_json_is_read_only_at_every_depth() -> None:
    held = Holder(frozen={"a": {"b": [1]}})
    with pytest.raises(TypeError):
        held.frozen["a"]["b2"] = 1
    assert held.frozen["a"]["b"] == (1,)
    assert held.frozen == {"a": {"b": (1,)}}
    assert Holder(frozen=held.frozen).frozen is held.frozen


@pytest.mark.parametrize("mode", ["python", "json"])
def test_frozen_json_is_dumped_as_a_copy(mode: str) -> None:
    held = Holder(frozen={"a": {"b": [1]}})
    dumped = held.model_dump(mode=mode)["frozen"]
    assert dumped == {"a": {"b": [1]}}
    dumped["a"]["b"].append(2)
    dumped["c"] = 3
    assert held.model_dump()["frozen"] == {"a": {"b": [1]}}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_frozen_json_can_be_copied(copied: Callable[[Any], Any]) -> None:
    frozen = Holder(frozen={"a": {"b": [1]}}).frozen
    assert copied(frozen) == frozen


def test_times_are_aware_and_utc() -> None:
    berlin = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    assert Holder(at=berlin).at.isoformat() == "2026-01-01T11:00:00+00:00"
    with pytest.raises(ValidationError):
        Holder(at=datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "copied", [lambda value: value, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
)
def test_a_vector_knows_its_bytes(copied: Callable[[Any], Any]) -> None:
    vector = copied(to_vector([0.1, -2.0, 3]))
    assert vector == struct.unpack("!3f", vector.network)
    assert Float32Vector(vector).network == vector.network


@pytest.mark.parametrize(
    "vector",
    [[], [0.0, 0.0], [1.0, math.nan], [math.inf], [1.0] * 16_001, ["a"], "12", 7, [1e300]],
    ids=["empty", "zero", "nan", "infinite", "too long", "text", "str", "number", "beyond float32"],
)
def test_vectors_are_refused_when_they_cannot_be_compared(vector: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        Holder(vector=vector)
    assert refused.value.errors()[0]["type"] == "focal.vector_invalid"


def test_vectors_are_float32() -> None:
    assert to_vector([0.1, 1]) == (0.10000000149011612, 1.0)
    assert Holder(vector=to_vector([0.1])).vector == to_vector([0.1])


def test_canonical_json_ignores_order_and_keeps_types() -> None:
    assert canonical_json({"b": 1, "a": 2}) == canonical_json({"a": 2, "b": 1})
    assert len({canonical_json(value) for value in (1, 1.0, True, "1", None)}) == 5
