"""Pending writes of tasks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from focal_core.errors import InvalidDataError
from focal_core.runtime.store import RuntimeStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.runtime import OTHER_THREAD, THREAD
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS


class WriteContract(ContractBase):
    """``put_writes``, ``get_writes``."""

    @requirement("RUNTIME-040", since="1.0")
    async def test_writes_round_trip_tuples(self, store: RuntimeStore) -> None:
        """Writes come back as tuples of any length, with the types of their items; the checkpoint need not exist.

        If this fails: tuples become lists, or a checkpoint is demanded.
        """
        written: list[tuple[Any, ...]] = [("channel", (1, [2])), (), ("only",), ("a", b"b", None, 1.0)]

        assert await store.put_writes(THREAD, "c1", "task", written, tenant_id=OURS) is True

        found = await store.get_writes(THREAD, "c1", tenant_id=OURS)
        assert found == written
        assert [type(one) for one in found] == [tuple] * 4
        assert type(found[0][1][1]) is list
        assert type(found[3][3]) is float

    @requirement("RUNTIME-041", since="1.0")
    async def test_writes_order(self, store: RuntimeStore) -> None:
        """Writes are read task after task in the order of the tasks' first writes, and by index within a task.

        If this fails: the order is that of task ids, of storing, or ten comes before two.
        """
        await store.put_writes(THREAD, "c1", "z", [("z", n) for n in range(12)], tenant_id=OURS)
        await store.put_writes(THREAD, "c1", "a", [("a", 0)], tenant_id=OURS)
        await store.put_writes(THREAD, "c1", "m", [("m", 0)], tenant_id=OURS)
        await store.put_writes(THREAD, "c1", "a", [("a", 0), ("a", 1)], tenant_id=OURS)

        found = await store.get_writes(THREAD, "c1", tenant_id=OURS)

        assert found == [*(("z", n) for n in range(12)), ("a", 0), ("a", 1), ("m", 0)]

    @requirement("RUNTIME-042", since="1.0")
    async def test_writes_retry_idempotent(self, store: RuntimeStore) -> None:
        """Writing again replaces what is stored under each index, keeps further indices, and adds nothing.

        If this fails: a retry doubles writes, or a shorter one loses some.
        """
        await store.put_writes(THREAD, "c1", "task", [("a", 1), ("b", 1), ("c", 1)], tenant_id=OURS)

        await store.put_writes(THREAD, "c1", "task", [("a", 2), ("b", 2)], tenant_id=OURS)
        await store.put_writes(THREAD, "c1", "task", [], tenant_id=OURS)

        assert await store.get_writes(THREAD, "c1", tenant_id=OURS) == [("a", 2), ("b", 2), ("c", 1)]

    @requirement("RUNTIME-043", since="1.0")
    async def test_writes_with_task_ids(self, store: RuntimeStore) -> None:
        """On request the task id stands in front of each tuple.

        If this fails: the ids are missing, or change what is stored.
        """
        await store.put_writes(THREAD, "c1", "t2", [("x", 1)], tenant_id=OURS)
        await store.put_writes(THREAD, "c1", "t1", [("y",), ()], tenant_id=OURS)

        with_ids = await store.get_writes(THREAD, "c1", with_task_ids=True, tenant_id=OURS)

        assert with_ids == [("t2", "x", 1), ("t1", "y"), ("t1",)]
        assert await store.get_writes(THREAD, "c1", tenant_id=OURS) == [("x", 1), ("y",), ()]

    @requirement("RUNTIME-044", since="1.0")
    async def test_bad_writes_refused(self, store: RuntimeStore) -> None:
        """Writes that are no list of tuples, too many, or hold what cannot be kept are refused as a whole.

        If this fails: a list passes for a tuple, or the writes in front of the bad one are stored.
        """
        bad: list[Any] = [[("a",), ["b"]], "ab", None, [("a",), ("b", object())], [()] * 10_001, {"a": 1}]

        for writes in bad:
            with pytest.raises(InvalidDataError):
                await store.put_writes(THREAD, "c1", "task", writes, tenant_id=OURS)

        assert await store.get_writes(THREAD, "c1", tenant_id=OURS) == []

    @requirement("RUNTIME-045", since="1.0")
    async def test_writes_separate(self, store: RuntimeStore) -> None:
        """Writes of other threads, namespaces and checkpoints are apart, although task and index are the same.

        If this fails: a part of the key is missing.
        """
        places = [(THREAD, "", "c1"), (THREAD, "", "c2"), (THREAD, "ns", "c1"), (OTHER_THREAD, "", "c1")]
        for thread, space, point in places:
            written: list[tuple[Any, ...]] = [(thread, space, point)]
            await store.put_writes(thread, point, "task", written, checkpoint_ns=space, tenant_id=OURS)

        for thread, space, point in places:
            found = await store.get_writes(thread, point, checkpoint_ns=space, tenant_id=OURS)
            assert found == [(thread, space, point)]
        assert await store.get_writes("unknown", "c1", tenant_id=OURS) == []

    @requirement("RUNTIME-046", since="1.0")
    async def test_cancelled_writes_are_atomic(self, store: RuntimeStore) -> None:
        """A cancelled ``put_writes`` has written all of its tuples or none, and the store goes on working.

        If this fails: the tuples are written one by one.
        """
        for turns in range(6):
            task = asyncio.ensure_future(
                store.put_writes(THREAD, "c1", f"task {turns}", [(n,) for n in range(4)], tenant_id=OURS)
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

            found = await store.get_writes(THREAD, "c1", with_task_ids=True, tenant_id=OURS)

            assert len([one for one in found if one[0] == f"task {turns}"]) in (0, 4)
