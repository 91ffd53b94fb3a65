"""What a bulk load of episodes costs.

``add_episodes`` with vectors of 1,536 dimensions against bare asyncpg, alternating in one process: COPY in binary into
the same two tables, keys, indexes and foreign key included, from records that are ready, in one transaction. The
opponent checks nothing, folds no text and knows no repeats; its columns for the text search are made beforehand.
The space of the vectors has no HNSW index, as it should not have while much is loaded: an insert into a living one
takes milliseconds (``focal db index`` builds it afterwards). Rows are counted after every round.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from functools import partial
from itertools import count
from random import Random
from typing import Any
from uuid import UUID, uuid4

from harness import Call, Figures, Given, Outcome, Server, compare, in_turn, judged, main, opened, options, table_of
from opponent import bare_pool

from focal_core.context import BackendContext
from focal_core.memory.models import Episode
from focal_postgres.database import Database
from focal_postgres.memory import PostgresMemoryStore
from focal_postgres.memory.tables import EPISODES
from focal_postgres.memory.text import text_columns

DIMS, MODEL, GROUP, WANTED = 1536, "no index yet", "agent:7", 20_000
SERVER = {"shared_buffers": "1GB", "max_wal_size": "8GB"}
SIDE = ["tenant_id", "id", "space_id", "group_id", "embedding"]


def words(seed: int) -> list[str]:
    """Return 5,000 words."""
    random = Random(seed)
    syllables = [first + second for first in "bcdfghklmnprstvwz" for second in "aeiou"]
    return ["".join(random.choices(syllables, k=random.randint(1, 4))) for _ in range(5_000)]


def episodes(tenant: UUID, size: int, seed: int) -> list[Episode]:
    """Return episodes of about 100 characters, each with a vector of its own."""
    random, known = Random(seed), words(1)
    base = [random.gauss(0.0, 1.0) for _ in range(DIMS + size)]
    return [
        Episode(
            tenant_id=tenant,
            group_id=GROUP,
            content=" ".join(random.choices(known, k=15)),
            embedding=tuple(base[n : n + DIMS]),
            embedding_model=MODEL,
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for n in range(size)
    ]


async def tsvectors(connection: Any) -> None:
    """Make a bare connection write tsvectors in binary."""

    def lexemes(found: list[str]) -> bytes:
        return struct.pack("!i", len(found)) + "".join(f"{one}\0\0\0" for one in found).encode()

    await connection.set_type_codec("tsvector", schema="pg_catalog", encoder=lexemes, decoder=bytes, format="binary")


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


async def measure(server: Server, given: Given) -> Outcome:
    """Load batches in turn, each for a tenant of its own that is removed afterwards."""
    batch, rounds = given.of((10_000, 6), (2_000, 3), (100, 1))
    seeds, problems = count(), []
    async with (
        server.database() as url,
        opened(Database(options(url), BackendContext())) as database,
        await bare_pool(url, 1, init=tsvectors) as pool,
        pool.acquire() as connection,
    ):
        store, space = PostgresMemoryStore(database), await database.spaces.id_of(MODEL, DIMS)

        async def loaded(system: str, tenant: UUID, call: Call) -> Figures:
            # What the last round left to be written is not this one's.
            await connection.execute("CHECKPOINT")
            figures = await in_turn([call], server.cpu, rows=batch)
            if (found := await counts(connection, tenant)) != [batch, batch]:
                problems.append(f"{system}: {found} rows of {batch}")
            await store.erase_tenant(tenant)
            await connection.execute("VACUUM focal.episodes")
            await connection.execute("VACUUM focal.episode_vectors")
            return figures

        async def by_focal() -> Figures:
            tenant = uuid4()
            return await loaded("focal", tenant, partial(store.add_episodes, episodes(tenant, batch, next(seeds))))

        async def by_copy() -> Figures:
            tenant = uuid4()
            given = episodes(tenant, batch, next(seeds))
            rows = [(*EPISODES.values(row, space), *text_columns(row)) for row in given]
            side = [(row.tenant_id, row.id, space, row.group_id, row.embedding) for row in given]
            return await loaded("bare COPY", tenant, partial(copied, connection, rows, side))

        systems = {"focal": by_focal, "bare COPY": by_copy}
        found = await compare(f"add_episodes, {batch:,} rows", systems, rounds)
    rate = max(one.rate for one in found.rounds["focal"])
    below = [f"{rate:,.0f} rows/s, wanted {WANTED:,}"] if rate < WANTED else []
    return Outcome([table_of([found], "rows")], [found.as_json()], problems, judged([found]) + below)


if __name__ == "__main__":
    main(measure, __doc__ or "", **SERVER)
