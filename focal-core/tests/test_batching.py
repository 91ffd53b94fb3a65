"""Calls that share flights, under every schedule: nothing is lost or done twice, errors stay their caller's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from focal_core.batching import MAX_MEMBERS, Batcher
from focal_core.errors import InvalidDataError, OutcomeUnknownError, StoreUnavailableError
from focal_testkit.faults.scheduler import explore, run

SEEDS = range(1_000)
READY = {"at once": False}
Item = tuple[int, str]


@dataclass
class Server:
    """Takes flights: notes them, takes its time, and refuses bad items as a whole.

    Attributes:
        flights: the keys of each flight, in order.
        effects: how often each item took effect.
        outage: raised once by the next flight, after its effects.
    """

    took: float = 1.0
    flights: list[list[int]] = field(default_factory=list)
    effects: dict[Item, int] = field(default_factory=dict)
    out: int = 0
    most: int = 0
    keys_out: set[int] = field(default_factory=set)
    outage: Exception | None = None

    async def send(self, items: Sequence[Item]) -> list[str]:
        """Answer each item with its own text."""
        keys = [key for key, _ in items]
        assert not self.keys_out & set(keys), "a key is out twice"
        assert len(set(keys)) == len(keys), "a key is twice in a flight"
        assert keys == sorted(keys), "a flight is not in order"
        self.flights.append(keys)
        self.keys_out |= set(keys)
        self.out += 1
        self.most = max(self.most, self.out)
        try:
            await asyncio.sleep(self.took)
            if any(text == "bad" for _, text in items):
                raise InvalidDataError("a bad item")
            for item in items:
                self.effects[item] = self.effects.get(item, 0) + 1
            if self.outage is not None:
                error, self.outage = self.outage, None
                raise error
        finally:
            self.out -= 1
            self.keys_out -= set(keys)
        return [f"{key}:{text}" for key, text in items]


@pytest.fixture(params=[False, True], ids=["as tasks", "at once"], autouse=True)
def ready(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let flights begin as tasks do, and at once."""
    monkeypatch.setitem(READY, "at once", request.param)


def batcher(
    server: Server, *, flights: int = 1, patience: float = 1_000.0, max_waiting: int = 10_000
) -> Batcher[Item, str]:
    """Return a batcher of keyed writes to the server."""
    return Batcher(
        server.send,
        what="write",
        patience=patience,
        writes=True,
        key=lambda item: item[0],
        flights=flights,
        ready=lambda: READY["at once"],
        max_waiting=max_waiting,
    )


@pytest.mark.parametrize("flights", [1, 2])
def test_every_call_gets_its_own_answer(flights: int) -> None:
    """Under any schedule each call is answered with its own answer and takes effect once; flights stay in bounds."""

    async def scenario() -> None:
        server = Server()
        calls = batcher(server, flights=flights)

        async def caller(n: int) -> None:
            for turn in range(3):
                item = (n % 5, f"{n}.{turn}")
                assert await calls.submit(item) == f"{item[0]}:{item[1]}"

        await asyncio.gather(*(caller(n) for n in range(8)))

        assert set(server.effects.values()) == {1}
        assert len(server.effects) == 24
        assert server.most <= flights
        assert len(server.flights) < 24, "nothing was gathered"
        await calls.drain()

    explore(scenario, SEEDS)


def test_error_is_its_callers_alone() -> None:
    """An item that spoils its flight is refused alone; the others of the flight take effect, each once."""

    async def scenario() -> None:
        server = Server()
        calls = batcher(server)

        results = await asyncio.gather(
            *(calls.submit((n, "bad" if n == 3 else "good")) for n in range(6)), return_exceptions=True
        )

        assert [type(result) for result in results].count(InvalidDataError) == 1
        assert isinstance(results[3], InvalidDataError)
        assert server.effects == {(n, "good"): 1 for n in range(6) if n != 3}

    explore(scenario, SEEDS)


def test_outage_ends_every_member_and_nothing_is_sent_again() -> None:
    """A flight of unknown outcome is unknown to each of its members, with an error of its own, and not repeated."""

    async def scenario() -> None:
        server = Server()
        calls = batcher(server)
        first = asyncio.ensure_future(calls.submit((0, "alone")))
        await asyncio.sleep(0.5)
        members = [asyncio.ensure_future(calls.submit((n, "member"))) for n in range(1, 5)]
        await first
        server.outage = OutcomeUnknownError("lost")

        results = await asyncio.gather(*members, return_exceptions=True)

        assert all(isinstance(result, OutcomeUnknownError) for result in results)
        assert len({id(result) for result in results}) == 4
        assert set(server.effects.values()) == {1}

    explore(scenario, SEEDS)


def test_cancelled_caller_leaves_the_flight_alone() -> None:
    """Whoever is cancelled at whatever moment, the others are answered, and what waits leaves with the next flight."""

    async def scenario() -> None:
        server = Server()
        calls = batcher(server, flights=2)
        draw = random.Random(len(server.flights))
        tasks = [asyncio.ensure_future(calls.submit((n, "x"))) for n in range(10)]

        async def cancel(n: int) -> None:
            await asyncio.sleep(draw.random() * 3)
            tasks[n].cancel()

        await asyncio.gather(*(cancel(n) for n in (0, 4, 7)))
        results = await asyncio.gather(*tasks, return_exceptions=True)

        for n, result in enumerate(results):
            if n in (0, 4, 7):
                assert isinstance(result, asyncio.CancelledError) or result == f"{n}:x"
            else:
                assert result == f"{n}:x"
                assert server.effects[n, "x"] == 1
        await calls.drain()
        assert await asyncio.wait_for(batcher(server).submit((1, "later")), 10) == "1:later"

    explore(scenario, SEEDS)


def test_lone_call_goes_straight_through() -> None:
    """A call that meets no other is sent by itself, in its own task, without a step in between."""

    async def scenario() -> None:
        server = Server(took=0.0)
        before = len(asyncio.all_tasks())
        calls = batcher(server)
        coroutine = calls.submit((1, "x"))
        coroutine.send(None)
        assert server.flights == [[1]]
        assert len(asyncio.all_tasks()) == before
        coroutine.close()
        assert await calls.submit((2, "y")) == "2:y"

    run(scenario, 0)


def test_a_crowd_leaves_together_shared_among_the_flights() -> None:
    """Once calls come in crowds, those of one turn of the loop share the flights; a lone call ends the crowd."""

    async def scenario() -> None:
        server = Server(took=0.0)
        calls = batcher(server, flights=2)
        await asyncio.gather(*(calls.submit((n, "first")) for n in range(60)))
        server.flights.clear()

        await asyncio.gather(*(calls.submit((n, "second")) for n in range(40)))
        assert sorted(map(len, server.flights)) == [20, 20]

        server.flights.clear()
        assert await calls.submit((1, "alone")) == "1:alone"
        assert await calls.submit((2, "alone")) == "2:alone"
        assert server.flights == [[1], [2]]
        await calls.drain()

    # By asyncio's own loop: the other one lets a turn go by in no order.
    asyncio.run(scenario())


def test_a_crowd_as_large_as_the_last_one_leaves_before_its_turn_is_over() -> None:
    """The rest of the turn is not waited for; where ``send`` is ready, it has its items before the next call begins."""

    async def scenario() -> None:
        server = Server(took=0.0)
        calls = batcher(server, flights=2)
        await asyncio.gather(*(calls.submit((n, "first")) for n in range(32)))
        assert [len(flight) for flight in server.flights] == [1, 1, 30]
        server.flights.clear()
        seen = []

        async def caller(n: int) -> None:
            seen.append(len(server.flights))
            await calls.submit((n, "second"))

        await asyncio.gather(*(caller(n) for n in range(45)))
        assert sorted(map(len, server.flights)) == [15, 30]
        assert seen == [0] * 30 + [1 if READY["at once"] else 0] * 15
        await calls.drain()

    asyncio.run(scenario())


def test_what_is_left_of_a_crowd_takes_the_next_flight() -> None:
    """Where those who leave at once are of one kind, the others do not wait for their flight to land."""

    async def scenario() -> None:
        flights: list[list[int]] = []
        landing = asyncio.Event()

        async def send(items: Sequence[Item]) -> list[str]:
            flights.append([number for number, _ in items])
            await landing.wait()
            return [text for _, text in items]

        calls: Batcher[Item, str] = Batcher(
            send,
            what="write",
            patience=10.0,
            writes=True,
            kind=lambda item: item[1],
            flights=2,
            ready=lambda: READY["at once"],
        )
        first = [asyncio.ensure_future(calls.submit((n, "first"))) for n in range(32)]
        await asyncio.sleep(0)
        landing.set()
        await asyncio.gather(*first)
        landing.clear()
        flights.clear()

        crowd = [asyncio.ensure_future(calls.submit((n, "a" if n < 15 else "b"))) for n in range(30)]
        for _ in range(3):
            await asyncio.sleep(0)
        assert flights == [list(range(15)), list(range(15, 30))]
        landing.set()
        await asyncio.gather(*crowd)
        await calls.drain()

    asyncio.run(scenario())


def test_time_is_up_before_leaving_and_after() -> None:
    """A call still gathered when its time is up never leaves; one that left by then is of unknown outcome."""

    async def scenario() -> None:
        server = Server(took=10.0)
        calls = batcher(server, patience=15.0)
        first = asyncio.ensure_future(calls.submit((1, "first")))
        await asyncio.sleep(0.1)
        left = asyncio.ensure_future(calls.submit((2, "left")))
        stays = [asyncio.ensure_future(calls.submit((2, f"stays {n}"))) for n in range(2)]

        results = await asyncio.gather(left, *stays, return_exceptions=True)

        assert await first == "1:first"
        for n, result in enumerate(results):
            assert isinstance(result, StoreUnavailableError)
            assert result.code == "deadline"
            assert isinstance(result, OutcomeUnknownError) == (n == 0 or (2, f"stays {n - 1}") in server.effects)
        await calls.drain()
        assert len(server.effects) == 2

    run(scenario, 7)


def test_too_many_waiting_are_refused() -> None:
    """Beyond the bound a call is refused at once; those that wait are answered."""

    async def scenario() -> None:
        server = Server()
        calls = batcher(server, max_waiting=3)
        results = await asyncio.gather(*(calls.submit((n, "x")) for n in range(6)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, StoreUnavailableError)]
        assert [error.code for error in refused] == ["overloaded"] * 2

    explore(scenario, range(100))


def test_drain_answers_what_is_under_way_and_refuses_the_rest() -> None:
    """After drain every earlier call is answered, and a later one is refused as closed."""

    async def scenario() -> None:
        server = Server()
        calls = batcher(server)
        tasks = [asyncio.ensure_future(calls.submit((n % 3, str(n)))) for n in range(6)]
        await asyncio.sleep(0)
        await asyncio.sleep(0.2)

        await calls.drain()

        assert not server.out
        assert await asyncio.wait_for(asyncio.gather(*tasks), 0.001) == [f"{n % 3}:{n}" for n in range(6)]
        with pytest.raises(StoreUnavailableError) as refused:
            await calls.submit((9, "late"))
        assert (refused.value.code, refused.value.retryable) == ("closed", False)

    explore(scenario, SEEDS)


def test_flights_are_bounded_in_members_and_weight() -> None:
    """A flight has at most 256 members and 1 MB, and an item heavier than that flies alone."""

    async def scenario() -> None:
        flights: list[list[int]] = []

        async def send(items: Sequence[int]) -> list[int]:
            flights.append(list(items))
            await asyncio.sleep(1)
            return list(items)

        light = Batcher(send, what="read", patience=100.0, writes=False)
        assert await asyncio.gather(*map(light.submit, range(600))) == list(range(600))
        assert max(map(len, flights)) == MAX_MEMBERS
        flights.clear()
        heavy = Batcher(send, what="read", patience=100.0, writes=False, weight=lambda item: item)
        sizes = [1, 600_000, 400_000, 300_000, 2_000_000, 5]
        assert await asyncio.gather(*map(heavy.submit, sizes)) == sizes
        assert all(len(flight) == 1 or sum(flight) <= 1_048_576 for flight in flights)

    run(scenario, 3)


def test_a_flight_holds_one_kind() -> None:
    """Items of different kinds never share a flight, and all are answered."""

    async def scenario() -> None:
        async def send(items: Sequence[int]) -> list[int]:
            assert len({item % 2 for item in items}) == 1
            await asyncio.sleep(1)
            return list(items)

        calls = Batcher(send, what="read", patience=100.0, writes=False, kind=lambda item: item % 2)
        assert await asyncio.gather(*map(calls.submit, range(40))) == list(range(40))

    explore(scenario, range(200))
