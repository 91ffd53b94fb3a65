"""Bare asyncpg as a careful person would use it, and what it takes to send the very statements that focal sends."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

import asyncpg
from pydantic_core import from_json

from focal_core.base import FocalModel
from focal_core.context import BackendContext
from focal_core.values import Float32Vector
from focal_postgres.database import Database
from focal_postgres.layout import Layout
from focal_postgres.settings import PostgresOptions
from focal_postgres.transaction import Record

M = TypeVar("M", bound=FocalModel)


async def bare_pool(
    url: str,
    size: int = 2,
    read: Callable[[bytes], Any] = from_json,
    init: Callable[[Any], Awaitable[None]] | None = None,
) -> Any:
    """Return asyncpg's own pool at its best: full, no reset, statements kept, vectors and JSON in binary.

    Args:
        url: of a database with pgvector.
        size: connections.
        read: what becomes of JSON.
        init: what else a new connection needs.
    """

    async def nothing(connection: Any) -> None:
        """Leave the connection as it is."""

    def written(text: str) -> bytes:
        return b"\1" + text.encode()

    def found(data: bytes) -> Any:
        return read(data[1:])

    async def prepare(connection: Any) -> None:
        for name, schema, encoder, decoder in (
            ("jsonb", "pg_catalog", written, found),
            ("json", "pg_catalog", str.encode, read),
            ("vector", "public", packed, unpacked),
        ):
            await connection.set_type_codec(name, schema=schema, encoder=encoder, decoder=decoder, format="binary")
        if init is not None:
            await init(connection)

    return await asyncpg.create_pool(
        url,
        min_size=size,
        max_size=size,
        reset=nothing,
        init=prepare,
        max_inactive_connection_lifetime=0,
        max_cached_statement_lifetime=0,
        max_cacheable_statement_size=0,
        server_settings={"jit": "off", "max_parallel_workers_per_gather": "0"},
    )


def packed(vector: Sequence[float]) -> bytes:
    """Return a vector as pgvector receives it."""
    return struct.pack(f"!HH{len(vector)}f", len(vector), 0, *vector)


def unpacked(data: bytes) -> Float32Vector:
    """Return the vector that pgvector sent."""
    components = array("f", data[4:])
    if sys.byteorder == "little":
        components.byteswap()
    return Float32Vector(components, data[4:])


def model(layout: Layout[M], row: Any, first: int = 0) -> M:
    """Return the model whose columns begin somewhere in an opponent's row: one validation, nothing else."""
    names = _names(layout)
    found = dict(zip(names, row[first : first + len(names)], strict=True))
    if layout.vector_field is not None and (data := row[first + len(names)]) is not None:
        found[layout.vector_field] = data if isinstance(data, tuple) else unpacked(data)
    return layout.model.model_validate(found)


@cache
def _names(layout: Layout[Any]) -> list[str]:
    return [one.field for one in layout.columns]


class Statement(NamedTuple):
    """One that focal sent."""

    way: str
    sql: str
    args: tuple[Any, ...]
    search: bool = False


class Watching(Database):
    """Remembers the statements it runs."""

    def __init__(self, options: PostgresOptions) -> None:
        super().__init__(options, BackendContext())
        self.seen: list[Statement] = []

    async def fetch(self, method: str, sql: str, *args: Any, search: bool = False, **others: Any) -> list[Record]:
        """Run it as Database does."""
        self.seen.append(Statement("fetch", sql, args, search))
        return await super().fetch(method, sql, *args, search=search, **others)

    async def fetchrow(self, method: str, sql: str, *args: Any, **others: Any) -> Record | None:
        """Run it as Database does."""
        self.seen.append(Statement("fetchrow", sql, args))
        return await super().fetchrow(method, sql, *args, **others)

    async def write(self, method: str, sql: str, *args: Any, **others: Any) -> list[Record]:
        """Run it as Database does."""
        self.seen.append(Statement("fetch", sql, args))
        return await super().write(method, sql, *args, **others)
