"""What text search and traversal on PostgreSQL cost: ``python benchmarks/text_and_graph.py [--quick] [--url URL]``.

100,000 episodes of one group, and as many of other groups and tenants with the same words; 20,000 entities with
100,000 relationships. Each call alternates with its own statement on a bare asyncpg connection, which makes no models
of the rows. What is found is compared with what the contents say. ``--quick`` takes a tenth. Exit status 1 on a wrong
answer, or when a call takes more than one statement.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.table import Table

from focal_core.context import BackendContext
from focal_core.memory.models import Episode
from focal_core.memory.search import best_texts
from focal_postgres import embedded, migrate
from focal_postgres.database import Database, Record
from focal_postgres.memory import PostgresMemoryStore
from focal_postgres.settings import PostgresOptions

TENANT, OTHER, GROUP = UUID(int=1), UUID(int=2), "agent:7"
START = datetime(2026, 1, 1, tzinfo=UTC)
SERVER = {"shared_buffers": "1GB", "fsync": "off", "synchronous_commit": "off", "max_wal_size": "8GB"}
VOCABULARY = 20_000


class Row(NamedTuple):
    """One line of the result, times in milliseconds."""

    name: str
    hits: float
    p50: float
    p95: float
    bare_p50: float
    statements: float
    target: str


class Watching(Database):
    """Remembers the statements it runs."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(  # noqa: D102
        self, method: str, sql: str, *args: Any, **options: Any
    ) -> list[Record]:
        self.seen.append((sql, args))
        return await super().fetch(method, sql, *args, **options)


def vocabulary() -> list[str]:
    """Return words by falling frequency."""
    random = Random(1)
    syllables = [first + second for first in "bcdfghklmnprstvwz" for second in "aeiou"]
    found: dict[str, None] = {}
    while len(found) < VOCABULARY:
        found["".join(random.choices(syllables, k=random.randint(1, 4))) + random.choice(["", "n", "s", "t"])] = None
    return list(found)


def episodes(words: Sequence[str], count: int, tenant: UUID, groups: Sequence[str], seed: int) -> list[Episode]:
    """Return episodes of 20 words, as frequent as words are."""
    random = Random(seed)
    weights = list(accumulate(1 / (rank + 1) ** 0.9 for rank in range(len(words))))
    return [
        Episode(
            tenant_id=tenant,
            group_id=groups[n % len(groups)],
            content=f"{' '.join(random.choices(words, cum_weights=weights, k=20))}.".capitalize(),
            valid_from=START,
            occurred_at=START + timedelta(seconds=n),
        )
        for n in range(count)
    ]


async def load_graph(connection: Any, nodes: int, edges: int) -> None:
    """Store a graph whose ends are drawn at random."""
    random = Random(2)
    await connection.execute(
        "INSERT INTO focal.entities (tenant_id, id, row_version, group_id, name, entity_type, valid_from)"
        " SELECT $1, id, 1, $2, 'entity', 'thing', $3 FROM unnest($4::uuid[]) id",
        TENANT,
        GROUP,
        START,
        [UUID(int=n + 1) for n in range(nodes)],
    )
    await connection.execute(
        "INSERT INTO focal.relationships (tenant_id, id, row_version, group_id, from_entity_id, to_entity_id,"
        " relation_type, valid_from)"
        " SELECT $1, e.id, 1, $2, e.s, e.t, 'knows', $3::timestamptz + make_interval(secs => e.n)"
        " FROM unnest($4::uuid[], $5::uuid[], $6::uuid[]) WITH ORDINALITY e (id, s, t, n)",
        TENANT,
        GROUP,
        START,
        [UUID(int=n + 1) for n in range(edges)],
        [UUID(int=random.randint(1, nodes)) for _ in range(edges)],
        [UUID(int=random.randint(1, nodes)) for _ in range(edges)],
    )


async def timed(
    name: str,
    database: Watching,
    connection: Any,
    calls: Sequence[Callable[[], Awaitable[Any]]],
    target: str = "",
) -> Row:
    """Return what calls cost, each beside its own statement on a bare connection."""
    ours, theirs, hits, statements = [], [], 0, 0
    for call in calls:
        await call()
    for call in calls:
        database.seen.clear()
        start = time.perf_counter()
        hits += len(await call())
        ours.append(1000 * (time.perf_counter() - start))
        statements += len(database.seen)
        sql, args = database.seen[-1]
        start = time.perf_counter()
        await connection.fetch(sql, *args)
        theirs.append(1000 * (time.perf_counter() - start))
    cuts = quantiles(ours, n=20)
    return Row(name, hits / len(calls), cuts[9], cuts[18], quantiles(theirs, n=20)[9], statements / len(calls), target)


async def measure(url: str, rows: int, nodes: int, edges: int, times: int) -> tuple[list[Row], list[str]]:
    """Return the figures, and what was wrong."""
    options = PostgresOptions.model_validate({"url": url, "pool_size": 2})
    await migrate.upgrade(options)
    database = Watching(options, BackendContext())
    await database.open()
    store = PostgresMemoryStore(database)
    words = vocabulary()
    stored = episodes(words, rows, TENANT, [GROUP], 1)
    await store.add_episodes(stored)
    await store.add_episodes(episodes(words, rows // 2, TENANT, [f"session:{n}" for n in range(500)], 2))
    await store.add_episodes(episodes(words, rows // 2, OTHER, [GROUP], 3))
    connection = await asyncpg.connect(url, server_settings={"jit": "off", "max_parallel_workers_per_gather": "0"})
    await load_graph(connection, nodes, edges)
    await connection.execute("VACUUM ANALYZE")
    random, wrong = Random(4), []

    def search(query: str) -> Callable[[], Awaitable[Any]]:
        return lambda: store.text_search_episodes(query, GROUP, tenant_id=TENANT)

    def walk(start: UUID, depth: int) -> Callable[[], Awaitable[Any]]:
        return lambda: store.traverse_from_entities([start], GROUP, depth, tenant_id=TENANT)

    def some(low: int, high: int, count: int) -> list[str]:
        return [" ".join(random.sample(words[low:high], count)) for _ in range(times)]

    pairs = [" ".join(random.sample(one.content[:-1].lower().split(), 2)) for one in random.sample(stored, times)]
    result = []
    for name, queries, target in (
        ("two words of one episode", pairs, "p95 3 ms"),
        ("two frequent words", some(20, 120, 2), "p95 3 ms"),
        ("one rare word", some(5_000, 20_000, 1), "p95 3 ms"),
        ("one word of 1 % of the episodes", some(100, 140, 1), ""),
        ("the most frequent words", [one for one in words[:5] for _ in range(times // 5)], ""),
        ("a word that is nowhere", [f"{one}x" for one in some(0, 20_000, 1)], "p95 3 ms"),
    ):
        result.append(await timed(name, database, connection, [search(query) for query in queries], target))
        for query in queries[:2]:
            found = {one.id for one in await store.text_search_episodes(query, GROUP, 1000, tenant_id=TENANT)}
            whole = [one for one in stored if set(query.split()) <= set(one.content.lower().rstrip(".").split())]
            part = {one.id for one, _ in best_texts(query, stored)}
            if not found <= part or (len(whole) <= 1000 - len(found & part) and not {one.id for one in whole} <= found):
                wrong.append(f"{name}: {query}")
    for depth in (1, 2, 3):
        walks = [walk(UUID(int=random.randint(1, nodes)), depth) for _ in range(times)]
        result.append(await timed(f"traversal, depth {depth}", database, connection, walks, "1 statement"))
    wrong += [f"{row.name}: {row.statements} statements" for row in result if row.statements != 1.0]
    await connection.close()
    await database.close()
    return result, wrong


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--url", help="an empty database; without it an embedded server is started")
    given = parser.parse_args()
    sizes = (10_000, 2_000, 10_000, 20) if given.quick else (100_000, 20_000, 100_000, 100)
    if given.url:
        rows, wrong = asyncio.run(measure(given.url, *sizes))
    else:
        with tempfile.TemporaryDirectory(prefix="focal-text-", ignore_cleanup_errors=True) as folder:
            # As root, PostgreSQL runs as another user, who must be let in.
            Path(folder).chmod(0o755)
            server = embedded.join(Path(folder) / "server", settings=SERVER)
            try:
                rows, wrong = asyncio.run(measure(server.url, *sizes))
            finally:
                embedded.leave(server)
    table = Table("what", "hits", "p50 ms", "p95 ms", "bare p50 ms", "statements", "target")
    for row in rows:
        figures = (f"{row.hits:,.1f}", *(f"{one:.2f}" for one in (row.p50, row.p95, row.bare_p50)))
        table.add_row(row.name, *figures, f"{row.statements:.1f}", row.target)
    Console(width=120).print(table)
    for one in wrong:
        print(f"wrong: {one}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
