"""Cleaning up, counting, opening and closing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import InvalidDataError, TenantRequiredError
from focal_core.runtime import store as runtime
from focal_core.runtime.store import RuntimeStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.runtime import OTHER_SESSION, SESSION, THREAD, USER
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

DAY = 24 * 3600.0


class UpkeepContract(ContractBase):
    """``cleanup_expired_sessions``, ``get_metrics``, ``initialize``, ``close``, ``health_check``."""

    async def _furnish(self, store: RuntimeStore, session_id: str, thread: str, mapped: bool, **tenant: Any) -> None:
        metadata = {"session_id": session_id} if mapped else None
        await store.create_session(session_id, USER, **tenant)
        await store.add_conversation_message(session_id, "user", "x", **tenant)
        await store.store_task_context(session_id, {"x": 1}, **tenant)
        await store.store_checkpoint(thread, "c1", {}, metadata, checkpoint_ns="ns", **tenant)
        await store.store_checkpoint(thread, "c2", {}, **tenant)
        await store.put_writes(thread, "c2", "task", [("x",)], **tenant)

    async def _left(self, store: RuntimeStore, session_id: str, thread: str, **tenant: Any) -> list[bool]:
        return [
            await store.get_session(session_id, **tenant) is not None,
            bool(await store.get_conversation_history(session_id, **tenant)),
            await store.get_task_context(session_id, **tenant) is not None,
            await store.get_checkpoint(thread, "c1", checkpoint_ns="ns", **tenant) is not None,
            await store.get_checkpoint(thread, "c2", **tenant) is not None,
            bool(await store.get_writes(thread, "c2", **tenant)),
        ]

    @requirement("RUNTIME-060", since="1.0")
    async def test_cleanup_removes_dependents_only(self, store: RuntimeStore, clock: ManualClock) -> None:
        """With an idle session go its messages, its context and its threads, and nothing else goes.

        A thread is the session's when its id is, or when one of its checkpoints names the session.
        If this fails: dependents stay, or something is removed because it merely looks similar.
        """
        ours: dict[str, Any] = {"tenant_id": OURS}
        theirs: dict[str, Any] = {"tenant_id": THEIRS}
        await self._furnish(store, SESSION, SESSION, False, **ours)
        await self._furnish(store, "mapped", THREAD, True, **ours)
        await self._furnish(store, "unmapped", "apart", False, **ours)
        await self._furnish(store, SESSION, SESSION, True, **theirs)
        await store.add_conversation_message("no session", "user", "x", **ours)
        await store.store_checkpoint("no session", "c1", {}, {"session_id": 5}, **ours)
        clock.advance(seconds=DAY + 1)
        await self._furnish(store, OTHER_SESSION, OTHER_SESSION, True, **ours)

        assert await store.cleanup_expired_sessions(tenant_id=OURS) == 3

        assert await self._left(store, SESSION, SESSION, **ours) == [False] * 6
        assert await self._left(store, "mapped", THREAD, **ours) == [False] * 6
        assert await self._left(store, "unmapped", "apart", **ours) == [False] * 3 + [True] * 3
        assert await self._left(store, OTHER_SESSION, OTHER_SESSION, **ours) == [True] * 6
        assert await self._left(store, SESSION, SESSION, **theirs) == [True] * 6
        assert len(await store.get_conversation_history("no session", **ours)) == 1
        assert await store.get_checkpoint("no session", **ours) is not None
        assert await store.cleanup_expired_sessions(tenant_id=OURS) == 0

    @requirement("RUNTIME-061", since="1.0")
    async def test_cleanup_idle_time(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Sessions idle for longer than the hours go, whatever their status; exactly as long, and they stay.

        Creating, updating and ending a session are activity; messages and checkpoints are not.
        If this fails: the boundary, the unit or the default is wrong, or activity does not count.
        """
        for session_id in ("still", "ended early", "updated", "ended late"):
            await store.create_session(session_id, USER, tenant_id=OURS)
        await store.end_session("ended early", tenant_id=OURS)
        clock.advance(seconds=10)
        await store.update_session("updated", tenant_id=OURS)
        await store.end_session("ended late", tenant_id=OURS)
        await store.add_conversation_message("still", "user", "x", tenant_id=OURS)
        clock.advance(seconds=DAY - 10)

        assert await store.cleanup_expired_sessions(tenant_id=OURS) == 0
        clock.advance(seconds=1)
        assert await store.cleanup_expired_sessions(25, tenant_id=OURS) == 0
        assert await store.cleanup_expired_sessions(tenant_id=OURS) == 2

        assert await store.get_session("still", tenant_id=OURS) is None
        assert await store.get_session("updated", tenant_id=OURS) is not None
        assert await store.get_session("ended late", tenant_id=OURS) is not None
        assert await store.cleanup_expired_sessions(0, tenant_id=OURS) == 2

    @requirement("RUNTIME-062", since="1.0")
    async def test_cleanup_spares_shared_threads(self, store: RuntimeStore, clock: ManualClock) -> None:
        """A thread that belongs to a session that stays is left alone, and goes with the last of its sessions.

        If this fails: a live session loses its checkpoints, or shared threads stay for ever.
        """
        for session_id in ("old", "idle"):
            await store.create_session(session_id, USER, tenant_id=OURS)
            await store.store_checkpoint(THREAD, f"c {session_id}", {}, {"session_id": session_id}, tenant_id=OURS)
            await store.store_checkpoint("live", f"c {session_id}", {}, {"session_id": session_id}, tenant_id=OURS)
        clock.advance(seconds=DAY)
        await store.update_session("idle", tenant_id=OURS)
        await store.create_session("live", USER, tenant_id=OURS)
        clock.advance(seconds=1)

        assert await store.cleanup_expired_sessions(tenant_id=OURS) == 1
        assert len(await store.list_checkpoints(THREAD, tenant_id=OURS)) == 2
        clock.advance(seconds=DAY - 1)
        await store.update_session("live", tenant_id=OURS)
        clock.advance(seconds=1)
        assert await store.cleanup_expired_sessions(tenant_id=OURS) == 1

        assert await store.list_checkpoints(THREAD, tenant_id=OURS) == []
        assert len(await store.list_checkpoints("live", tenant_id=OURS)) == 2

    @requirement("RUNTIME-063", since="1.0")
    async def test_cleanup_arguments(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Hours that are negative or no int are refused, and so is an omitted tenant; nothing is removed.

        If this fails: a slip empties the store.
        """
        await store.create_session(SESSION, USER, tenant_id=OURS)
        clock.advance(seconds=100 * DAY)
        bad: list[Any] = [-1, 1.5, None, True]

        for hours in bad:
            with pytest.raises(InvalidDataError):
                await store.cleanup_expired_sessions(hours, tenant_id=OURS)
        with pytest.raises(TenantRequiredError):
            await store.cleanup_expired_sessions()

        assert await store.get_session(SESSION, tenant_id=OURS) is not None

    @requirement("RUNTIME-064", since="1.0")
    async def test_metrics_without_scan(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Metrics count what is stored now, of one tenant or of all, and follow every write and removal.

        If this fails: a counter is not kept by one of the writes, or counts writes instead of rows.
        """

        def counted(metrics: Mapping[str, Any]) -> tuple[int, int, int, int]:
            sessions = metrics["sessions"]
            return sessions["active"], sessions["total"], metrics["messages"], metrics["checkpoints"]

        empty = await store.get_metrics()
        assert counted(empty) == (0, 0, 0, 0)
        assert empty["archive"] == {"queued": 0, "written": 0, "dropped": 0, "errors": 0}
        for tenant in (OURS, THEIRS):
            await self._furnish(store, SESSION, SESSION, False, tenant_id=tenant)
            await self._furnish(store, SESSION, SESSION, False, tenant_id=tenant)
        await self._furnish(store, OTHER_SESSION, THREAD, False, tenant_id=OURS)
        await store.end_session(OTHER_SESSION, tenant_id=OURS)
        await store.store_checkpoint("lone", "c1", {}, tenant_id=OURS)

        metrics = await store.get_metrics(tenant_id=OURS)
        assert counted(metrics) == (1, 2, 3, 5)
        assert counted(await store.get_metrics()) == (2, 3, 5, 7)
        assert set(metrics) == {"sessions", "messages", "checkpoints", "archive", "backend", "uptime_seconds"}
        assert set(metrics["archive"]) == {"queued", "written", "dropped", "errors"}
        assert (metrics["archive"]["dropped"], metrics["archive"]["errors"]) == (0, 0)
        await store.update_session(OTHER_SESSION, {"status": "active"}, tenant_id=OURS)
        await store.delete_thread("lone", tenant_id=OURS)
        assert counted(await store.get_metrics(tenant_id=OURS)) == (2, 2, 3, 4)
        clock.advance(seconds=2 * DAY)
        await store.cleanup_expired_sessions(tenant_id=OURS)
        assert counted(await store.get_metrics(tenant_id=OURS)) == (0, 0, 0, 2)
        await store.erase_tenant(THEIRS)
        assert counted(await store.get_metrics()) == (0, 0, 0, 2)

    @requirement("RUNTIME-065", since="1.0")
    async def test_life_cycle(self, store: RuntimeStore) -> None:
        """``initialize`` is True each time, health is a report as plain data, ``close`` may be called twice.

        If this fails: the store cannot be opened or closed twice, or health is a bool.
        """
        assert await store.initialize() is True
        assert await store.initialize() is True

        report = await store.health_check()

        assert set(report) == {"status", "checks", "latency_ms", "backend"}
        assert report["status"] == "ok"
        assert 0.0 <= report["latency_ms"] < 1000.0
        assert report["checks"]
        assert all(check["ok"] is True for check in report["checks"].values())
        await store.close()
        await store.close()

    @requirement("RUNTIME-066", since="1.0")
    async def test_uptime(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Metrics name the backend and tell how long it has been up, in seconds.

        If this fails: the time stands still, runs backwards or is no number.
        """
        before = await store.get_metrics(tenant_id=OURS)
        clock.advance(seconds=5)
        after = await store.get_metrics(tenant_id=OURS)

        assert before["backend"] == after["backend"] != ""
        assert 0.0 <= before["uptime_seconds"] <= after["uptime_seconds"]

    @requirement("RUNTIME-067", since="1.0")
    async def test_seed_alias_names(self, store: RuntimeStore) -> None:
        """The names the interfaces had before stay importable, and the store is an instance of each of them.

        If this fails: code written against those names no longer finds them, or refuses the store.
        """
        for name in ("Session", "Conversation", "Checkpoint", "TaskContext"):
            assert getattr(runtime, f"I{name}Storage") is getattr(runtime, f"{name}Storage")
            assert isinstance(store, getattr(runtime, f"I{name}Storage"))
        for name in ("StorageBackend", "CheckpointerBackend", "PermanentStorageBackend"):
            assert getattr(runtime, f"I{name}") is getattr(runtime, name)
        assert isinstance(store, runtime.IStorageBackend)
        assert isinstance(store, runtime.ICheckpointerBackend)
