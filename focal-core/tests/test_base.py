"""The bases of all models."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import ClassVar, Self
from uuid import UUID, uuid4

import pytest
from pydantic import Field, ValidationError, model_validator

from focal_core import errors
from focal_core.base import (
    AgentScoped,
    Alias,
    Embedded,
    FocalModel,
    FrozenModel,
    TolerantEnum,
    Versioned,
    validated_copy,
)
from focal_core.ids import uuid7
from focal_core.values import Identifier, Identifier100, JSONObject, Vector


class Mood(TolerantEnum):
    """An enum with an alias."""

    GLAD = "glad"
    SAD = "sad"

    @classmethod
    def alias_map(cls) -> dict[str, str]:
        return {"happy": "glad"}


class Thing(AgentScoped, Versioned, Embedded):
    """A model with everything."""

    embedding_prefix: ClassVar[str] = "own_"
    id: UUID = Field(default_factory=uuid7)
    mood: Mood = Mood.GLAD
    document: JSONObject = {}
    low: int = 0
    high: int = 9
    own_embedding: Vector | None = None
    own_embedding_model: Identifier100 | None = None
    embedding = Alias[tuple[float, ...] | None]("own_embedding")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low exceeds high")
        return self


def thing(**fields: object) -> Thing:
    return Thing(**{"tenant_id": uuid4(), "agent_id": uuid4(), **fields})  # type: ignore[arg-type]


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError):
        thing(unknown=1)


@pytest.mark.parametrize("spelling", ["glad", "GLAD", "Glad", "happy", "Happy"])
def test_enums_read_any_case_and_alias_and_write_one_form(spelling: str) -> None:
    made = thing(mood=spelling)
    assert made.mood is Mood.GLAD
    assert made.model_dump(mode="json")["mood"] == "glad"


@pytest.mark.parametrize("value", ["", "gla", 3, None])
def test_enums_refuse_other_values(value: object) -> None:
    with pytest.raises(ValidationError):
        thing(mood=value)


def test_alias_is_accepted_readable_and_never_written() -> None:
    made = thing(embedding=[1.0])
    assert made.embedding == made.own_embedding == (1.0,)
    assert "embedding" not in made.model_dump()
    with pytest.raises(AttributeError):
        made.embedding = (2.0,)  # type: ignore[misc]


def test_alias_beside_its_field_must_agree() -> None:
    assert thing(embedding=[1.0], own_embedding=[1.0]).own_embedding == (1.0,)
    with pytest.raises(ValidationError) as refused:
        thing(embedding=[1.0], own_embedding=[2.0])
    assert refused.value.errors()[0]["type"] == "focal.alias_conflict"


def test_embedding_model_needs_its_vector_and_defaults() -> None:
    assert thing(embedding=[1.0]).own_embedding_model == "default"
    with pytest.raises(ValidationError):
        thing(own_embedding_model="m")


def test_a_refused_assignment_leaves_the_model_as_it_was() -> None:
    made = thing()
    with pytest.raises(ValidationError):
        made.low = 10
    assert made.low == 0
    made.high = 20
    made.low = 10
    assert (made.low, made.high) == (10, 20)


def test_validated_copy_shares_nothing_and_checks_again() -> None:
    made = thing(document={"a": [1]})
    copied = validated_copy(made)
    copied.document["a"].append(2)
    assert made.document == {"a": [1]}
    assert copied.model_fields_set == made.model_fields_set

    made.document["bad"] = object()
    with pytest.raises(ValidationError):
        validated_copy(made)


def test_errors_of_models_do_not_show_values() -> None:
    with pytest.raises(ValidationError) as refused:
        thing(low="secret-4711")
    assert "secret-4711" not in str(refused.value)


def _all_errors(root: type[errors.FocalError]) -> list[type[errors.FocalError]]:
    return [root, *(found for child in root.__subclasses__() for found in _all_errors(child))]


# AllFailed holds other errors, which compare by identity; its own test is that of the fallback chain.
PUBLIC = [kind for kind in _all_errors(errors.FocalError) if kind.__module__ == errors.__name__]
SIMPLE_ERRORS = [kind for kind in PUBLIC if kind is not errors.AllFailed]


@pytest.mark.parametrize("kind", SIMPLE_ERRORS, ids=lambda kind: kind.__name__)
def test_errors_survive_pickling_with_everything_they_carry(kind: type[errors.FocalError]) -> None:
    more: dict[str, object] = {
        errors.StaleVersionError: {"expected": 1, "actual": 2},
        errors.SchemaUnsupported: {"path": "$", "reason": "r"},
    }.get(kind, {})
    made = (
        kind("what", ["one"], hint="fix") if kind is errors.SchemaValidationError else kind("what", hint="fix", **more)
    )
    for copied in (pickle.loads(pickle.dumps(made)), deepcopy(made)):
        assert type(copied) is kind
        assert vars(copied) == vars(made)
        assert str(copied) == str(made)
    assert kind.__doc__


def test_invalid_data_names_the_field_and_the_code() -> None:
    class Small(FocalModel):
        vector: Vector

    with pytest.raises(ValidationError) as refused:
        Small(vector=[0.0])
    error = errors.InvalidDataError.from_validation(refused.value, "Small")
    assert error.code == "vector_invalid"
    assert "vector: " in error.message


class Visit(FrozenModel):
    """A part that never changes."""

    at: int = Field(ge=0)
    name: Identifier = "n"


class Visits(FocalModel):
    """A model with such parts."""

    visits: list[Visit] = []


def test_frozen_parts_are_shared_by_copies() -> None:
    made = Visits(visits=[Visit(at=1)])
    copied = validated_copy(made)
    assert copied.visits is not made.visits
    assert copied.visits[0] is made.visits[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Visit.model_construct(at=-1),
        lambda: Visit(at=1).model_copy(update={"at": "x"}),
        lambda: Visit(at=1).model_copy(update={"unknown": 1}),
        lambda: setattr(Visit(at=1), "at", 2),
    ],
    ids=["constructed", "copied", "unknown", "assigned"],
)
def test_nothing_makes_a_frozen_part_invalid(make: Callable[[], object]) -> None:
    with pytest.raises(ValidationError):
        make()


def test_a_frozen_part_is_copied_with_changes() -> None:
    changed = Visit(at=1).model_copy(update={"at": 2})
    assert changed == Visit(at=2)
    assert changed.model_fields_set == {"at"}


def test_a_frozen_part_of_a_class_of_somebody_elses_is_not_taken_as_it_is() -> None:
    class Loose(Visit):
        notes: list[str] = []

    visits = Visits()
    visits.visits.append(Loose(at=1, notes=["a"]))
    with pytest.raises(ValidationError):
        validated_copy(visits)
