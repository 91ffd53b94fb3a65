"""The rules of derivation that every profile backend shares (INV-F3)."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from focal_core.errors import InvalidDataError
from focal_core.profile.models import LINKED_SOURCES, LineageItem, ProfileAsset, ProfileField, SourceType

Item = ProfileField | ProfileAsset
Lookup = Callable[[SourceType, UUID], Item | None]
"""Finds an item by its type and id."""


def parse_item_type(item_type: str) -> SourceType:
    """Return the type of an item that can be part of a chain.

    Raises:
        InvalidDataError: code ``item_type_invalid``.
    """
    try:
        found = SourceType(item_type)
    except ValueError:
        found = None
    if found not in LINKED_SOURCES:
        raise InvalidDataError(
            f"item_type must be profile_field or profile_asset, not {item_type!r}", code="item_type_invalid"
        )
    return found


def ancestors(item: Item, find: Lookup) -> list[Item]:
    """Return what an item was derived from, nearest first, as far as it is stored; ends before a repetition."""
    chain: list[Item] = []
    seen = {item.id}
    current: Item | None = item
    while current is not None and current.source_item_id is not None and current.source_item_type is not None:
        current = find(current.source_item_type, current.source_item_id)
        if current is None or current.id in seen:
            break
        seen.add(current.id)
        chain.append(current)
    return chain


def check_lineage(item: Item, find: Lookup, max_depth: int) -> None:
    """Refuse a lineage that must not be written.

    Args:
        item: the item about to be written.
        find: finds stored items, and those written at the same time.
        max_depth: links of a chain at most.

    Raises:
        InvalidDataError: codes ``source_missing``, ``lineage_cycle``, ``lineage_too_deep``.
    """
    if item.source_item_id is None or item.source_item_type is None:
        return
    chain = ancestors(item, find)
    last = chain[-1] if chain else item
    if last.source_item_id in {item.id, *(one.id for one in chain)}:
        raise InvalidDataError(f"{_named(item)} would be derived from itself", code="lineage_cycle")
    if not chain:
        raise InvalidDataError(
            f"{_named(item)}: there is no {item.source_item_type.value} {item.source_item_id}",
            code="source_missing",
            hint="store the source first",
        )
    if len(chain) > max_depth:
        raise InvalidDataError(
            f"{_named(item)} would be {len(chain)} links from its root; the most is {max_depth}",
            code="lineage_too_deep",
            hint="derive it from an earlier item, or raise [profile] max_derivation_chain_depth",
        )


def link(item: Item) -> LineageItem:
    """Return an item as a link of a chain; ``source_metadata`` is shared with it."""
    kind = SourceType.PROFILE_FIELD if isinstance(item, ProfileField) else SourceType.PROFILE_ASSET
    return LineageItem(id=item.id, type=kind.value, name=item.name, source_metadata=item.source_metadata)


def _named(item: Item) -> str:
    return f"{type(item).__name__} {item.id}"
