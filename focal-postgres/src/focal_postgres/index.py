"""Vector indexes: built, listed, dropped and advised on, as functions; ``focal db index`` on the command line.

An index is found by its name (``spaces.index_name``), the same that the migrations give it. Everything runs on a direct
connection, since a build takes as long as it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from focal_core.errors import ConfigurationError, FocalError, StoreError, StoreUnavailableError
from focal_postgres.migrations.session import MigrationSession, connected
from focal_postgres.settings import PostgresOptions
from focal_postgres.spaces import VECTOR_TABLES, Spaces, has_iterative_scans, index_name, indexed
from focal_postgres.vector import SMALL_SHARE

MAX_INDEXED = {"halfvec": 4_000, "vector": 2_000}
"""Dimensions an index of each storage type takes."""

POLL_SECONDS = 0.5

Progress = Callable[[str, float | None], None]
"""Told the phase of a build and its share done, 0.0 to 1.0; None where PostgreSQL does not say."""

_BUILDS = """
SELECT p.phase, p.blocks_done, p.blocks_total, p.tuples_done, p.tuples_total
FROM pg_stat_progress_create_index p WHERE p.pid = $1
"""
_INDEXES = """
SELECT c.relname AS name, t.relname AS "table", i.indisvalid AND i.indisready AS valid,
EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid) AS building,
greatest(c.reltuples, 0)::bigint AS rows, pg_relation_size(i.indexrelid) AS bytes,
coalesce(s.idx_scan, 0) AS scans, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = i.indexrelid
WHERE n.nspname = $1 AND starts_with(c.relname, 'hnsw_') ORDER BY t.relname, c.relname
"""


@dataclass(frozen=True)
class IndexState:
    """One vector index.

    Attributes:
        name: its name.
        table: the side table it is over.
        model: the embedding model of its space; None for a space that is gone.
        dims: length of its vectors.
        tenant: the only tenant in it; None = all.
        valid: whether searches use it.
        building: whether it is being built now.
        rows: vectors in it, as PostgreSQL estimates.
        bytes: its size.
        scans: searches that used it since the statistics were reset.
    """

    name: str
    table: str
    model: str | None
    dims: int | None
    tenant: UUID | None
    valid: bool
    building: bool
    rows: int
    bytes: int
    scans: int


@dataclass(frozen=True)
class Advice:
    """A tenant that is better off with an index of its own.

    Attributes:
        table: the side table.
        tenant: the tenant.
        model: the embedding model of the space.
        dims: length of its vectors.
        rows: vectors in the tenant's largest agent or group.
        share: how many of the shared index's rows those are, 0.0 to 1.0.
    """

    table: str
    tenant: UUID
    model: str
    dims: int
    rows: int
    share: float


async def create_index(
    options: PostgresOptions,
    table: str,
    model: str,
    dims: int,
    tenant: UUID | None = None,
    *,
    memory: str | None = None,
    progress: Progress | None = None,
) -> IndexState:
    """Build the index of an embedding space without blocking anyone, and return it; a valid one is left as it is.

    What an interrupted build has left is built anew. Load large amounts first and build afterwards: four times faster.

    Args:
        options: where and how.
        table: the side table, of ``spaces.VECTOR_TABLES``.
        model: the embedding model.
        dims: length of its vectors.
        tenant: builds this tenant's own index.
        memory: ``maintenance_work_mem`` of the build, such as ``"2GB"``; an index that does not fit into it is built
            far more slowly.
        progress: told how far it is, about twice a second.

    Raises:
        ConfigurationError: there is no such table, or no index takes vectors of this length.
        StoreUnavailableError: no connection, or the index is being built by another session.
        StoreError: pgvector is too old, or the built index is not valid.
    """
    _check_table(table)
    async with connected(options) as session:
        version = await _value(session, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
        if not has_iterative_scans(version):
            raise StoreError(
                f"pgvector is {version}, a vector index needs 0.8 or later",
                code="pgvector_outdated",
                hint="upgrade pgvector, then ALTER EXTENSION vector UPDATE; until then searches compare all vectors",
            )
        space_id, storage = await _space(session, model, dims)
        if dims > MAX_INDEXED.get(storage, 0):
            raise ConfigurationError(
                f"vectors of {dims} dimensions stored as {storage} cannot be indexed",
                code="dimensions_unindexable",
                hint="searches compare all of them; a model of at most 4,000 dimensions can have an index",
            )
        name = index_name(table, space_id, tenant)
        found = await _state(session, name)
        if found is not None and found.building:
            raise StoreUnavailableError(
                f"index {name} is being built by another session", code="index_building", hint="wait for it"
            )
        if found is None or not found.valid:
            await _run(session, "SELECT set_config('lock_timeout', '0', false)")
            if memory is not None:
                await _run(session, "SELECT set_config('maintenance_work_mem', $1, false)", memory)
            if found is not None:
                await _run(session, f"DROP INDEX CONCURRENTLY {session.schema}.{name}")
            condition = f"space_id = {space_id}" + ("" if tenant is None else f" AND tenant_id = '{tenant}'")
            await _build(
                session,
                f"CREATE INDEX CONCURRENTLY {name} ON {session.schema}.{table}"
                f" USING hnsw (({indexed('embedding', storage, dims)}) {storage}_cosine_ops) WHERE {condition}",
                progress,
            )
            found = await _state(session, name)
        Spaces.indexes_changed()
        if found is None or not found.valid:
            raise StoreError(f"index {name} is not valid", code="index_invalid", hint="create it again")
        return found


async def drop_index(options: PostgresOptions, table: str, model: str, dims: int, tenant: UUID | None = None) -> bool:
    """Drop an index without blocking anyone; False when there is none. Arguments as of ``create_index``.

    Raises:
        ConfigurationError: there is no such table.
        StoreUnavailableError: no connection.
    """
    _check_table(table)
    async with connected(options) as session:
        space_id = await _value(
            session, f"SELECT id FROM {session.schema}.embedding_spaces WHERE model = $1 AND dims = $2", model, dims
        )
        name = None if space_id is None else index_name(table, space_id, tenant)
        if name is None or await _state(session, name) is None:
            return False
        await _run(session, "SELECT set_config('lock_timeout', '0', false)")
        await _run(session, f"DROP INDEX CONCURRENTLY IF EXISTS {session.schema}.{name}")
        Spaces.indexes_changed()
        return True


async def list_indexes(options: PostgresOptions) -> list[IndexState]:
    """Return the vector indexes by table and name, those that are not valid as well.

    Raises:
        StoreUnavailableError: no connection.
    """
    async with connected(options) as session:
        return await _states(session)


async def advise(options: PostgresOptions) -> list[Advice]:
    """Return the tenants that are better off with an index of their own, largest first; counts every vector.

    Those are tenants with an agent or group of more than ``exact_search_max_rows`` vectors that make up less than 15 %
    of the shared index: too many to compare all, too few for a scan of an index that holds everybody's.

    Raises:
        StoreUnavailableError: no connection.
    """
    advice = []
    async with connected(options) as session:
        names = {state.name for state in await _states(session) if state.valid}
        for table in VECTOR_TABLES:
            partition = "agent_id" if table in ("rule_vectors", "scenario_vectors") else "group_id"
            rows = await _run(
                session,
                f"WITH scopes AS (SELECT space_id, tenant_id, {partition}, count(*) AS rows"
                f" FROM {session.schema}.{table} GROUP BY 1, 2, 3),"
                " totals AS (SELECT space_id, sum(rows) AS total FROM scopes GROUP BY 1)"
                " SELECT s.id, s.model, s.dims, x.tenant_id, max(x.rows) AS rows, max(x.rows) / max(t.total) AS share"
                f" FROM scopes x JOIN totals t USING (space_id) JOIN {session.schema}.embedding_spaces s"
                " ON s.id = x.space_id WHERE x.rows > $1 AND x.rows < $2 * t.total GROUP BY 1, 2, 3, 4",
                options.exact_search_max_rows,
                SMALL_SHARE,
            )
            advice += [
                Advice(table, row["tenant_id"], row["model"], row["dims"], row["rows"], float(row["share"]))
                for row in rows
                if index_name(table, row["id"], row["tenant_id"]) not in names and row["dims"] <= MAX_INDEXED["halfvec"]
            ]
    return sorted(advice, key=lambda one: one.rows, reverse=True)


def _check_table(table: str) -> None:
    if table not in VECTOR_TABLES:
        raise ConfigurationError(
            f"{table!r} holds no vectors", code="table_unknown", hint=f"one of: {', '.join(VECTOR_TABLES)}"
        )


async def _space(session: MigrationSession, model: str, dims: int) -> tuple[int, str]:
    """Return id and storage of a space, entered if it is new."""
    table = f"{session.schema}.embedding_spaces"
    await _run(
        session,
        f"INSERT INTO {table} (model, dims, metric) VALUES ($1, $2, 'cosine') ON CONFLICT DO NOTHING",
        model,
        dims,
    )
    row = (await _run(session, f"SELECT id, storage FROM {table} WHERE model = $1 AND dims = $2", model, dims))[0]
    return row["id"], row["storage"]


async def _states(session: MigrationSession) -> list[IndexState]:
    spaces = {
        row["id"]: (row["model"], row["dims"])
        for row in await _run(session, f"SELECT id, model, dims FROM {session.schema}.embedding_spaces")
    }
    found = []
    for row in await _run(session, _INDEXES, session.schema):
        space, _, tenant = row["name"].removeprefix(f"hnsw_{row['table']}_").partition("_")
        model, dims = spaces.get(int(space), (None, None)) if space.isdigit() else (None, None)
        found.append(
            IndexState(
                row["name"],
                row["table"],
                model,
                dims,
                UUID(tenant) if len(tenant) == 32 else None,
                row["valid"],
                row["building"],
                row["rows"],
                row["bytes"],
                row["scans"],
            )
        )
    return found


async def _state(session: MigrationSession, name: str) -> IndexState | None:
    return next((state for state in await _states(session) if state.name == name), None)


async def _build(session: MigrationSession, statement: str, progress: Progress | None) -> None:
    if progress is None:
        await _run(session, statement)
        return
    watcher = asyncio.ensure_future(_watch(session, progress))
    try:
        await _run(session, statement)
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError, FocalError):
            await watcher


async def _watch(session: MigrationSession, progress: Progress) -> None:
    pid = session.connection.get_server_pid()
    async with connected(session.options) as other:
        while True:
            for row in await _run(other, _BUILDS, pid):
                done, total = row["tuples_done"], row["tuples_total"]
                if not total:
                    done, total = row["blocks_done"], row["blocks_total"]
                progress(row["phase"], done / total if total else None)
            await asyncio.sleep(POLL_SECONDS)


async def _run(session: MigrationSession, statement: str, *args: Any) -> list[Any]:
    try:
        return await session.connection.fetch(statement, *args)  # type: ignore[no-any-return]
    except Exception as error:
        raise session.ours(error) from None


async def _value(session: MigrationSession, statement: str, *args: Any) -> Any:
    rows = await _run(session, statement, *args)
    return rows[0][0] if rows else None
