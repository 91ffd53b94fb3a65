"""Sessions and audit on PostgreSQL: focal against bare asyncpg, alternating in one process.

``python benchmarks/sessions_and_audit.py [--quick] [--strict] [--url URL] [--json FILE]``

The opponent is a pool of as many asyncpg connections without reset, prepared statements, and the statements a careful
person writes by hand: one row each, compare-and-swap on the version in WHERE, JSON text made by ``model_dump_json`` and
read by ``model_validate_json`` into the same pydantic models. It checks no limits, no tenant, no expiry beyond the
statement's, and keeps no token for lost replies. Same server, same tables, same durability, rows of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import itertools
import json
import os
import resource
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from rich.console import Console
from rich.table import Table

from focal_core.audit.models import TurnRecord
from focal_core.context import BackendContext
from focal_core.conversation.models import Channel, Session, StepVisit
from focal_postgres import migrate
from focal_postgres.backend import PostgresBackend
from focal_postgres.settings import PostgresOptions
from focal_testkit.faults.proxy import FaultProxy
from focal_testkit.faults.round_trips import round_trips
from focal_testkit.servers.postgres import EmbeddedPostgres, connected

POOL = 8
SESSIONS = 2_000
LISTED = 50
STORED = {"version", "created_at", "last_activity_at", "expires_at"}
WEEK = timedelta(days=7)
_SCENARIO, _AGENT = uuid4(), uuid4()


def a_session(tenant: UUID, number: int) -> Session:
    """Return a session whose document has about 4 KB."""
    now = datetime.now(UTC)
    return Session(
        tenant_id=tenant,
        agent_id=_AGENT,
        channel=Channel.WEBCHAT,
        user_channel_id=f"user-{number}",
        customer_profile_id=uuid4(),
        variables={f"variable_{n}": f"value {n} that was collected in this conversation" for n in range(20)},
        variable_updated_at=dict.fromkeys([f"variable_{n}" for n in range(10)], now),
        active_scenario_id=_SCENARIO,
        active_scenario_version=1,
        current_step_id=uuid4(),
        step_history=[
            StepVisit(step_id=uuid4(), entered_at=now, turn_number=n, step_name=f"step {n}") for n in range(6)
        ],
        rule_fires={str(uuid4()): n for n in range(4)},
        metadata={"locale": "en-GB", "notes": "a line of the notes that an application keeps " * 12},
    )


def a_turn(tenant: UUID, session: UUID, number: int) -> TurnRecord:
    """Return a turn whose record has about 6 KB."""
    return TurnRecord(
        tenant_id=tenant,
        agent_id=_AGENT,
        session_id=session,
        turn_number=number,
        user_message="I would like to know where the order is that I placed last week. " * 8,
        assistant_response="Your order left our warehouse on Monday and will be with you tomorrow. " * 20,
        context_extracted={"intent": "order_status", "entities": [{"kind": "order", "text": "x" * 60}] * 8},
        rules_matched=tuple(uuid4() for _ in range(6)),
        tools_executed=[  # type: ignore[arg-type]
            {"tool_id": f"tool_{n}", "input": {"order": "A-17"}, "output": {"rows": [{"n": n, "text": "y" * 80}] * 6}}
            for n in range(3)
        ],
        tokens_used=1_234,
        latency_ms=812.5,
        extra={"trace": "z" * 300},
    )


class System(ABC):
    """What is compared: the same six things, however they are done."""

    name: str

    @abstractmethod
    async def load(self, tenant: UUID, session_id: UUID) -> Session:
        """Return a session."""

    @abstractmethod
    async def save(self, session: Session) -> None:
        """Store a loaded session by compare-and-swap; an error when another version is stored."""

    @abstractmethod
    async def append(self, turn: TurnRecord) -> None:
        """Append a turn."""

    @abstractmethod
    async def get_turn(self, tenant: UUID, turn_id: UUID) -> TurnRecord:
        """Return a turn."""

    @abstractmethod
    async def list_turns(self, tenant: UUID, session_id: UUID) -> int:
        """Return how many turns the first page of 50 of a session has, all of them read into models."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""


class Focal(System):
    """The stores of the backend, as an application has them."""

    name = "focal"

    @classmethod
    async def open(cls, url: str, pool_size: int = POOL, **options: Any) -> Focal:
        """Return it, connected."""
        self = cls()
        settings = PostgresOptions(url=url, pool_size=pool_size, **options)
        self._backend = PostgresBackend(settings, BackendContext())
        await self._backend.open()
        self._sessions = self._backend.port("sessions")
        self._audit = self._backend.port("audit")
        return self

    async def load(self, tenant: UUID, session_id: UUID) -> Session:  # noqa: D102
        return await self._sessions.get(session_id, tenant_id=tenant)  # type: ignore[no-any-return]

    async def save(self, session: Session) -> None:  # noqa: D102
        await self._sessions.save(session)

    async def append(self, turn: TurnRecord) -> None:  # noqa: D102
        await self._audit.save_turn(turn)

    async def get_turn(self, tenant: UUID, turn_id: UUID) -> TurnRecord:  # noqa: D102
        return await self._audit.get_turn(turn_id, tenant_id=tenant)  # type: ignore[no-any-return]

    async def list_turns(self, tenant: UUID, session_id: UUID) -> int:  # noqa: D102
        return len(await self._audit.list_turns_by_session(session_id, LISTED, tenant_id=tenant))

    async def close(self) -> None:  # noqa: D102
        await self._backend.close()


class Bare(System):
    """asyncpg by hand."""

    name = "bare asyncpg"

    _LOAD = (
        "SELECT document, version, created_at, last_activity_at, expires_at FROM focal.sessions"
        " WHERE tenant_id = $1 AND session_id = $2 AND expires_at > $3"
    )
    _SAVE = (
        "UPDATE focal.sessions SET agent_id = $4, customer_profile_id = $5, channel = $6, channel_hash = $7,"
        " status = $8, active_scenario_id = $9, last_activity_at = $10, expires_at = $11, version = version + 1,"
        " document = $12 WHERE tenant_id = $1 AND session_id = $2 AND version = $3 RETURNING version"
    )
    _APPEND = (
        "INSERT INTO focal.turn_records (tenant_id, id, session_id, agent_id, turn_number, created_at, recorded_at,"
        " digest, payload) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id"
    )
    _TURN = "SELECT payload, recorded_at FROM focal.turn_records WHERE tenant_id = $1 AND id = $2"
    _LIST = (
        "SELECT payload, recorded_at, turn_number FROM focal.turn_records WHERE tenant_id = $1 AND session_id = $2"
        " ORDER BY turn_number LIMIT $3 OFFSET 0"
    )

    @classmethod
    async def open(cls, url: str, pool_size: int = POOL) -> Bare:
        """Return it, connected."""
        self = cls()

        async def nothing(connection: Any) -> None:
            """Leave the connection as it is."""

        settings = {"jit": "off", "max_parallel_workers_per_gather": "0"}
        self._pool = await asyncpg.create_pool(
            url,
            min_size=pool_size,
            max_size=pool_size,
            reset=nothing,
            max_inactive_connection_lifetime=0,
            server_settings=settings,
        )
        return self

    async def load(self, tenant: UUID, session_id: UUID) -> Session:  # noqa: D102
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(self._LOAD, tenant, session_id, datetime.now(UTC))
        session = Session.model_validate_json(row["document"], extra="ignore")
        session.set_stored(
            version=row["version"],
            created_at=row["created_at"],
            last_activity_at=row["last_activity_at"],
            expires_at=row["expires_at"],
        )
        return session

    async def save(self, session: Session) -> None:  # noqa: D102
        now = datetime.now(UTC)
        channel = session.channel.value
        document = '{"schema_version":1,' + session.model_dump_json(exclude=STORED)[1:]
        async with self._pool.acquire() as connection:
            version = await connection.fetchval(
                self._SAVE,
                session.tenant_id,
                session.session_id,
                session.version,
                session.agent_id,
                session.customer_profile_id,
                channel,
                hashlib.sha256(f"{len(channel)}{channel}{session.user_channel_id}".encode()).digest(),
                session.status.value,
                session.active_scenario_id,
                now,
                min(now, session.created_at) + WEEK,
                document,
            )
        if version is None:
            raise RuntimeError("stale")

    async def append(self, turn: TurnRecord) -> None:  # noqa: D102
        payload = turn.model_dump_json(exclude={"recorded_at"})
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(
                self._APPEND,
                turn.tenant_id,
                turn.id,
                turn.session_id,
                turn.agent_id,
                turn.turn_number,
                turn.created_at,
                datetime.now(UTC),
                hashlib.sha256(payload.encode()).digest(),
                '{"schema_version":1,' + payload[1:],
            )
        if row is None:
            raise RuntimeError("duplicate")

    async def get_turn(self, tenant: UUID, turn_id: UUID) -> TurnRecord:  # noqa: D102
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(self._TURN, tenant, turn_id)
        turn = TurnRecord.model_validate_json(row["payload"], extra="ignore")
        turn.set_stored(recorded_at=row["recorded_at"])
        return turn

    async def list_turns(self, tenant: UUID, session_id: UUID) -> int:  # noqa: D102
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(self._LIST, tenant, session_id, LISTED + 1)
        turns = [TurnRecord.model_validate_json(row["payload"], extra="ignore") for row in rows[:LISTED]]
        for turn, row in zip(turns, rows, strict=False):
            turn.set_stored(recorded_at=row["recorded_at"])
        return len(turns)

    async def close(self) -> None:  # noqa: D102
        await self._pool.close()


class World:
    """Rows of one system: a tenant of its own, sessions, turns, and what was acknowledged."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.tenant = uuid4()
        self.sessions = [a_session(self.tenant, n) for n in range(SESSIONS)]
        self.conversation = uuid4()
        self.turns = [a_turn(self.tenant, self.conversation, n) for n in range(LISTED + 10)]
        self.saves = self.appends = self.errors = 0
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
        await self.system.load(self.tenant, self.sessions[next(self._next) % SESSIONS].session_id)

    async def load_and_save(self) -> None:
        """Load a session that nobody else uses at the moment, change it and save it."""
        session = await self.system.load(self.tenant, self.sessions[next(self._next) % SESSIONS].session_id)
        session.turn_count += 1
        await self.system.save(session)
        self.saves += 1

    def saver(self) -> Callable[[], Awaitable[None]]:
        """Return a call that saves one of some sessions held in memory."""
        cache: dict[int, Session] = {}

        async def save() -> None:
            at = next(self._next) % SESSIONS
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


class ServerCPU:
    """CPU seconds of a server's processes, where they can be seen."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid if sys.platform == "linux" else None

    def seconds(self) -> float:
        """Return the CPU seconds so far of the postmaster and its living children."""
        if self._pid is None:
            return 0.0
        ticks = 0
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                try:
                    fields = (path / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == self._pid or int(path.name) == self._pid:
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


async def run_round(
    world: World, call: Callable[[], Awaitable[None]], callers: int, seconds: float
) -> dict[str, float]:
    """Run callers one after another's heels for a time, and return what it came to."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def caller() -> None:
        while (start := time.perf_counter()) < end:
            try:
                await call()
            except Exception:
                world.errors += 1
            latencies.append(time.perf_counter() - start)

    cpu, start = _cpu(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return _figures(latencies, time.perf_counter() - start, _cpu() - cpu)


async def run_burst(world: World, call: Callable[[], Awaitable[None]], size: int) -> dict[str, float]:
    """Start calls all at once, and return what it came to; latencies count from the start of the burst."""
    latencies: list[float] = []
    cpu, start = _cpu(), time.perf_counter()

    async def one() -> None:
        try:
            await call()
        except Exception:
            world.errors += 1
        latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(one() for _ in range(size)))
    return _figures(latencies, time.perf_counter() - start, _cpu() - cpu)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _figures(latencies: list[float], took: float, cpu: float) -> dict[str, float]:
    latencies.sort()
    count = len(latencies)
    return {
        "rate": count / took,
        "p50": latencies[count // 2] * 1e3,
        "p95": latencies[min(count - 1, int(count * 0.95))] * 1e3,
        "p99": latencies[min(count - 1, int(count * 0.99))] * 1e3,
        "cpu": cpu / count * 1e6,
        "count": count,
    }


WORKLOADS: dict[str, tuple[str, dict[str, tuple[float, float | None]]]] = {
    "session load": ("load", {"c=1": (0.80, None), "c=64": (0.80, None)}),
    "session save": ("save", {"c=1": (0.80, None), "c=64": (0.80, None)}),
    "session load+save": ("load_and_save", {"c=1": (0.80, 0.85), "c=64": (0.80, 2.0), "burst": (0.80, 2.0)}),
    "audit append": ("append", {"c=1": (0.80, 0.85), "c=64": (0.80, 1.5), "burst": (0.80, 1.5)}),
    "audit get": ("get_turn", {"c=1": (0.80, None)}),
    "audit list 50": ("list_turns", {"c=1": (0.80, None)}),
}
"""Workload -> the method of ``World``, and shape -> what must be reached and what would be ahead."""


async def compare(
    worlds: list[World], workload: str, shape: str, rounds: int, seconds: float, server: ServerCPU
) -> dict[str, Any]:
    """Return the figures of one workload under one shape of load, per system and as ratios per round."""
    method, targets = WORKLOADS[workload]
    calls = [world.saver() if method == "save" else getattr(world, method) for world in worlds]
    results: list[list[dict[str, float]]] = [[] for _ in worlds]
    for number in range(rounds + 1):
        order = range(len(worlds)) if number % 2 == 0 else reversed(range(len(worlds)))
        for at in order:
            world, call = worlds[at], calls[at]
            if method == "append":
                world.prepare(1_000 if shape == "burst" else int(seconds * 20_000) + 200)
            # What the benchmark itself holds is no part of either system: the collector need not walk it.
            gc.collect()
            gc.freeze()
            before = server.seconds()
            if shape == "burst":
                found = await run_burst(world, call, 1_000)
            else:
                found = await run_round(world, call, int(shape[2:]), seconds)
            found["server"] = (server.seconds() - before) / found["count"] * 1e6
            # The first round warms both up.
            if number:
                results[at].append(found)
    ratios = [ours["rate"] / theirs["rate"] for ours, theirs in zip(*results, strict=True)]
    best = [max(one["rate"] for one in rows) for rows in results]
    must, ahead = targets[shape]
    ratio = median(ratios)
    return {
        "workload": workload,
        "shape": shape,
        "systems": {
            world.system.name: {key: median(row[key] for row in rows) for key in rows[0]} | {"best": top}
            for world, rows, top in zip(worlds, results, best, strict=True)
        },
        "ratio": ratio,
        "ratio_rounds": [min(ratios), max(ratios)],
        "ratio_best": best[0] / best[1],
        "must": must,
        "ahead": ahead,
        "reached": ratio >= must or best[0] / best[1] >= must,
        "is_ahead": ahead is not None and (ratio >= ahead or best[0] / best[1] >= ahead),
    }


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
                problems.append(f"{name}: {world.errors} errors")
    return problems


async def counted(url: str) -> dict[str, int]:
    """Return the round trips of each method, seen on the wire."""
    async with FaultProxy(*_address(url)) as proxy:
        focal = await Focal.open(proxy.url(url), pool_size=1)
        world = World(focal)
        world.sessions = world.sessions[:5]
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


def _address(url: str) -> tuple[str, int]:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 5432


def show(results: list[dict[str, Any]], trips: dict[str, int]) -> None:
    """Print the table."""
    table = Table("workload", "load", "system", "ops/s (best)", "p50/p95/p99 ms", "CPU cli+srv us", "focal / bare", "")
    for one in results:
        for name, row in one["systems"].items():
            first = name == "focal"
            ahead = "" if one["ahead"] is None else f", ahead {one['ahead']} {'ok' if one['is_ahead'] else 'below'}"
            table.add_row(
                f"{one['workload']} ({trips.get(one['workload'], 2)} RT)" if first else "",
                one["shape"] if first else "",
                name,
                f"{row['rate']:,.0f} ({row['best']:,.0f})",
                f"{row['p50']:.2f}/{row['p95']:.2f}/{row['p99']:.2f}",
                f"{row['cpu']:.0f}+{row['server']:.0f}",
                ""
                if not first
                else f"{one['ratio']:.2f} ({one['ratio_rounds'][0]:.2f}..{one['ratio_rounds'][1]:.2f}), "
                f"best {one['ratio_best']:.2f}",
                "" if not first else f"must {one['must']:.2f} {'ok' if one['reached'] else 'below'}{ahead}",
            )
    Console(width=170).print(table)


async def measure(url: str, arguments: argparse.Namespace, server: ServerCPU) -> int:
    """Measure, print, and return the exit status."""
    await migrate.upgrade(PostgresOptions(url=url))
    trips = await counted(url)
    focal = await Focal.open(url)
    worlds = [World(focal), World(await Bare.open(url))]
    for world in worlds:
        await world.fill(focal)
    async with connected(url) as connection:
        await connection.execute("VACUUM ANALYZE")
    rounds, seconds = (3, 0.3) if arguments.quick else (9, 1.0)
    results = []
    for workload, (_, shapes) in WORKLOADS.items():
        for shape in shapes:
            if arguments.only and arguments.only not in f"{workload} {shape}":
                continue
            results.append(await compare(worlds, workload, shape, rounds, seconds, server))
    problems = await verified(url, worlds)
    problems += [f"{name} takes {count} round trips" for name, count in trips.items() if count != 1]
    for world in worlds:
        await world.system.close()
    show(results, trips)
    saves, appends = sum(world.saves for world in worlds), sum(world.appends for world in worlds)
    load = os.getloadavg()[0]
    print(f"verified: {saves:,} saves, {appends:,} appends" if not problems else "NOT verified:", *problems, sep="\n  ")
    print(f"load {load:.1f}, {os.cpu_count()} cores, Python {sys.version.split()[0]}, asyncpg {asyncpg.__version__}")
    if arguments.json:
        _write(arguments.json, {"results": results, "round_trips": trips})
    below = [one for one in results if not one["reached"]]
    return 1 if problems or (arguments.strict and below) else 0


def _write(path: str, figures: dict[str, Any]) -> None:
    Path(path).write_text(json.dumps(figures, indent=1), encoding="utf-8")


def main() -> int:
    """Run on the server of ``--url``, or on an embedded one that keeps every commit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", help="an empty database; a private server when omitted")
    parser.add_argument("--quick", action="store_true", help="few and short rounds")
    parser.add_argument("--strict", action="store_true", help="a ratio below its target is a failure")
    parser.add_argument("--only", help="workloads whose name and shape contain this")
    parser.add_argument("--json", help="a file for the figures")
    arguments = parser.parse_args()
    if arguments.url:
        return asyncio.run(measure(arguments.url, arguments, ServerCPU(None)))
    with tempfile.TemporaryDirectory(prefix="focal-bench-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)
        server = EmbeddedPostgres(Path(folder) / "postgres", {})
        try:
            return asyncio.run(measure(server.url, arguments, ServerCPU(server.pid)))
        finally:
            server.close()


if __name__ == "__main__":
    sys.exit(main())
