"""Capability ``archive``: the permanent archive behind the attribute ``archive``."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import InvalidDataError, TenantRequiredError
from focal_core.ids import NIL
from focal_core.runtime.models import ArchiveRecord, ArchiveStream
from focal_core.runtime.store import IPermanentStorageBackend, PermanentStorageBackend
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data import hostile
from focal_testkit.data.runtime import KEPT, OTHER_SESSION, SESSION, THREAD, USER, typed
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

EVENT = UUID("0190a000-0000-7000-8000-00000000000e")


async def _snapshots(archive: PermanentStorageBackend, count: int, key: str = SESSION, tenant: UUID = OURS) -> None:
    for n in range(count):
        assert await archive.append_task_context_snapshot(key, {"n": n}, tenant_id=tenant) is True


async def _numbers(archive: PermanentStorageBackend, **kwargs: Any) -> list[int]:
    found = await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, tenant_id=OURS, **kwargs)
    return [record["payload"]["n"] for record in found]


class ArchiveContract(ContractBase):
    """``PermanentStorageBackend``."""

    @requirement("RUNTIME-080", since="1.0", needs="archive")
    async def test_archive_streams(self, store: Any, clock: ManualClock) -> None:
        """Every ``append_*`` is one record in its own stream, with its key and its arguments as payload.

        If this fails: streams are mixed, an argument is lost, or a type changes.
        """
        archive: PermanentStorageBackend = store.archive
        ours: dict[str, Any] = {"tenant_id": OURS}
        writes: list[tuple[Any, ...]] = [("a", (1,)), ()]
        assert isinstance(archive, IPermanentStorageBackend)
        assert await archive.initialize() is True
        assert await archive.append_session_event(SESSION, USER, "created", {"a": (1,)}, **ours) is True
        assert await archive.append_conversation_message(SESSION, "user", "hello", {"m": 1}, **ours) is True
        assert await archive.append_conversation_message(OTHER_SESSION, "user", "", **ours) is True
        assert await archive.append_checkpoint(THREAD, "c1", {"d": KEPT}, {"m": 1}, checkpoint_ns="ns", **ours) is True
        assert await archive.append_checkpoint_writes(THREAD, "c1", "task", writes, **ours) is True
        assert await archive.append_conversation_session("key", {"s": 1}, **ours) is True
        assert await archive.append_task_context_snapshot(SESSION, {"c": 1}, **ours) is True

        async def only(stream: ArchiveStream, key: str) -> ArchiveRecord:
            records = await archive.read(stream, key, **ours)
            assert len(records) == 1
            assert (records[0]["stream"], records[0]["key"]) == (stream.value, key)
            return records[0]

        event = await only(ArchiveStream.SESSION_EVENT, SESSION)
        assert typed(event["payload"]) == typed({"user_id": USER, "event_type": "created", "payload": {"a": (1,)}})
        assert set(event) == {"event_id", "stream", "key", "payload", "created_at", "recorded_at"}
        message = await only(ArchiveStream.MESSAGE, SESSION)
        assert message["payload"] == {"role": "user", "content": "hello", "metadata": {"m": 1}}
        bare = await only(ArchiveStream.MESSAGE, OTHER_SESSION)
        assert bare["payload"] == {"role": "user", "content": "", "metadata": {}}
        point = await only(ArchiveStream.CHECKPOINT, THREAD)
        data = {"checkpoint_ns": "ns", "checkpoint_id": "c1", "checkpoint_data": {"d": KEPT}, "metadata": {"m": 1}}
        assert typed(point["payload"]) == typed(data)
        pending = await only(ArchiveStream.CHECKPOINT_WRITES, THREAD)
        written = {"checkpoint_ns": "", "checkpoint_id": "c1", "task_id": "task", "writes_data": writes}
        assert typed(pending["payload"]) == typed(written)
        assert (await only(ArchiveStream.CONVERSATION_SESSION, "key"))["payload"] == {"s": 1}
        assert (await only(ArchiveStream.TASK_CONTEXT, SESSION))["payload"] == {"c": 1}

    @requirement("RUNTIME-081", since="1.0", needs="archive")
    async def test_archive_append_only(self, store: Any) -> None:
        """The same content appended again is a further record; records are read in the order they were recorded.

        If this fails: the archive is keyed by content or by id of the thing, and forgets versions.
        """
        archive: PermanentStorageBackend = store.archive
        for n in (1, 2, 1):
            await archive.append_task_context_snapshot(SESSION, {"n": n}, "2026-05-04T09:00:00Z", tenant_id=OURS)
        await archive.append_task_context_snapshot(SESSION, {"n": 0}, "2020-01-01T00:00:00Z", tenant_id=OURS)

        assert await _numbers(archive) == [1, 2, 1, 0]
        found = await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, tenant_id=OURS)
        found[0]["payload"]["n"] = 9
        assert await _numbers(archive) == [1, 2, 1, 0]
        assert len({record["event_id"] for record in found}) == 4

    @requirement("RUNTIME-082", since="1.0", needs="archive")
    async def test_archive_event_id_once(self, store: Any) -> None:
        """A record whose ``event_id`` the tenant has is stored once, as it first was; appending it again is True.

        If this fails: a retry doubles a record or changes it, or another tenant's id swallows one.
        """
        archive: PermanentStorageBackend = store.archive
        for n in (1, 2):
            assert await archive.append_task_context_snapshot(SESSION, {"n": n}, event_id=EVENT, tenant_id=OURS)
        await archive.append_task_context_snapshot(SESSION, {"n": 3}, event_id=EVENT, tenant_id=THEIRS)

        found = await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, tenant_id=OURS)

        assert [(one["event_id"], one["payload"]) for one in found] == [(str(EVENT), {"n": 1})]
        theirs = await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, tenant_id=THEIRS)
        assert [one["payload"] for one in theirs] == [{"n": 3}]

    @requirement("RUNTIME-083", since="1.0", needs="archive")
    async def test_archive_times(self, store: Any, clock: ManualClock) -> None:
        """``created_at`` is what was told, in UTC, or the present; ``recorded_at`` is always the clock's.

        If this fails: the two times are mixed up, or an offset is dropped.
        """
        archive: PermanentStorageBackend = store.archive
        now = clock.now()
        for told in (None, "2026-05-04T09:00:00+02:00"):
            await archive.append_task_context_snapshot(SESSION, {}, told, tenant_id=OURS)
        bad: list[Any] = ["2026-05-04T09:00:00", "yesterday", "", 5]

        for told in bad:
            with pytest.raises(InvalidDataError):
                await archive.append_task_context_snapshot(SESSION, {}, told, tenant_id=OURS)

        first, second = await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, tenant_id=OURS)
        assert datetime.fromisoformat(first["created_at"]) == now
        assert second["created_at"].startswith("2026-05-04T07:00:00")
        assert second["created_at"].endswith("+00:00")
        assert [datetime.fromisoformat(one["recorded_at"]) for one in (first, second)] == [now, now]

    @requirement("RUNTIME-084", since="1.0", needs="archive")
    async def test_archive_pages(self, store: Any) -> None:
        """Records are read page by page, each once and in order, also while others are appended.

        If this fails: the cursor is an offset in disguise, is accepted elsewhere, or the default limit is another.
        """
        archive: PermanentStorageBackend = store.archive
        await _snapshots(archive, 102)
        await _snapshots(archive, 3, key=OTHER_SESSION)
        first = await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, limit=5, tenant_id=OURS)
        await _snapshots(archive, 1)

        assert await _numbers(archive) == list(range(100))
        assert await _numbers(archive, limit=5, after=first.next_cursor) == [5, 6, 7, 8, 9]
        whole = await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, limit=103, tenant_id=OURS)
        assert [one["payload"]["n"] for one in whole] == [*range(102), 0]
        assert whole.next_cursor is None
        for stream, key, tenant in (
            (ArchiveStream.MESSAGE, SESSION, OURS),
            (ArchiveStream.TASK_CONTEXT, OTHER_SESSION, OURS),
            (ArchiveStream.TASK_CONTEXT, SESSION, THEIRS),
        ):
            with pytest.raises(InvalidDataError):
                await archive.read(stream, key, after=first.next_cursor, tenant_id=tenant)
        limits: list[Any] = [0, 1001, None]
        for limit in limits:
            with pytest.raises(InvalidDataError):
                await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, limit=limit, tenant_id=OURS)
        with pytest.raises(InvalidDataError):
            await archive.read("no stream", SESSION, tenant_id=OURS)  # type: ignore[arg-type]

    @requirement("RUNTIME-085", since="1.0", needs="archive")
    async def test_archive_tenants(self, store: Any, trusting_store: Any) -> None:
        """Tenants of the archive are apart, an omitted one is refused or the nil tenant, an erased one is gone.

        If this fails: a record is read by a stranger, or survives the erasure of its tenant.
        """
        archive: PermanentStorageBackend = store.archive
        for tenant in (OURS, THEIRS):
            await _snapshots(archive, 2, tenant=tenant)
        with pytest.raises(TenantRequiredError):
            await archive.append_task_context_snapshot(SESSION, {})
        with pytest.raises(TenantRequiredError):
            await archive.read(ArchiveStream.TASK_CONTEXT, SESSION)

        assert await archive.erase_tenant(OURS) == 2

        assert await _numbers(archive) == []
        assert await archive.erase_tenant(OURS) == 0
        assert len(await archive.read(ArchiveStream.TASK_CONTEXT, SESSION, tenant_id=THEIRS)) == 2
        await trusting_store.archive.append_task_context_snapshot(SESSION, {})
        assert len(await trusting_store.archive.read(ArchiveStream.TASK_CONTEXT, SESSION, tenant_id=NIL)) == 1
        assert len(await trusting_store.archive.read(ArchiveStream.TASK_CONTEXT, SESSION)) == 1

    @requirement("RUNTIME-086", since="1.0", needs="archive")
    async def test_archive_refuses_bad_arguments(self, store: Any) -> None:
        """Wrong arguments are raised, never counted as failures of the archive, and nothing is recorded.

        If this fails: a bad id or value is stored, or vanishes with a False nobody looks at.
        """
        archive: PermanentStorageBackend = store.archive
        ours: dict[str, Any] = {"tenant_id": OURS}
        calls = []
        for bad in hostile.REFUSED_IDENTIFIERS.values():
            calls += [
                archive.append_session_event(bad, USER, "created", {}, **ours),
                archive.append_session_event(SESSION, bad, "created", {}, **ours),
                archive.append_session_event(SESSION, USER, bad, {}, **ours),
                archive.append_conversation_message(bad, "user", "x", **ours),
                archive.append_conversation_message(SESSION, bad, "x", **ours),
                archive.append_checkpoint(bad, "c", {}, **ours),
                archive.append_checkpoint(THREAD, bad, {}, **ours),
                archive.append_checkpoint_writes(bad, "c", "t", [], **ours),
                archive.append_checkpoint_writes(THREAD, bad, "t", [], **ours),
                archive.append_checkpoint_writes(THREAD, "c", bad, [], **ours),
                archive.append_conversation_session(bad, {}, **ours),
                archive.append_task_context_snapshot(bad, {}, **ours),
                archive.read(ArchiveStream.MESSAGE, bad, **ours),
            ]
        worst: Any = object()
        values: list[Any] = [{"x": worst}, worst, [1]]
        for value in values:
            calls += [
                archive.append_session_event(SESSION, USER, "created", value, **ours),
                archive.append_conversation_message(SESSION, "user", "x", value, **ours),
                archive.append_checkpoint(THREAD, "c", value, **ours),
                archive.append_checkpoint(THREAD, "c", {}, value, **ours),
                archive.append_checkpoint_writes(THREAD, "c", "t", value, **ours),
                archive.append_conversation_session(SESSION, value, **ours),
                archive.append_task_context_snapshot(SESSION, value, **ours),
            ]
        calls += [
            archive.append_checkpoint(THREAD, "c", {}, checkpoint_ns=" ", **ours),
            archive.append_checkpoint_writes(THREAD, "c", "t", [], checkpoint_ns=" ", **ours),
            archive.append_conversation_message(SESSION, "user", worst, **ours),
        ]

        outcomes = await asyncio.gather(*calls, return_exceptions=True)

        assert {type(outcome) for outcome in outcomes} == {InvalidDataError}
        for stream in ArchiveStream:
            for key in (SESSION, THREAD):
                assert await archive.read(stream, key, **ours) == []
        assert (await archive.counters())["errors"] == 0

    @requirement("RUNTIME-087", since="1.0", needs="archive")
    async def test_archive_counters(self, store: Any) -> None:
        """What was written is counted, flushing writes what is held back, and closing twice is fine.

        If this fails: repeats are counted as written, or records wait for ever.
        """
        archive: PermanentStorageBackend = store.archive
        assert await archive.counters() == {"queued": 0, "written": 0, "dropped": 0, "errors": 0}
        await _snapshots(archive, 2)
        for _ in range(2):
            await archive.append_task_context_snapshot(SESSION, {"n": 2}, event_id=EVENT, tenant_id=OURS)

        assert await archive.flush(5.0) is True

        assert await archive.counters() == {"queued": 0, "written": 3, "dropped": 0, "errors": 0}
        await archive.close()
        await archive.close()
