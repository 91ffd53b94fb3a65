"""Rows of several tables as the result of one statement, each in the columns of its own table, typed as stored."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from focal_core.base import FocalModel
from focal_postgres.layout import Layout
from focal_postgres.transaction import Record

_FIRST = 3


class Part(NamedTuple):
    """One row.

    Attributes:
        at: position of its table.
        owner: the profile it belongs to.
        is_visible: whether that profile is live.
        item: what it holds.
    """

    at: int
    owner: UUID
    is_visible: bool
    item: Any


class Rows:
    """The union of rows of several tables.

    Not JSON made by the server: numbers, times and text come back through the same codecs as anywhere else.

    Args:
        layouts: of the tables.
    """

    def __init__(self, *layouts: Layout[Any]) -> None:
        self._layouts: tuple[Layout[FocalModel], ...] = layouts
        self._starts = [_FIRST + sum(len(one.columns) for one in layouts[:at]) for at in range(len(layouts))]

    def select(self, layout: Layout[Any], source: str, owner: str = "r.profile_id", is_visible: str = "true") -> str:
        """Return one member of the UNION ALL.

        Args:
            layout: of the table that is read.
            source: FROM item and what follows it; the table has the alias ``r``.
            owner: SQL expression of the profile the row belongs to.
            is_visible: SQL condition that this profile is live.
        """
        at = self._layouts.index(layout)
        columns = ", ".join(
            one.select() if one is layout else ", ".join(f"NULL::{kind}" for kind in one.types) for one in self._layouts
        )
        return f"SELECT {at}, {owner}, {is_visible}, {columns} FROM {source}"

    def load(self, record: Record) -> Part:
        """Return the row of a record."""
        at = record[0]
        return Part(at, record[1], record[2], self._layouts[at].load(record, self._starts[at]))
