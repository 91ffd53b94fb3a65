"""Channels by value, and the speed of the in-memory session store's lists."""

from __future__ import annotations

import copy
import pickle
import time
from statistics import median
from uuid import uuid4

import pytest

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Channel, Session, SessionStatus


def test_further_channels_are_equal_by_value_and_register_nothing() -> None:
    """A channel outside of the known ones is a value: equal, hashable, picklable, and kept nowhere."""
    members = list(Channel)
    known = dict(Channel._value2member_map_)

    made = [Channel(f"Chat-{n}") for n in range(1_000)]

    assert made == [Channel(f"chat-{n}") for n in range(1_000)]
    assert len({*made, *(f"chat-{n}" for n in range(1_000))}) == 1_000
    assert pickle.loads(pickle.dumps(made[0])) == copy.deepcopy(made[0]) == "chat-0"
    assert isinstance(made[0], Channel)
    assert (list(Channel), Channel._value2member_map_) == (members, known)


def test_session_aliases_read_and_construct() -> None:
    """``id`` and ``active_step_id`` are names of session_id and current_step_id."""
    given, step = uuid4(), uuid4()

    one = Session(
        id=given,
        tenant_id=uuid4(),
        agent_id=uuid4(),
        channel="WEB",
        user_channel_id="u",
        active_scenario_id=uuid4(),
        active_step_id=step,
    )

    assert (one.session_id, one.id, one.current_step_id, one.active_step_id) == (given, given, step, step)
    assert "id" not in one.model_dump()


@pytest.mark.asyncio
async def test_pages_of_ten_thousand_sessions_take_less_than_20_ms() -> None:
    """A page costs its page, not the store: at the start, in the middle, filtered, and filtered to nothing."""
    clock = ManualClock()
    store = InMemorySessionStore(BackendContext(clock=clock))
    tenant, agent = uuid4(), uuid4()
    for n in range(10_000):
        await store.save(
            Session(tenant_id=tenant, agent_id=agent, channel=Channel.API, user_channel_id=f"u{n}", variables={"n": n})
        )
        clock.advance(seconds=0.001)

    times, cursor, rows = [], None, 0
    while cursor is not None or rows == 0:
        start = time.perf_counter()
        page = await store.list_by_agent(tenant, agent, after=cursor)
        times.append(time.perf_counter() - start)
        rows, cursor = rows + len(page), page.next_cursor
    took = []
    for _ in range(9):
        start = time.perf_counter()
        nothing = await store.list_by_agent(tenant, agent, SessionStatus.CLOSED)
        took.append(time.perf_counter() - start)

    assert (rows, nothing) == (10_000, [])
    assert median(times) < 0.02
    assert median(took) < 0.02
