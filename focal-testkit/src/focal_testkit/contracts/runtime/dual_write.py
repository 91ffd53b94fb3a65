"""``DualWriteStorage`` over the store under test: the store answers, the archive never gets in the way."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from dataclasses import replace
from typing import Any

import pytest

from focal_core.context import BackendContext, Isolation
from focal_core.errors import DuplicateError, StoreUnavailableError
from focal_core.runtime.dual_write import DualWriteStorage
from focal_core.runtime.inmemory import InMemoryPermanentStorage
from focal_core.runtime.models import ArchiveStream, OverflowPolicy
from focal_core.runtime.store import PermanentStorageBackend, RuntimeStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.runtime import OTHER_SESSION, OTHER_USER, SESSION, THREAD, USER
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class _Gated(InMemoryPermanentStorage):
    """An archive that takes nothing until its gate is opened."""

    def __init__(self, context: BackendContext) -> None:
        super().__init__(context)
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()

    async def append_task_context_snapshot(self, *args: Any, **kwargs: Any) -> bool:
        self.asked.set()
        await self.gate.wait()
        return await super().append_task_context_snapshot(*args, **kwargs)


class _Failing(InMemoryPermanentStorage):
    """An archive that answers False, or raises whatever it is given."""

    failure: Exception | None = None

    async def append_task_context_snapshot(self, *args: Any, **kwargs: Any) -> bool:
        if self.failure is not None:
            raise self.failure
        return False

    async def initialize(self) -> bool:
        raise StoreUnavailableError("down")

    async def close(self) -> None:
        raise StoreUnavailableError("down")


async def _numbers(archive: PermanentStorageBackend) -> list[int]:
    found = await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, tenant_id=OURS)
    return [record["payload"]["n"] for record in found]


class DualWriteContract(ContractBase):
    """A subclass gives ``open_store`` for the hot store, and ``combine``."""

    @abstractmethod
    def combine(self, hot: RuntimeStore, permanent: PermanentStorageBackend, **options: Any) -> DualWriteStorage:
        """Return a DualWriteStorage."""

    async def _write(self, storage: RuntimeStore, *numbers: int) -> None:
        for n in numbers:
            assert await storage.store_task_context(SESSION, {"n": n}, tenant_id=OURS) is True

    @requirement("RUNTIME-090", since="1.0")
    async def test_archive_copies_everything(self, store: RuntimeStore, context: BackendContext) -> None:
        """Every accepted write is archived in its stream, as it was at the time of the call, in the order of calls.

        If this fails: a method is not copied, or an argument changed afterwards changes the record.
        """
        archive = InMemoryPermanentStorage(context)
        storage = self.combine(store, archive, clock=context.clock)
        metadata = {"m": [1]}
        await storage.create_session(SESSION, USER, metadata, tenant_id=OURS)
        await storage.update_session(SESSION, {"a": 1}, True, 0.5, tenant_id=OURS)
        await storage.end_session(SESSION, "failed", tenant_id=OURS)
        await storage.add_conversation_message(SESSION, "user", "hello", metadata, tenant_id=OURS)
        await storage.store_checkpoint(THREAD, "c1", {"d": 1}, metadata, checkpoint_ns="ns", tenant_id=OURS)
        await storage.put_checkpoint(THREAD, "c2", {"d": 2}, tenant_id=OURS)
        await storage.put_writes(THREAD, "c1", "task", [("a", 1)], checkpoint_ns="ns", tenant_id=OURS)
        await storage.store_task_context(SESSION, {"n": metadata}, tenant_id=OURS)
        await storage.store_task_context(SESSION, (1, 2), tenant_id=OURS)
        metadata["m"].append(2)

        assert await storage.flush(5.0) is True

        async def payloads(stream: ArchiveStream, key: str) -> list[dict[str, Any]]:
            records = await archive.read(stream, key, tenant_id=OURS)
            assert {record["created_at"] for record in records} == {records[0]["recorded_at"]}
            return [record["payload"] for record in records]

        events = await payloads(ArchiveStream.SESSION_EVENT, SESSION)
        assert [(one["user_id"], one["event_type"]) for one in events] == [
            (USER, "created"),
            (USER, "updated"),
            (USER, "ended"),
        ]
        assert [one["payload"] for one in events] == [
            {"metadata": {"m": [1]}},
            {"updates": {"a": 1}, "increment_requests": True, "add_processing_time": 0.5, "mark_error": False},
            {"status": "failed"},
        ]
        assert await payloads(ArchiveStream.MESSAGE, SESSION) == [
            {"role": "user", "content": "hello", "metadata": {"m": [1]}}
        ]
        assert await payloads(ArchiveStream.CHECKPOINT, THREAD) == [
            {"checkpoint_ns": "ns", "checkpoint_id": "c1", "checkpoint_data": {"d": 1}, "metadata": {"m": [1]}},
            {"checkpoint_ns": "", "checkpoint_id": "c2", "checkpoint_data": {"d": 2}, "metadata": {}},
        ]
        assert await payloads(ArchiveStream.CHECKPOINT_WRITES, THREAD) == [
            {"checkpoint_ns": "ns", "checkpoint_id": "c1", "task_id": "task", "writes_data": [("a", 1)]}
        ]
        assert await payloads(ArchiveStream.TASK_CONTEXT, SESSION) == [{"n": {"m": [1]}}, {"value": (1, 2)}]
        assert await storage.counters() == {"queued": 0, "written": 9, "dropped": 0, "errors": 0}
        assert (await storage.health_check())["status"] == "ok"

    @pytest.mark.parametrize("failure", [None, StoreUnavailableError("down"), RuntimeError("bug")], ids=repr)
    @requirement("RUNTIME-091", since="1.0")
    async def test_archive_failure_does_not_block_primary(
        self, store: RuntimeStore, context: BackendContext, failure: Exception | None
    ) -> None:
        """A failing archive fails no call; its failures are counted and make the health degraded.

        If this fails: the archive's trouble becomes the caller's, or nobody ever learns of it.
        """
        archive = _Failing(context)
        archive.failure = failure
        storage = self.combine(store, archive)

        await self._write(storage, 0, 1)
        await storage.flush(5.0)

        assert await storage.get_task_context(SESSION, tenant_id=OURS) == {"n": 1}
        assert await storage.counters() == {"queued": 0, "written": 0, "dropped": 0, "errors": 2}
        report = await storage.health_check()
        assert (report["status"], report["checks"]["archive"]["ok"]) == ("degraded", False)
        assert (await storage.get_metrics(tenant_id=OURS))["archive"]["errors"] == 2
        assert await storage.initialize() is True
        await storage.close()
        assert (await storage.counters())["errors"] == 4

    @requirement("RUNTIME-092", since="1.0")
    async def test_archive_delay_does_not_block_primary(self, store: RuntimeStore, context: BackendContext) -> None:
        """An archive that does not answer delays no call; what waits is counted, and archived when it answers.

        If this fails: calls wait for the archive.
        """
        archive = _Gated(context)
        storage = self.combine(store, archive)

        async with asyncio.timeout(5):
            await self._write(storage, *range(20))

        assert await storage.flush(0.01) is False
        assert await storage.counters() == {"queued": 20, "written": 0, "dropped": 0, "errors": 0}
        assert (await storage.health_check())["status"] == "ok"
        archive.gate.set()
        assert await storage.flush() is True
        assert await _numbers(archive) == list(range(20))

    @pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
    @requirement("RUNTIME-093", since="1.0")
    async def test_archive_overflow_counted(
        self, store: RuntimeStore, context: BackendContext, overflow: OverflowPolicy
    ) -> None:
        """A full queue drops the oldest or the newest, as it was told, counts it, and makes the health degraded.

        If this fails: the queue grows without bound, drops at the wrong end, or in silence.
        """
        archive = _Gated(context)
        storage = self.combine(store, archive, max_queue=3, batch_size=1, overflow=overflow)
        await self._write(storage, 0)
        await archive.asked.wait()

        await self._write(storage, 1, 2, 3, 4, 5)

        assert await storage.counters() == {"queued": 4, "written": 0, "dropped": 2, "errors": 0}
        archive.gate.set()
        await storage.flush()
        kept = [3, 4, 5] if overflow == "drop_oldest" else [1, 2, 3]
        assert await _numbers(archive) == [0, *kept]
        assert (await storage.health_check())["status"] == "degraded"

    @requirement("RUNTIME-094", since="1.0")
    async def test_archive_overflow_blocks(self, store: RuntimeStore, context: BackendContext) -> None:
        """Under the policy ``block`` a call waits for room in the queue, and nothing is dropped.

        If this fails: the policy is ignored, or a waiting call is never let in.
        """
        archive = _Gated(context)
        storage = self.combine(store, archive, max_queue=2, batch_size=1, overflow=OverflowPolicy.BLOCK)
        writing = asyncio.create_task(self._write(storage, *range(8)))

        for _ in range(200):
            await asyncio.sleep(0)
        assert not writing.done()
        assert (await storage.counters())["queued"] == 3
        archive.gate.set()
        async with asyncio.timeout(5):
            await writing
            await storage.flush()

        assert await _numbers(archive) == list(range(8))
        assert await storage.counters() == {"queued": 0, "written": 8, "dropped": 0, "errors": 0}

    @requirement("RUNTIME-095", since="1.0")
    async def test_archive_flush_on_close(self, store: RuntimeStore, context: BackendContext) -> None:
        """Closing archives what waits, for so long as it was told; what is left then is counted as dropped.

        If this fails: records are lost at every shutdown, or a dead archive makes closing hang.
        """
        archive = InMemoryPermanentStorage(context)
        storage = self.combine(store, archive)
        await self._write(storage, 0, 1, 2)
        await storage.close()
        dead = self.combine(store, _Gated(context), batch_size=1, flush_on_close=0.01)
        await self._write(dead, 3, 4)
        async with asyncio.timeout(5):
            await dead.close()
        await dead.close()

        assert await _numbers(archive) == [0, 1, 2]
        assert await dead.counters() == {"queued": 0, "written": 0, "dropped": 2, "errors": 0}

    @requirement("RUNTIME-096", since="1.0")
    async def test_archive_repeats_once(self, store: RuntimeStore, context: BackendContext) -> None:
        """A session created again and a message repeated by its id are archived once.

        If this fails: retries fill the archive with copies.
        """
        archive = InMemoryPermanentStorage(context)
        storage = self.combine(store, archive)
        for _ in range(2):
            await storage.create_session(SESSION, USER, tenant_id=OURS)
            for session_id in (SESSION, OTHER_SESSION):
                await storage.add_conversation_message(session_id, "user", "x", message_id=OURS, tenant_id=OURS)
        await storage.create_session(OTHER_SESSION, USER, tenant_id=OURS)
        await storage.flush()

        for stream in (ArchiveStream.SESSION_EVENT, ArchiveStream.MESSAGE):
            for session_id in (SESSION, OTHER_SESSION):
                assert len(await archive.read(stream, session_id, tenant_id=OURS)) == 1

    @requirement("RUNTIME-097", since="1.0")
    async def test_refused_writes_are_not_archived(self, store: RuntimeStore, context: BackendContext) -> None:
        """What the store refuses, or does not know, is the caller's answer and leaves nothing in the archive.

        If this fails: the archive tells of things that never were.
        """
        archive = InMemoryPermanentStorage(context)
        storage = self.combine(store, archive)
        await storage.create_session(SESSION, USER, tenant_id=OURS)

        with pytest.raises(DuplicateError):
            await storage.create_session(SESSION, OTHER_USER, tenant_id=OURS)
        assert await storage.update_session("unknown", tenant_id=OURS) is False
        assert await storage.end_session("unknown", tenant_id=OURS) is False
        await storage.flush()

        assert await storage.counters() == {"queued": 0, "written": 1, "dropped": 0, "errors": 0}

    @requirement("RUNTIME-098", since="1.0")
    async def test_erased_tenant_leaves_no_copy(self, store: RuntimeStore, context: BackendContext) -> None:
        """Erasing a tenant removes its rows, its records, and what still waits for the archive.

        If this fails: a copy outlives the erasure, or arrives after it.
        """
        archive = _Gated(context)
        storage = self.combine(store, archive, batch_size=1)
        await self._write(storage, 0, 1, 2)
        await storage.store_task_context(SESSION, {"n": 7}, tenant_id=THEIRS)
        await archive.asked.wait()

        erasing = asyncio.create_task(storage.erase_tenant(OURS))
        for _ in range(20):
            await asyncio.sleep(0)
        archive.gate.set()
        assert await erasing == 2
        await storage.flush()

        assert await _numbers(archive) == []
        assert await storage.get_task_context(SESSION, tenant_id=OURS) is None
        assert len(await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, tenant_id=THEIRS)) == 1

    @requirement("RUNTIME-099", since="1.0")
    async def test_nil_tenant_is_archived(self, trusting_store: RuntimeStore, context: BackendContext) -> None:
        """Without a tenant, under trusting isolation, store and archive both use the nil tenant.

        If this fails: records without tenant are archived under none, or not at all.
        """
        archive = InMemoryPermanentStorage(replace(context, isolation=Isolation.TRUSTING))
        storage = self.combine(trusting_store, archive)

        await storage.create_session(SESSION, USER)
        await storage.flush()

        assert len(await archive.read(ArchiveStream.SESSION_EVENT, SESSION)) == 1
