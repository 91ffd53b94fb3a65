"""Optimistic locking of entities and relationships."""

from __future__ import annotations

import asyncio

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import StaleVersionError
from focal_core.memory.store import MemoryStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.memory.kinds import VERSIONED, Kind
from focal_testkit.requirement import requirement

versioned = pytest.mark.parametrize("kind", VERSIONED, ids=str)


class VersionContract(ContractBase):
    """``row_version`` of ``add_*`` and ``update_*``."""

    @versioned
    @requirement("MEMORY-014", since="1.0")
    async def test_version_advances_in_place(self, store: MemoryStore, clock: ManualClock, kind: Kind) -> None:
        """Every write advances row_version by one, in the store and in the caller's object; a repeat does not.

        If this fails: the caller cannot save the same object twice in a row.
        """
        await kind.prepare(store)
        row = kind.build()
        await kind.add(store, row)
        await kind.add(store, row)
        assert row.row_version == 1
        again = kind.build()
        clock.advance(seconds=60)
        await kind.add(store, again)
        stored = await kind.get(store, row.id)
        assert (again.row_version, again.updated_at) == (1, stored.updated_at)

        for expected in (2, 3):
            await kind.update(store, row)
            assert row.row_version == expected
            assert row.updated_at == clock.now()
            assert (await kind.get(store, row.id)).row_version == expected

    @versioned
    @requirement("MEMORY-015", since="1.0")
    async def test_stale_update_refused(self, store: MemoryStore, kind: Kind) -> None:
        """An update from a version that is no longer stored is refused and writes nothing.

        If this fails: one writer's change is lost to another's.
        """
        await kind.prepare(store)
        await kind.add(store, kind.build())
        mine, theirs = [await kind.get(store, kind.build().id) for _ in range(2)]
        setattr(theirs, kind.extra, {"by": "them"})
        await kind.update(store, theirs)
        setattr(mine, kind.extra, {"by": "me"})

        with pytest.raises(StaleVersionError) as refused:
            await kind.update(store, mine)

        assert (refused.value.expected, refused.value.actual) == (1, 2)
        assert getattr(await kind.get(store, mine.id), kind.extra) == {"by": "them"}
        assert mine.row_version == 1

    @versioned
    @requirement("MEMORY-016", since="1.0")
    async def test_version_zero_expects_nothing(self, store: MemoryStore, kind: Kind) -> None:
        """An update with row_version 0 is written whatever is stored.

        If this fails: an object built by hand can never be saved over a stored one.
        """
        await kind.prepare(store)
        await kind.add(store, kind.build())
        await kind.update(store, kind.build())

        await kind.update(store, kind.build(0, **kind.change))

        assert (await kind.get(store, kind.build().id)).row_version == 3

    @versioned
    @requirement("MEMORY-017", since="1.0")
    async def test_lost_reply_retry(self, store: MemoryStore, clock: ManualClock, kind: Kind) -> None:
        """Repeating an update whose reply was lost succeeds and writes nothing more.

        If this fails: the writer takes its own change for another's.
        """
        await kind.prepare(store)
        await kind.add(store, kind.build())
        sent = kind.build(0, **kind.change, row_version=1)
        await kind.update(store, sent.model_copy())
        once = await kind.get(store, sent.id)
        clock.advance(seconds=60)

        await kind.update(store, sent)

        assert sent.row_version == 2
        assert await kind.get(store, sent.id) == once

    @versioned
    @requirement("MEMORY-018", since="1.0")
    async def test_add_expects_nothing_stored(self, store: MemoryStore, kind: Kind) -> None:
        """Adding an object that expects a stored version is refused when nothing is stored.

        If this fails: a row that was deleted meanwhile comes back with a version of its own.
        """
        await kind.prepare(store)

        with pytest.raises(StaleVersionError) as refused:
            await kind.add(store, kind.build(row_version=3))

        assert (refused.value.expected, refused.value.actual) == (3, 0)
        assert await kind.listed(store) == []

    @versioned
    @requirement("MEMORY-019", since="1.0")
    async def test_concurrent_updates_one_wins(self, store: MemoryStore, kind: Kind) -> None:
        """Of concurrent updates from one version exactly one is written.

        If this fails: the check of the version and the write are two steps.
        """
        await kind.prepare(store)
        await kind.add(store, kind.build())
        rivals = [kind.build(0, **{kind.extra: {"n": n}}, row_version=1) for n in range(16)]

        results = await asyncio.gather(*(kind.update(store, row) for row in rivals), return_exceptions=True)

        assert sum(isinstance(result, StaleVersionError) for result in results) == 15
        found = await kind.get(store, kind.build().id)
        assert found.row_version == 2
        winner = next(row for row, result in zip(rivals, results, strict=True) if result == found.id)
        assert getattr(found, kind.extra) == getattr(winner, kind.extra)
