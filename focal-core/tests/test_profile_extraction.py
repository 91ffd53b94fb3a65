from __future__ import annotations

from typing import Any

import pytest

from focal_core.profile.extraction import typed
from focal_core.profile.models import ValueType
from focal_core.profile.value_types import matches_type


@pytest.mark.parametrize(
    ("value_type", "text", "value"),
    [
        ("number", "41", 41),
        ("number", "4.5", 4.5),
        ("boolean", " True\n", True),
        ("boolean", "false", False),
        ("json", '{"a": [1]}', {"a": [1]}),
        ("string", "41", "41"),
        ("date", "2026-02-28", "2026-02-28"),
    ],
)
def test_a_models_text_becomes_a_value_of_the_type(value_type: str, text: str, value: Any) -> None:
    """A model answers with text; the value has the field's type."""
    found = typed(text, ValueType(value_type))

    assert (found, type(found)) == (value, type(value))
    assert matches_type(found, ValueType(value_type))


@pytest.mark.parametrize(
    ("value_type", "text"),
    [
        ("number", "NaN"),
        ("number", "many"),
        ("number", "9" * 5000),
        ("boolean", "1"),
        ("json", "[" * 5000),
        ("json", "[" * 65 + "]" * 65),
        ("json", "5"),
        ("date", "today"),
    ],
)
def test_a_text_that_is_nothing_of_the_type_is_of_another_type(value_type: str, text: str) -> None:
    """Whatever a model answers, nothing of a wrong type passes for right, and nothing crashes."""
    found = typed(text, ValueType(value_type))

    assert not matches_type(found, ValueType(value_type))
    assert found in (text, 5)
