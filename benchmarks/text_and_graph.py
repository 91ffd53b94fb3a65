"""What text search and traversal on PostgreSQL cost.

100,000 episodes of one group, and as many of other groups and tenants with the same words; 20,000 entities with
100,000 relationships. Rounds of calls alternate with rounds of their own statements on a bare asyncpg connection, which
makes the same models of the rows in one validation each, in any order. What is found is compared with what the contents
say, and each call takes one statement.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate
from random import Random
from typing import Any
from uuid import UUID

from harness import Call, Given, Outcome, Server, compare, in_turn, judged, main, opened, options, table_of
from opponent import Statement, Watching, bare_pool, model

from focal_core.context import BackendContext
from focal_core.memory.models import Episode
from focal_core.memory.search import best_texts
from focal_postgres.database import Database
from focal_postgres.memory import PostgresMemoryStore
from focal_postgres.memory.tables import ENTITIES, EPISODES, RELATIONSHIPS

TENANT, OTHER, GROUP = UUID(int=1), UUID(int=2), "agent:7"
START = datetime(2026, 1, 1, tzinfo=UTC)
SERVER = {"shared_buffers": "1GB", "fsync": "off", "synchronous_commit": "off", "max_wal_size": "8GB"}
VOCABULARY = 20_000


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


async def bare(connection: Any, statement: Statement, made: Callable[[Sequence[Any]], Any]) -> Any:
    """Return what the opponent answers."""
    return made(await connection.fetch(statement.sql, *statement.args))


Query = Callable[[PostgresMemoryStore], Awaitable[list[Any]]]


def search(query: str) -> Query:
    """Return a text search."""
    return lambda store: store.text_search_episodes(query, GROUP, tenant_id=TENANT)


def walk(start: UUID, depth: int) -> Query:
    """Return a traversal."""
    return lambda store: store.traverse_from_entities([start], GROUP, depth, tenant_id=TENANT)


def hits_of(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return what the opponent makes of the rows of a traversal: entities first, then relationships, of each kind."""
    behind = 3 + len(ENTITIES.columns) + 1
    edges = {row[behind + _ID]: model(RELATIONSHIPS, row, behind) for row in rows if row[0] == 1}
    return [
        {"entity": model(ENTITIES, row, 3), "distance": row[1], "via": [edges[id] for id in row[2]]}
        for row in rows
        if row[0] == 0
    ]


def episodes_of(rows: Sequence[Any]) -> list[Episode]:
    """Return what the opponent makes of the rows of a text search."""
    return [model(EPISODES, row, 1) for row in rows]


_ID = RELATIONSHIPS.names.index("id")


def misleads(query: str, stored: Sequence[Episode], found: set[UUID]) -> bool:
    """Return whether a search has found what does not match, or left out what matches as a whole."""
    whole = {one.id for one in stored if set(query.split()) <= set(one.content.lower().rstrip(".").split())}
    part = {one.id for one, _ in best_texts(query, stored)}
    return not found <= part or (len(whole) <= 1000 - len(found & part) and not whole <= found)


async def measure(server: Server, given: Given) -> Outcome:
    """Compare searches and traversals."""
    rows, nodes, edges = given.of((100_000, 20_000, 100_000), (10_000, 2_000, 10_000), (1_000, 200, 1_000))
    times, rounds = given.of((100, 5), (20, 5), (5, 1))
    words, random = vocabulary(), Random(4)
    stored = episodes(words, rows, TENANT, [GROUP], 1)

    def some(low: int, high: int, size: int) -> list[str]:
        return [" ".join(random.sample(words[low:high], size)) for _ in range(times)]

    searches = {
        "two words of one episode": [
            " ".join(random.sample(one.content[:-1].lower().split(), 2)) for one in random.sample(stored, times)
        ],
        "two frequent words": some(20, 120, 2),
        "one rare word": some(5_000, 20_000, 1),
        "one word of 1 % of the episodes": some(100, 140, 1),
        "the most frequent words": [one for one in words[:5] for _ in range(times // 5)],
        "a word that is nowhere": [f"{one}x" for one in some(0, 20_000, 1)],
    }
    within = {"two words of one episode", "two frequent words", "one rare word", "a word that is nowhere"}
    queries: dict[str, list[Query]] = {name: [search(one) for one in asked] for name, asked in searches.items()}
    for depth in (1, 2, 3):
        starts = [UUID(int=random.randint(1, nodes)) for _ in range(times)]
        queries[f"traversal, depth {depth}"] = [walk(start, depth) for start in starts]
    problems: list[str] = []
    async with (
        server.database() as url,
        opened(Watching(options(url))) as watching,
        opened(Database(options(url), BackendContext())) as database,
        await bare_pool(url, 1) as pool,
        pool.acquire() as connection,
    ):
        seen, store = PostgresMemoryStore(watching), PostgresMemoryStore(database)
        await store.add_episodes(stored)
        await store.add_episodes(episodes(words, rows // 2, TENANT, [f"session:{n}" for n in range(500)], 2))
        await store.add_episodes(episodes(words, rows // 2, OTHER, [GROUP], 3))
        await load_graph(connection, nodes, edges)
        await connection.execute("VACUUM ANALYZE")
        for name, asked in searches.items():
            for query in asked[:2]:
                found = await store.text_search_episodes(query, GROUP, 1000, tenant_id=TENANT)
                if misleads(query, stored, {one.id for one in found}):
                    problems.append(f"{name}: {query}")
        comparisons = []
        for name in filter(lambda name: given.only in name, queries):
            hits, statements = 0, []
            for query in queries[name]:
                watching.seen.clear()
                hits += len(await query(seen))
                statements += watching.seen
            if len(statements) != times:
                problems.append(f"{name}: {len(statements)} statements in {times} calls")
            ours: list[Call] = [partial(query, store) for query in queries[name]]
            made = hits_of if name.startswith("traversal") else episodes_of
            theirs: list[Call] = [partial(bare, connection, one, made) for one in statements]
            comparisons.append(
                await compare(
                    f"{name} ({hits / times:.1f} hits)",
                    {
                        "focal": partial(in_turn, ours, server.cpu),
                        "bare asyncpg": partial(in_turn, theirs, server.cpu),
                    },
                    rounds,
                    within=3.0 if name in within else None,
                )
            )
    table = table_of(comparisons, f"text search over {rows:,} episodes, traversal of {edges:,} edges")
    return Outcome([table], [one.as_json() for one in comparisons], problems, judged(comparisons))


if __name__ == "__main__":
    main(measure, __doc__ or "", **SERVER)
