"""Sessions and audit on PostgreSQL: focal against bare asyncpg, alternating in one process.

The opponent is a pool of as many asyncpg connections without reset, prepared statements, and the statements a careful
person writes by hand: one row each, compare-and-swap on the version in WHERE, JSON text made by ``model_dump_json`` and
read by ``model_validate_json`` into the same pydantic models. It checks no limits, no tenant, no expiry beyond the
statement's, and keeps no token for lost replies. Same server, same tables, same durability, rows of its own.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit
from uuid import uuid4

from harness import (
    Call,
    Figures,
    Given,
    Outcome,
    Server,
    at_once,
    compare,
    for_a_time,
    judged,
    main,
    set_aside,
    table_of,
)
from session_systems import LISTED, Bare, Focal, System, a_session, a_turn

from focal_core.conversation.models import Session
from focal_testkit.faults.proxy import FaultProxy
from focal_testkit.faults.round_trips import round_trips
from focal_testkit.servers.postgres import connected

POOL = 8


class World:
    """Rows of one system: a tenant of its own, sessions, turns, and what was acknowledged."""

    def __init__(self, system: System, sessions: int) -> None:
        self.system = system
        self.tenant = uuid4()
        self.sessions = [a_session(self.tenant, n) for n in range(sessions)]
        self.conversation = uuid4()
        self.turns = [a_turn(self.tenant, self.conversation, n) for n in range(LISTED + 10)]
        self.saves = self.appends = 0
        self.errors: Counter[str] = Counter()
        self._next = itertools.count()
        self._turn_number = itertools.count(1_000)

    async def fill(self, focal: Focal) -> None:
        """Store what is read; by focal for both systems, so that both have the same rows."""
        for session in self.sessions:
            await focal.save(session)
        for turn in self.turns:
            await focal.append(turn)

    async def load(self) -> None:
        """Load a session."""
        await self.system.load(self.tenant, self.sessions[next(self._next) % len(self.sessions)].session_id)

    async def load_and_save(self) -> None:
        """Load a session that nobody else uses at the moment, change it and save it."""
        session = await self.system.load(self.tenant, self.sessions[next(self._next) % len(self.sessions)].session_id)
        session.turn_count += 1
        await self.system.save(session)
        self.saves += 1

    def saver(self) -> Callable[[], Awaitable[None]]:
        """Return a call that saves one of some sessions held in memory."""
        cache: dict[int, Session] = {}

        async def save() -> None:
            at = next(self._next) % len(self.sessions)
            session = cache.get(at)
            if session is None:
                session = cache[at] = await self.system.load(self.tenant, self.sessions[at].session_id)
            session.turn_count += 1
            await self.system.save(session)
            if isinstance(self.system, Bare):
                session.set_stored(version=session.version + 1)
            self.saves += 1

        return save

    async def append(self) -> None:
        """Append a turn."""
        await self.system.append(self.prepared.pop())
        self.appends += 1

    def prepare(self, count: int) -> None:
        """Make turns that are to be appended, outside of what is measured."""
        session = uuid4()
        self.prepared = [a_turn(self.tenant, session, next(self._turn_number)) for _ in range(count)]

    async def get_turn(self) -> None:
        """Read a turn."""
        await self.system.get_turn(self.tenant, self.turns[next(self._next) % LISTED].id)

    async def list_turns(self) -> None:
        """List 50 turns."""
        assert await self.system.list_turns(self.tenant, self.conversation) == LISTED


WORKLOADS: dict[str, tuple[str, dict[str, tuple[float, float | None]]]] = {
    "session load": ("load", {"c=1": (0.80, None), "c=64": (0.80, None)}),
    "session save": ("save", {"c=1": (0.80, None), "c=64": (0.80, None)}),
    "session load+save": ("load_and_save", {"c=1": (0.80, 0.85), "c=64": (0.80, 2.0), "burst": (0.80, 2.0)}),
    "audit append": ("append", {"c=1": (0.80, 0.85), "c=64": (0.80, 1.5), "burst": (0.80, 1.5)}),
    "audit get": ("get_turn", {"c=1": (0.80, None)}),
    "audit list 50": ("list_turns", {"c=1": (0.80, None)}),
}
"""Workload -> the method of ``World``, and shape -> what must be reached and what would be ahead."""


async def verified(url: str, worlds: list[World]) -> list[str]:
    """Return what does not add up: versions against acknowledged saves, rows against appends, errors."""
    problems = []
    async with connected(url) as connection:
        for world in worlds:
            raised = await connection.fetchval(
                "SELECT sum(version - 1) FROM focal.sessions WHERE tenant_id = $1", world.tenant
            )
            rows = await connection.fetchval(
                "SELECT count(*) FROM focal.turn_records WHERE tenant_id = $1", world.tenant
            )
            name = world.system.name
            if raised != world.saves:
                problems.append(f"{name}: {world.saves} saves acknowledged, versions rose by {raised}")
            if rows != world.appends + len(world.turns):
                problems.append(f"{name}: {world.appends} appends acknowledged, {rows - len(world.turns)} rows")
            if world.errors:
                problems.append(f"{name}: {dict(world.errors)}")
    return problems


async def counted(url: str) -> dict[str, int]:
    """Return the round trips of each method, seen on the wire."""
    address = urlsplit(url)
    async with FaultProxy(address.hostname or "127.0.0.1", address.port or 5432) as proxy:
        focal = await Focal.open(proxy.url(url), 1)
        world = World(focal, 5)
        await world.fill(focal)
        world.prepare(100)
        session = world.sessions[0]
        taken = await round_trips(
            proxy,
            {
                "session load": lambda: focal.load(world.tenant, session.session_id),
                "session save": lambda: focal.save(session),
                "audit append": world.append,
                "audit get": world.get_turn,
                "audit list 50": world.list_turns,
            },
        )
        await focal.close()
    return taken


def loaded(
    world: World, method: str, shape: str, seconds: float, burst: int, server: Server
) -> Callable[[], Awaitable[Figures]]:
    """Return a round of a method under a shape of load; errors are counted, not raised."""
    inner: Call = world.saver() if method == "save" else getattr(world, method)

    async def call() -> None:
        try:
            await inner()
        except Exception as error:
            world.errors[type(error).__name__] += 1

    async def measured() -> Figures:
        if method == "append":
            world.prepare(burst if shape == "burst" else int(seconds * 20_000) + 200)
            set_aside()
        if shape == "burst":
            return await at_once(call, burst, server.cpu)
        return await for_a_time(call, seconds, server.cpu, int(shape[2:]))

    return measured


async def measure(server: Server, given: Given) -> Outcome:
    """Compare every workload under each of its shapes of load."""
    rounds, seconds = given.of((9, 1.0), (3, 0.2), (1, 0.02))
    burst, sessions = given.of((1_000, 2_000), (1_000, 2_000), (80, 1_000))
    comparisons = []
    async with server.database() as url:
        trips = await counted(url)
        problems = [f"{name} takes {count} round trips" for name, count in trips.items() if count != 1]
        focal = await Focal.open(url, POOL)
        worlds = [World(system, sessions) for system in (focal, await Bare.open(url, POOL))]
        for world in worlds:
            await world.fill(focal)
        async with connected(url) as connection:
            await connection.execute("VACUUM ANALYZE")
        for workload, (method, shapes) in WORKLOADS.items():
            for shape, (must, ahead) in shapes.items():
                if given.only in (name := f"{workload}, {shape}"):
                    systems = {
                        world.system.name: loaded(world, method, shape, seconds, burst, server) for world in worlds
                    }
                    comparisons.append(await compare(name, systems, rounds, must, ahead))
        problems += await verified(url, worlds)
        for world in worlds:
            await world.system.close()
    note = f"verified: {sum(one.saves for one in worlds):,} saves, {sum(one.appends for one in worlds):,} appends"
    figures = {"results": [one.as_json() for one in comparisons], "round_trips": trips}
    table = table_of(comparisons, "sessions and audit")
    return Outcome([table], figures, problems, judged(comparisons), [note] * (not problems))


if __name__ == "__main__":
    main(measure, __doc__ or "")
