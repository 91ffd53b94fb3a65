"""Schemas as they are sent: what is carried, what becomes words, and what is refused."""

from __future__ import annotations

import copy
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from focal_core.errors import SchemaUnsupported
from focal_core.providers.dialects import (
    ARRAY_CONSTRAINTS,
    NUMBER_CONSTRAINTS,
    STRING_CONSTRAINTS,
    Dialect,
    wire_schema,
)
from focal_core.providers.models import ResponseSchema
from focal_core.providers.schema import lint, output_type

BARE = Dialect()
RULES = Dialect(constraints=NUMBER_CONSTRAINTS | STRING_CONSTRAINTS | ARRAY_CONSTRAINTS, all_of=True)
STRICT = Dialect(all_required=True)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9, description="How many are left.")]


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str = "Rex"


class Home(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    colours: list[Colour] = Field(max_length=3)
    since: date
    price: Decimal | None = None
    first: Cat = Field(description="The first one.")


def sent(kind: Any, dialect: Dialect) -> dict[str, Any]:
    return wire_schema(output_type(kind).schema, dialect)


def given(schema: dict[str, Any], dialect: Dialect = BARE, *, validated: bool = False) -> dict[str, Any]:
    return wire_schema(ResponseSchema(name="S", schema=schema, validated=validated), dialect)


def refused(schema: dict[str, Any], dialect: Dialect = BARE) -> str:
    with pytest.raises(SchemaUnsupported) as caught:
        given(schema, dialect)
    return caught.value.path


def objects(schema: Any) -> list[dict[str, Any]]:
    """Return every object schema within a schema."""
    if isinstance(schema, list):
        return [found for item in schema for found in objects(item)]
    if not isinstance(schema, dict):
        return []
    here = [schema] if schema.get("type") == "object" else []
    return here + [found for item in schema.values() for found in objects(item)]


def test_provider_j2_constraints_the_wire_cannot_carry_are_told_in_words() -> None:
    """The structure stays, the rule becomes part of the description, the answer is validated all the same."""
    lives = sent(Cat, BARE)["properties"]["lives"]

    assert lives == {"type": "integer", "description": 'How many are left. {"maximum": 9, "minimum": 1}'}


def test_provider_j2_constraints_the_wire_enforces_are_carried() -> None:
    """Nothing is lost where nothing need be."""
    home = sent(Home, RULES)

    assert home["$defs"]["Cat"]["properties"]["lives"]["maximum"] == 9
    assert home["properties"]["colours"]["maxItems"] == 3
    assert home["properties"]["since"] == {"type": "string", "format": "date"}


def test_provider_j2_a_format_the_wire_does_not_know_becomes_words() -> None:
    """It may enforce some formats only."""
    dialect = Dialect(constraints=frozenset({"format"}), formats=frozenset({"uuid"}))

    assert sent(Home, dialect)["properties"]["since"] == {"type": "string", "description": '{"format": "date"}'}


def test_provider_j1_a_schema_nobody_validates_is_never_made_wider() -> None:
    """What was asked for directly is carried or refused."""
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}

    assert refused(schema) == "$.n"
    assert given(schema, RULES)["properties"]["n"]["minimum"] == 1
    assert "minimum" not in given(schema, validated=True)["properties"]["n"]


def test_provider_j1_every_object_is_closed_and_required_where_the_wire_wants_it() -> None:
    """Definitions and members of unions too."""
    home = sent(Home, STRICT)

    assert len(objects(home)) == 3
    for found in objects(home):
        assert found["additionalProperties"] is False
        assert found["required"] == list(found["properties"])
    optional = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]}
    assert refused(optional, STRICT) == "$"
    assert given(optional)["required"] == ["a"]


def test_provider_j1_unions_are_carried_as_any_of() -> None:
    """No wire knows oneOf or its discriminator; the members stay the same."""
    pet = sent(Home, BARE)["properties"]["pet"]

    assert pet == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}


def test_provider_j1_nothing_stands_beside_a_reference() -> None:
    """Wires refuse it; words are no loss, rules are."""
    assert sent(Home, BARE)["properties"]["first"] == {"$ref": "#/$defs/Cat"}
    beside = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A", "maxLength": 3}},
        "$defs": {"A": {"type": "string"}},
    }
    assert refused(beside) == "$.a"


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "object", "properties": {"a": {"type": "string", "not": {"const": "x"}}}}, "$.a"),
        ({"type": "object", "properties": {"a": {"allOf": [{"type": "string"}]}}}, "$.a"),
        ({"type": "object", "properties": {"a": {"type": ["object", "null"]}}}, "$.a"),
        ({"type": "object", "properties": {"a": {"type": ["array", "null"]}}}, "$.a[]"),
        ({"type": "object", "properties": {"a": {"$ref": "https://elsewhere/schema"}}}, "$.a"),
        ({"type": "object", "properties": {"a": False}}, "$.a"),
        ({"type": "object", "properties": {"a": "string"}}, "$.a"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "patternProperties": {"b": {}}}, "$"),
    ],
)
def test_provider_j1_keywords_no_wire_carries_are_refused_where_they_stand(schema: dict[str, Any], path: str) -> None:
    """Never left out in silence, never another error."""
    assert refused(schema) == path


def test_provider_j1_limits_of_a_dialect() -> None:
    """Depth, properties and enum values are counted before anything is sent."""
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(4):
        deep = {"type": "object", "properties": {"a": deep}}

    given(deep, Dialect(max_depth=4, max_properties=4))
    assert refused(deep, Dialect(max_depth=3)) == "$.a.a.a"
    assert refused(deep, Dialect(max_properties=3)) == "$"
    many = {"type": "object", "properties": {"a": {"enum": list("abc")}}}
    given(many, Dialect(max_enum_values=3))
    assert refused(many, Dialect(max_enum_values=2)) == "$"


def test_provider_r3_the_schema_that_was_asked_for_is_not_changed() -> None:
    """It is cached and shared between calls."""
    schema = output_type(Home).schema
    before = copy.deepcopy(schema.schema)

    wire_schema(schema, STRICT)
    wire_schema(schema, BARE)

    assert schema.schema == before


@pytest.mark.parametrize("dialect", [BARE, RULES, STRICT])
def test_provider_j1_what_is_sent_passes_the_lint_again(dialect: Dialect) -> None:
    """A carried schema is one that can be carried."""
    lint(sent(Home, dialect))


def test_schema_extensions_for_other_readers_are_left_out() -> None:
    """Keys that begin with x- say nothing to a model."""
    extended = {"type": "object", "properties": {"a": {"type": "string", "x-order": 1}}, "x-version": 2}

    assert "x-" not in str(given(extended))
