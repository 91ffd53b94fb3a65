"""Runtime sessions."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import DuplicateError, InvalidDataError, TenantRequiredError
from focal_core.ids import NIL
from focal_core.runtime.models import RuntimeSession
from focal_core.runtime.store import RuntimeStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data import hostile
from focal_testkit.data.runtime import OTHER_SESSION, OTHER_USER, SESSION, USER
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


async def stored(store: RuntimeStore, session_id: str = SESSION) -> RuntimeSession:
    """Return our session of that id, which must be there."""
    found = await store.get_session(session_id, tenant_id=OURS)
    assert found is not None
    return found


class SessionContract(ContractBase):
    """``create_session``, ``get_session``, ``update_session``, ``end_session``."""

    @requirement("RUNTIME-001", since="1.0")
    async def test_create_session(self, store: RuntimeStore, clock: ManualClock) -> None:
        """A new session is active, its counters are zero, its times are the clock's, in ISO 8601 and UTC.

        If this fails: a key is missing or of another type, or a default is not the documented one.
        """
        assert await store.get_session(SESSION, tenant_id=OURS) is None

        created = await store.create_session(SESSION, USER, {"channel": "web"}, tenant_id=OURS)

        assert created == {
            "session_id": SESSION,
            "user_id": USER,
            "status": "active",
            "metadata": {"channel": "web"},
            "created_at": created["created_at"],
            "last_activity": created["created_at"],
            "ended_at": None,
            "request_count": 0,
            "error_count": 0,
            "total_processing_time": 0.0,
        }
        assert datetime.fromisoformat(created["created_at"]) == clock.now()
        assert created["created_at"].endswith("+00:00")
        assert await stored(store) == created
        assert (await store.create_session(OTHER_SESSION, USER, tenant_id=OURS))["metadata"] == {}

    @requirement("RUNTIME-002", since="1.0")
    async def test_create_idempotent(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Creating a session its user has already returns it unchanged.

        If this fails: a retry resets counters, times or metadata.
        """
        await store.create_session(SESSION, USER, {"n": 1}, tenant_id=OURS)
        await store.update_session(SESSION, increment_requests=True, tenant_id=OURS)
        await store.end_session(SESSION, tenant_id=OURS)
        before = await stored(store)
        clock.advance(seconds=5)

        again = await store.create_session(SESSION, USER, {"n": 2}, tenant_id=OURS)

        assert again == before == await stored(store)

    @requirement("RUNTIME-003", since="1.0")
    async def test_create_other_user_refused(self, store: RuntimeStore) -> None:
        """A session id of another user is a DuplicateError; of another tenant it is free.

        If this fails: sessions can be taken over, or ids collide between tenants.
        """
        before = await store.create_session(SESSION, USER, tenant_id=OURS)

        with pytest.raises(DuplicateError) as caught:
            await store.create_session(SESSION, OTHER_USER, {"mine": True}, tenant_id=OURS)

        assert caught.value.code == "session_taken"
        assert await stored(store) == before
        assert (await store.create_session(SESSION, OTHER_USER, tenant_id=THEIRS))["user_id"] == OTHER_USER

    @requirement("RUNTIME-004", since="1.0")
    async def test_update_unknown_false(self, store: RuntimeStore) -> None:
        """Updating or ending an unknown session is False and creates nothing.

        If this fails: an update is an upsert, or an unknown id is an error.
        """
        await store.create_session(OTHER_SESSION, USER, tenant_id=OURS)

        assert await store.update_session(SESSION, {"a": 1}, True, 1.0, True, tenant_id=OURS) is False
        assert await store.end_session(SESSION, tenant_id=OURS) is False

        assert await store.get_session(SESSION, tenant_id=OURS) is None

    @requirement("RUNTIME-005", since="1.0")
    async def test_update_merges_metadata(self, store: RuntimeStore) -> None:
        """Updates set the status, merge ``metadata`` key by key, and set every other key in the metadata.

        If this fails: metadata are replaced, merged in depth, or an update reaches a field of the session.
        """
        await store.create_session(SESSION, USER, {"kept": 1, "nested": {"a": 1}}, tenant_id=OURS)
        updates = {"status": "waiting", "metadata": {"nested": {"b": 2}}, "request_count": 99, "user_id": "x"}

        assert await store.update_session(SESSION, updates, tenant_id=OURS) is True

        found = await stored(store)
        assert found["status"] == "waiting"
        assert found["metadata"] == {"kept": 1, "nested": {"b": 2}, "request_count": 99, "user_id": "x"}
        assert (found["request_count"], found["user_id"]) == (0, USER)
        await store.update_session(SESSION, {"metadata": {}}, tenant_id=OURS)
        assert (await stored(store))["status"] == "waiting"

    @requirement("RUNTIME-006", since="1.0")
    async def test_update_counts(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Each flag moves its own counter, every update moves ``last_activity`` and nothing else.

        If this fails: counters are mixed up, or an update does not count as activity.
        """
        created = await store.create_session(SESSION, USER, tenant_id=OURS)
        clock.advance(seconds=5)

        assert await store.update_session(SESSION, tenant_id=OURS) is True
        idle = await stored(store)
        await store.update_session(SESSION, None, True, 1.5, tenant_id=OURS)
        await store.update_session(SESSION, None, True, tenant_id=OURS)
        await store.update_session(SESSION, None, mark_error=True, add_processing_time=0.25, tenant_id=OURS)

        assert idle == {**created, "last_activity": idle["last_activity"]}
        assert datetime.fromisoformat(idle["last_activity"]) == clock.now()
        found = await stored(store)
        counters = found["request_count"], found["error_count"], found["total_processing_time"]
        assert counters == (2, 1, 1.75)
        assert found["created_at"] == created["created_at"]

    @requirement("RUNTIME-007", since="1.0")
    async def test_counters_concurrent(self, store: RuntimeStore) -> None:
        """No increment is lost when many callers update one session at once (INV-RT2).

        If this fails: counters are read, changed and written back.
        """
        await store.create_session(SESSION, USER, tenant_id=OURS)

        await asyncio.gather(
            *(store.update_session(SESSION, {f"k{n}": n}, True, 0.5, n % 2 == 0, tenant_id=OURS) for n in range(40))
        )

        found = await stored(store)
        assert (found["request_count"], found["error_count"], found["total_processing_time"]) == (40, 20, 20.0)
        assert found["metadata"] == {f"k{n}": n for n in range(40)}

    @requirement("RUNTIME-008", since="1.0")
    async def test_end_session_status(self, store: RuntimeStore, clock: ManualClock) -> None:
        """Ending sets the given status, ``completed`` by default; ending again keeps the first ``ended_at``.

        If this fails: the status is fixed, the end moves, or ending leaves no activity.
        """
        for session_id in (SESSION, OTHER_SESSION):
            await store.create_session(session_id, USER, tenant_id=OURS)
        clock.advance(seconds=5)
        ended = clock.now()

        assert await store.end_session(SESSION, tenant_id=OURS) is True
        assert await store.end_session(OTHER_SESSION, "handed over", tenant_id=OURS) is True
        first = await stored(store)
        clock.advance(seconds=5)
        assert await store.end_session(SESSION, "failed", tenant_id=OURS) is True

        assert (first["status"], (await stored(store, OTHER_SESSION))["status"]) == ("completed", "handed over")
        assert datetime.fromisoformat(str(first["ended_at"])) == ended
        assert datetime.fromisoformat(first["last_activity"]) == ended
        again = await stored(store)
        assert (again["status"], again["ended_at"]) == ("failed", first["ended_at"])
        assert datetime.fromisoformat(again["last_activity"]) == clock.now()

    @requirement("RUNTIME-009", since="1.0")
    async def test_update_refuses_bad_arguments(self, store: RuntimeStore) -> None:
        """A negative or infinite time, a blank status and metadata that are no dict are refused; nothing changes.

        If this fails: a counter can go down, or half of an update is written.
        """
        await store.create_session(SESSION, USER, tenant_id=OURS)
        await store.update_session(SESSION, add_processing_time=1e308, tenant_id=OURS)
        before = await stored(store)
        times: list[Any] = [-0.5, float("nan"), float("inf"), 1e308, "1", True]
        updates: list[Any] = [{"metadata": 5}, {"status": " "}, {"status": 7}, {"key": object()}, ["key"]]

        for time in times:
            with pytest.raises(InvalidDataError):
                await store.update_session(SESSION, None, True, time, tenant_id=OURS)
        for update in updates:
            with pytest.raises(InvalidDataError):
                await store.update_session(SESSION, update, True, tenant_id=OURS)
        with pytest.raises(InvalidDataError):
            await store.end_session(SESSION, "", tenant_id=OURS)
        with pytest.raises(InvalidDataError):
            await store.update_session("unknown", None, False, -1.0, tenant_id=OURS)

        assert await stored(store) == before

    @requirement("RUNTIME-010", since="1.0")
    async def test_ids_are_identifiers(self, store: RuntimeStore) -> None:
        """Ids take any identifier, in NFC and each apart from every other; whatever is none is refused.

        If this fails: an id becomes part of a key or a pattern, or is kept unnormalised.
        """
        ids = hostile.IDENTIFIERS.values()
        for number, name in enumerate(ids):
            await store.create_session(name, name, {"n": number}, tenant_id=OURS)
            await store.add_conversation_message(name, name, str(number), tenant_id=OURS)
            await store.store_checkpoint(name, name, {"n": number}, checkpoint_ns=name, tenant_id=OURS)
            await store.put_writes(name, name, name, [(number,)], checkpoint_ns=name, tenant_id=OURS)

        for number, name in enumerate(ids):
            found = await stored(store, name)
            assert (found["session_id"], found["user_id"], found["metadata"]) == (name, name, {"n": number})
            message = (await store.get_conversation_history(name, tenant_id=OURS))[0]
            assert (message["role"], message["content"]) == (name, str(number))
            point = await store.get_checkpoint(name, name, checkpoint_ns=name, tenant_id=OURS)
            assert point is not None
            assert point["checkpoint_data"] == {"n": number}
            writes = await store.get_writes(name, name, checkpoint_ns=name, with_task_ids=True, tenant_id=OURS)
            assert writes == [(name, number)]
        await store.create_session("e\u0301", USER, tenant_id=OURS)
        assert (await stored(store, "\u00e9"))["session_id"] == "\u00e9"

    @pytest.mark.parametrize("corpus", sorted(hostile.REFUSED_IDENTIFIERS))
    @requirement("RUNTIME-011", since="1.0")
    async def test_bad_ids_refused(self, store: RuntimeStore, corpus: str) -> None:
        """What is no identifier is refused by every method with InvalidDataError.

        If this fails: a blank or broken id is stored, or reaches a driver.
        """
        bad = hostile.REFUSED_IDENTIFIERS[corpus]
        calls = [
            store.create_session(bad, USER, tenant_id=OURS),
            store.create_session(SESSION, bad, tenant_id=OURS),
            store.get_session(bad, tenant_id=OURS),
            store.update_session(bad, tenant_id=OURS),
            store.end_session(bad, tenant_id=OURS),
            store.add_conversation_message(bad, "user", "x", tenant_id=OURS),
            store.add_conversation_message(SESSION, bad, "x", tenant_id=OURS),
            store.get_conversation_history(bad, tenant_id=OURS),
            store.store_checkpoint(bad, "c", {}, tenant_id=OURS),
            store.store_checkpoint("t", bad, {}, tenant_id=OURS),
            store.put_checkpoint("t", bad, {}, tenant_id=OURS),
            store.get_checkpoint(bad, "c", tenant_id=OURS),
            store.get_checkpoint("t", bad, tenant_id=OURS),
            store.list_checkpoints(bad, tenant_id=OURS),
            store.list_checkpoints("t", before=bad, tenant_id=OURS),
            store.delete_thread(bad, tenant_id=OURS),
            store.put_writes(bad, "c", "task", [], tenant_id=OURS),
            store.put_writes("t", bad, "task", [], tenant_id=OURS),
            store.put_writes("t", "c", bad, [], tenant_id=OURS),
            store.get_writes(bad, "c", tenant_id=OURS),
            store.get_writes("t", bad, tenant_id=OURS),
            store.get_task_context(bad, tenant_id=OURS),
            store.store_task_context(bad, 1, tenant_id=OURS),
        ]
        if bad:
            calls += [
                store.store_checkpoint("t", "c", {}, checkpoint_ns=bad, tenant_id=OURS),
                store.get_checkpoint("t", "c", checkpoint_ns=bad, tenant_id=OURS),
                store.list_checkpoints("t", checkpoint_ns=bad, tenant_id=OURS),
                store.put_writes("t", "c", "task", [], checkpoint_ns=bad, tenant_id=OURS),
                store.get_writes("t", "c", checkpoint_ns=bad, tenant_id=OURS),
            ]

        outcomes = await asyncio.gather(*calls, return_exceptions=True)

        assert {type(outcome) for outcome in outcomes} == {InvalidDataError}

    @requirement("RUNTIME-012", since="1.0")
    async def test_create_concurrent(self, store: RuntimeStore) -> None:
        """Of several users who create one session at once, exactly one gets it.

        If this fails: the check and the insert are two steps.
        """
        users = [f"user {n}" for n in range(8)]

        outcomes = await asyncio.gather(
            *(store.create_session(SESSION, user, tenant_id=OURS) for user in users), return_exceptions=True
        )

        owner = (await stored(store))["user_id"]
        won = [user for user, outcome in zip(users, outcomes, strict=True) if isinstance(outcome, dict)]
        assert won == [owner]
        assert sum(isinstance(outcome, DuplicateError) for outcome in outcomes) == 7

    @requirement("RUNTIME-013", since="1.0")
    async def test_nil_tenant(self, store: RuntimeStore, trusting_store: RuntimeStore) -> None:
        """An omitted tenant is refused under strict isolation and the nil tenant under trusting isolation (INV-RT3).

        If this fails: records without tenant live apart from the nil tenant's, or are seen by every tenant.
        """
        with pytest.raises(TenantRequiredError):
            await store.create_session(SESSION, USER)

        await trusting_store.create_session(SESSION, USER)
        await trusting_store.create_session(SESSION, OTHER_USER, tenant_id=OURS)
        found = await trusting_store.get_session(SESSION, tenant_id=NIL)

        assert found is not None
        assert found["user_id"] == USER
        assert await trusting_store.get_session(SESSION) == found
        assert await trusting_store.list_tenants() == [NIL, OURS]
