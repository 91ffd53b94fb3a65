"""Rows in memory: keyed by tenant and id, with unique keys, ordered indexes and vector indexes.

The reference's answer to a database table. Nothing here awaits, so every change is one step to all other tasks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Generic, TypeVar
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.errors import InvalidDataError
from focal_core.paging import Page, check_paging, decode_cursor, encode_cursor, too_many_rows
from focal_core.vectors import unit

R = TypeVar("R", bound=Any)
Key = tuple[UUID, Hashable]
"""(tenant id, id): how every row is addressed."""

_KEY = itemgetter(0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(moment: datetime) -> int:
    """Return microseconds since 1970; exact, sortable, and negatable for descending order."""
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


class OrderedIndex(Generic[R]):
    """Rows of each partition in a total order; a page costs its page, not the store.

    Args:
        partition: where a row belongs, tenant included; None leaves the row out (deleted, inapplicable).
        order: the sort key as JSON scalars, ending in something unique such as ``str(row.id)``.
    """

    def __init__(self, partition: Callable[[R], Hashable | None], order: Callable[[R], tuple[Any, ...]]) -> None:
        self._partition = partition
        self._order = order
        self._entries: dict[Hashable, list[tuple[tuple[Any, ...], R]]] = {}

    def add(self, row: R) -> None:
        """Enter a row."""
        if (partition := self._partition(row)) is not None:
            insort(self._entries.setdefault(partition, []), (self._order(row), row), key=_KEY)

    def discard(self, row: R) -> None:
        """Take a row out, by the partition and order it had when it was entered."""
        if (partition := self._partition(row)) is not None:
            entries = self._entries[partition]
            del entries[bisect_left(entries, self._order(row), key=_KEY)]
            if not entries:
                del self._entries[partition]

    def rows(self, partition: Hashable, after: tuple[Any, ...] | None = None) -> Iterator[R]:
        """Yield the rows of a partition in order, from the first one behind ``after``."""
        entries = self._entries.get(partition, [])
        start = 0 if after is None else bisect_right(entries, after, key=_KEY)
        for index in range(start, len(entries)):
            yield entries[index][1]

    def backwards(self, partition: Hashable, before: tuple[Any, ...] | None = None) -> Iterator[R]:
        """Yield the rows of a partition from the last one, or from the last one in front of ``before``."""
        entries = self._entries.get(partition, [])
        end = len(entries) if before is None else bisect_left(entries, before, key=_KEY)
        for index in range(end - 1, -1, -1):
            yield entries[index][1]

    def tenants_of(self, *label: Hashable) -> set[UUID]:
        """Return the tenants that have rows in a partition ``(tenant, *label)``; looks at every partition."""
        return {partition[0] for partition in self._entries if partition[1:] == label}  # type: ignore[index]

    def count(self, partition: Hashable) -> int:
        """Return how many rows a partition has."""
        return len(self._entries.get(partition, ()))

    def page(
        self,
        partition: Hashable,
        *,
        scope: str,
        limit: int | None,
        cap: int,
        offset: int = 0,
        after: str | None = None,
        keep: Callable[[R], bool] | None = None,
        copy: Callable[[R], R] = validated_copy,
    ) -> Page[R]:
        """Return copies of the rows of one page.

        Args:
            partition: whose rows.
            scope: from ``paging.cursor_scope``.
            limit: rows; None = all, up to ``cap``.
            cap: ``limits.unpaged_cap``.
            offset: rows left out at the start.
            after: cursor of the previous page.
            keep: further filter; rows it refuses do not count.
            copy: makes the rows that are handed out.

        Raises:
            InvalidDataError: limit, offset or cursor are wrong, or an unlimited list exceeds the cap
                (code ``result_too_large``).
        """
        check_paging(limit, offset, after)
        start = None if after is None else tuple(decode_cursor(after, scope))
        wanted = cap if limit is None else limit
        found: list[R] = []
        try:
            for row in self.rows(partition, start):
                if keep is not None and not keep(row):
                    continue
                if offset:
                    offset -= 1
                    continue
                if len(found) == wanted:
                    if limit is None:
                        raise too_many_rows(cap)
                    return Page(map(copy, found), encode_cursor(scope, self._order(found[-1])))
                found.append(row)
        except TypeError:
            # A forged cursor whose key does not compare with ours.
            raise InvalidDataError("the cursor is malformed", code="cursor_invalid") from None
        return Page(map(copy, found))


class UniqueIndex(Generic[R]):
    """At most one row for each value.

    Args:
        value: what must be unique, tenant included; None leaves the row out.
    """

    def __init__(self, value: Callable[[R], Hashable | None]) -> None:
        self._value = value
        self._rows: dict[Hashable, R] = {}

    def add(self, row: R) -> None:
        """Enter a row."""
        if (value := self._value(row)) is not None:
            self._rows[value] = row

    def discard(self, row: R) -> None:
        """Take a row out."""
        if (value := self._value(row)) is not None:
            self._rows.pop(value, None)

    def get(self, value: Hashable) -> R | None:
        """Return the row that has the value."""
        return self._rows.get(value)

    def owner_other_than(self, row: R) -> R | None:
        """Return another row (by ``id``) that has the value of this one, or None."""
        owner = self._rows.get(self._value(row))
        return None if owner is None or owner.id == row.id else owner


class VectorIndex(Generic[R]):
    """Unit vectors of each partition, for exact search.

    Args:
        partition: where a row belongs, tenant included; None leaves the row out.
        vector: the row's (model, vector), or None when it has no vector.
    """

    def __init__(
        self,
        partition: Callable[[R], Hashable | None],
        vector: Callable[[R], tuple[str, tuple[float, ...]] | None],
    ) -> None:
        self._partition = partition
        self._vector = vector
        self._rows: defaultdict[Hashable, dict[Hashable, tuple[str, tuple[float, ...], R]]] = defaultdict(dict)

    def add(self, row: R) -> None:
        """Enter a row."""
        partition, found = self._partition(row), self._vector(row)
        if partition is not None and found is not None:
            self._rows[partition][row.id] = (found[0], unit(found[1]), row)

    def discard(self, row: R) -> None:
        """Take a row out."""
        if (partition := self._partition(row)) is not None:
            self._rows[partition].pop(row.id, None)
            if not self._rows[partition]:
                del self._rows[partition]

    def spaces(self, partition: Hashable) -> set[tuple[str, int]]:
        """Return the (model, dims) pairs of the vectors in a partition."""
        return {(model, len(vector)) for model, vector, _ in self._rows.get(partition, {}).values()}

    def vectors(self, partition: Hashable, model: str | None, dims: int) -> Iterator[tuple[tuple[float, ...], R]]:
        """Yield (unit vector, row) of one space in a partition; a space without model is empty."""
        for found, vector, row in self._rows.get(partition, {}).values():
            if found == model and len(vector) == dims:
                yield vector, row


class Table(Generic[R]):
    """Rows of one kind with their indexes.

    Stored rows never leave a store without a copy, frozen ones excepted, and are never changed in place: ``put``
    replaces them.

    Args:
        key: the (tenant id, id) of a row.
        indexes: kept in step with the rows.
    """

    def __init__(
        self,
        *indexes: OrderedIndex[R] | UniqueIndex[R] | VectorIndex[R],
        key: Callable[[R], Key] = lambda row: (row.tenant_id, row.id),
    ) -> None:
        self._key = key
        self._indexes = indexes
        self._rows: dict[UUID, dict[Hashable, R]] = {}

    def get(self, tenant_id: UUID | None, id: Hashable) -> R | None:
        """Return the stored row, deleted ones included; not a copy. No tenant has no rows."""
        return None if tenant_id is None else self._rows.get(tenant_id, {}).get(id)

    def put(self, row: R) -> None:
        """Insert a row, or replace the one with its key."""
        tenant_id, id = self._key(row)
        rows = self._rows.setdefault(tenant_id, {})
        if (old := rows.get(id)) is not None:
            for index in self._indexes:
                index.discard(old)
        rows[id] = row
        for index in self._indexes:
            index.add(row)

    def remove(self, tenant_id: UUID, id: Hashable) -> R | None:
        """Take a row out for good and return it."""
        row = self._rows.get(tenant_id, {}).pop(id, None)
        if row is None:
            return None
        for index in self._indexes:
            index.discard(row)
        if not self._rows[tenant_id]:
            del self._rows[tenant_id]
        return row

    def rows(self, tenant_id: UUID) -> list[R]:
        """Return all rows of a tenant, deleted ones included; not copies."""
        return list(self._rows.get(tenant_id, {}).values())

    def count(self, tenant_id: UUID) -> int:
        """Return how many rows a tenant has, deleted ones included."""
        return len(self._rows.get(tenant_id, ()))

    def tenants(self) -> set[UUID]:
        """Return the tenants that have a row."""
        return set(self._rows)

    def tenants_of(self, id: Hashable) -> set[UUID]:
        """Return the tenants that have a row of this id; looks at every tenant."""
        return {tenant_id for tenant_id, rows in self._rows.items() if id in rows}

    def erase(self, tenant_id: UUID) -> int:
        """Take out every row of a tenant and return how many there were."""
        ids = list(self._rows.get(tenant_id, {}))
        for id in ids:
            self.remove(tenant_id, id)
        return len(ids)
