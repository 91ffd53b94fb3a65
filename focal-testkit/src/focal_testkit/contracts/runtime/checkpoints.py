"""Checkpoints of threads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import InvalidDataError
from focal_core.runtime.store import RuntimeStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.runtime import OTHER_THREAD, THREAD
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class CheckpointContract(ContractBase):
    """``store_checkpoint``, ``put_checkpoint``, ``get_checkpoint``, ``list_checkpoints``, ``delete_thread``."""

    async def _ids(self, store: RuntimeStore, thread: str = THREAD, **kwargs: Any) -> list[str]:
        found = await store.list_checkpoints(thread, tenant_id=OURS, **kwargs)
        return [one["checkpoint_id"] for one in found]

    async def _at_times(self, store: RuntimeStore, clock: ManualClock, *ids: str) -> None:
        for id in ids:
            clock.advance(seconds=1)
            await store.store_checkpoint(THREAD, id, {"id": id}, tenant_id=OURS)

    @requirement("RUNTIME-030", since="1.0")
    async def test_checkpoint_round_trip(self, store: RuntimeStore, clock: ManualClock) -> None:
        """A checkpoint comes back with every field; an unknown one is None.

        If this fails: a key is missing, or the time is not the clock's.
        """
        assert (
            await store.store_checkpoint(THREAD, "c1", {"a": 1}, {"b": 2}, checkpoint_ns="ns", tenant_id=OURS) is True
        )
        assert await store.store_checkpoint(OTHER_THREAD, "c1", {}, tenant_id=OURS) is True

        found = await store.get_checkpoint(THREAD, "c1", checkpoint_ns="ns", tenant_id=OURS)

        assert found is not None
        assert found == {
            "thread_id": THREAD,
            "checkpoint_ns": "ns",
            "checkpoint_id": "c1",
            "checkpoint_data": {"a": 1},
            "metadata": {"b": 2},
            "created_at": found["created_at"],
        }
        assert datetime.fromisoformat(found["created_at"]) == clock.now()
        bare = await store.get_checkpoint(OTHER_THREAD, tenant_id=OURS)
        assert bare is not None
        assert (bare["metadata"], bare["checkpoint_ns"]) == ({}, "")
        assert await store.get_checkpoint(THREAD, "c2", checkpoint_ns="ns", tenant_id=OURS) is None
        assert await store.get_checkpoint("unknown", tenant_id=OURS) is None

    @requirement("RUNTIME-031", since="1.0")
    async def test_checkpoint_latest(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Without an id, the newest checkpoint of the thread is meant, by time and then by id.

        If this fails: the greatest id or the last one stored is taken for the newest.
        """
        await self._at_times(store, clock, "z", "b")
        await store.store_checkpoint(THREAD, "c", {}, tenant_id=OURS)
        await store.store_checkpoint(THREAD, "a", {}, tenant_id=OURS)
        clock.advance(seconds=1)
        await store.store_checkpoint(OTHER_THREAD, "y", {}, tenant_id=OURS)
        await store.store_checkpoint(THREAD, "x", {}, tenant_id=THEIRS)

        newest = await store.get_checkpoint(THREAD, tenant_id=OURS)

        assert newest is not None
        assert newest["checkpoint_id"] == "c"

    @requirement("RUNTIME-032", since="1.0")
    async def test_checkpoint_order_newest_first(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Checkpoints are listed newest first, ties by id descending; storing one again does not move it.

        If this fails: the order is that of ids, of storing, or undecided for equal times.
        """
        await self._at_times(store, clock, "m", "a", "z")
        for id in ("k", "q", "c"):
            await store.store_checkpoint(THREAD, id, {}, tenant_id=OURS)
        clock.advance(seconds=1)
        await store.store_checkpoint(THREAD, "m", {"again": True}, tenant_id=OURS)

        assert await self._ids(store) == ["z", "q", "k", "c", "a", "m"]

    @requirement("RUNTIME-033", since="1.0")
    async def test_checkpoint_ns_separate(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Namespaces of a thread are apart in every read; the empty one is a namespace like the others.

        If this fails: the namespace is no part of the key, or an omitted one means all.
        """
        for space in ("", "a", "a|b"):
            clock.advance(seconds=1)
            await store.store_checkpoint(THREAD, "c1", {"ns": space}, checkpoint_ns=space, tenant_id=OURS)

        for space in ("", "a", "a|b"):
            by_id = await store.get_checkpoint(THREAD, "c1", checkpoint_ns=space, tenant_id=OURS)
            latest = await store.get_checkpoint(THREAD, checkpoint_ns=space, tenant_id=OURS)
            listed = await store.list_checkpoints(THREAD, checkpoint_ns=space, tenant_id=OURS)
            assert by_id is not None
            assert by_id["checkpoint_data"] == {"ns": space}
            assert listed == [by_id] == [latest]

    @requirement("RUNTIME-034", since="1.0")
    async def test_checkpoint_upsert(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Storing a checkpoint again replaces data and metadata and keeps ``created_at``; both names do the same.

        If this fails: a retry is refused or doubles, data are merged, or ``put_checkpoint`` goes elsewhere.
        """
        await store.store_checkpoint(THREAD, "c1", {"old": 1}, {"m": 1}, tenant_id=OURS)
        first = await store.get_checkpoint(THREAD, "c1", tenant_id=OURS)
        clock.advance(seconds=1)

        assert await store.put_checkpoint(THREAD, "c1", {"new": 2}, tenant_id=OURS) is True

        found = await store.get_checkpoint(THREAD, "c1", tenant_id=OURS)
        assert first is not None
        assert found == {**first, "checkpoint_data": {"new": 2}, "metadata": {}}
        await store.put_checkpoint(THREAD, "c2", {}, {"m": 2}, checkpoint_ns="ns", tenant_id=OURS)
        put = await store.get_checkpoint(THREAD, checkpoint_ns="ns", tenant_id=OURS)
        assert put is not None
        assert put["metadata"] == {"m": 2}
        assert await self._ids(store) == ["c1"]

    @requirement("RUNTIME-035", since="1.0")
    async def test_list_checkpoints_before(self, store: RuntimeStore, clock: ManualClock) -> None:
        """``before`` leaves out the named checkpoint and everything newer; an unknown one leaves nothing.

        If this fails: ids are compared instead of places, ties are lost, or the named one is listed.
        """
        await self._at_times(store, clock, "m", "z")
        for id in ("k", "q"):
            await store.store_checkpoint(THREAD, id, {}, tenant_id=OURS)
        await self._at_times(store, clock, "b")
        await store.store_checkpoint(OTHER_THREAD, "c", {}, tenant_id=OURS)

        assert await self._ids(store, before="b") == ["z", "q", "k", "m"]
        assert await self._ids(store, before="q") == ["k", "m"]
        assert await self._ids(store, before="b", limit=2) == ["z", "q"]
        assert await self._ids(store, before="m") == []
        assert await self._ids(store, before="c") == []

    @requirement("RUNTIME-036", since="1.0")
    async def test_list_checkpoints_limit(self, store: RuntimeStore, clock: ManualClock) -> None:
        """The limit is 10 by default and 1 to 1,000 otherwise; whatever else is refused.

        If this fails: the default is another, or a limit is clipped in silence.
        """
        await self._at_times(store, clock, *(f"{n:02}" for n in range(12)))
        limits: list[Any] = [0, -1, 1001, None, True]

        assert await self._ids(store) == [f"{n:02}" for n in range(11, 1, -1)]
        assert await self._ids(store, limit=1) == ["11"]
        assert len(await self._ids(store, limit=1000)) == 12
        for limit in limits:
            with pytest.raises(InvalidDataError):
                await store.list_checkpoints(THREAD, limit, tenant_id=OURS)

    @requirement("RUNTIME-037", since="1.0")
    async def test_delete_thread(self, store: RuntimeStore) -> None:
        """Deleting a thread removes its checkpoints and pending writes of every namespace, and returns how many.

        If this fails: a namespace or the writes stay, the count is wrong, or a neighbour loses rows.
        """
        for thread in (THREAD, OTHER_THREAD):
            for space in ("", "ns"):
                await store.store_checkpoint(thread, "c1", {}, checkpoint_ns=space, tenant_id=OURS)
                await store.put_writes(thread, "c1", "t", [(1,), (2,)], checkpoint_ns=space, tenant_id=OURS)
        await store.store_checkpoint(THREAD, "c1", {}, tenant_id=THEIRS)

        assert await store.delete_thread(THREAD, tenant_id=OURS) == 6

        for space in ("", "ns"):
            assert await self._ids(store, checkpoint_ns=space) == []
            assert await store.get_checkpoint(THREAD, "c1", checkpoint_ns=space, tenant_id=OURS) is None
            assert await store.get_writes(THREAD, "c1", checkpoint_ns=space, tenant_id=OURS) == []
            assert len(await store.get_writes(OTHER_THREAD, "c1", checkpoint_ns=space, tenant_id=OURS)) == 2
        assert await self._ids(store, OTHER_THREAD) == ["c1"]
        assert await store.get_checkpoint(THREAD, "c1", tenant_id=THEIRS) is not None
        assert await store.delete_thread(THREAD, tenant_id=OURS) == 0
