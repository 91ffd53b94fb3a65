"""What every profile backend decides alike about the versions of fields and assets."""

from __future__ import annotations

import functools
import logging
from datetime import datetime, timedelta
from typing import TypeVar

from focal_core.errors import DuplicateError, InvalidDataError
from focal_core.profile.models import (
    ChannelIdentity,
    Consent,
    ItemStatus,
    MergePolicy,
    ProfileAsset,
    ProfileField,
    ProfileFieldDefinition,
)
from focal_core.profile.policy import ProfilePolicy
from focal_core.values import canonical_json

V = TypeVar("V", bound=ProfileField | ProfileAsset)

logger = logging.getLogger("focal.profile")

_OF_THE_STORE = frozenset({"status", "superseded_by_id", "superseded_at", "updated_at"})
_LINKS = frozenset({"source_item_id", "source_item_type"})


def prepare(item: V, stored: V | None, policy: ProfilePolicy, definition: ProfileFieldDefinition | None = None) -> None:
    """Make an admitted item the active version it would be stored as.

    Status and supersession are the store's; lineage is dropped when it is not tracked; a field without
    ``expires_at`` gets one from the definition's ``retention_days`` (INV-D3).

    Args:
        item: a copy made by ``gate.admit``; changed in place.
        stored: what is stored under its id; lends it the time that the caller left to its default.
        policy: tells whether lineage is tracked.
        definition: the field's definition, if there is one.
    """
    item.set_stored(status=ItemStatus.ACTIVE, superseded_by_id=None, superseded_at=None)
    taken_at = "collected_at" if isinstance(item, ProfileField) else "uploaded_at"
    if stored is not None and taken_at not in item.model_fields_set:
        item.set_stored(**{taken_at: stored.taken_at})
    if item.source_item_type is not None and not policy.lineage_tracking_enabled:
        _say_untracked()
        item.set_stored(source_item_id=None, source_item_type=None)
    if definition is not None and definition.retention_days is not None and item.expires_at is None:
        try:
            item.set_stored(expires_at=item.taken_at + timedelta(days=definition.retention_days))
        except OverflowError:
            pass  # Beyond the end of time is never.


@functools.cache
def _say_untracked() -> None:
    logger.info("lineage is not tracked: source_item_id and source_item_type are dropped from what is stored")


def is_repeat(item: V, stored: V, policy: ProfilePolicy) -> bool:
    """Return whether a prepared item says the same as the one stored under its id.

    Raises:
        InvalidDataError: the lineage is another (code ``lineage_immutable``).
    """
    left_out = set(_OF_THE_STORE)
    if not policy.lineage_tracking_enabled:
        left_out |= _LINKS
    elif any(getattr(item, name) != getattr(stored, name) for name in _LINKS):
        raise InvalidDataError(
            f"{type(item).__name__} {item.id} is stored with another source, which never changes",
            code="lineage_immutable",
            hint="give the version that was derived anew an id of its own",
        )
    return _content(item, left_out) == _content(stored, left_out)


def is_recorded(consent: Consent, stored: Consent) -> bool:
    """Return whether a consent says the same as the one stored under its id; created_at is the store's."""
    left_out = {"created_at"}
    return _content(consent, left_out) == _content(stored, left_out)


def record_differs(item: ProfileField | ProfileAsset | Consent) -> DuplicateError:
    """Return the error for an id that is stored with other content."""
    return DuplicateError(
        f"{type(item).__name__} {item.id} is stored with other content",
        code="record_differs",
        hint="ids name versions and records: give the new one an id of its own",
    )


def id_taken(item: ProfileField | ProfileAsset | Consent | ChannelIdentity) -> DuplicateError:
    """Return the error for an id that belongs to another profile, field or account."""
    return DuplicateError(
        f"{type(item).__name__} {item.id} is stored for another profile, field or account", code="id_taken"
    )


def _content(model: ProfileField | ProfileAsset | Consent, left_out: set[str]) -> bytes:
    # As JSON text: in Python True equals 1 and 1 equals 1.0.
    return canonical_json(model.model_dump(mode="json", exclude=left_out))


def winner(target: ProfileField, source: ProfileField, policy: MergePolicy) -> ProfileField:
    """Return which of two active fields of one name survives the merge of their profiles."""
    if policy is MergePolicy.TARGET_WINS:
        return target
    if policy is MergePolicy.SOURCE_WINS:
        return source
    return source if _merit(source) > _merit(target) else target


def _merit(field: ProfileField) -> tuple[bool, float, datetime]:
    return field.verified, field.confidence, field.collected_at
