"""What the benchmarks on servers share: the command line, a server, rounds in turn, ratios, tables."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, NoReturn, TypeVar

from rich.console import Console
from rich.table import Table

from focal_postgres import migrate
from focal_postgres.database import Database
from focal_postgres.settings import PostgresOptions
from focal_testkit.servers.postgres import EmbeddedPostgres, PostgresServer

T = TypeVar("T")
Place = TypeVar("Place")
Call = Callable[[], Awaitable[Any]]

MUST = 0.80
"""Of the opponent's rate, at least."""


class Given(argparse.Namespace):
    """The command line."""

    size: str
    strict: bool
    only: str
    json: str | None
    url: str | None

    def of(self, full: T, quick: T, smoke: T) -> T:
        """Return what the asked size of the run means."""
        return {"full": full, "quick": quick, "smoke": smoke}[self.size]


@dataclass
class Outcome:
    """What a benchmark found.

    Attributes:
        tables: to be printed.
        figures: the same as JSON.
        problems: what makes the run a failure: errors, lost writes, recall under its floor.
        below: targets of speed that were missed; a failure under ``--strict``.
        notes: lines to be printed.
    """

    tables: list[Table]
    figures: Any
    problems: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class ServerCPU:
    """CPU seconds of a server's processes, where they can be seen.

    Args:
        pid: of the postmaster or the only process; None = of a server elsewhere.
    """

    def __init__(self, pid: int | None) -> None:
        self._pid = pid if sys.platform == "linux" else None

    def seconds(self) -> float:
        """Return the CPU seconds so far of the postmaster and its living children."""
        ticks = 0
        for path in Path("/proc").iterdir() if self._pid is not None else ():
            if path.name.isdigit():
                try:
                    fields = (path / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if self._pid in (int(fields[1]), int(path.name)):
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


class Server(NamedTuple):
    """Where a benchmark runs: a role that may create databases, and what the server's CPU does."""

    databases: PostgresServer
    cpu: ServerCPU

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """Yield the address of a new database with focal's schema, dropped afterwards."""
        url = await self.databases.create_database()
        try:
            await migrate.upgrade(options(url))
            yield url
        finally:
            await self.databases.drop_database(url)


@contextmanager
def serving(url: str | None, settings: Mapping[str, str]) -> Iterator[Server]:
    """Yield the server of an address, or else one that is started for this run."""
    if url is not None:
        yield Server(PostgresServer(url, ""), ServerCPU(None))
        return
    with tempfile.TemporaryDirectory(prefix="focal-bench-", ignore_cleanup_errors=True) as folder:
        # As root, PostgreSQL runs as another user, who must be let in.
        Path(folder).chmod(0o711)
        server = EmbeddedPostgres(Path(folder) / "server", settings)
        try:
            yield Server(server, ServerCPU(server.pid))
        finally:
            server.close()


def main(measure: Callable[[Server, Given], Awaitable[Outcome]], about: str, **settings: str) -> NoReturn:
    """Measure on PostgreSQL as the command line says, print, and exit.

    Args:
        measure: the benchmark.
        about: what it is, for ``--help``.
        settings: PostgreSQL settings of a server of its own, durable when none say otherwise.
    """
    run(measure, about, partial(serving, settings=settings), "asyncpg")


def run(
    measure: Callable[[Place, Given], Awaitable[Outcome]],
    about: str,
    serve: Callable[[str | None], AbstractContextManager[Place]],
    *drivers: str,
) -> NoReturn:
    """Measure as the command line says, print, and exit.

    Args:
        measure: the benchmark.
        about: what it is, for ``--help``.
        serve: yields the server of an address, or one of its own.
        drivers: the packages whose versions matter.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick", default="full", help="less of it")
    size.add_argument("--smoke", dest="size", action="store_const", const="smoke", help="only to see that it works")
    parser.add_argument("--strict", action="store_true", help="a speed below its target is a failure")
    parser.add_argument("--only", default="", help="the lines whose name contains this")
    parser.add_argument("--json", help="a file for the figures")
    parser.add_argument("--url", help="a server on which databases may be created; one of its own when omitted")
    given = parser.parse_args(namespace=Given())
    with serve(given.url) as server:
        outcome = asyncio.run(_measured(measure, server, given))
    for table in outcome.tables:
        Console(width=150).print(table)
    print(*outcome.notes, sep="\n")
    print(
        f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, Python {sys.version.split()[0]}, "
        + ", ".join(f"{name} {version(name)}" for name in drivers)
    )
    for kind, lines in (("WRONG", outcome.problems), ("below target", outcome.below)):
        for line in lines:
            print(f"{kind}: {line}", file=sys.stderr)
    if given.json:
        Path(given.json).write_text(json.dumps(outcome.figures, indent=1), encoding="utf-8")
    sys.exit(bool(outcome.problems or (given.strict and outcome.below)))


async def _measured(measure: Callable[[Place, Given], Awaitable[Outcome]], server: Place, given: Given) -> Outcome:
    return await measure(server, given)


def options(url: str, **others: Any) -> PostgresOptions:
    """Return the options of a database; two connections unless others are given."""
    return PostgresOptions.model_validate({"url": url, "pool_size": 2, **others})


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Database]:
    """Yield a database, open."""
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@dataclass(frozen=True)
class Figures:
    """What a round came to: operations per second, latencies in milliseconds, CPU in microseconds per operation."""

    rate: float
    p50: float
    p95: float
    p99: float
    client: float
    server: float


async def for_a_time(call: Call, seconds: float, cpu: ServerCPU, callers: int = 1) -> Figures:
    """Call for a time, each caller one after another."""
    latencies: list[float] = []
    spent, used, start = cpu.seconds(), _used(), time.perf_counter()
    end = start + seconds

    async def caller() -> None:
        moment = time.perf_counter()
        while not latencies or moment < end:
            begin = moment
            await call()
            latencies.append((moment := time.perf_counter()) - begin)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return _figures(latencies, time.perf_counter() - start, _used() - used, cpu.seconds() - spent)


async def at_once(call: Call, count: int, cpu: ServerCPU) -> Figures:
    """Start calls all at once; latencies count from the start of the burst, so the wait for a connection is in them."""
    latencies: list[float] = []
    spent, used, start = cpu.seconds(), _used(), time.perf_counter()

    async def one() -> None:
        await call()
        latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(one() for _ in range(count)))
    return _figures(latencies, time.perf_counter() - start, _used() - used, cpu.seconds() - spent)


async def in_turn(calls: Sequence[Call], cpu: ServerCPU, rows: int = 1, callers: int = 1) -> Figures:
    """Make each call once, by callers who take the next one each time; each is so many operations."""
    latencies: list[float] = []
    waiting = iter(calls)
    spent, used, start = cpu.seconds(), _used(), time.perf_counter()

    async def caller() -> None:
        for call in waiting:
            begin = time.perf_counter()
            await call()
            latencies.append(time.perf_counter() - begin)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return _figures(latencies, time.perf_counter() - start, _used() - used, cpu.seconds() - spent, rows)


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _figures(latencies: list[float], took: float, client: float, server: float, rows: int = 1) -> Figures:
    latencies.sort()
    last, count = len(latencies) - 1, len(latencies) * rows
    shares = (latencies[min(last, int(len(latencies) * share))] * 1e3 for share in (0.5, 0.95, 0.99))
    return Figures(count / took, *shares, client / count * 1e6, server / count * 1e6)


@dataclass(frozen=True)
class Comparison:
    """Rounds of focal and of its opponent, in pairs, with the ratio of rates that must be reached.

    Attributes:
        name: what was measured, and under which load.
        rounds: of each system, focal's first.
        must: target; 0 where there is none.
        ahead: what would be better still, or None.
        within: milliseconds that the p95 of the best round may take, or None.
    """

    name: str
    rounds: dict[str, list[Figures]]
    must: float = MUST
    ahead: float | None = None
    within: float | None = None

    @property
    def ratios(self) -> list[float]:
        """Focal's rate by the opponent's, round by round."""
        return [ours.rate / theirs.rate for ours, theirs in zip(*self.rounds.values(), strict=True)]

    @property
    def best(self) -> float:
        """The ratio of the best rounds."""
        ours, theirs = (max(one.rate for one in rounds) for rounds in self.rounds.values())
        return ours / theirs

    @property
    def cpu(self) -> float:
        """The ratio of the client's CPU per operation."""
        return median(ours.client / theirs.client for ours, theirs in zip(*self.rounds.values(), strict=True))

    def reaches(self, target: float) -> bool:
        """Return whether the median of the ratios or that of the best rounds is enough."""
        return max(median(self.ratios), self.best) >= target

    @property
    def fine(self) -> bool:
        """Whether what must be reached is."""
        fastest = min(one.p95 for one in next(iter(self.rounds.values())))
        return self.reaches(self.must) and (self.within is None or fastest <= self.within)

    def verdict(self) -> str:
        """Return how it stands with the targets."""
        limit = "" if self.within is None else f", p95 {self.within:g} ms"
        must = f"{self.must:g}{limit} {'ok' if self.fine else 'below'}" if self.must else ""
        ahead = "" if self.ahead is None else f"ahead {self.ahead:g} {'ok' if self.reaches(self.ahead) else 'below'}"
        return "; ".join(one for one in (must, ahead) if one)

    def as_json(self) -> dict[str, Any]:
        """Return everything."""
        ratios = {"median": median(self.ratios), "rounds": self.ratios, "best": self.best, "cpu": self.cpu}
        return {**asdict(self), "ratio": ratios, "reached": self.fine}


def set_aside() -> None:
    """Keep the collector from what the benchmark itself holds, which is no part of either system."""
    gc.collect()
    gc.freeze()


async def compare(
    name: str,
    systems: Mapping[str, Callable[[], Awaitable[Figures]]],
    rounds: int,
    must: float = MUST,
    ahead: float | None = None,
    within: float | None = None,
) -> Comparison:
    """Return the rounds of two systems, focal first, in alternating order; a first round warms both up."""
    found: dict[str, list[Figures]] = {system: [] for system in systems}
    for number in range(rounds + 1):
        for system in systems if number % 2 else reversed(systems):
            set_aside()
            figures = await systems[system]()
            if number:
                found[system].append(figures)
    return Comparison(name, found, must, ahead, within)


def table_of(comparisons: Sequence[Comparison], title: str) -> Table:
    """Return a table, a line for each system."""
    heads = "", "system", "per s (best)", "p50/p95/p99 ms", "CPU cli+srv us", "ratio per round", "best", "CPU", "target"
    table = Table(*heads, title=title)
    for one in comparisons:
        name, verdict, ratios = one.name, one.verdict(), one.ratios
        shown = [f"{median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})", f"{one.best:.2f}", f"{one.cpu:.2f}"]
        for system, rounds in one.rounds.items():
            middle = {key: median(getattr(row, key) for row in rounds) for key in asdict(rounds[0])}
            table.add_row(
                name,
                system,
                f"{middle['rate']:,.0f} ({max(row.rate for row in rounds):,.0f})",
                f"{middle['p50']:.2f}/{middle['p95']:.2f}/{middle['p99']:.2f}",
                f"{middle['client']:.0f}+{middle['server']:.0f}",
                *shown,
                verdict,
            )
            name, verdict, shown = "", "", ["", "", ""]
    return table


def judged(comparisons: Sequence[Comparison]) -> list[str]:
    """Return the comparisons that miss what they must reach."""
    return [f"{one.name}: {median(one.ratios):.2f}, {one.verdict()}" for one in comparisons if not one.fine]
