"""Paging: every list, page by page, while rows come and go."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from focal_core.context import BackendContext, Limits
from focal_core.errors import InvalidDataError
from focal_core.paging import encode_cursor
from focal_testkit.contracts.base import ContractBase
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS, Listing

_ROWS = 12
"""More than ten, so that an order by text would show."""


def _forged(cursor: str) -> list[str]:
    """Return cursors of the right scope with a key of wrong types, where the backend uses focal-core's cursors."""
    try:
        scope, key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        return []
    return [encode_cursor(scope, [{"not": "a key"}] * len(key))]  # type: ignore[list-item]


class ListingChecks(ContractBase):
    """Rule 7: limits, offsets and cursors of every list."""

    async def _fill(self, store: Any, listing: Listing, rows: range = range(_ROWS)) -> None:
        for n in rows:
            await listing.add(store, OURS, n)
        await listing.add(store, THEIRS, rows.start)

    async def _all(self, store: Any, listing: Listing, limit: int) -> list[Any]:
        found, cursor = [], None
        for _ in range(_ROWS * 3):
            page = await listing.fetch(store, OURS, limit=limit, after=cursor)
            assert len(page) <= limit
            found += [listing.key(row) for row in page]
            cursor = page.next_cursor
            if cursor is None:
                return found
        raise AssertionError(f"{listing}: the cursor never ends")

    @requirement("STORE-020", since="1.0")
    async def test_pagination_complete(self, store: Any, listing: Listing) -> None:
        """Following the cursor yields every row once, in the order of the whole list, and then ends.

        If this fails: the cursor skips or repeats rows, or the neighbour's rows are counted.
        """
        await self._fill(store, listing)
        whole = [listing.key(row) for row in await listing.fetch(store, OURS, limit=1000)]

        assert len(whole) == len(set(whole)) == _ROWS
        for limit in (1, 5, _ROWS, _ROWS + 1):
            assert await self._all(store, listing, limit) == whole

    @requirement("STORE-021", since="1.0")
    async def test_pagination_under_inserts(self, store: Any, listing: Listing) -> None:
        """Rows that existed all along are neither missed nor repeated while others are inserted.

        If this fails: the cursor is an offset in disguise.
        """
        await self._fill(store, listing)
        whole = [listing.key(row) for row in await listing.fetch(store, OURS, limit=1000)]
        found, cursor, extra = [], None, _ROWS
        while True:
            page = await listing.fetch(store, OURS, limit=3, after=cursor)
            found += [listing.key(row) for row in page]
            if (cursor := page.next_cursor) is None:
                break
            if extra < _ROWS + 4:
                await listing.add(store, OURS, extra)
                extra += 1

        assert [key for key in found if key in whole] == whole

    @requirement("STORE-022", since="1.0")
    async def test_pagination_under_deletes(self, store: Any, removable_listing: Listing) -> None:
        """Rows that existed all along are neither missed nor repeated while others are removed.

        If this fails: the cursor counts rows, or points at a row that must still exist.
        """
        listing = removable_listing
        assert listing.remove is not None
        await self._fill(store, listing)
        rows = await listing.fetch(store, OURS, limit=1000)
        keys = [listing.key(row) for row in rows]
        first = await listing.fetch(store, OURS, limit=4)

        await listing.remove(store, OURS, rows[1])
        await listing.remove(store, OURS, rows[3])
        rest = await listing.fetch(store, OURS, limit=1000, after=first.next_cursor)

        assert [listing.key(row) for row in rest] == keys[4:]

    @requirement("STORE-023", since="1.0")
    async def test_cursor_bound(self, store: Any, listing: Listing) -> None:
        """A cursor works only for the tenant, method and filters it was made for; nonsense is refused.

        If this fails: the cursor does not carry what it belongs to.
        """
        await self._fill(store, listing)
        await listing.add(store, THEIRS, 1)
        cursor = (await listing.fetch(store, OURS, limit=2)).next_cursor
        assert cursor is not None

        for bad in ("nonsense", "", cursor[:-4], "AAAA" + cursor, *_forged(cursor)):
            with pytest.raises(InvalidDataError):
                await listing.fetch(store, OURS, limit=2, after=bad)
        with pytest.raises(InvalidDataError):
            await listing.fetch(store, THEIRS, limit=2, after=cursor)
        if listing.other is not None:
            with pytest.raises(InvalidDataError):
                await listing.other(store, OURS, limit=2, after=cursor)

    @requirement("STORE-024", since="1.0")
    async def test_limit_bounds(self, store: Any, listing: Listing) -> None:
        """A limit is from 1 to 1,000; anything else is refused.

        If this fails: the limit reaches the backend unchecked.
        """
        await listing.add(store, OURS, 0)
        for limit in (0, -1, 1001):
            with pytest.raises(InvalidDataError):
                await listing.fetch(store, OURS, limit=limit)
        assert len(await listing.fetch(store, OURS, limit=1000)) == 1
        assert len(await listing.fetch(store, OURS, limit=1)) == 1

    @requirement("STORE-025", since="1.0")
    async def test_offset_matches_cursor(self, store: Any, offset_listing: Listing) -> None:
        """An offset leaves out that many rows of the same order; it is not negative and not beside a cursor.

        If this fails: offset and cursor run through different orders.
        """
        await self._fill(store, offset_listing)
        first = await offset_listing.fetch(store, OURS, limit=5)
        by_cursor = await offset_listing.fetch(store, OURS, limit=5, after=first.next_cursor)

        by_offset = await offset_listing.fetch(store, OURS, limit=5, offset=5)

        assert [offset_listing.key(row) for row in by_offset] == [offset_listing.key(row) for row in by_cursor]
        assert await offset_listing.fetch(store, OURS, limit=5, offset=_ROWS) == []
        with pytest.raises(InvalidDataError):
            await offset_listing.fetch(store, OURS, limit=5, offset=-1)
        with pytest.raises(InvalidDataError):
            await offset_listing.fetch(store, OURS, limit=5, offset=1, after=first.next_cursor)

    @requirement("STORE-026", since="1.0")
    async def test_unpaged_never_truncates(self, context: BackendContext, unpaged_listing: Listing) -> None:
        """A list without a limit is whole, or refused when it exceeds the cap; it is never cut.

        If this fails: a default limit drops rows in silence.
        """
        async with self.open_store(replace(context, limits=Limits(unpaged_cap=_ROWS))) as store:
            await self._fill(store, unpaged_listing)
            page = await unpaged_listing.fetch(store, OURS)
            assert len(page) == _ROWS
            assert page.next_cursor is None
            await unpaged_listing.add(store, OURS, _ROWS)

            with pytest.raises(InvalidDataError) as refused:
                await unpaged_listing.fetch(store, OURS)

            assert refused.value.code == "result_too_large"

    @requirement("STORE-027", since="1.0")
    async def test_order_total(self, store: Any, listing: Listing) -> None:
        """Rows come in the stated order, and in the same one every time.

        If this fails: the sort key is wrong, is compared as text, or has no tie-break.
        """
        numbers = range(_ROWS)
        keys = {n: await listing.add(store, OURS, n) for n in (*numbers[1::2], *numbers[::2])}
        expected = [keys[n] for n in numbers]
        for _ in range(2):
            found = [listing.key(row) for row in await listing.fetch(store, OURS, limit=1000)]
            assert found == (expected[::-1] if listing.reverse else expected)
