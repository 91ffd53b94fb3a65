"""How the reference ranks texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from focal_core.memory.models import Episode
from focal_core.memory.search import best_texts, split_terms, text_score

NINE = datetime(2026, 5, 4, 9, tzinfo=UTC)


def episode(n: int, content: str, minutes: int = 0) -> Episode:
    return Episode(
        id=UUID(int=n),
        tenant_id=UUID(int=1),
        group_id="g",
        content=content,
        occurred_at=NINE + timedelta(minutes=minutes),
    )


def test_terms_are_what_white_space_separates_each_once_in_folded_case() -> None:
    """No punctuation is taken off, and no order is lost."""
    assert split_terms(" Straße,\tRED red \n STRASSE, 100% ") == ["strasse,", "red", "100%"]
    assert split_terms(" \t\n") == []


@pytest.mark.parametrize(
    ("query", "text", "score"),
    [
        ("refund", "refund", 1.0),
        ("refund", "Refunds, please", 0.5),
        ("refund please", "please give a refund", 0.5),
        ("refund please", "please give a fund", 0.0),
        ("e", "one two three four", 0.5),
        ("", "refund", 0.0),
        ("", " ", 0.0),
    ],
)
def test_text_score_is_the_share_of_words_that_hold_a_term(query: str, text: str, score: float) -> None:
    """A text that lacks one of the terms scores 0.0."""
    assert text_score(split_terms(query), text) == score


def test_best_texts_come_by_score_then_latest_then_lowest_id() -> None:
    """The order is total, whatever order the episodes come in."""
    rows = [
        episode(1, "needle in hay"),
        episode(4, "needle", minutes=1),
        episode(3, "needle", minutes=1),
        episode(2, "needle"),
        episode(5, "needle", minutes=10),
        episode(6, "hay"),
    ]
    for given in (rows, rows[::-1]):
        assert [row.id.int for row, _ in best_texts("NEEDLE", given)] == [5, 3, 4, 2, 1]
