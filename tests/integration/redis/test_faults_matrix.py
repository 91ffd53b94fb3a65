"""Every method under every fault of the network: what it says of a write is true, and it says it in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from redis.exceptions import RedisError
from tests.integration.calls import GRACE, LONG, SHORT, Ended, Fault, ended, shown
from tests.integration.judging import SERVES_AGAIN, Case, Late, along, met, served, stored_wrongly, told_wrongly
from tests.integration.redis.faulty import BY_NAME, METHODS, Lane, Method, Worlds, at_work, open_lane, open_worlds

from focal_core.errors import OutcomeUnknownError, StoreUnavailableError
from focal_redis import endpoint as endpoint_module
from focal_redis.connection import Link, _Parser
from focal_redis.endpoint import Endpoint
from focal_testkit.faults.connection import Faults
from focal_testkit.faults.triggers import Moment, black_hole, eof, mute_down, mute_up, reset, stall, torn
from focal_testkit.servers.redis import RedisServer

pytestmark = pytest.mark.asyncio
LANES = {SHORT: 16, LONG: 4}
"""Deadline -> clients at the same time; those that wait for a silent network cost nothing."""

TOLD = (
    Fault(Moment.BEFORE, reset),
    Fault(Moment.BEFORE, eof),
    Fault(Moment.AFTER, reset),
    Fault(Moment.AFTER, eof),
    Fault(Moment.AFTER, torn(reset)),
    Fault(Moment.AFTER, torn(eof)),
)
SILENT = (
    Fault(Moment.BEFORE, mute_down, silent=True),
    Fault(Moment.BEFORE, mute_up, silent=True),
    Fault(Moment.BEFORE, stall, silent=True),
    Fault(Moment.AFTER, stall, silent=True),
    Fault(Moment.AFTER, torn(stall), silent=True),
    Fault(Moment.BEFORE, black_hole, silent=True),
    Fault(Moment.AFTER, black_hole, silent=True),
)
CONTROLLED = [BY_NAME[name] for name in ("save, by force", "delete", "erase_tenant")]


@pytest_asyncio.fixture
async def worlds(redis_server: RedisServer, redis_prefix: str) -> AsyncIterator[Worlds]:
    """Yield seeded worlds on the server of this process."""
    async with open_worlds(redis_server, redis_prefix) as worlds:
        yield worlds


async def cases_of(lane: Lane, worlds: Worlds, methods: Iterable[Method], faults: Iterable[Fault]) -> list[Case]:
    """Return a case for each fault at each command of each method."""
    found = []
    for method in methods:
        # Twice: the first call may send a script that the server does not know yet.
        for _ in range(2):
            tenant = await worlds.tenant(method)
            steps, answer = await lane.steps(method, tenant)
        clean, after = shown(answer).replace(str(tenant), ""), await worlds.stored(tenant)
        found += [Case(method, fault, step, clean, after) for fault in faults for step in range(1, steps + 1)]
    return found


async def judged(lane: Lane, worlds: Worlds, case: Case) -> tuple[Ended, list[str]]:
    """Let a call meet its fault; return how it ended and which promises it broke."""
    method = case.method
    tenant = await worlds.tenant(method)
    before = await worlds.stored(tenant)
    call = method.call(lane.store, tenant)
    how, broken = await met(case, lane.proxy, at_work, call, method.calls * lane.client.options.deadline)
    again = await ended(served(lane.probe), SERVES_AGAIN)
    if again.error is not None or again.late > 0:
        broken.append(Late(f"the pool did not serve again: {again}"))
    broken += told_wrongly(case, tenant, how.error, how.answer)
    broken += stored_wrongly(case, how.error, before, await worlds.stored(tenant))
    await worlds.forget(tenant)
    return how, broken


async def broken_promises(worlds: Worlds, methods: Iterable[Method], faults: Iterable[Fault]) -> tuple[int, list[str]]:
    """Run every case over several lanes at once; return how many there were, and what was broken."""
    async with AsyncExitStack() as stack:
        lanes = {
            limit: [await stack.enter_async_context(open_lane(worlds, limit)) for _ in range(number)]
            for limit, number in LANES.items()
        }
        cases = await cases_of(lanes[LONG][-1], worlds, methods, faults)
        broken = await along(lanes, cases, lambda lane, case: judged(lane, worlds, case))
    return len(cases), broken


async def test_what_a_call_says_of_a_lost_connection_is_true(worlds: Worlds) -> None:
    """P4: each method x each of its commands x cut and closed before, after, and in the middle of the reply."""
    count, broken = await broken_promises(worlds, METHODS, TOLD)
    assert not broken, f"{len(broken)} of {count}:\n" + "\n".join(broken[:20])


async def test_what_a_call_says_of_a_silent_network_is_true_and_in_time(worlds: Worlds) -> None:
    """P4 and P6: each method x each of its commands x half-open both ways, stalls, black holes, half a reply."""
    count, broken = await broken_promises(worlds, METHODS, SILENT)
    assert not broken, f"{len(broken)} of {count}:\n" + "\n".join(broken[:20])


async def test_control_an_unknown_outcome_called_unavailable_is_reported(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P4: errors made as if nothing had been handed over."""
    lost = endpoint_module.lost

    def optimistic(*args: Any, handed_over: bool, **given: Any) -> StoreUnavailableError:
        return lost(*args, handed_over=False, **given)

    monkeypatch.setattr(endpoint_module, "lost", optimistic)
    _, broken = await broken_promises(worlds, CONTROLLED, TOLD)
    assert any("claimed that nothing was written" in one for one in broken), broken


async def foreign(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> list[Ended]:
    """Let the driver raise what is none of its own errors once a command was sent, and return how calls end."""
    found = []
    async with open_lane(worlds, LONG) as lane:
        for error in (AttributeError("'NoneType' object has no attribute 'writelines'"), RuntimeError(), OSError()):
            for method in (BY_NAME["get"], BY_NAME["delete"]):
                tenant = await worlds.tenant(method)
                await lane.probe()
                with monkeypatch.context() as patch:

                    async def failing(*args: Any, error: Exception = error, **given: Any) -> None:
                        raise error

                    patch.setattr(_Parser, "read_response", failing)
                    found.append(await ended(method.call(lane.store, tenant), LONG))
    return found


async def test_what_the_driver_lets_through_is_mapped_too(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """P4: exceptions of any class, raised in mid-flight, leave a store as a read's or a write's."""
    for how in (ends := await foreign(worlds, monkeypatch))[::2]:
        assert isinstance(how.error, StoreUnavailableError), how
        assert not isinstance(how.error, OutcomeUnknownError), how
    assert all(isinstance(how.error, OutcomeUnknownError) for how in ends[1::2]), ends


async def test_control_catching_the_drivers_errors_only_is_reported(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P4: ``except RedisError``."""

    async def narrow(self: Endpoint, items: Any, *, writes: bool) -> list[Any]:
        link = await self.pool.acquire(asyncio.get_running_loop().time() + LONG)
        try:
            return await link.exchange(b"".join(item.data for item in items), len(items))
        except RedisError as error:
            raise endpoint_module.lost("call", self.where, late=False, handed_over=writes) from error
        finally:
            self.pool.release(link)

    monkeypatch.setattr(Endpoint, "_send", narrow)
    ends = await foreign(worlds, monkeypatch)
    assert not all(isinstance(how.error, StoreUnavailableError) for how in ends)


async def test_control_a_blind_repeat_is_reported(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control of P5: a delete whose reply was lost is sent again, as the driver would, and finds nothing."""
    submit = Endpoint.submit

    async def blind(self: Any, *args: Any, **given: Any) -> Any:
        return await submit(self, *args, **{**given, "repeat": True})

    monkeypatch.setattr(Endpoint, "submit", blind)
    _, broken = await broken_promises(worlds, CONTROLLED, TOLD)
    assert any("answered otherwise" in one for one in broken), broken


async def test_control_a_connection_that_is_not_cut_in_time_is_reported(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P6: without the cut at the deadline the driver waits for the dead network."""
    left, terminate = list[Link](), Link.terminate
    monkeypatch.setattr(Link, "terminate", lambda self: left.append(self))
    async with open_lane(worlds, batching=False) as lane:
        tenant = await worlds.tenant()
        await lane.proxy.switch(Faults(black_hole=frozenset({"up", "down"})))
        asyncio.get_running_loop().call_later(SHORT + 3 * GRACE, lane.proxy.cut)
        how = await ended(BY_NAME["save"].call(lane.store, tenant), SHORT)
    for link in left:
        terminate(link)
    assert how.late > GRACE, how


SEVERAL = [BY_NAME[name] for name in ("get, demoted", "save, by force", "demote_to_persistent", "erase_tenant")]
"""Calls of several commands."""


async def lates(worlds: Worlds) -> list[str]:
    """Return which calls of several commands outlive their deadline where each round trip takes most of it."""
    found = []

    async def late(method: Method) -> None:
        async with open_lane(worlds, pool_size=1) as lane:
            # What the client and the server learn by the first call takes no round trips any more.
            await method.call(lane.store, await worlds.tenant(method))
            tenant = await worlds.tenant(method)
            await lane.proxy.switch(Faults(latency_seconds=SHORT * 0.45))
            how = await ended(method.call(lane.store, tenant), SHORT)
            if how.late > GRACE:
                found.append(f"{method}: {how}")
            elif not isinstance(how.error, StoreUnavailableError):
                found.append(f"{method} ended otherwise than by its deadline: {how}")

    await asyncio.gather(*map(late, SEVERAL))
    return found


async def test_the_deadline_is_that_of_the_call_not_of_each_command(worlds: Worlds) -> None:
    """P6: where a round trip takes 0.9 of the deadline, a call of several commands ends with the second."""
    assert await lates(worlds) == []


@pytest.mark.clock
async def test_control_a_deadline_for_each_command_is_reported(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control of P6."""
    monkeypatch.setattr(endpoint_module, "call_started", lambda: asyncio.get_running_loop().time())
    assert await lates(worlds)


@pytest.mark.parametrize("connect", ["refuse", "reset", "hang"])
async def test_without_a_server_every_call_is_refused_in_time(worlds: Worlds, connect: Any) -> None:
    """P4 and P6: no connection, no outcome: a plain StoreUnavailableError, and nothing is written."""
    async with open_lane(worlds, pool_size=len(METHODS), batching=False) as lane:
        await lane.proxy.switch(Faults(connect=connect))
        lane.proxy.cut()

        async def refused(method: Method) -> None:
            tenant = await worlds.tenant(method)
            before = await worlds.stored(tenant)
            how = await ended(method.call(lane.store, tenant), SHORT)
            assert isinstance(how.error, StoreUnavailableError), (method, how)
            assert not isinstance(how.error, OutcomeUnknownError), (method, how)
            assert how.error.code == "connect_failed", (method, how)
            assert how.error.retryable
            assert how.late < GRACE, (method, how)
            assert await worlds.stored(tenant) == before, method

        await asyncio.gather(*map(refused, METHODS))
        await lane.proxy.heal()
        again = await ended(served(lane.probe), SERVES_AGAIN)
        assert again.error is None, again
        assert again.late <= 0, again


async def test_a_slow_network_only_costs_time(worlds: Worlds) -> None:
    """A delay that leaves enough of the deadline changes no answer and writes all of it."""
    async with open_lane(worlds, LONG, pool_size=4) as lane:
        clean = await cases_of(lane, worlds, METHODS, [Fault(Moment.BEFORE, reset)])
        await lane.proxy.switch(Faults(latency_seconds=0.02, jitter_seconds=0.02, slice_bytes=50))

        async def slow(case: Case) -> None:
            tenant = await worlds.tenant(case.method)
            answer = await case.method.call(lane.store, tenant)
            assert shown(answer).replace(str(tenant), "") == case.clean, case
            assert await worlds.stored(tenant) == case.after, case

        await asyncio.gather(*[slow(one) for one in clean if one.step == 1])
