"""Ids, clocks, cursors, embedding spaces, the text codec and stored documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from focal_core.base import FocalModel
from focal_core.clock import ManualClock, SystemClock
from focal_core.documents import SCHEMA_VERSION, dump_document, load_document
from focal_core.errors import EmbeddingSpaceError, InvalidDataError, SchemaOutdatedError, StoreError
from focal_core.ids import uuid7
from focal_core.paging import check_paging, cursor_scope, decode_cursor, encode_cursor
from focal_core.textcodec import decode_json, decode_text, encode_json, encode_text
from focal_core.values import JSONObject, Text
from focal_core.vectors import VectorPolicy, best_first, check_query, choose_space, cosine_of_units, unit
from focal_testkit.data import hostile


def test_ids_ascend_and_carry_the_time() -> None:
    made = [uuid7() for _ in range(10_000)]
    assert made == sorted(set(made))
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {"specified in RFC 4122"}
    moment = datetime.fromtimestamp((made[0].int >> 80) / 1000, UTC)
    assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)


def test_manual_clock_stands_still_until_moved() -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    assert clock.now() == clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    assert clock.advance(timedelta(hours=1), seconds=1) == datetime(2026, 1, 1, 1, 0, 1, tzinfo=UTC)
    clock.set(datetime(2025, 1, 1, tzinfo=UTC))
    assert clock.now().year == 2025
    assert SystemClock().now().tzinfo is UTC


def test_cursor_returns_its_key_to_its_own_scope_only() -> None:
    tenant = uuid4()
    scope = cursor_scope(tenant, "list_x", kind="a", ids={tenant}, at=datetime(2026, 1, 1, tzinfo=UTC))
    cursor = encode_cursor(scope, [12, "b", -3])
    assert decode_cursor(cursor, scope) == [12, "b", -3]
    for other in (cursor_scope(uuid4(), "list_x", kind="a"), cursor_scope(tenant, "list_x", kind="b")):
        with pytest.raises(InvalidDataError):
            decode_cursor(cursor, other)


@pytest.mark.parametrize("arguments", [(0,), (1001,), (True,), (5, -1), (5, 1, "x")])
def test_bad_paging_is_refused(arguments: tuple[object, ...]) -> None:
    with pytest.raises(InvalidDataError):
        check_paging(*arguments)  # type: ignore[arg-type]


def test_search_uses_the_one_space_that_fits() -> None:
    policy = VectorPolicy()
    query = (1.0, 0.0)
    assert choose_space(query, None, policy, set()) is None
    assert choose_space(query, None, policy, {("a", 2), ("b", 3)}) == "a"
    assert choose_space(query, "b", policy, {("a", 2), ("b", 2)}) == "b"
    assert choose_space(query, None, VectorPolicy(embedding_model="b"), {("a", 2), ("b", 2)}) == "b"
    with pytest.raises(EmbeddingSpaceError) as wrong:
        choose_space(query, None, policy, {("a", 3)})
    assert wrong.value.code == "dimensions_mismatch"
    with pytest.raises(EmbeddingSpaceError) as several:
        choose_space(query, None, policy, {("a", 2), ("b", 2)})
    assert several.value.code == "space_ambiguous"


def test_strict_spaces_take_registered_vectors_only() -> None:
    policy = VectorPolicy(strict_spaces=True, spaces=frozenset({("a", 2)}))
    policy.check("a", (1.0, 0.0))
    policy.check(None, None)
    VectorPolicy().check("anything", (1.0,))
    for model, vector in (("b", (1.0, 0.0)), ("a", (1.0,))):
        with pytest.raises(EmbeddingSpaceError):
            policy.check(model, vector)


def test_cosine_is_exact_for_known_angles_and_never_leaves_its_range() -> None:
    assert cosine_of_units(unit((3.0, 4.0)), unit((3.0, 4.0))) == pytest.approx(1.0)
    assert cosine_of_units(unit((1.0, 0.0)), unit((-2.0, 0.0))) == -1.0
    assert cosine_of_units(unit((1.0, 0.0)), unit((4.0, 3.0))) == pytest.approx(0.8)
    assert cosine_of_units(unit((0.1, 0.2, 0.3)), unit((0.2, 0.4, 0.6))) == 1.0


def test_best_first_breaks_ties_by_id() -> None:
    low, high = sorted([uuid4(), uuid4()])
    rows = [(0.5, high, "high"), (0.9, uuid4(), "best"), (0.5, low, "low"), (-0.5, uuid4(), "worst")]
    assert best_first(rows, 3) == [("best", 0.9), ("low", 0.5), ("high", 0.5)]
    assert [item for item, _ in best_first(rows, 9, min_score=0.5)] == ["best", "low", "high"]


@pytest.mark.parametrize("vector", [[], [0.0], [float("nan")], [1.0] * 16_001])
def test_bad_queries_are_refused(vector: list[float]) -> None:
    with pytest.raises(InvalidDataError) as refused:
        check_query(vector)
    assert refused.value.code == "vector_invalid"


@pytest.mark.parametrize("name", sorted(hostile.TEXTS))
def test_text_codec_is_reversible_and_storable(name: str) -> None:
    text = hostile.TEXTS[name]
    encoded = encode_text(text)
    assert decode_text(encoded) == text
    assert "\x00" not in encoded
    encoded.encode("utf-8")


def test_text_codec_leaves_ordinary_text_alone() -> None:
    assert encode_text("déjà vu") == "déjà vu"
    assert decode_json(encode_json({"a\x00": ["\udfff", 1, None]})) == {"a\x00": ["\udfff", 1, None]}


@pytest.mark.parametrize("text", ["\ue0f0", "\ue0f000", "\ue0f0zzzz"])
def test_text_codec_refuses_broken_escapes(text: str) -> None:
    with pytest.raises(StoreError) as refused:
        decode_text(text)
    assert refused.value.code == "corrupt_record"


class Note(FocalModel):
    """A small model."""

    text: Text
    data: JSONObject = {}


def test_documents_round_trip_and_ignore_what_a_newer_release_added() -> None:
    note = Note(text="a\x00\ud800", data={"deep": {"f": 1.0, "i": 1}})
    document = dump_document(note)
    assert document["schema_version"] == SCHEMA_VERSION
    assert load_document(Note, {**document, "added_later": 1}) == note


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"schema_version": SCHEMA_VERSION + 1, "text": "x"}, SchemaOutdatedError),
        ({"text": "x"}, StoreError),
        ({"schema_version": 0, "text": "x"}, StoreError),
        ({"schema_version": SCHEMA_VERSION, "text": 7}, StoreError),
    ],
)
def test_documents_that_cannot_be_read_are_refused(document: dict[str, object], kind: type[StoreError]) -> None:
    with pytest.raises(kind):
        load_document(Note, document)
