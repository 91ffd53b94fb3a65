"""What every memory backend decides alike: repeats, what never changes, which arguments are legal."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from focal_core.errors import DuplicateError, InvalidDataError, NotFoundError
from focal_core.gate import identifier
from focal_core.memory.models import Entity, Episode, Relationship
from focal_core.paging import check_limit
from focal_core.values import canonical_json

MAX_DEPTH = 5
"""Relationships a traversal follows at most."""

_NO_CONTENT = frozenset({"created_at", "updated_at", "recorded_at", "row_version"})
_DEFAULT_TIMES = frozenset({"valid_from", "occurred_at"})
_FIXED = {
    "group_id": "group_immutable",
    "from_entity_id": "endpoints_immutable",
    "to_entity_id": "endpoints_immutable",
}


def refuse_unless_repeat(row: Episode | Entity | Relationship, stored: Episode | Entity | Relationship) -> None:
    """Refuse to add a row whose id is stored, unless it has the stored content.

    Clock fields and ``row_version`` are no content, nor are times that the caller left to their defaults: an object
    that is built and added again is a repeat.

    Raises:
        DuplicateError: code ``record_differs``.
    """
    left_out = set(_NO_CONTENT | (_DEFAULT_TIMES - row.model_fields_set))
    contents = (canonical_json(one.model_dump(mode="json", exclude=left_out)) for one in (row, stored))
    if len(set(contents)) > 1:
        raise DuplicateError(
            f"{type(row).__name__} {row.id} is stored with other content",
            code="record_differs",
            hint=f"to change it, call update_{type(row).__name__.lower()}",
        )


def refuse_if_moved(row: Episode | Entity | Relationship, stored: Episode | Entity | Relationship) -> None:
    """Refuse an update that changes the group of a row, or the ends of a relationship.

    Raises:
        InvalidDataError: codes ``group_immutable`` and ``endpoints_immutable``.
    """
    for field, code in _FIXED.items():
        if getattr(row, field, None) != getattr(stored, field, None):
            raise InvalidDataError(
                f"{field} of {type(row).__name__} {row.id} never changes",
                code=code,
                hint="delete it and add another one",
            )


def not_found(kind: str, id: UUID) -> NotFoundError:
    """Return the error for an update without a target."""
    return NotFoundError(f"no {kind} {id}", hint=f"store it with add_{kind} first")


def check_rows(limit: int) -> None:
    """Refuse a limit outside 1 to 1,000, and None.

    Raises:
        InvalidDataError: code ``limit_invalid``.
    """
    check_limit(0 if limit is None else limit)


def check_depth(depth: int) -> None:
    """Refuse a depth of traversal outside 1 to 5.

    Raises:
        InvalidDataError: code ``depth_invalid``.
    """
    if not 1 <= depth <= MAX_DEPTH:
        raise InvalidDataError(f"depth must be from 1 to {MAX_DEPTH}, not {depth}", code="depth_invalid")


def labels(values: Iterable[str], name: str) -> tuple[str, ...]:
    """Return several identifiers in NFC, each once, in the order given.

    Raises:
        InvalidDataError: code ``identifier_invalid``; also for a single string, whose letters were not meant.
    """
    if isinstance(values, str):
        raise InvalidDataError(
            f"{name} is one string, not several", code="identifier_invalid", hint=f"pass {name}=[...]"
        )
    return tuple(dict.fromkeys(identifier(value, name) for value in values))
