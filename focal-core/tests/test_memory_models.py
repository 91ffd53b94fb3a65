"""What the memory models read, refuse and fill in by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from focal_core.memory import groups
from focal_core.memory.models import Direction, Entity, Episode, EpisodeSource, EpisodeType, Relationship

NINE = datetime(2026, 5, 4, 9, tzinfo=UTC)


def episode(**fields: Any) -> Episode:
    return Episode(**{"tenant_id": uuid4(), "group_id": "g", "content": "text", **fields})


def relationship(**fields: Any) -> Relationship:
    ends = {"from_entity_id": UUID(int=1), "to_entity_id": UUID(int=2)}
    return Relationship(**{"tenant_id": uuid4(), "group_id": "g", "relation_type": "knows", **ends, **fields})


def test_an_episode_occurs_when_it_begins_to_be_valid_unless_told_otherwise() -> None:
    """occurred_at defaults to valid_from, at construction only."""
    defaulted = episode(valid_from=NINE)
    assert defaulted.occurred_at == NINE
    defaulted.valid_from = NINE - timedelta(hours=1)
    assert defaulted.occurred_at == NINE
    assert episode(valid_from=NINE, occurred_at=NINE - timedelta(days=1)).occurred_at == NINE - timedelta(days=1)
    undated = episode()
    assert undated.occurred_at == undated.valid_from


def test_defaults_are_those_of_the_data_model() -> None:
    """A minimal episode is a message of the system, half important, without vector."""
    made = episode()
    assert (made.episode_type, made.source, made.importance) == (EpisodeType.MESSAGE, EpisodeSource.SYSTEM, 0.5)
    assert (made.embedding, made.embedding_model, made.entity_ids, made.metadata) == (None, None, [], {})
    assert relationship().confidence == 1.0


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("TURN", EpisodeType.MESSAGE),
        ("turn", EpisodeType.MESSAGE),
        ("SUMMARY", EpisodeType.SUMMARY),
        ("Meta_Summary", EpisodeType.META_SUMMARY),
        ("FACT", EpisodeType.FACT),
        ("EVENT", EpisodeType.EVENT),
    ],
)
def test_episode_types_are_read_in_any_case_and_under_the_old_name(written: str, read: EpisodeType) -> None:
    """Both source documents' spellings are read; the canonical value is written, also through the alias."""
    assert episode(episode_type=written).model_dump(mode="json")["episode_type"] == read.value
    assert episode(content_type=written).episode_type is read
    assert episode(episode_type=written).content_type is read


def test_directions_and_sources_are_read_in_any_case() -> None:
    """Enums tolerate letter case."""
    assert [Direction("OUT"), Direction("In"), Direction("both")] == [Direction.OUT, Direction.IN, Direction.BOTH]
    assert episode(source="External").source is EpisodeSource.EXTERNAL


def test_a_relationship_is_read_under_the_names_of_both_documents() -> None:
    """source/target/relationship_type/metadata are aliases: read on construction, readable, never written."""
    start, end = uuid4(), uuid4()
    made = Relationship(
        tenant_id=uuid4(),
        group_id="g",
        source_entity_id=start,  # type: ignore[call-arg]
        target_entity_id=end,
        relationship_type="knows",
        metadata={"a": 1},
    )
    assert (made.from_entity_id, made.to_entity_id, made.relation_type, made.attributes) == (
        start,
        end,
        "knows",
        {"a": 1},
    )
    assert (made.source_entity_id, made.target_entity_id) == (start, end)
    assert (made.relationship_type, made.metadata) == ("knows", {"a": 1})
    assert not {"source_entity_id", "relationship_type", "metadata"} & set(made.model_dump())
    with pytest.raises(ValidationError):
        relationship(source_entity_id=uuid4())


def test_validity_is_half_open_and_never_empty() -> None:
    """INV-E1: valid_to is after valid_from; what ends at a moment is not valid at it."""
    hour = timedelta(hours=1)
    for bad in (NINE, NINE - hour):
        with pytest.raises(ValidationError):
            episode(valid_from=NINE, valid_to=bad)
    made = episode(valid_from=NINE, valid_to=NINE + hour)
    moments = (NINE - hour, NINE, NINE + hour - timedelta(microseconds=1), NINE + hour)
    assert [made.is_valid(moment) for moment in moments] == [False, True, True, False]
    with pytest.raises(ValidationError):
        made.valid_to = NINE
    assert made.valid_to == NINE + hour
    assert episode(valid_from=NINE).is_valid(NINE + 100_000 * hour)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": ""},
        {"importance": 1.1},
        {"importance": float("nan")},
        {"group_id": " "},
        {"group_id": "g" * 256},
        {"embedding_model": "m"},
        {"embedding": [0.0, 0.0]},
        {"valid_from": datetime(2026, 5, 4)},  # noqa: DTZ001
        {"metadata": {"a": float("inf")}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_an_episode_that_breaks_a_rule_is_refused(fields: dict[str, Any]) -> None:
    """Blank, out of range, unpaired, naive and unknown values do not make a model."""
    with pytest.raises(ValidationError):
        episode(**fields)


def test_names_are_bounded_and_composed() -> None:
    """Entity names have up to 500 characters, types up to 100, both in NFC."""
    made = Entity(tenant_id=uuid4(), group_id="g", name="e\u0301" * 500, entity_type="t" * 100)
    assert made.name == "\u00e9" * 500
    for bad in ({"name": "n" * 501}, {"entity_type": "t" * 101}, {"name": "\n"}, {"canonical_name": ""}):
        with pytest.raises(ValidationError):
            Entity(**{"tenant_id": uuid4(), "group_id": "g", "name": "n", "entity_type": "t", **bad})


def test_labels_of_the_usual_groups_tell_what_they_are_of() -> None:
    """A label is the kind and the id."""
    id = UUID("0190a000-0000-7000-8000-0000000000a1")
    assert groups.session(id) == f"session:{id}"
    assert groups.customer(id) == f"customer:{id}"
    assert groups.agent(id) == f"agent:{id}"
