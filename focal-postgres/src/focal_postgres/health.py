"""What a look at a PostgreSQL server tells: version, schema, pgvector, durability, indexes, connections."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from focal_core.errors import FocalError
from focal_core.health import CheckResult
from focal_postgres.database import Database
from focal_postgres.preflight import check_schema

if TYPE_CHECKING:
    from focal_postgres.embedded import EmbeddedServer

OLDEST_PGVECTOR = (0, 8)
"""The first with iterative scans; with older ones every search is exact."""

_LOOK = """
SELECT current_setting('server_version') AS server,
       (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS pgvector,
       current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       pg_is_in_recovery() AS standby,
       (SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_index i
        JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND NOT i.indisvalid) AS invalid_indexes,
       extract(epoch FROM clock_timestamp())::float8 AS epoch
"""


async def look(database: Database, server: EmbeddedServer | None = None) -> dict[str, CheckResult]:
    """Return what was seen, by name; one statement.

    Args:
        database: an open database.
        server: the embedded server it runs on, if it does.

    Raises:
        StoreUnavailableError: no answer.
    """
    started = perf_counter()
    row = (await database.fetch("health", _LOOK, database.schema))[0]
    where = "" if server is None else f", embedded in {server.folder} (pid {server.pid})"
    pgvector = row["pgvector"]
    durable = {name: row[name] for name in ("fsync", "full_page_writes", "synchronous_commit")}
    skew = abs(database.context.clock.now().timestamp() - row["epoch"])
    return {
        "connection": CheckResult(
            ok=not row["standby"],
            detail=f"PostgreSQL {row['server']}{where}{', a standby' if row['standby'] else ''}",
            latency_ms=(perf_counter() - started) * 1000,
        ),
        "schema": await _schema(database),
        "pgvector": CheckResult(
            ok=pgvector is not None and _version(pgvector) >= OLDEST_PGVECTOR,
            detail="not installed" if pgvector is None else f"{pgvector}{_exact_only(pgvector)}",
        ),
        "durability": CheckResult(
            ok=all(value != "off" for value in durable.values()),
            detail=", ".join(f"{name} = {value}" for name, value in durable.items()),
        ),
        "indexes": CheckResult(
            ok=row["invalid_indexes"] is None,
            detail=f"invalid: {row['invalid_indexes']}" if row["invalid_indexes"] else "all valid",
        ),
        "clock": CheckResult(ok=skew <= 1.0, detail=f"{skew:.1f} s apart from the database"),
        "row_level_security": CheckResult(ok=True, detail="on" if database.options.row_level_security else "off"),
        "pool": CheckResult(ok=True, detail=", ".join(f"{count} {name}" for name, count in database.counts.items())),
    }


async def _schema(database: Database) -> CheckResult:
    try:
        await check_schema(database)
    except FocalError as error:
        return CheckResult(ok=False, detail=f"{error}; {error.hint}")
    return CheckResult(ok=True, detail="up to date")


def _exact_only(version: str) -> str:
    return "" if _version(version) >= OLDEST_PGVECTOR else "; before 0.8 every search is exact"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
