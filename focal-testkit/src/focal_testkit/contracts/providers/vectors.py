"""Faults of embeddings: vectors missing, doubled, in disorder, unusable."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan
from typing import Any

from focal_core.errors import ContentTooLarge, ContextTooLong, MalformedResponse
from focal_core.usage import TokenUsage
from focal_testkit.contracts.providers.fault_case import TEXTS, FaultCase, Mode, Outcome, Wire, only
from focal_testkit.faults.wire import Exchange, json_reply
from focal_testkit.faults.wire_embeddings import DIMENSIONS, EmbeddingsDialect, Rows, vector_of

EMBED: frozenset[Mode] = frozenset({"embed"})


def _rows(spoil: Callable[[Rows], Rows]) -> Callable[[Wire], Exchange]:
    def exchange(wire: Wire) -> Exchange:
        assert isinstance(wire.dialect, EmbeddingsDialect)
        return wire.dialect.answered(spoil)

    return exchange


def _with(at: int, /, **fields: Any) -> Callable[[Wire], Exchange]:
    return _rows(lambda rows: [row | fields if row["index"] == at else row for row in rows])


def _component(value: float) -> Callable[[Wire], Exchange]:
    return _with(1, embedding=[value, *vector_of(TEXTS[1])[1:]])


def _listed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Wire], Exchange]:
    def exchange(wire: Wire) -> Exchange:
        assert isinstance(wire.dialect, EmbeddingsDialect)
        return (json_reply(200, change(wire.dialect.listed(TEXTS, "float"))),)

    return exchange


def _silent(wire: Wire) -> Exchange:
    assert isinstance(wire.dialect, EmbeddingsDialect)
    return wire.dialect.answered(usage=False)


def _unreported(outcome: Outcome) -> None:
    assert not outcome.result.usage.reported


def _reported(outcome: Outcome) -> None:
    usage: TokenUsage = outcome.result.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.requests) == (3 * len(TEXTS), 0, 1)


VECTORS: tuple[FaultCase, ...] = tuple(
    FaultCase(f"vectors_{name}", only(exchange), error, modes=EMBED, **more)
    for name, exchange, error, more in (
        ("good", Wire.good, None, {"check": _reported}),
        ("permuted", _rows(lambda rows: rows[::-1]), None, {}),
        ("rotated", _rows(lambda rows: rows[1:] + rows[:1]), None, {}),
        ("missing", _rows(lambda rows: rows[:-1]), MalformedResponse, {}),
        ("missing_in_the_middle", _rows(lambda rows: rows[:1] + rows[2:]), MalformedResponse, {}),
        ("too_many", _rows(lambda rows: [*rows, {**rows[0], "index": 3}]), MalformedResponse, {}),
        ("none", _rows(lambda _: []), MalformedResponse, {}),
        ("doubled", _rows(lambda rows: [rows[0], rows[0], rows[2]]), MalformedResponse, {}),
        ("one_twice_beside_all", _rows(lambda rows: [*rows, rows[0]]), MalformedResponse, {}),
        ("index_beyond_the_inputs", _with(2, index=7), MalformedResponse, {}),
        ("index_negative", _with(2, index=-1), MalformedResponse, {}),
        ("index_null", _with(1, index=None), MalformedResponse, {}),
        ("index_of_text", _with(1, index="one"), MalformedResponse, {}),
        ("too_short", _with(1, embedding=[0.5] * (DIMENSIONS - 1)), MalformedResponse, {}),
        ("too_long", _with(1, embedding=[0.5] * (DIMENSIONS + 1)), MalformedResponse, {}),
        ("empty", _with(1, embedding=[]), MalformedResponse, {}),
        ("null", _with(1, embedding=None), MalformedResponse, {}),
        ("of_zeros", _with(1, embedding=[0.0] * DIMENSIONS), MalformedResponse, {}),
        ("with_nan", _component(nan), MalformedResponse, {}),
        ("with_infinity", _component(inf), MalformedResponse, {}),
        ("with_negative_infinity", _component(-inf), MalformedResponse, {}),
        ("of_broken_base64", _with(1, embedding="%%%"), MalformedResponse, {}),
        ("of_cut_base64", _with(1, embedding="AACAPwAA"), MalformedResponse, {}),
        ("row_null", _listed(lambda body: {**body, "data": [*body["data"][:2], None]}), MalformedResponse, {}),
        ("data_null", _listed(lambda body: {**body, "data": None}), MalformedResponse, {}),
        ("data_missing", _listed(lambda body: {"object": "list"}), MalformedResponse, {}),
        ("without_usage", _silent, None, {"check": _unreported}),
        (
            "refused_as_too_long",
            lambda wire: wire.dialect.refused("context_too_long"),
            ContextTooLong,
            {"attempts": None},
        ),
        (
            "refused_as_too_large",
            lambda wire: wire.dialect.refused("content_too_large"),
            ContentTooLarge,
            {"attempts": None},
        ),
    )
)
"""What a server can do to vectors."""
