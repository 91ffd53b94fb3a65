"""The checker of histories: known-good ones pass, known-bad ones are reported, and it agrees with brute force."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from math import inf
from typing import Any

import pytest

from focal_core.errors import OutcomeUnknownError, StaleVersionError, StoreUnavailableError
from focal_testkit.faults.histories import REGISTER, History, Mark, Operation, check


def load(start: float, end: float, version: int, value: Any) -> Operation:
    return Operation(start, end, "load", (), (version, value))


def save(start: float, end: float, expected: int, value: Any, result: Any) -> Operation:
    return Operation(start, inf if result is Mark.UNKNOWN else end, "save", (expected, value), result)


def delete(start: float, end: float, result: Any) -> Operation:
    return Operation(start, inf if result is Mark.UNKNOWN else end, "delete", (), result)


GOOD = {
    "nothing": [],
    "one after the other": [save(0, 1, 0, "a", 1), load(2, 3, 1, "a"), save(4, 5, 1, "b", 2), load(6, 7, 2, "b")],
    "one of two wins": [save(0, 1, 0, "a", 1), save(2, 5, 1, "b", Mark.STALE), save(3, 4, 1, "c", 2)],
    "a read beside a write sees either": [save(0, 9, 0, "a", 1), load(1, 2, 0, None), load(3, 4, 1, "a")],
    "unknown took effect late": [save(0, 0, 0, "a", Mark.UNKNOWN), load(5, 6, 0, None), load(7, 8, 1, "a")],
    "unknown never took effect": [save(0, 0, 0, "a", Mark.UNKNOWN), load(5, 6, 0, None), save(7, 8, 0, "b", 1)],
    "unknown met a conflict": [save(0, 1, 0, "a", 1), save(2, 2, 5, "b", Mark.UNKNOWN), load(3, 4, 1, "a")],
    "versions begin anew after a delete": [save(0, 1, 0, "a", 1), delete(2, 3, True), save(4, 5, 0, "b", 1)],
    "unknown delete": [save(0, 1, 0, "a", 1), delete(2, 2, Mark.UNKNOWN), load(3, 4, 1, "a"), load(5, 6, 0, None)],
    "touching operations are concurrent": [save(0, 1, 0, "a", 1), load(1, 2, 0, None)],
}

BAD = {
    "lost update": [save(0, 1, 0, "a", 1), save(2, 5, 1, "b", 2), save(3, 4, 1, "c", 2)],
    "stale read": [save(0, 1, 0, "a", 1), save(2, 3, 1, "b", 2), load(4, 5, 1, "a")],
    "reads go back": [save(0, 9, 0, "a", 1), load(1, 2, 1, "a"), load(3, 4, 0, None)],
    "value nobody wrote": [save(0, 1, 0, "a", 1), load(2, 3, 1, "b")],
    "refused and yet written": [load(0, 1, 0, None), load(2, 3, 1, "a")],
    "own write answered as a conflict": [save(0, 1, 0, "a", 1), save(2, 3, 1, "b", Mark.STALE), load(4, 5, 2, "b")],
    "conflict without a rival": [save(0, 1, 0, "a", 1), save(2, 3, 1, "b", Mark.STALE)],
    "unknown flickers": [save(0, 0, 0, "a", Mark.UNKNOWN), load(1, 2, 1, "a"), load(3, 4, 0, None)],
    "effect before the call": [load(0, 1, 1, "a"), save(2, 2, 0, "a", Mark.UNKNOWN)],
    "one unknown write explains two": [
        save(0, 0, 0, "a", Mark.UNKNOWN),
        load(1, 2, 1, "a"),
        delete(3, 4, True),
        load(5, 6, 1, "a"),
    ],
    "acknowledged and lost": [save(0, 1, 0, "a", 1), load(2, 3, 0, None)],
    "resurrected after a delete": [save(0, 1, 0, "a", 1), delete(2, 3, True), load(4, 5, 1, "a")],
    "delete of nothing answers True": [delete(0, 1, True)],
    "wrong version told": [save(0, 1, 0, "a", 2)],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_explainable_histories_pass(history: list[Operation]) -> None:
    """Some order explains every answer; the verdict shows it."""
    verdict = check(history)
    assert verdict.linearizable
    assert {one for one in history if one.result is not Mark.UNKNOWN} <= set(verdict.order)


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_known_bad_histories_are_reported(history: list[Operation]) -> None:
    """No order explains every answer; the verdict shows what does not fit."""
    verdict = check(history)
    assert verdict.decided
    assert not verdict.linearizable
    assert verdict.unexplained
    assert "not linearizable" in str(verdict)


def by_brute_force(history: Sequence[Operation]) -> bool:
    """Try every order of every subset that leaves out only unknown operations."""
    known = [one for one in history if one.result is not Mark.UNKNOWN]
    unknown = [one for one in history if one.result is Mark.UNKNOWN]
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            for order in itertools.permutations([*known, *chosen]):
                if any(b.end < a.start for a, b in itertools.combinations(order, 2)):
                    continue
                state: Any = REGISTER.initial
                for one in order:
                    fits, state = REGISTER.step(state, one)
                    if not fits:
                        break
                else:
                    return True
    return False


def test_verdict_agrees_with_brute_force() -> None:
    """On small random histories the search says what trying every order says, and both answers occur often."""
    chance = random.Random(4)
    verdicts = []
    for _ in range(400):
        history = []
        for _ in range(chance.randrange(2, 6)):
            start = chance.randrange(8)
            end = start + chance.randrange(6)
            expected, value = chance.randrange(3), chance.choice("ab")
            make = chance.choice([save, save, load, load, delete])
            if make is save:
                history.append(
                    save(start, end, expected, value, chance.choice([expected + 1, Mark.STALE, Mark.UNKNOWN]))
                )
            elif make is load:
                history.append(load(start, end, expected, value if expected else None))
            else:
                history.append(delete(start, end, chance.choice([True, False, Mark.UNKNOWN])))
        found = check(history)
        assert found.decided
        assert found.linearizable == by_brute_force(history), "\n".join(map(str, history))
        verdicts.append(found.linearizable)
    assert 50 < sum(verdicts) < 350


def test_undecided_is_a_failure() -> None:
    """A search that gives up has proved nothing."""
    history = History([save(0, 100, 0, str(number), Mark.STALE) for number in range(12)])
    history.operations += [save(0, 100, number, "x", number + 1) for number in range(8)] + [load(200, 201, 99, "z")]
    (verdict,) = history.verdicts(budget=50)
    assert not verdict.decided
    assert not verdict.linearizable
    with pytest.raises(AssertionError, match="undecided"):
        history.assert_linearizable(budget=50)


def test_concurrent_operations_are_tried_as_sets_not_orders() -> None:
    """Memory makes 12 concurrent calls thousands of configurations instead of 479 million orders."""
    readers = [load(0, 100, 0, None) for _ in range(12)]
    verdict = check([*readers, load(101, 102, 1, "nobody's")], budget=100_000)
    assert verdict.decided
    assert not verdict.linearizable


def test_unknown_calls_that_cannot_matter_cost_nothing() -> None:
    """Lost calls that met a conflict anyway are not tried in all their places."""
    lost = [save(0, 0, 50 + number, "x", Mark.UNKNOWN) for number in range(30)]
    verdict = check([*lost, save(1, 2, 0, "a", 1), load(3, 4, 2, "b")], budget=100)
    assert verdict.decided
    assert not verdict.linearizable


def test_long_histories_are_quick() -> None:
    """A history of many short overlaps is walked nearly straight."""
    operations = []
    for version in range(300):
        operations.append(save(version * 10, version * 10 + 9, version, version, version + 1))
        operations += [save(version * 10, version * 10 + 9, version, rival, Mark.STALE) for rival in "abc"]
    verdict = check(operations)
    assert verdict.linearizable
    assert verdict.explored < 20_000


class Register:
    """A store of one register that is only as careful as it is told to be."""

    def __init__(self, *, careful: bool) -> None:
        self.state: tuple[int, Any] = (0, None)
        self.careful = careful

    async def load(self) -> tuple[int, Any]:
        await asyncio.sleep(0)
        return self.state

    async def save(self, expected: int, value: Any) -> int:
        version = self.state[0]
        if not self.careful:
            await asyncio.sleep(0)
        if version != expected:
            raise StaleVersionError("stale", expected=expected, actual=version)
        self.state = (expected + 1, value)
        await asyncio.sleep(0)
        return expected + 1


async def storm(history: History, register: Register) -> None:
    async def worker(name: int) -> None:
        for turn in range(4):
            version, _ = await history.record("load", (), register.load, key="k")
            value = (name, turn)
            await history.record("save", (version, value), lambda v=version, x=value: register.save(v, x), key="k")

    await asyncio.gather(*map(worker, range(4)))


@pytest.mark.asyncio
async def test_recorded_history_of_a_correct_store_passes() -> None:
    """Compare-and-swap in one step is linearizable."""
    history = History()
    await storm(history, Register(careful=True))
    assert len(history.operations) == 32
    history.assert_linearizable()


@pytest.mark.asyncio
async def test_recorded_history_of_check_then_write_fails() -> None:
    """The classic lost update is found."""
    history = History()
    await storm(history, Register(careful=False))
    with pytest.raises(AssertionError, match="not linearizable"):
        history.assert_linearizable()


@pytest.mark.asyncio
async def test_errors_are_recorded_as_what_they_promise() -> None:
    """Unknown outcomes stay open, refused calls are left out, foreign errors and cancellation come through."""
    history = History()

    async def fails(error: BaseException) -> None:
        raise error

    for error in (OutcomeUnknownError("?"), StoreUnavailableError("down")):
        assert await history.record("save", (0, "a"), lambda error=error: fails(error)) is Mark.UNKNOWN
    with pytest.raises(asyncio.CancelledError):
        await history.record("save", (0, "b"), lambda: fails(asyncio.CancelledError()))
    with pytest.raises(KeyError):
        await history.record("save", (0, "c"), lambda: fails(KeyError("c")))
    stale = StaleVersionError("stale", expected=7, actual=0)
    assert await history.record("save", (7, "d"), lambda: fails(stale)) is Mark.STALE
    assert [(one.arguments, one.result, one.end) for one in history.operations] == [
        ((0, "a"), Mark.UNKNOWN, inf),
        ((0, "b"), Mark.UNKNOWN, inf),
        ((7, "d"), Mark.STALE, history.operations[-1].start + 1),
    ]


def test_registers_are_checked_apart() -> None:
    """One bad register is told by its key."""
    good = Operation(0, 1, "save", (0, "a"), 1, key="good")
    bad = Operation(0, 1, "save", (0, "a"), 7, key="bad")
    assert {one.key: one.linearizable for one in History([good, bad]).verdicts()} == {"good": True, "bad": False}
