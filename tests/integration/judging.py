"""A fault at one step of a call, and what must hold afterwards: the same on every server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from tests.integration.calls import GRACE, LONG, SHORT, Ended, Fault, ended, shown

from focal_core.errors import OutcomeUnknownError, StoreUnavailableError
from focal_testkit.faults.triggers import Moment
from focal_testkit.stalls import ROUNDS, Stalls

TOO_SLOW = ("deadline", "connect_failed", "pool_timeout")
"""Codes of calls whose time was up before the fault could happen: they prove nothing, and break nothing."""
SERVES_AGAIN = 1.0
"""Seconds within which the pool answers after a fault."""

L = TypeVar("L")
T = TypeVar("T")


class Late(str):
    """Says that a promise about time was broken, which is no evidence when the machine stopped meanwhile."""


@dataclass(frozen=True)
class Case:
    """A fault at one step of a method.

    Attributes:
        method: what is called; ``method.reads`` tells whether it writes nothing.
        step: the statement or command it concerns, counted from 1.
        clean: what the call answers without a fault.
        after: what is stored then.
    """

    method: Any
    fault: Fault
    step: int
    clean: str
    after: str

    def __str__(self) -> str:
        return f"{self.method}, {self.fault} at step {self.step}"


async def met(case: Case, proxy: Any, steps: Any, call: Awaitable[Any], limit: float) -> tuple[Ended, list[str]]:
    """Let a call meet the fault of a case; return how it ended, and what was wrong with that.

    Args:
        case: the fault, and at which step it happens.
        proxy: between the call and its server.
        steps: what the proxy takes for a step.
        call: not begun.
        limit: seconds it may take.
    """
    trigger = (proxy.before if case.fault.moment is Moment.BEFORE else proxy.after)(
        steps, case.fault.action, nth=case.step
    )
    how = await ended(call, limit)
    proxy.remove(trigger)
    broken = []
    if not trigger.fired and getattr(how.error, "code", None) not in TOO_SLOW:
        broken.append("the fault did not happen")
    if how.late > GRACE:
        broken.append(Late(f"came {how.late:.3f} s after its deadline"))
    return how, broken


async def served(call: Callable[[], Awaitable[T]]) -> T:
    """Return the answer of a call that is repeated while it finds no server: a login may take a busy one long."""
    async with asyncio.timeout(10 * SERVES_AGAIN):
        while True:
            try:
                return await call()
            except StoreUnavailableError:
                await asyncio.sleep(0)


def told_wrongly(case: Case, tenant: UUID, error: BaseException | None, answer: Any) -> list[str]:
    """Return what is wrong with an answer or an error."""
    if error is None:
        same = shown(answer).replace(str(tenant), "") == case.clean
        return [] if same else [f"answered otherwise than without a fault: {shown(answer)}, not {case.clean}"]
    if not isinstance(error, StoreUnavailableError):
        return ["raised what is no outage"]
    if case.method.reads and isinstance(error, OutcomeUnknownError):
        return ["a read has no outcome"]
    if case.method.reads and not case.fault.silent:
        return ["a read met one lost connection and failed"]
    return []


def stored_wrongly(case: Case, error: BaseException | None, before: str, now: str) -> list[str]:
    """Return what is wrong with what is stored after a call."""
    if now not in (before, case.after):
        rows, untouched, whole = (set(text.splitlines()) for text in (now, before, case.after))
        return [f"wrote a part: against nothing {rows ^ untouched}, against all {rows ^ whole}"]
    if error is None and now != case.after:
        return ["reported success and wrote nothing"]
    if case.method.reads or isinstance(error, OutcomeUnknownError | None) or now == before:
        return []
    return ["claimed that nothing was written, and it was"]


async def along(
    lanes: Mapping[float, Sequence[L]],
    cases: Sequence[Case],
    judged: Callable[[L, Case], Awaitable[tuple[Ended, list[str]]]],
) -> list[str]:
    """Judge cases along several lanes at once, and return what was broken.

    A case that only came late is judged again if the machine stopped meanwhile, as tests marked ``clock`` are.

    Args:
        lanes: deadline of their calls -> lanes; silent faults take the short one.
        cases: what is judged.
        judged: judges one case on a lane, and returns how the call ended and which promises were broken.
    """
    waiting = {
        SHORT: [one for one in cases if one.fault.silent],
        LONG: [one for one in cases if not one.fault.silent],
    }
    broken = list[str]()

    async def judge(lane: L, case: Case) -> None:
        for _ in range(ROUNDS):
            before = stalls.seconds
            how, found = await judged(lane, case)
            if not found or stalls.seconds == before or not all(isinstance(one, Late) for one in found):
                break
        broken.extend(f"{case}: {one} ({how.error!r})" for one in found)

    async def go(lane: L, own: list[Case]) -> None:
        while own:
            await judge(lane, own.pop())

    with Stalls() as stalls:
        await asyncio.gather(*[go(lane, waiting[limit]) for limit, several in lanes.items() for lane in several])
    return broken
