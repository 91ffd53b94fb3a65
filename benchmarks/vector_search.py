"""What vector search on PostgreSQL costs, with its recall.

Rules of 1,536 dimensions: unit vectors with a common component, topic centres and a low-rank variation; queries are no
rows, and tenants know nothing of topics. The truth is computed by the server without any index. Without an opponent:
what answers faster by answering less is none. ``--quick`` leaves the tenants of 50,000 and 100,000 rows out.
"""

from __future__ import annotations

import math
import struct
import sys
import time
from array import array
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import cache
from operator import mul
from random import Random
from statistics import median, quantiles
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from harness import Given, Outcome, Server, main, opened, options
from opponent import Watching
from rich.table import Table

from focal_postgres import index
from focal_postgres.config import PostgresConfigStore
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
        self._common, self._topics, self._noise, self._variations = _world()

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


@cache
def _world() -> tuple[list[float], list[list[float]], list[list[float]], list[list[float]]]:
    """Return the common component, topics, noise and variations: one world, or queries would be strangers to rows."""
    world = Random(1)
    common, topics, noise = _direction(world), *([_direction(world) for _ in range(64)] for _ in range(2))
    ways = [_direction(world) for _ in range(24)]
    return common, topics, noise, [_mixed(world, ways) for _ in range(500)]


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


async def measure(
    database: Watching,
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
    database.seen.clear()
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
    plan = "index" if any(one.search for one in database.seen) else "all compared"
    statements = len(database.seen) / calls
    recall = hits / sum(map(len, nearest)) if any(nearest) else 1.0
    return Row(
        name, scope, plan, statements, median(middles), median(tails), min(tails), recall, fewest, wanted, within
    )


async def in_database(server: Server, sizes: dict[UUID, int], cases: Sequence[dict[str, Any]]) -> list[Row]:
    """Measure cases on a database of their own: the index is built after the load."""
    async with server.database() as url, opened(Watching(options(url))) as database, connected(url) as connection:
        await index.drop_index(options(url), "rule_vectors", MODEL, DIMS)
        start = time.perf_counter()
        await fill(connection, sizes)
        loaded = time.perf_counter()
        built = await index.create_index(options(url), "rule_vectors", MODEL, DIMS, memory="1GB")
        ready = time.perf_counter()
        await connection.execute("VACUUM ANALYZE focal.rules, focal.rule_vectors")
        if any(sizes.values()):
            print(
                f"{sum(sizes.values()):,} rows of {len(sizes)} tenants loaded in {loaded - start:.1f} s,"
                f" index of {built.bytes / 1e6:.0f} MB built in {ready - loaded:.1f} s",
                file=sys.stderr,
            )
        return [await measure(database, connection, **case) for case in cases]


async def run(server: Server, given: Given) -> Outcome:
    """Measure every scenario."""
    queries, rounds = given.of((200, 7), (60, 3), (10, 1))
    hundredth, (one, ten, rest, whole) = given.of(100, 100, 10), (UUID(int=number) for number in range(1, 5))
    common: dict[str, Any] = {"queries": queries, "rounds": rounds, "within": 5.0}
    total = f"{100 * hundredth:,} rules, a tenant of"
    near: dict[str, Any] = {"wanted": 0.98, **common}
    scenarios: list[tuple[dict[UUID, int], list[dict[str, Any]]]] = [
        ({}, [{"name": "an empty store", "tenants": [one], "scope": 0, "wanted": 1.0, **common}]),
        (
            {one: hundredth, ten: 10 * hundredth, rest: 89 * hundredth},
            [
                {"name": f"{total} 1 %", "tenants": [one], "scope": hundredth, **near},
                {"name": f"{total} 10 %", "tenants": [ten], "scope": 10 * hundredth, **near},
            ],
        ),
        (
            {whole: 100 * hundredth},
            [{"name": f"{total} 100 %", "tenants": [whole], "scope": 100 * hundredth, **near}],
        ),
    ]
    if given.size == "full":
        many = [UUID(int=number) for number in range(1, 201)]
        crowd = {"name": "50,000 rules of 200 tenants", "tenants": many, "scope": 250, "wanted": 0.99, **common}
        large = {"name": "100,000 rules of one tenant", "tenants": [whole], "scope": 100_000, "wanted": 0.95}
        scenarios += [(dict.fromkeys(many, 250), [crowd]), ({whole: 100_000}, [{**large, **common, "within": 25.0}])]
    rows = []
    for sizes, cases in scenarios:
        asked = [case for case in cases if given.only in case["name"]]
        rows += await in_database(server, sizes, asked) if asked else []
    problems = [
        f"{row.name}: recall {row.recall:.4f} of {row.wanted}, {row.fewest} rows at the fewest"
        for row in rows
        if row.recall < row.wanted or row.fewest < min(LIMIT, row.scope)
    ]
    below = [f"{row.name}: {row.best_p95:.2f} ms of {row.within:g}" for row in rows if row.best_p95 > row.within]
    return Outcome([table(rows)], [row._asdict() for row in rows], problems, below)


def table(rows: Sequence[Row]) -> Table:
    """Return the result as a table."""
    heads = (
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
    )
    table = Table(*heads, title="vector search over rules, 10 of 1,536 dimensions, one caller")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.scope:,}",
            row.plan,
            *(f"{figure:.2f}" for figure in (row.statements, row.p50, row.p95, row.best_p95)),
            f"{row.recall:.4f}{'' if row.recall >= row.wanted else f' below {row.wanted}'}",
            str(row.fewest),
            f"{row.within:g}: {'ok' if row.best_p95 <= row.within else 'over'}",
        )
    return table


if __name__ == "__main__":
    main(run, __doc__ or "", **SERVER)
