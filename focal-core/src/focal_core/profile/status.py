"""What an item counts for at a moment: expiry is judged when it is read, not when somebody sweeps (INV-P5)."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from focal_core.base import validated_copy
from focal_core.profile.models import ItemStatus, ProfileAsset, ProfileField, ProfileItem

V = TypeVar("V", bound=ProfileField | ProfileAsset)


def effective_status(item: ProfileItem, now: datetime) -> ItemStatus:
    """Return the status of an item at a moment: an active one past its ``expires_at`` is expired."""
    if item.status is ItemStatus.ACTIVE and item.expires_at is not None and item.expires_at <= now:
        return ItemStatus.EXPIRED
    return item.status


def is_active(item: ProfileItem, now: datetime) -> bool:
    """Return whether an item counts at a moment."""
    return effective_status(item, now) is ItemStatus.ACTIVE


def as_read(item: V, now: datetime) -> V:
    """Return a copy of a stored item with the status it has at a moment."""
    copied = validated_copy(item)
    copied.set_stored(status=effective_status(item, now))
    return copied
