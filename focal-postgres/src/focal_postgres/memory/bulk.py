"""Many episodes at once, through COPY in binary: parents and vectors as two streams of one transaction."""

from __future__ import annotations

import asyncio
import functools
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from focal_core.errors import DuplicateError
from focal_core.memory.models import Episode
from focal_core.memory.rules import refuse_unless_repeat
from focal_core.memory.store.episodes import EpisodeStore
from focal_postgres.database import Connection
from focal_postgres.memory.tables import EPISODES, MemoryTables
from focal_postgres.memory.text import text_columns

CHUNK_ROWS = 10_000
CHUNK_COMPONENTS = 16_000_000
"""Rows and vector components (64 MB) that go into one pair of COPY statements."""

_PIECE = 262_144
"""Bytes that are handed over at a time; others run in between."""

_TURN = 256
"""Episodes that are checked before others run."""

_ATTEMPTS = 3
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UUID_OID, _ONE_DIMENSION = 2950, 1
_NO_POSITIONS = "\0\0\0"
"""Ends a lexeme of a tsvector: the zero of a C string, and a count of two bytes."""

Key = tuple[UUID, UUID]
"""(tenant, id)."""


class PostgresEpisodeLoad(MemoryTables, EpisodeStore):
    """``add_episodes``."""

    async def add_episodes(self, episodes: Sequence[Episode]) -> list[UUID]:
        rows: dict[Key, Episode] = {}
        for number, episode in enumerate(episodes, start=1):
            row, _ = self.admitted(episode)
            if number % _TURN == 0:
                await asyncio.sleep(0)
            first = rows.setdefault((row.tenant_id, row.id), row)
            if first is not row:
                refuse_unless_repeat(row, first)
        spaces = {
            (row.embedding_model, len(row.embedding)) for row in rows.values() if row.embedding and row.embedding_model
        }
        numbers = {space: await self.database.spaces.id_of(*space) for space in spaces}
        # Looked up only when the database has met one: that a batch is new is the normal case.
        look = False
        for attempt in range(_ATTEMPTS):
            try:
                await self._load(list(rows.values()), numbers, look=look)
                break
            except DuplicateError as error:
                if error.details.get("constraint") != "pk_episodes" or attempt == _ATTEMPTS - 1:
                    raise
                look = True
        return [episode.id for episode in episodes]

    async def _load(self, rows: list[Episode], spaces: Mapping[tuple[str, int], int], *, look: bool) -> None:
        async def work(connection: Connection) -> None:
            for chunk in _chunks(rows):
                new = await self._new(connection, chunk) if look else chunk
                placed = [(row, _space(row, spaces)) for row in new]
                await connection.copy_to_table(
                    EPISODES.table,
                    schema_name=self.schema,
                    columns=[*EPISODES.names, "content_folded", "content_tsv"],
                    source=_stream(_parent(row, space) for row, space in placed),
                    format="binary",
                )
                await connection.copy_to_table(
                    EPISODES.vectors,
                    schema_name=self.schema,
                    columns=["tenant_id", "id", "space_id", "group_id", "embedding"],
                    source=_stream(_side(row, space) for row, space in placed if space is not None),
                    format="binary",
                )

        await self.database.transaction("add_episodes", work, bulk=True, repeat=True)

    async def _new(self, connection: Connection, rows: list[Episode]) -> list[Episode]:
        """Return the rows that are not stored; those that are must be repeats."""
        records = await connection.fetch(
            f"SELECT {EPISODES.select()} FROM unnest($1::uuid[], $2::uuid[]) k (tenant_id, id)"
            f" JOIN {EPISODES.source(self.schema)} ON r.tenant_id = k.tenant_id AND r.id = k.id",
            [row.tenant_id for row in rows],
            [row.id for row in rows],
        )
        stored = {(one.tenant_id, one.id): one for one in map(EPISODES.load, records)}
        new = []
        for row in rows:
            if (found := stored.get((row.tenant_id, row.id))) is None:
                new.append(row)
            else:
                refuse_unless_repeat(row, found)
        return new


def _chunks(rows: Sequence[Episode]) -> Iterable[list[Episode]]:
    chunk: list[Episode] = []
    components = 0
    for row in rows:
        size = len(row.embedding or ())
        if chunk and (len(chunk) == CHUNK_ROWS or components + size > CHUNK_COMPONENTS):
            yield chunk
            chunk, components = [], 0
        chunk.append(row)
        components += size
    if chunk:
        yield chunk


def _space(row: Episode, spaces: Mapping[tuple[str, int], int]) -> int | None:
    return None if row.embedding is None else spaces[str(row.embedding_model), len(row.embedding)]


async def _stream(rows: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield a COPY stream in pieces."""
    piece, size = [_HEADER], 0
    for row in rows:
        piece.append(row)
        size += len(row)
        if size > _PIECE:
            yield b"".join(piece)
            piece, size = [], 0
    yield b"".join([*piece, _TRAILER])


def _parent(row: Episode, space_id: int | None) -> bytes:
    """Return the row of the parent table as COPY takes it."""
    folded, lexemes = text_columns(row)
    fields = [_PARENT_FIELDS]
    for value, pack in zip(EPISODES.values(row, space_id), _PACKS, strict=True):
        fields.append(_NULL if value is None else pack(value))
    vector = (_NO_POSITIONS.join(lexemes) + _NO_POSITIONS).encode()
    fields += (_text(folded), _LENGTHS.pack(len(vector) + 4, len(lexemes)), vector)
    return b"".join(fields)


def _side(row: Episode, space_id: int | None) -> bytes:
    """Return the row of the side table as COPY takes it."""
    vector = row.embedding or ()
    size, label = len(vector), row.group_id.encode()
    return b"".join(
        (
            _SIDE_HEAD.pack(5, 16, row.tenant_id.bytes, 16, row.id.bytes, 4, space_id, len(label)),
            label,
            _VECTOR_HEAD.pack(4 + 4 * size, size, 0),
            _components(size).pack(*vector),
        )
    )


@functools.cache
def _components(size: int) -> struct.Struct:
    return struct.Struct(f"!{size}f")


def _text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


def _json(value: str) -> bytes:
    data = value.encode()
    return _JSONB.pack(len(data) + 1, 1) + data


def _moment(value: datetime) -> bytes:
    return _BIGINT.pack(8, (value - _EPOCH) // _MICROSECOND)


def _ids(values: Sequence[UUID]) -> bytes:
    if not values:
        return _EMPTY_ARRAY
    items = b"".join([_UUID.pack(16, value.bytes) for value in values])
    return _ARRAY.pack(20 + len(items), _ONE_DIMENSION, 0, _UUID_OID, len(values), 1) + items


_LENGTH, _LENGTHS, _JSONB = struct.Struct("!i"), struct.Struct("!ii"), struct.Struct("!ib")
_BIGINT, _INTEGER, _FLOAT = struct.Struct("!iq"), struct.Struct("!ii"), struct.Struct("!id")
_UUID, _ARRAY = struct.Struct("!i16s"), struct.Struct("!iiiIii")
_SIDE_HEAD, _VECTOR_HEAD = struct.Struct("!hi16si16siii"), struct.Struct("!ihh")
_EMPTY_ARRAY = struct.pack("!iiiI", 12, 0, 0, _UUID_OID)

_PACK: Mapping[str, Callable[[Any], bytes]] = {
    "uuid": lambda value: _UUID.pack(16, value.bytes),
    "text": _text,
    "timestamptz": _moment,
    "double precision": lambda value: _FLOAT.pack(8, value),
    "bigint": lambda value: _BIGINT.pack(8, value),
    "integer": lambda value: _INTEGER.pack(4, value),
    "jsonb": _json,
    "uuid[]": _ids,
}
_PACKS = [_PACK[kind] for kind in EPISODES.types]
_PARENT_FIELDS = struct.pack("!h", len(_PACKS) + 2)
