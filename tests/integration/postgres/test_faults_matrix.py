"""Every public method under every fault of the network: what it says of a write is true, and it says it in time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from tests.integration.calls import GRACE, LONG, SHORT, Ended, Fault, ended, shown
from tests.integration.judging import SERVES_AGAIN, Case, Late, along, met, served, stored_wrongly, told_wrongly
from tests.integration.postgres.faulty import BY_NAME, METHODS, SEEDED, Lane, Method, Worlds, open_lane, open_worlds

from focal_core.errors import FocalError, StaleVersionError, StoreUnavailableError
from focal_postgres import database as database_module
from focal_testkit.data.audit import turn
from focal_testkit.data.conversation import placed
from focal_testkit.faults.connection import Faults
from focal_testkit.faults.postgres import statement
from focal_testkit.faults.triggers import Moment, black_hole, eof, mute_down, mute_up, reset, stall

pytestmark = pytest.mark.asyncio
LANES = {SHORT: 12, LONG: 4}
"""Deadline -> clients at the same time; those that wait for a silent network cost nothing."""

EVERYWHERE = (
    Fault(Moment.BEFORE, reset),
    Fault(Moment.AFTER, reset),
    Fault(Moment.AFTER, eof),
    Fault(Moment.BEFORE, mute_down, silent=True),
)
ELSEWHERE = (
    Fault(Moment.BEFORE, eof),
    Fault(Moment.BEFORE, stall, silent=True),
    Fault(Moment.AFTER, stall, silent=True),
    Fault(Moment.BEFORE, black_hole, silent=True),
    Fault(Moment.AFTER, black_hole, silent=True),
    Fault(Moment.BEFORE, mute_up, silent=True),
)
REPRESENTATIVE = [
    BY_NAME[name]
    for name in (
        "config.save_rule",
        "config.vector_search_rules",
        "memory.add_episode",
        "memory.add_episodes",
        "memory.delete_by_group",
        "sessions.get",
        "sessions.save",
        "sessions.save, again",
        "sessions.delete",
        "audit.save_turn",
        "audit.save_turns",
        "audit.purge",
        "profiles.get_or_create, new",
        "profiles.update_field",
        "profiles.merge_profiles",
        "profiles.delete_field",
    )
]
CONTROLLED = [BY_NAME[name] for name in ("sessions.delete", "profiles.merge_profiles", "audit.purge")]


@pytest_asyncio.fixture
async def worlds(postgres_database: str) -> AsyncIterator[Worlds]:
    """Yield seeded worlds on the database of this class or module."""
    async with open_worlds(postgres_database) as worlds:
        yield worlds


async def cases_of(lane: Lane, worlds: Worlds, methods: Iterable[Method], faults: Iterable[Fault]) -> list[Case]:
    """Return a case for each fault at each statement of each method."""
    found = []
    for method in methods:
        # Twice: the first call may learn what later ones know.
        for _ in range(2):
            tenant = SEEDED if method.reads else await worlds.copy(method.port)
            steps, answer = await lane.steps(method, tenant, worlds.worlds[method.port])
        after = "" if method.reads else await worlds.stored(method.port, tenant)
        clean = shown(answer).replace(str(tenant), "")
        found += [Case(method, fault, step, clean, after) for fault in faults for step in range(1, steps + 1)]
    return found


async def judged(lane: Lane, worlds: Worlds, case: Case) -> tuple[Ended, list[str]]:
    """Let a call meet its fault; return how it ended and which promises it broke."""
    method = case.method
    port = method.port
    tenant = SEEDED if method.reads else await worlds.copy(port)
    before = "" if method.reads else await worlds.stored(port, tenant)
    lane.ids.next = 0
    call = method.call(lane.store(port), tenant, worlds.worlds[port])
    how, broken = await met(case, lane.proxy, statement(r".*"), call, lane.database.options.deadline)
    again = await ended(served(lambda: lane.database.fetchrow("probe", "SELECT 1")), SERVES_AGAIN)
    if again.error is not None or (again.late > 0 and again.late > 3 * await login(lane)):
        broken.append(Late(f"the pool did not serve again: {again}"))
    broken += told_wrongly(case, tenant, how.error, how.answer)
    if not method.reads:
        broken += stored_wrongly(case, how.error, before, await worlds.stored(port, tenant))
    return how, broken


async def login(lane: Lane) -> float:
    """Return the seconds that the driver alone needs to log in; the pool may need as long three times over."""
    how = await ended(asyncpg.connect(lane.database.options.url.get_secret_value()), 0)
    assert how.error is None, how
    how.answer.terminate()
    return how.late


async def broken_promises(worlds: Worlds, methods: Iterable[Method], faults: Iterable[Fault]) -> tuple[int, list[str]]:
    """Run every case over several lanes at once; return how many there were, and what was broken."""
    async with AsyncExitStack() as stack:
        lanes = {
            limit: [await stack.enter_async_context(open_lane(worlds, limit)) for _ in range(number)]
            for limit, number in LANES.items()
        }
        cases = await cases_of(lanes[LONG][-1], worlds, methods, faults)
        for lane in [*lanes[SHORT], *lanes[LONG]]:
            await served(functools.partial(lane.database.spaces.known, refresh=True))
        broken = await along(lanes, cases, lambda lane, case: judged(lane, worlds, case))
    return len(cases), broken


@pytest.mark.parametrize("port", ["config", "memory", "sessions", "audit", "profiles"])
async def test_what_a_call_says_of_a_lost_connection_is_true_and_in_time(worlds: Worlds, port: str) -> None:
    """P4 and P6: each method x each of its statements x lost before, lost after, closed after, half-open."""
    count, broken = await broken_promises(worlds, [one for one in METHODS if one.port == port], EVERYWHERE)
    assert not broken, f"{len(broken)} of {count}:\n" + "\n".join(broken[:20])


async def test_what_a_call_says_of_rarer_faults_is_true_and_in_time(worlds: Worlds) -> None:
    """P4 and P6: representative methods x each of their statements x stalls, black holes, closed before."""
    count, broken = await broken_promises(worlds, REPRESENTATIVE, ELSEWHERE)
    assert not broken, f"{len(broken)} of {count}:\n" + "\n".join(broken[:20])


async def test_control_an_unknown_outcome_called_unavailable_is_reported(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P4: errors mapped as if nothing had been handed over."""
    mapped: Callable[..., FocalError] = database_module.mapped

    def optimistic(error: Exception, method: str, *, handed_over: bool = False, **given: Any) -> FocalError:
        return mapped(error, method, **given)

    monkeypatch.setattr(database_module, "mapped", optimistic)
    _, broken = await broken_promises(worlds, CONTROLLED, EVERYWHERE)
    assert any("claimed that nothing was written" in one for one in broken), broken


async def test_control_a_blind_repeat_is_reported(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control of P5: a delete whose reply was lost is sent again, and answers that there was nothing."""
    run = database_module.Database._run

    async def blind(self: Any, *args: Any, **given: Any) -> Any:
        return await run(self, *args, **{**given, "repeat": True})

    monkeypatch.setattr(database_module.Database, "_run", blind)
    _, broken = await broken_promises(worlds, CONTROLLED, EVERYWHERE)
    assert any("answered otherwise" in one for one in broken), broken


async def test_control_waiting_for_the_driver_is_reported_as_late(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P6: ``asyncio.wait_for`` alone waits for the driver, which waits for the network."""

    async def patient(self: Any, pool: Any, method: str, work: Any, **_: Any) -> Any:
        loop = asyncio.get_running_loop()
        connection = await pool.acquire(loop.time() + SHORT)
        try:
            return await asyncio.wait_for(work(connection), SHORT)
        except TimeoutError:
            raise StoreUnavailableError("too late") from None
        finally:
            # As asyncpg's own pool does: it waits for the request to cancel, which waits for the dead network.
            with contextlib.suppress(Exception):
                await connection.reset()
            pool.release(connection)

    async with open_lane(worlds) as lane:
        method, store = BY_NAME["sessions.get"], lane.store("sessions")
        await method.call(store, SEEDED, worlds.worlds["sessions"])
        # The driver's request to cancel goes the same way as what it is to cancel.
        await lane.proxy.switch(Faults(connect="hang", black_hole=frozenset({"up", "down"})))
        monkeypatch.setattr(database_module.Database, "_run", patient)
        asyncio.get_running_loop().call_later(SHORT + 3 * GRACE, lane.proxy.cut)
        how = await ended(method.call(store, SEEDED, worlds.worlds["sessions"]), SHORT)
    assert how.late > GRACE, how


async def _again(store: Any, tenant: UUID, world: Any) -> Any:
    return await store.save_turn(turn(1, tenant, user_message=f"{tenant} says 1"))


async def _stale(store: Any, tenant: UUID, world: Any) -> Any:
    try:
        return await store.save(placed(0, tenant))
    except StaleVersionError:
        return "stale"


SEVERAL = [
    BY_NAME["profiles.get_or_create, new"],
    BY_NAME["profiles.merge_profiles"],
    BY_NAME["profiles.save"],
    Method("audit.save_turn, repeated", "audit", _again, False),
    Method("sessions.save, stale", "sessions", _stale, False),
]
"""Calls of several statements; some in one transaction, some not."""


async def lates(worlds: Worlds) -> list[str]:
    """Return which calls outlive their deadline where each round trip takes most of it."""
    found = []
    for method in SEVERAL:
        async with open_lane(worlds, pool_size=1) as lane:
            store, world = lane.store(method.port), worlds.worlds[method.port]
            # Prepared beforehand: that would be a round trip more.
            await method.call(store, await worlds.copy(method.port), world)
            tenant = await worlds.copy(method.port)
            await lane.proxy.switch(Faults(latency_seconds=SHORT * 0.45))
            how = await ended(method.call(store, tenant, world), SHORT)
            if how.late > GRACE:
                found.append(f"{method}: {how}")
            elif not isinstance(how.error, StoreUnavailableError):
                found.append(f"{method} ended otherwise than by its deadline: {how}")
    return found


async def test_the_deadline_is_that_of_the_call_not_of_each_statement(worlds: Worlds) -> None:
    """P6: where a round trip takes 0.9 of the deadline, a call of several statements ends with the second."""
    assert await lates(worlds) == []


async def test_control_a_deadline_for_each_statement_is_reported(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P6."""
    monkeypatch.setattr(database_module, "call_started", lambda: asyncio.get_running_loop().time())
    assert await lates(worlds)
