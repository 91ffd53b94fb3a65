"""Lists of sessions: by agent, status, customer and step, newest first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from focal_core.clock import ManualClock
from focal_core.config.models import ScopeFilter
from focal_core.conversation.models import Channel, Session, SessionStatus
from focal_core.conversation.store import SessionStore
from focal_core.errors import InvalidDataError
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import (
    CUSTOMER,
    OTHER_AGENT,
    OTHER_CUSTOMER,
    OTHER_SCENARIO,
    OTHER_STEP,
    SCENARIO,
    STEP,
    placed,
    session,
    visit,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


def _numbers(rows: list[Session]) -> list[int]:
    return [row.session_id.int & 0xFFFFFFFF for row in rows]


class ListingContract(ContractBase):
    """``list_by_agent``, ``list_by_customer`` and ``list_by_step``."""

    async def _listed_by_scope(self, store: SessionStore, **scope: Any) -> list[int]:
        return sorted(_numbers(await store.list_by_step(OURS, SCENARIO, scope=ScopeFilter(**scope))))

    @requirement("SESSIONS-030", since="1.0")
    async def test_list_by_agent(self, store: SessionStore, clock: ManualClock) -> None:
        """The sessions with an agent come by last activity, newest first, closed ones included, and whole.

        If this fails: another agent's or tenant's sessions are in the list, or some status is left out.
        """
        for n in (1, 2, 3):
            await store.save(placed(n, status=SessionStatus.CLOSED if n == 2 else SessionStatus.ACTIVE))
            await store.save(placed(n + 10, agent_id=OTHER_AGENT))
            await store.save(placed(n + 20, THEIRS))
            clock.advance(seconds=1)

        found = await store.list_by_agent(OURS, AGENT)

        assert _numbers(found) == [3, 2, 1]
        assert found.next_cursor is None
        assert found[0] == await store.get(placed(3).session_id, tenant_id=OURS)
        assert await store.list_by_agent(OURS, CUSTOMER) == []

    @requirement("SESSIONS-031", since="1.0")
    async def test_list_by_status(self, store: SessionStore, clock: ManualClock) -> None:
        """With a status given, in any letter case, only sessions of that status are listed and counted.

        If this fails: the status is tested after the page was cut, or a change of status leaves an old entry.
        """
        for n in range(6):
            await store.save(placed(n, status=SessionStatus.IDLE if n % 2 else SessionStatus.ACTIVE))
            clock.advance(seconds=1)
        changed = await store.get(placed(3).session_id, tenant_id=OURS)
        assert changed is not None
        changed.status = SessionStatus.INTERRUPTED
        await store.save(changed)

        first = await store.list_by_agent(OURS, AGENT, SessionStatus.ACTIVE, 2)
        rest = await store.list_by_agent(OURS, AGENT, SessionStatus.ACTIVE, 2, after=first.next_cursor)

        assert (_numbers(first), _numbers(rest), rest.next_cursor) == ([4, 2], [0], None)
        assert _numbers(await store.list_by_agent(OURS, AGENT, SessionStatus.ACTIVE, 1, 2)) == [0]
        assert _numbers(await store.list_by_agent(OURS, AGENT, SessionStatus.IDLE)) == [5, 1]
        assert _numbers(await store.list_by_agent(OURS, AGENT, "INTERRUPTED")) == [3]  # type: ignore[arg-type]
        assert await store.list_by_agent(OURS, AGENT, SessionStatus.CLOSED) == []
        with pytest.raises(InvalidDataError):
            await store.list_by_agent(OURS, AGENT, "asleep")  # type: ignore[arg-type]
        with pytest.raises(InvalidDataError):
            await store.list_by_agent(OURS, AGENT, SessionStatus.IDLE, after=first.next_cursor)

    @requirement("SESSIONS-032", since="1.0")
    async def test_list_by_customer(self, store: SessionStore, clock: ManualClock) -> None:
        """The sessions of a customer, with any agent and of any status, come by last activity, newest first.

        If this fails: sessions without a customer, or another tenant's of the same customer, are in the list.
        """
        await store.save(placed(1))
        clock.advance(seconds=1)
        await store.save(placed(2, agent_id=OTHER_AGENT, status=SessionStatus.CLOSED))
        await store.save(placed(3, customer_profile_id=OTHER_CUSTOMER))
        await store.save(session(4))
        await store.save(placed(5, THEIRS))

        found = await store.list_by_customer(OURS, CUSTOMER)

        assert _numbers(found) == [2, 1]
        assert found[0] == await store.get(placed(2).session_id, tenant_id=OURS)
        assert await store.list_by_customer(OURS, None) == []  # type: ignore[arg-type]

    @requirement("SESSIONS-033", since="1.0")
    async def test_lists_follow_last_activity(self, store: SessionStore, clock: ManualClock) -> None:
        """Every save moves a session to the front of all lists; sessions saved at one instant come by id.

        If this fails: the order is that of creation, or has no tie-break.
        """
        saved = {n: placed(n, created_at=clock.now() - timedelta(hours=n)) for n in (10, 5, 7, 6)}
        for one in saved.values():
            await store.save(one)
        clock.advance(seconds=1)
        for n in (7, 6):
            await store.save(saved[n])

        lists = [
            await store.list_by_agent(OURS, AGENT),
            await store.list_by_agent(OURS, AGENT, SessionStatus.ACTIVE),
            await store.list_by_customer(OURS, CUSTOMER),
            await store.list_by_step(OURS, SCENARIO),
        ]

        assert [_numbers(rows) for rows in lists] == [[6, 7, 5, 10]] * 4

    @requirement("SESSIONS-034", since="1.0")
    async def test_list_by_step(self, store: SessionStore, clock: ManualClock) -> None:
        """The sessions that stand in a scenario are found by it, by its version, and by the content of their step.

        The content is that of the newest visit of the step the session stands at.

        If this fails: a step once visited counts as the present one, or one filter replaces another.
        """
        now = clock.now()
        here = [visit(STEP, now, 1, step_content_hash="old"), visit(STEP, now, 2, step_content_hash="new")]
        passed = [*here, visit(OTHER_STEP, now, 3, step_content_hash="else")]
        await store.save(placed(1, step_history=here))
        await store.save(placed(2, step_history=passed, current_step_id=OTHER_STEP))
        await store.save(placed(3, step_history=passed, active_scenario_version=2))
        await store.save(placed(4, active_scenario_id=OTHER_SCENARIO, step_history=here))
        await store.save(placed(5, THEIRS, step_history=here))
        await store.save(placed(6, active_scenario_version=None))
        await store.save(session(7))

        assert _numbers(await store.list_by_step(OURS, SCENARIO)) == [1, 2, 3, 6]
        assert _numbers(await store.list_by_step(OURS, SCENARIO, version=1)) == [1, 2]
        assert _numbers(await store.list_by_step(OURS, SCENARIO, step_content_hash="new")) == [1, 3]
        assert _numbers(await store.list_by_step(OURS, SCENARIO, step_content_hash="else")) == [2]
        assert await store.list_by_step(OURS, SCENARIO, step_content_hash="old") == []
        assert _numbers(await store.list_by_step(OURS, SCENARIO, version=2, step_content_hash="new")) == [3]
        assert await store.list_by_step(OURS, SCENARIO, version=3) == []
        assert await store.list_by_step(OURS, None) == []  # type: ignore[arg-type]

    @requirement("SESSIONS-035", since="1.0")
    async def test_list_by_step_scope(self, store: SessionStore, clock: ManualClock) -> None:
        """A scope takes in what all of its conditions take in: channel, name of the present step, age in days.

        Ages include both bounds; what is not given takes in everything.

        If this fails: an empty list takes in nothing, exclusion loses to inclusion, or a bound is off by a day.
        """
        now = clock.now()
        named = [visit(STEP, now, 1, step_name="Pay"), visit(OTHER_STEP, now, 2, step_name="Ship")]
        await store.save(placed(1, channel=Channel.SMS, step_history=named))
        await store.save(placed(2, step_history=named, current_step_id=OTHER_STEP))
        await store.save(placed(3, channel=Channel("Telegram")))
        for n, age in ((4, 1), (5, 2), (6, 3)):
            await store.save(placed(n, channel=Channel.VOICE, created_at=now - timedelta(days=age)))
        by = self._listed_by_scope

        assert await by(store) == [1, 2, 3, 4, 5, 6]
        assert await by(store, include_channels=["sms", "telegram"]) == [1, 3]
        assert await by(store, include_channels=["WEB"], exclude_channels=["sms"]) == [2]
        assert await by(store, exclude_channels=["VOICE", "sms"]) == [2, 3]
        assert await by(store, include_channels=["sms"], exclude_channels=["sms"]) == []
        assert await by(store, include_current_nodes=["Pay"]) == [1]
        assert await by(store, include_current_nodes=["pay"]) == []
        assert await by(store, exclude_current_nodes=["Pay"]) == [2, 3, 4, 5, 6]
        assert await by(store, include_current_nodes=["Pay", "Ship"], exclude_current_nodes=["Ship"]) == [1]
        assert await by(store, min_session_age_days=2) == [5, 6]
        assert await by(store, max_session_age_days=2) == [1, 2, 3, 4, 5]
        assert await by(store, min_session_age_days=2, max_session_age_days=2) == [5]
        assert await by(store, max_session_age_days=0) == [1, 2, 3]
        assert await by(store, max_session_age_days=0, include_channels=["voice"]) == []

    @requirement("SESSIONS-036", since="1.0")
    async def test_custom_conditions_are_refused(self, store: SessionStore) -> None:
        """A scope with conditions that only the application can judge is refused, never taken as met.

        If this fails: a migration reaches sessions its plan leaves out.
        """
        await store.save(placed(1))

        with pytest.raises(InvalidDataError) as refused:
            await store.list_by_step(OURS, SCENARIO, scope=ScopeFilter(custom_conditions=["vip"]))

        assert refused.value.code == "custom_conditions"
        with pytest.raises(InvalidDataError):
            await store.list_by_step(OURS, SCENARIO, scope=ScopeFilter.model_construct(include_channels=["no channel"]))

    @requirement("SESSIONS-037", since="1.0")
    async def test_step_cursor_is_bound_to_its_filters(self, store: SessionStore) -> None:
        """A cursor of a list by step continues that very list: same scenario, version, content and scope.

        If this fails: a caller that changes a filter between two pages misses sessions without being told.
        """
        for n in range(3):
            await store.save(placed(n))
        scope = ScopeFilter(include_channels=["webchat"])
        cursor = (await store.list_by_step(OURS, SCENARIO, scope=scope, limit=2)).next_cursor
        others: list[dict[str, Any]] = [
            {},
            {"scope": ScopeFilter(include_channels=["webchat", "sms"])},
            {"scope": scope, "version": 1},
            {"scope": scope, "step_content_hash": "new"},
        ]

        rest = await store.list_by_step(OURS, SCENARIO, scope=scope, after=cursor)

        assert _numbers(rest) == [2]
        for filters in others:
            with pytest.raises(InvalidDataError):
                await store.list_by_step(OURS, SCENARIO, **filters, after=cursor)
        with pytest.raises(InvalidDataError):
            await store.list_by_step(OURS, OTHER_SCENARIO, scope=scope, after=cursor)

    @requirement("SESSIONS-038", since="1.0")
    async def test_default_limit(self, store: SessionStore) -> None:
        """A list called without a limit returns at most 100 sessions and a cursor for the rest.

        If this fails: a caller that pages by the default misses sessions, or is flooded.
        """
        for n in range(101):
            await store.save(placed(n))

        lists: list[tuple[Callable[..., Any], UUID]] = [
            (store.list_by_agent, AGENT),
            (store.list_by_customer, CUSTOMER),
            (store.list_by_step, SCENARIO),
        ]
        for listed, owner in lists:
            first = await listed(OURS, owner)
            assert _numbers(first) == [*range(100)]
            assert _numbers(await listed(OURS, owner, after=first.next_cursor)) == [100]
