"""What vector search on PostgreSQL costs, with its recall: ``python benchmarks/vector_search.py [--quick] [--url U]``.

Rules of 1,536 dimensions: unit vectors with a common component, topic centres and a low-rank variation; queries are no
rows, and tenants know nothing of topics. The truth is computed by the server without any index. ``--quick`` leaves the
tenant of 100,000 rows out. Exit status 1 when a recall is under its floor or an answer is short.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import struct
import sys
import tempfile
import time
from array import array
from collections.abc import AsyncIterator, Iterator, Sequence
from operator import mul
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from rich.console import Console
from rich.table import Table

from focal_core.context import BackendContext
from focal_postgres import embedded, index, migrate
from focal_postgres.config import PostgresConfigStore
from focal_postgres.database import Database
from focal_postgres.settings import PostgresOptions
from focal_testkit.servers.postgres import connected

DIMS, MODEL, AGENT, LIMIT = 1536, "default", UUID(int=7), 10
SERVER = {"shared_buffers": "2GB", "fsync": "off", "synchronous_commit": "off", "max_wal_size": "8GB"}


class Row(NamedTuple):
    """One line of the result: times in milliseconds, of the median round and of the best."""

    name: str
    scope: int
    plan: str
    statements: float
    p50: float
    p95: float
    best_p95: float
    recall: float
    fewest: int
    wanted: float
    within: float


class Vectors:
    """Vectors as embedding models make them, without end."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        # One world for every seed, or queries would be strangers to the rows.
        world = Random(1)
        self._common = _direction(world)
        self._topics = [_direction(world) for _ in range(64)]
        self._noise = [_direction(world) for _ in range(64)]
        ways = [_direction(world) for _ in range(24)]
        self._variations = [_mixed(world, ways) for _ in range(500)]

    def __iter__(self) -> Iterator[list[float]]:
        random = self._random
        while True:
            parts = [self._common, random.choice(self._topics), *random.sample(self._variations, 4)]
            parts.append(random.choice(self._noise))
            p, q, r, s, u = (random.gauss(0.0, spread) for spread in (0.3, 0.3, 0.3, 0.3, 0.1))
            yield _unit(
                [
                    0.6 * common + 0.7 * topic + p * a + q * b + r * c + s * d + u * noise
                    for common, topic, a, b, c, d, noise in zip(*parts, strict=True)
                ]
            )


def _mixed(random: Random, ways: Sequence[list[float]]) -> list[float]:
    weights = [random.gauss(0.0, 1.0) for _ in ways]
    return _unit([sum(map(mul, weights, components)) for components in zip(*ways, strict=True)])


def _direction(random: Random) -> list[float]:
    return _unit([random.gauss(0.0, 1.0) for _ in range(DIMS)])


def _unit(vector: list[float]) -> list[float]:
    norm = math.hypot(*vector)
    return [component / norm for component in vector]


async def fill(connection: Any, sizes: dict[UUID, int]) -> None:
    """Put rules with vectors into the database, the tenants mixed."""
    tenants = [tenant for tenant, size in sizes.items() for _ in range(size)]
    Random(3).shuffle(tenants)
    vectors = iter(Vectors(2))
    for start in range(0, len(tenants), 2_000):
        keys = [(tenant, uuid4()) for tenant in tenants[start : start + 2_000]]
        await connection.execute(
            "INSERT INTO focal.rules (tenant_id, id, agent_id, name, condition_text, action_text,"
            " condition_embedding_model, condition_embedding_space_id)"
            " SELECT tenant, id, $3, 'rule', 'the customer asks', 'answer', 'default', 1"
            " FROM unnest($1::uuid[], $2::uuid[]) k (tenant, id)",
            [tenant for tenant, _ in keys],
            [id for _, id in keys],
            AGENT,
        )
        await connection.copy_to_table(
            "rule_vectors",
            schema_name="focal",
            columns=["tenant_id", "id", "space_id", "agent_id", "embedding"],
            source=_copied(keys, vectors),
            format="binary",
        )


async def _copied(keys: Sequence[tuple[UUID, UUID]], vectors: Iterator[list[float]]) -> AsyncIterator[bytes]:
    """Yield rows as COPY takes them: pgvector's type has no codec in the driver."""
    yield b"PGCOPY\n\xff\r\n\0" + bytes(8)
    for tenant, id in keys:
        components = array("f", next(vectors))
        if sys.byteorder == "little":
            components.byteswap()
        vector = struct.pack("!HH", DIMS, 0) + components.tobytes()
        fields = (tenant.bytes, id.bytes, struct.pack("!i", 1), AGENT.bytes, vector)
        yield struct.pack("!h", len(fields)) + b"".join(struct.pack("!i", len(one)) + one for one in fields)
    yield b"\xff\xff"


async def truth(connection: Any, tenant: UUID, query: Sequence[float]) -> set[UUID]:
    """Return the ids of the nearest rules, all of them compared."""
    rows = await connection.fetch(
        "SELECT id FROM focal.rule_vectors WHERE tenant_id = $1 AND agent_id = $2 AND space_id = 1"
        " ORDER BY embedding <=> (SELECT $3::float4[]::vector), id LIMIT $4",
        tenant,
        AGENT,
        query,
        LIMIT,
    )
    return {row["id"] for row in rows}


class Counting(Database):
    """Counts statements, and those that search through an index."""

    statements = 0
    searches = 0

    async def fetch(self, method: str, sql: str, *args: Any, replica: bool = False, search: bool = False) -> Any:
        """Run it as Database does."""
        self.statements += 1
        self.searches += search
        return await super().fetch(method, sql, *args, replica=replica, search=search)


async def measure(
    database: Counting,
    connection: Any,
    name: str,
    tenants: Sequence[UUID],
    scope: int,
    *,
    queries: int,
    rounds: int,
    wanted: float,
    within: float,
) -> Row:
    """Search for the same queries in every round; recall over all of them."""
    store = PostgresConfigStore(database)
    vectors = iter(Vectors(9))
    asked = [(tenants[number % len(tenants)], next(vectors)) for number in range(queries)]
    nearest = [await truth(connection, tenant, query) for tenant, query in asked]
    hits, fewest = 0, LIMIT
    for (tenant, query), true in zip(asked, nearest, strict=True):
        found = await store.vector_search_rules(query, tenant, AGENT, limit=LIMIT, embedding_model=MODEL)
        hits += len(true & {rule.id for rule, _ in found})
        fewest = min(fewest, len(found))
    database.statements = database.searches = 0
    middles, tails = [], []
    for _ in range(rounds):
        times = []
        for tenant, query in asked:
            start = time.perf_counter()
            await store.vector_search_rules(query, tenant, AGENT, limit=LIMIT, embedding_model=MODEL)
            times.append((time.perf_counter() - start) * 1000)
        middles.append(median(times))
        tails.append(quantiles(times, n=20)[-1])
    calls = queries * rounds
    plan = "index" if database.searches else "all compared"
    statements = database.statements / calls
    recall = hits / sum(map(len, nearest)) if any(nearest) else 1.0
    return Row(
        name, scope, plan, statements, median(middles), median(tails), min(tails), recall, fewest, wanted, within
    )


async def in_database(server_url: str, sizes: dict[UUID, int], cases: Sequence[dict[str, Any]]) -> list[Row]:
    """Measure cases on a database of their own: the index is built after the load."""
    name = f"focal_bench_{uuid4().hex}"
    async with connected(server_url) as connection:
        await connection.execute(f"CREATE DATABASE {name}")
    url = server_url.rpartition("/")[0] + f"/{name}"
    options = PostgresOptions(url=url)  # type: ignore[arg-type]
    try:
        await migrate.upgrade(options)
        await index.drop_index(options, "rule_vectors", MODEL, DIMS)
        async with connected(url) as connection:
            database = Counting(options, BackendContext())
            await database.open()
            try:
                start = time.perf_counter()
                await fill(connection, sizes)
                loaded = time.perf_counter()
                built = await index.create_index(options, "rule_vectors", MODEL, DIMS, memory="1GB")
                ready = time.perf_counter()
                await connection.execute("VACUUM ANALYZE focal.rules, focal.rule_vectors")
                if any(sizes.values()):
                    print(
                        f"{sum(sizes.values()):,} rows of {len(sizes)} tenants loaded in {loaded - start:.1f} s,"
                        f" index of {built.bytes / 1e6:.0f} MB built in {ready - loaded:.1f} s",
                        file=sys.stderr,
                    )
                return [await measure(database, connection, **case) for case in cases]
            finally:
                await database.close()
    finally:
        async with connected(server_url) as connection:
            await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def run(url: str, quick: bool) -> list[Row]:
    """Measure every scenario."""
    queries, rounds = (60, 3) if quick else (200, 7)
    one, ten, rest, whole = (UUID(int=number) for number in range(1, 5))
    common: dict[str, Any] = {"queries": queries, "rounds": rounds}
    ten_thousand = {"wanted": 0.98, "within": 5.0, **common}
    rows = await in_database(
        url, {}, [{"name": "an empty store", "tenants": [one], "scope": 0, "wanted": 1.0, "within": 5.0, **common}]
    )
    rows += await in_database(
        url,
        {one: 100, ten: 1_000, rest: 8_900},
        [
            {"name": "10,000 rules, a tenant of 1 %", "tenants": [one], "scope": 100, **ten_thousand},
            {"name": "10,000 rules, a tenant of 10 %", "tenants": [ten], "scope": 1_000, **ten_thousand},
        ],
    )
    rows += await in_database(
        url,
        {whole: 10_000},
        [{"name": "10,000 rules, a tenant of 100 %", "tenants": [whole], "scope": 10_000, **ten_thousand}],
    )
    if not quick:
        many = [UUID(int=number) for number in range(1, 201)]
        crowd = {"tenants": many, "scope": 250, "wanted": 0.99, "within": 5.0, **common}
        rows += await in_database(url, dict.fromkeys(many, 250), [{"name": "50,000 rules of 200 tenants", **crowd}])
        large = {"tenants": [whole], "scope": 100_000, "wanted": 0.95, "within": 25.0, **common}
        rows += await in_database(url, {whole: 100_000}, [{"name": "100,000 rules of one tenant", **large}])
    return rows


def show(rows: Sequence[Row]) -> bool:
    """Print the result, and return whether every answer was whole and near enough."""
    table = Table(
        *(
            "scenario",
            "in scope",
            "plan",
            "statements",
            "p50 ms",
            "p95 ms",
            "best p95",
            "recall",
            "fewest",
            "p95 within",
        ),
        title="vector search over rules, 10 of 1,536 dimensions, one caller",
    )
    fine = True
    for row in rows:
        whole = row.recall >= row.wanted and row.fewest >= min(LIMIT, row.scope)
        fine = fine and whole
        table.add_row(
            row.name,
            f"{row.scope:,}",
            row.plan,
            f"{row.statements:.2f}",
            f"{row.p50:.2f}",
            f"{row.p95:.2f}",
            f"{row.best_p95:.2f}",
            f"{row.recall:.4f}{'' if row.recall >= row.wanted else f' below {row.wanted}'}",
            str(row.fewest),
            f"{row.within:g}: {'ok' if row.best_p95 <= row.within else 'over'}",
        )
    Console(width=150).print(table)
    return fine


def main() -> None:
    """Measure on the given server, or on one of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--url", help="a server on which databases may be created")
    arguments = parser.parse_args()
    if arguments.url is not None:
        sys.exit(not show(asyncio.run(run(arguments.url, arguments.quick))))
    with tempfile.TemporaryDirectory(prefix="focal-bench-") as folder:
        # The server runs as another user when this is run as root.
        Path(folder).chmod(0o755)
        server = embedded.join(Path(folder) / "server", settings=SERVER)
        try:
            fine = show(asyncio.run(run(server.url, arguments.quick)))
        finally:
            embedded.leave(server)
    sys.exit(not fine)


if __name__ == "__main__":
    main()
