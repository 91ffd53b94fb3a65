"""Sessions and cached profiles on Redis: focal against redis-py, alternating in one process.

Opponents are redis-py's plain pool of as many connections behind a semaphore: GET and SET of one key, without
compare-and-swap, indexes, or a second tier; and the writes of the source documents. Both read the same models with
``model_validate_json`` and write them with ``model_dump_json``. Same server with its append-only file on, keys of
their own.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from harness import (
    Call,
    Comparison,
    Figures,
    Given,
    Outcome,
    ServerCPU,
    at_once,
    compare,
    for_a_time,
    in_turn,
    judged,
    run,
    table_of,
)
from redis.utils import HIREDIS_AVAILABLE
from redis_systems import Bare, Focal, Seed, System
from rich.table import Table
from session_systems import a_session

from focal_core.ids import uuid7
from focal_core.profile.models import CustomerProfile
from focal_testkit.data.profile import item, profile
from focal_testkit.faults.proxy import FaultProxy
from focal_testkit.faults.round_trips import round_trips
from focal_testkit.servers.redis import DURABLE, LocalRedis, RedisServer

CALLERS = 64
BURST_P99, MOVE_P99 = 120.0, 10.0
"""Milliseconds."""


class Place(NamedTuple):
    """Where the benchmark runs, and what the server's CPU does."""

    url: str
    cpu: ServerCPU


@contextmanager
def serving(url: str | None) -> Iterator[Place]:
    """Yield the server of an address, or else one that is started for this run."""
    if url is not None:
        yield Place(url, ServerCPU(None))
        return
    with tempfile.TemporaryDirectory(prefix="focal-bench-", ignore_cleanup_errors=True) as folder:
        server = LocalRedis(Path(folder) / "server", DURABLE)
        try:
            yield Place(server.url, ServerCPU(server.pid))
        finally:
            server.close()


def a_profile(tenant: UUID, number: int) -> CustomerProfile:
    """Return a profile of about 4 KB."""
    fields = {f"field_{n}": item(n, f"field_{n}", id=uuid7(), value=f"what is known of {number}") for n in range(8)}
    return profile(tenant=tenant, id=uuid7(), customer_id=uuid7(), external_id=f"CRM-{number}", fields=fields)


class World:
    """Sessions of one system, and what was acknowledged."""

    def __init__(self, system: System, count: int) -> None:
        self.system = system
        self.tenant = uuid4()
        self.sessions = [a_session(self.tenant, n) for n in range(count)]
        self.profiles = [a_profile(self.tenant, n) for n in range(count // 4)]
        self.saves = 0
        self.errors: Counter[str] = Counter()
        self._next = itertools.count()

    async def fill(self) -> None:
        """Store sessions and profiles."""
        for session in self.sessions:
            await self.system.save(session)
        for one in self.profiles:
            await self.system.keep(one)
            await self.system.profile(self.tenant, one.id)

    def next_id(self) -> UUID:
        """Return the id of a session that nobody else uses at the moment."""
        return self.sessions[next(self._next) % len(self.sessions)].session_id

    async def load(self) -> None:
        """Load a session."""
        await self.system.load(self.tenant, self.next_id())

    async def profile(self) -> None:
        """Read a profile."""
        await self.system.profile(self.tenant, self.profiles[next(self._next) % len(self.profiles)].id)

    async def load_and_save(self) -> None:
        """Load a session, change it and save it."""
        session = await self.system.load(self.tenant, self.next_id())
        session.turn_count += 1
        await self.system.save(session)
        self.saves += 1

    async def problems(self) -> list[str]:
        """Return what does not add up: versions against acknowledged saves, and errors."""
        found = [await self.system.load(self.tenant, one.session_id) for one in self.sessions]
        risen, counted = sum(one.version - 1 for one in found), sum(one.turn_count for one in found)
        problems = []
        if not risen == counted == self.saves:
            problems.append(f"{self.system.name}: {self.saves} saves, versions rose by {risen}, turns by {counted}")
        if self.errors:
            problems.append(f"{self.system.name}: {dict(self.errors)}")
        return problems


class Line(NamedTuple):
    """A line of the table: a method of ``World`` under a shape of load, beside an opponent, with its targets."""

    name: str
    method: str
    shape: str
    opponent: type[System]
    must: float = 0.0
    ahead: float | None = None


LINES = [
    Line("hot load", "load", "c=1", Bare, 0.80),
    Line("hot load", "load", f"c={CALLERS}", Bare, 0.80, 2.5),
    Line("hot load", "load", "burst", Bare),
    Line("load+save", "load_and_save", "c=1", Bare),
    Line("load+save", "load_and_save", f"c={CALLERS}", Bare, ahead=1.4),
    Line("load+save", "load_and_save", "burst", Bare),
    Line("load+save", "load_and_save", "c=1", Seed),
    Line("load+save", "load_and_save", f"c={CALLERS}", Seed, ahead=2.5),
    Line("cached profile", "profile", "c=1", Bare),
    Line("cached profile", "profile", f"c={CALLERS}", Bare),
]
BUDGETS = {"hot load": 1, "save": 1, "refused save": 1, "demotion": 2, "promotion": 2, "cached profile": 1}
"""Round trips of a call."""


async def counted(url: str) -> dict[str, int]:
    """Return the round trips of each method, seen on the wire."""
    address, prefix = urlsplit(url), RedisServer(url).new_prefix()
    async with FaultProxy(address.hostname or "127.0.0.1", address.port or 6379) as proxy:
        focal = await Focal.open(proxy.url(url), prefix, pool_size=1)
        world = World(focal, 100)
        await world.fill()
        session, stale = world.sessions[0], a_session(world.tenant, 1)
        stale.session_id = world.sessions[1].session_id
        for one in world.sessions[2:]:
            await focal.sessions.demote_to_persistent(one.session_id, tenant_id=world.tenant)
        demoted, hot = (itertools.cycle(world.sessions[part]) for part in (slice(2, 50), slice(50, None)))
        for one in world.sessions[50:]:
            await focal.sessions.promote_to_hot(one.session_id, tenant_id=world.tenant)
        taken = await round_trips(
            proxy,
            {
                "hot load": lambda: focal.load(world.tenant, session.session_id),
                "save": lambda: focal.save(session),
                "refused save": lambda: focal.save_stale(stale.model_copy()),
                "promotion": lambda: focal.load(world.tenant, next(demoted).session_id),
                "cached profile": world.profile,
                "demotion": lambda: focal.sessions.demote_to_persistent(next(hot).session_id, tenant_id=world.tenant),
            },
        )
        await focal.close()
    RedisServer(url).forget(prefix)
    return taken


def loaded(world: World, line: Line, seconds: float, burst: int, place: Place) -> Callable[[], Awaitable[Figures]]:
    """Return a round of a line by one system; errors are counted, not raised."""
    inner: Call = getattr(world, line.method)

    async def call() -> None:
        try:
            await inner()
        except Exception as error:
            world.errors[type(error).__name__] += 1

    async def measured() -> Figures:
        if line.shape == "burst":
            return await at_once(call, burst, place.cpu)
        return await for_a_time(call, seconds, place.cpu, int(line.shape[2:]))

    return measured


async def moved(world: World, rounds: int, place: Place) -> dict[str, list[Figures]]:
    """Return how long it takes to move every session out of the hot tier and, by loading it, back."""
    focal = world.system
    assert isinstance(focal, Focal)
    found: dict[str, list[Figures]] = {"demotion": [], "promotion": []}

    def demotion(id: UUID) -> Call:
        return lambda: focal.sessions.demote_to_persistent(id, tenant_id=world.tenant)

    def promotion(id: UUID) -> Call:
        return lambda: focal.load(world.tenant, id)

    for number in range(rounds + 1):
        for name, make in (("demotion", demotion), ("promotion", promotion)):
            figures = await in_turn([make(one.session_id) for one in world.sessions], place.cpu, callers=CALLERS)
            if number:
                found[name].append(figures)
    return found


def table_of_moves(moves: dict[str, list[Figures]]) -> Table:
    """Return a table of the best rounds."""
    heads = "", "per s", "p50/p95/p99 ms", "CPU cli+srv us", "p99 of each round", "target"
    table = Table(*heads, title=f"moves between the tiers, {CALLERS} callers, best round")
    for name, rounds in moves.items():
        best = min(rounds, key=lambda one: one.p99)
        table.add_row(
            name,
            f"{best.rate:,.0f}",
            f"{best.p50:.2f}/{best.p95:.2f}/{best.p99:.2f}",
            f"{best.client:.0f}+{best.server:.0f}",
            " ".join(f"{one.p99:.1f}" for one in rounds),
            f"p99 {MOVE_P99:g} ms {'ok' if best.p99 < MOVE_P99 else 'below'}",
        )
    return table


def slow(comparisons: Sequence[Comparison], moves: dict[str, list[Figures]]) -> list[str]:
    """Return what takes longer than it should: bursts and moves, each by its best round."""
    found = {
        one.name: (min(row.p99 for row in one.rounds[Focal.name]), BURST_P99)
        for one in comparisons
        if "burst" in one.name
    }
    found |= {name: (min(one.p99 for one in rounds), MOVE_P99) for name, rounds in moves.items()}
    return [f"{name}: p99 {p99:.1f} ms, {limit:g}" for name, (p99, limit) in found.items() if p99 >= limit]


async def measure(place: Place, given: Given) -> Outcome:
    """Compare every line, then move sessions between the tiers."""
    rounds, seconds = given.of((9, 1.0), (3, 0.3), (1, 0.02))
    burst, sessions = given.of((1_000, 2_000), (1_000, 2_000), (100, 200))
    server = RedisServer(place.url)
    prefix = server.new_prefix()
    trips = await counted(place.url)
    problems = [f"{name} takes {count} round trips" for name, count in trips.items() if count != BUDGETS[name]]
    systems: list[Any] = [await one.open(place.url, f"{prefix}-{n}") for n, one in enumerate((Focal, Bare, Seed))]
    worlds = {type(one): World(one, sessions) for one in systems}
    comparisons = []
    for world in worlds.values():
        await world.fill()
    for line in LINES:
        name = f"{line.name}, {line.shape}"
        if given.only in name:
            pair = {
                one.system.name: loaded(one, line, seconds, burst, place)
                for one in (worlds[Focal], worlds[line.opponent])
            }
            comparisons.append(await compare(name, pair, rounds, line.must, line.ahead))
    moves = await moved(worlds[Focal], rounds, place) if given.only in "moves" else {}
    ratio = systems[0].cache.hit_ratio
    for world in worlds.values():
        problems += await world.problems()
        await world.system.close()
    await asyncio.to_thread(server.forget, prefix)
    note = f"verified: {sum(one.saves for one in worlds.values()):,} saves are as many versions; round trips {trips}"
    reading = f"replies read by {'hiredis' if HIREDIS_AVAILABLE else 'Python'}"
    cache = f"profile cache: {ratio:.1%} hits"
    figures = {
        "results": [one.as_json() for one in comparisons],
        "moves": {name: [asdict(one) for one in found] for name, found in moves.items()},
        "round_trips": trips,
    }
    tables = [table_of(comparisons, "sessions on Redis"), *([table_of_moves(moves)] if moves else [])]
    notes = [*([] if problems else [note]), cache, reading]
    return Outcome(tables, figures, problems, judged(comparisons) + slow(comparisons, moves), notes)


if __name__ == "__main__":
    run(measure, __doc__ or "", serving, "redis")
