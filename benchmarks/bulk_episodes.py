"""What a bulk load of episodes costs: ``python benchmarks/bulk_episodes.py [--quick] [--url URL]``.

``add_episodes`` with vectors of 1,536 dimensions against bare asyncpg, alternating in one process: COPY in binary into
the same two tables, keys, indexes and foreign key included, from records that are ready, in one transaction. The
opponent checks nothing, folds no text and knows no repeats; its columns for the text search are made beforehand.
The space of the vectors has no HNSW index, as it should not have while much is loaded: an insert into a living one
takes milliseconds (``focal db index`` builds it afterwards). Rows are counted after every round. Exit status 1 when a
count is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from rich.console import Console
from rich.table import Table

from focal_core.context import BackendContext
from focal_core.memory.models import Episode
from focal_postgres import embedded, migrate
from focal_postgres.database import Database
from focal_postgres.memory import PostgresMemoryStore
from focal_postgres.memory.tables import EPISODES
from focal_postgres.memory.text import text_columns
from focal_postgres.settings import PostgresOptions

DIMS, MODEL, GROUP = 1536, "no index yet", "agent:7"
SERVER = {"shared_buffers": "1GB", "max_wal_size": "8GB"}
SIDE = ["tenant_id", "id", "space_id", "group_id", "embedding"]


def words(seed: int) -> list[str]:
    """Return 5,000 words."""
    random = Random(seed)
    syllables = [first + second for first in "bcdfghklmnprstvwz" for second in "aeiou"]
    return ["".join(random.choices(syllables, k=random.randint(1, 4))) for _ in range(5_000)]


def episodes(tenant: UUID, count: int, seed: int) -> list[Episode]:
    """Return episodes of about 100 characters, each with a vector of its own."""
    random, known = Random(seed), words(1)
    base = [random.gauss(0.0, 1.0) for _ in range(DIMS + count)]
    return [
        Episode(
            tenant_id=tenant,
            group_id=GROUP,
            content=" ".join(random.choices(known, k=15)),
            embedding=tuple(base[n : n + DIMS]),
            embedding_model=MODEL,
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for n in range(count)
    ]


async def bare(url: str) -> asyncpg.Connection[asyncpg.Record]:
    """Return a connection that writes vectors and tsvectors in binary."""
    connection = await asyncpg.connect(url)

    def vector(components: tuple[float, ...]) -> bytes:
        return struct.pack(f"!HH{len(components)}f", len(components), 0, *components)

    def lexemes(found: list[str]) -> bytes:
        return struct.pack("!i", len(found)) + "".join(f"{one}\0\0\0" for one in found).encode()

    await connection.set_type_codec("vector", schema="public", encoder=vector, decoder=bytes, format="binary")
    await connection.set_type_codec("tsvector", schema="pg_catalog", encoder=lexemes, decoder=bytes, format="binary")
    return connection


async def copied(connection: Any, rows: list[tuple[Any, ...]], side: list[tuple[Any, ...]]) -> None:
    """Copy ready records into both tables."""
    columns = [*EPISODES.names, "content_folded", "content_tsv"]
    async with connection.transaction():
        await connection.copy_records_to_table("episodes", schema_name="focal", columns=columns, records=rows)
        await connection.copy_records_to_table("episode_vectors", schema_name="focal", columns=SIDE, records=side)


async def counts(connection: Any, tenant: UUID) -> list[int]:
    """Return the rows of a tenant in both tables."""
    tables = ("episodes", "episode_vectors")
    return [
        await connection.fetchval(f"SELECT count(*) FROM focal.{one} WHERE tenant_id = $1", tenant) for one in tables
    ]


async def measure(url: str, batch: int, rounds: int) -> tuple[dict[str, list[float]], bool]:
    """Return the seconds of each round of both ways, and whether every row arrived."""
    options = PostgresOptions.model_validate({"url": url, "pool_size": 2})
    await migrate.upgrade(options)
    database = Database(options, BackendContext())
    await database.open()
    store, connection = PostgresMemoryStore(database), await bare(url)
    space = await database.spaces.id_of(MODEL, DIMS)
    taken: dict[str, list[float]] = {"add_episodes": [], "bare COPY": []}
    whole = True
    for number in range(rounds):
        tenants = [uuid4(), uuid4()]
        ours, theirs = (episodes(tenant, batch, number) for tenant in tenants)
        rows = [(*EPISODES.values(row, space), *text_columns(row)) for row in theirs]
        side = [(row.tenant_id, row.id, space, row.group_id, row.embedding) for row in theirs]
        ways: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
            ("add_episodes", partial(store.add_episodes, ours)),
            ("bare COPY", partial(copied, connection, rows, side)),
        ]
        for name, call in ways if number % 2 else reversed(ways):
            # What the last round left to be written is not this one's.
            await connection.execute("CHECKPOINT")
            start = time.perf_counter()
            await call()
            taken[name].append(time.perf_counter() - start)
        for tenant in tenants:
            whole = whole and await counts(connection, tenant) == [batch, batch]
            await store.erase_tenant(tenant)
        await connection.execute("VACUUM focal.episodes")
        await connection.execute("VACUUM focal.episode_vectors")
    await connection.close()
    await database.close()
    return taken, whole


def report(taken: dict[str, list[float]], batch: int) -> None:
    """Print rows per second."""
    table = Table("way", "rows", "median rows/s", "best rows/s", "of bare", "target")
    bare_best, bare_median = min(taken["bare COPY"]), median(taken["bare COPY"])
    for name, seconds in taken.items():
        ratio = f"{bare_median / median(seconds):.2f} median, {bare_best / min(seconds):.2f} best"
        target = "20,000 rows/s; 0.80 of bare" if name == "add_episodes" else ""
        rates = f"{batch / median(seconds):,.0f}", f"{batch / min(seconds):,.0f}"
        table.add_row(name, f"{batch:,}", *rates, ratio, target)
    Console().print(table)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="2,000 rows, 2 rounds")
    parser.add_argument("--url", help="an empty database; without it an embedded server is started")
    given = parser.parse_args()
    batch, rounds = (2_000, 2) if given.quick else (10_000, 6)
    if given.url:
        taken, whole = asyncio.run(measure(given.url, batch, rounds))
    else:
        with tempfile.TemporaryDirectory(prefix="focal-bulk-") as folder:
            # As root, PostgreSQL runs as another user, who must be let in.
            Path(folder).chmod(0o755)
            server = embedded.join(Path(folder) / "server", settings=SERVER)
            try:
                taken, whole = asyncio.run(measure(server.url, batch, rounds))
            finally:
                embedded.leave(server)
    report(taken, batch)
    if not whole:
        print("rows are missing", file=sys.stderr)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
