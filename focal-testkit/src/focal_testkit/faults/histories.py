"""Recorded histories of concurrent calls, and the check that some order of them explains every answer."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Any, Protocol

from focal_core.errors import StaleVersionError
from focal_testkit.faults.outcomes import Outcome, outcome_of


class Mark(StrEnum):
    """Results that are no value."""

    STALE = "stale"
    """A compare-and-swap that lost."""
    UNKNOWN = "unknown"
    """No answer: it may have taken effect at any moment since its start, may still, or never."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call, as its caller saw it.

    Attributes:
        start: when it was called; any scale that all operations share.
        end: when it answered, on the same scale; infinite for an unknown outcome.
        kind: the model's word for the method, such as ``"save"``.
        arguments: hashable, in the model's order.
        result: hashable; a `Mark` where there is no value.
        key: the register it concerns.
    """

    start: float
    end: float
    kind: str
    arguments: tuple[Any, ...]
    result: Any
    key: Hashable = None

    def __str__(self) -> str:
        end = "..." if self.end == inf else f"{self.end:g}"
        return f"[{self.start:g}, {end}] {self.kind}{self.arguments} -> {self.result}"


class Model(Protocol):
    """A sequential specification. States are hashable."""

    @property
    def initial(self) -> Hashable:
        """The state before the first operation."""
        ...

    def step(self, state: Any, operation: Operation) -> tuple[bool, Any]:
        """Return whether the operation may answer as it did in a state, and the state after it.

        An operation of unknown result may always answer; the state after it is that of its effect.
        """
        ...


@dataclass(frozen=True, slots=True)
class VersionedRegister:
    """One object under compare-and-swap: its state is ``(version, value)``, or ``(0, None)`` where nothing is stored.

    ======== ============================= =======================================================
    kind     arguments                     result
    ======== ============================= =======================================================
    load     ``()``                        ``(version, value)``; ``(0, None)`` when absent
    save     ``(expected version, value)`` the new version, expected + 1; or `Mark.STALE`
    delete   ``()``                        whether something was stored; versions begin anew
    ======== ============================= =======================================================
    """

    initial: tuple[int, Any] = (0, None)

    def step(self, state: tuple[int, Any], operation: Operation) -> tuple[bool, tuple[int, Any]]:
        """Return whether the answer fits, and the state after it."""
        version, _ = state
        unknown = operation.result is Mark.UNKNOWN
        if operation.kind == "load":
            return unknown or operation.result == state, state
        if operation.kind == "delete":
            return unknown or operation.result == (version > 0), (0, None)
        if operation.kind != "save":
            raise ValueError(f"a versioned register has no operation {operation.kind!r}")
        expected, value = operation.arguments
        if expected != version:
            return unknown or operation.result is Mark.STALE, state
        return unknown or operation.result == expected + 1, (expected + 1, value)


REGISTER = VersionedRegister()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the search found.

    Attributes:
        key: the register.
        decided: False when the budget ran out first. Undecided counts as a failure.
        linearizable: some order explains every answer.
        explored: configurations visited.
        order: the order that explains it; otherwise the longest one that did not contradict an answer.
        unexplained: operations that fit nowhere after `order`.
    """

    key: Hashable
    decided: bool
    linearizable: bool
    explored: int
    order: tuple[Operation, ...]
    unexplained: tuple[Operation, ...] = ()

    def __str__(self) -> str:
        if self.linearizable:
            return f"{self.key}: linearizable"
        word = "not linearizable" if self.decided else f"undecided after {self.explored} configurations"
        lines = [f"{self.key}: {word}; explained so far:", *map(str, self.order), "not explained:"]
        return "\n  ".join([*lines, *map(str, self.unexplained)])


def check(
    operations: Iterable[Operation], model: Model = REGISTER, *, key: Hashable = None, budget: int = 1_000_000
) -> Verdict:
    """Return whether some order of the operations, each between its start and end, explains every answer.

    Wing and Gong's search with memory of visited configurations. Operations that touch in time are concurrent.

    Args:
        operations: all of one register, in any order.
        model: what the register is.
        key: of the register, for the report.
        budget: configurations visited before the search gives up.
    """
    calls = sorted(operations, key=lambda one: (one.start, one.end))
    required = sum(1 << index for index, one in enumerate(calls) if one.result is not Mark.UNKNOWN)
    seen: set[tuple[int, Hashable]] = {(0, model.initial)}
    stack: list[tuple[int, Any, tuple[int, Any] | None]] = [(0, model.initial, None)]
    longest: tuple[int, tuple[int, Any] | None] = (0, None)
    explored = 0
    while stack:
        done, state, path = stack.pop()
        explored += 1
        if done & required == required:
            return Verdict(key, True, True, explored, _along(path, calls))
        if explored >= budget:
            break
        if (depth := (done & required).bit_count()) > longest[0]:
            longest = (depth, path)
        for index in reversed(_next(calls, done)):
            fits, after = model.step(state, calls[index])
            # An unknown call without effect explains nothing: the same as if it never happened.
            idle = calls[index].result is Mark.UNKNOWN and after == state
            reached = (done | 1 << index, after)
            if fits and not idle and reached not in seen:
                seen.add(reached)
                stack.append((*reached, (index, path)))
    order = _along(longest[1], calls)
    missing = tuple(one for one in calls if one.result is not Mark.UNKNOWN and all(one is not other for other in order))
    return Verdict(key, not stack and explored < budget, False, explored, order, missing)


def _next(calls: Sequence[Operation], done: int) -> list[int]:
    """Return the operations that may come next: those that began before any other open one ended."""
    found: list[int] = []
    first_end = inf
    for index, one in enumerate(calls):
        if done >> index & 1:
            continue
        if one.start > first_end:
            break
        found.append(index)
        first_end = min(first_end, one.end)
    return found


def _along(path: tuple[int, Any] | None, calls: Sequence[Operation]) -> tuple[Operation, ...]:
    order: list[Operation] = []
    while path is not None:
        order.append(calls[path[0]])
        path = path[1]
    return tuple(reversed(order))


@dataclass(slots=True)
class History:
    """Records concurrent calls of one event loop and checks them, register by register.

    Attributes:
        operations: recorded so far, in the order of their ends.
    """

    operations: list[Operation] = field(default_factory=list)
    _ticks: itertools.count[int] = field(default_factory=itertools.count)

    async def record(
        self,
        kind: str,
        arguments: tuple[Any, ...],
        call: Callable[[], Awaitable[Any]],
        *,
        key: Hashable = None,
        outcome: Callable[[BaseException], Outcome] = outcome_of,
    ) -> Any:
        """Make a call and record what its caller saw.

        A StaleVersionError is the result `Mark.STALE`. A call that claims to have written nothing is left out: if it
        wrote after all, the others cannot be explained. An unknown outcome is recorded as such.

        Args:
            kind: the model's word for the method.
            arguments: as the model wants them.
            call: makes the call and answers as the model wants it.
            key: the register.
            outcome: what an error says about the write.

        Returns:
            The answer, or a `Mark`; `Mark.UNKNOWN` also for a call that was refused.

        Raises:
            CancelledError: the recording task was cancelled; recorded as unknown first.
            Exception: one that `outcome` does not know.
        """
        start = next(self._ticks)
        try:
            result = await call()
        except StaleVersionError:
            result = Mark.STALE
        except BaseException as error:
            if outcome(error) is Outcome.UNKNOWN:
                self.operations.append(Operation(start, inf, kind, arguments, Mark.UNKNOWN, key))
            if not isinstance(error, Exception):
                raise
            return Mark.UNKNOWN
        self.operations.append(Operation(start, next(self._ticks), kind, arguments, result, key))
        return result

    def verdicts(self, model: Model = REGISTER, *, budget: int = 1_000_000) -> list[Verdict]:
        """Return a verdict for each register."""
        by_key: dict[Hashable, list[Operation]] = defaultdict(list)
        for one in self.operations:
            by_key[one.key].append(one)
        return [check(group, model, key=key, budget=budget) for key, group in by_key.items()]

    def assert_linearizable(self, model: Model = REGISTER, *, budget: int = 1_000_000) -> None:
        """Check every register.

        Raises:
            AssertionError: one cannot be explained, or the budget ran out before it was.
        """
        bad = [str(one) for one in self.verdicts(model, budget=budget) if not one.linearizable]
        assert not bad, "\n".join(bad)
