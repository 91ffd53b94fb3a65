"""The quick validators decide as the models' own do, whatever has got into a model since it was made."""

from __future__ import annotations

import enum
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from focal_core.audit.models import ToolCall, TurnRecord
from focal_core.base import FocalModel, validated_copy
from focal_core.conversation.models import Session, StepVisit
from focal_core.revalidation import plain_validator

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Word(str, enum.Enum):  # noqa: UP042 - its str() is not its value
    """Text that is not plainly a str."""

    HELLO = "hello"


class Number(float):
    """A float that is not plainly one."""


def nested(levels: int) -> Any:
    """Return lists in lists."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


VALUES: list[Any] = [
    *("text", "", "\x00", "\ud800", "größe", "x" * 300, Word.HELLO, 0, True, 2**70, 1.0, -0.0, Number(2.5), None),
    *(float("nan"), float("inf"), b"bytes", {1}, NOON, UUID(int=1), object(), (1, 2), [1, [2]], {"a": {"b": 1}}),
    *({1: 2}, {"\ud800": 1}, {Word.HELLO: 1}, MappingProxyType({"a": (1,)}), nested(64), nested(65), {"a": nested(63)}),
    {"a": nested(64)},
]
KEYS: list[Any] = ["key", "", " ", "\t", "a\n", "a\x7f", "e\u0301", "x" * 255, "x" * 256, "\ud800", Word.HELLO, 1, None]
TIMES: list[Any] = [
    NOON,
    NOON.replace(tzinfo=None),
    NOON.astimezone(timezone(timedelta(hours=2))),
    NOON.astimezone(timezone(timedelta())),
    "2026-03-01T12:00:00+01:00",
    "yesterday",
    None,
]
VISITS: list[Any] = [
    StepVisit(step_id=UUID(int=1), entered_at=NOON, turn_number=1),
    {"step_id": UUID(int=2), "entered_at": NOON, "turn_number": 2, "step_name": "e\u0301"},
    {"step_id": UUID(int=2), "entered_at": NOON, "turn_number": 2, "unknown": 1},
    *("text", None),
]


def session() -> Session:
    """Return a session."""
    return Session(tenant_id=UUID(int=1), agent_id=UUID(int=2), channel="webchat", user_channel_id="u")


def outcome(make: Any) -> Any:
    """Return what is made, with the types of all its parts, or the errors that refuse it."""
    try:
        made = make()
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False, include_input=False)
    return repr(made), made.model_fields_set, made.__pydantic_private__


def same(model: FocalModel) -> None:
    """Check that a copy is what the model's own validator makes of it."""
    assert outcome(lambda: validated_copy(model)) == outcome(lambda: type(model).model_validate(model))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_that_were_put_into_a_model(value: Any) -> None:
    """A value in JSON of any shape is copied or refused as at construction."""
    row = session()
    row.variables["key"] = value
    same(row)
    row = session()
    row.metadata["key"] = value
    same(row)
    turn = TurnRecord(tenant_id=UUID(int=1), session_id=UUID(int=2), turn_number=0, user_message="m")
    turn.__dict__["extra"] = {"key": value}
    same(turn)
    turn.__dict__["user_message"] = value
    same(turn)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: type(key).__name__)
def test_keys_that_were_put_into_a_model(key: Any) -> None:
    """An identifier is normalised or refused as at construction."""
    row = session()
    row.rule_fires[key] = 1
    same(row)


@pytest.mark.parametrize("moment", TIMES, ids=repr)
def test_times_that_were_put_into_a_model(moment: Any) -> None:
    """A time is brought to UTC or refused as at construction."""
    row = session()
    row.variable_updated_at["key"] = moment
    same(row)


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: type(visit).__name__)
def test_models_that_were_put_into_a_model(visit: Any) -> None:
    """A nested model, or a dict in its place, is read or refused as at construction."""
    row = session()
    row.step_history.append(visit)
    same(row)


def test_copies_share_nothing() -> None:
    """What the copy holds can be changed without the original."""
    row = session()
    row.metadata["a"] = {"b": [1]}
    row.step_history.append(StepVisit(step_id=UUID(int=1), entered_at=NOON, turn_number=1))
    copied = validated_copy(row)
    copied.metadata["a"]["b"].append(2)
    copied.step_history.clear()
    copied.set_stored(version=7)
    assert row.metadata == {"a": {"b": [1]}}
    assert row.step_history[0].turn_number == 1
    assert "version" not in row.model_fields_set


def test_plain_values_are_not_asked_of_python() -> None:
    """Nested models are validated by the rewritten schema too, not by the validators of their own classes."""
    assert "Prebuilt" in repr(Session.__pydantic_validator__)
    assert "Prebuilt" not in repr(plain_validator(Session))


def test_what_is_frozen_is_shared() -> None:
    """A copy holds the very JSON and the very parts that never change, unless somebody put others in their place."""
    turn = TurnRecord(
        tenant_id=UUID(int=1),
        session_id=UUID(int=2),
        turn_number=0,
        user_message="m",
        extra={"a": [1]},
        tools_executed=(ToolCall(tool_id="t", input={"x": [1]}),),
    )
    copied = validated_copy(turn)
    assert copied is not turn
    assert copied.extra is turn.extra
    assert copied.tools_executed[0] is turn.tools_executed[0]
