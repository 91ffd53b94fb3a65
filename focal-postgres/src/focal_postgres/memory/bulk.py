"""Many episodes at once, through COPY in binary: parents and vectors as two streams of one transaction."""

from __future__ import annotations

import asyncio
import functools
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from focal_core.errors import DuplicateError, FocalError, StoreError
from focal_core.memory.models import Episode
from focal_core.memory.rules import refuse_unless_repeat
from focal_core.memory.store.episodes import EpisodeStore
from focal_postgres.arrays import packed
from focal_postgres.layout import Column
from focal_postgres.memory.tables import EPISODES, MemoryTables
from focal_postgres.memory.text import text_columns
from focal_postgres.row_security import together, turn_to
from focal_postgres.transaction import Connection, Record

CHUNK_ROWS = 2_500
CHUNK_COMPONENTS = 16_000_000
"""Rows and vector components (64 MB) that go into one pair of COPY statements."""

_PIECE = 131_072
"""Bytes that are handed over at a time; others run in between."""

AT_ONCE = 256
"""Episodes that are checked before anything is awaited, and then before others run."""

_AHEAD_AT_ONCE = 8
"""Episodes that are made into rows before what waits for the network goes on."""

_ATTEMPTS = 3
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_PARENT_COLUMNS = [*EPISODES.names, "content_folded", "content_tsv"]
_SIDE_COLUMNS = ["tenant_id", "id", "space_id", "group_id", "embedding"]
_NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UUID_OID, _ONE_DIMENSION = 2950, 1
_NO_POSITIONS = "\0\0\0"
"""Ends a lexeme of a tsvector: the zero of a C string, and a count of two bytes."""


class _NewSpaceError(StoreError):
    """A vector is of a space that this process has not met.

    Args:
        model: of the space.
        dims: of the space.
    """

    def __init__(self, model: str, dims: int) -> None:
        super().__init__(f"{model} ({dims}) is new")
        self.space = model, dims


class _Batch:
    """The rows of a batch in the form that COPY takes, made when they are asked for, but for their vectors.

    Bytes and lists of them: the collector would walk models that are kept, and every component of their vectors.

    Args:
        episodes: what the rows are made of.
        admit: returns a checked copy of an episode.
        number_of: the number of a space, or None.

    Attributes:
        numbers: key -> position, here and in the lists; of repeats the first one's.
        episodes: one for each row.
        parents: rows of the parent table.
        heads: rows of the side table up to the vector; empty where there is no vector.
        vectors: the components, or None.
        end: the number after those of the last chunk.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        admit: Callable[[Episode], Episode],
        number_of: Callable[[str, int], int | None],
    ) -> None:
        self._given = episodes
        self.admit = admit
        self._number_of = number_of
        self._taken = 0
        self.numbers: dict[bytes, int] = {}
        self.episodes: list[Episode] = []
        self.parents: list[bytes] = []
        self.heads: list[bytes] = []
        self.vectors: list[Sequence[float] | None] = []
        self.end = 0

    def take(self, row: Episode) -> None:
        """Append the checked copy of the next episode.

        Raises:
            DuplicateError: it was given before with other content.
            _NewSpaceError: to be entered; then it can be taken.
        """
        vector, space = row.embedding, None
        if vector and row.embedding_model:
            space = self._number_of(row.embedding_model, len(vector))
            if space is None:
                raise _NewSpaceError(row.embedding_model, len(vector))
        if (first := self.numbers.setdefault(_key(row), len(self.parents))) < len(self.parents):
            refuse_unless_repeat(row, self.admit(self.episodes[first]))
        else:
            self.episodes.append(self._given[self._taken])
            self.parents.append(_parent(row, space))
            self.heads.append(b"" if space is None else _side(row, space))
            self.vectors.append(vector)
        self._taken += 1

    def has(self, number: int) -> bool:
        """Return whether there is a row of a number, made if need be.

        Raises:
            FocalError: the next episode cannot be stored, or not yet, as ``take``.
        """
        while number >= len(self.parents):
            if self._taken == len(self._given):
                return False
            self.take(self.admit(self._given[self._taken]))
        return True

    def chunk(self, start: int) -> Iterator[int]:
        """Yield the numbers of the rows from one on that go into one pair of COPY statements.

        An episode that cannot be stored ends it: a COPY that failed would have to be cancelled. ``has(end)`` tells.
        """
        self.end, components = start, 0
        with suppress(FocalError):
            while self.has(self.end):
                components += len(self.vectors[self.end] or ())
                if self.end > start and (self.end - start == CHUNK_ROWS or components > CHUNK_COMPONENTS):
                    return
                self.end += 1
                yield self.end - 1

    async def ahead(self) -> None:
        """Make rows while nothing else is to be done; one that cannot be stored is left to its chunk, which tells."""
        with suppress(FocalError):
            while self.has(number := len(self.parents)):
                if number % _AHEAD_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def sides(self, numbers: Iterable[int]) -> Iterator[tuple[bytes, ...]]:
        """Yield rows of the side table in parts."""
        for number in numbers:
            if (vector := self.vectors[number]) is not None:
                yield self.heads[number], packed(vector)


class PostgresEpisodeLoad(MemoryTables, EpisodeStore):
    """``add_episodes``."""

    async def add_episodes(self, episodes: Sequence[Episode]) -> list[UUID]:
        given, spaces = list(episodes), self.database.spaces
        batch = _Batch(given, lambda episode: self.admitted(episode)[0], spaces.number)
        # The others are checked while the server stores what comes before them.
        rows = [batch.admit(episode) for episode in given[:AT_ONCE]]
        for row in rows:
            if row.embedding and row.embedding_model:
                await spaces.id_of(row.embedding_model, len(row.embedding))
        for row in rows:
            batch.take(row)
        # Looked up only when the database has met one: that a batch is new is the normal case.
        look, attempts = False, _ATTEMPTS
        while attempts:
            try:
                await self._load(batch, look=look)
                break
            except _NewSpaceError as new:
                await spaces.id_of(*new.space)
            except DuplicateError as error:
                attempts -= 1
                if error.details.get("constraint") != "pk_episodes" or not attempts:
                    raise
                look = True
        return [episode.id for episode in given]

    async def _load(self, batch: _Batch, *, look: bool) -> None:
        async def work(connection: Connection) -> None:
            start = 0
            while batch.has(start):
                stored = await self._stored(connection, batch, start) if look else set()
                parents = ((batch.parents[number],) for number in batch.chunk(start) if number not in stored)
                await self._copy(connection, batch, start, EPISODES.table, _PARENT_COLUMNS, parents)
                sides = batch.sides(one for one in range(start, batch.end) if one not in stored)
                await self._copy(connection, batch, start, EPISODES.vectors, _SIDE_COLUMNS, sides)
                start = batch.end

        async with _meanwhile(batch.ahead()):
            await self.database.transaction("add_episodes", work, bulk=True, repeat=True)

    async def _copy(
        self,
        connection: Connection,
        batch: _Batch,
        start: int,
        table: str | None,
        columns: Sequence[str],
        rows: Iterable[tuple[bytes, ...]],
    ) -> None:
        """Append rows of the chunk that begins at a number to a table."""
        stream: dict[str, Any] = {"source": _stream(rows), "columns": columns, "format": "binary"}
        if not self.database.options.row_level_security:
            await connection.copy_to_table(table, schema_name=self.schema, **stream)
            return
        # PostgreSQL does not COPY into a table behind a policy, which an INSERT obeys.
        names, staged = ", ".join(columns), "pg_temp.focal_staged"
        empty = f"SELECT {names} FROM {self.schema}.{table} WITH NO DATA"
        await connection.execute(f"CREATE TEMP TABLE focal_staged ON COMMIT DROP AS {empty}")
        await connection.copy_to_table("focal_staged", schema_name="pg_temp", **stream)
        insert = f"INSERT INTO {self.schema}.{table} ({names}) SELECT {names} FROM {staged} WHERE tenant_id = $1"
        for tenant in {episode.tenant_id for episode in batch.episodes[start : batch.end]}:
            await turn_to(connection, self.database.options, tenant)
            await connection.execute(insert, tenant)
        await connection.execute(f"DROP TABLE {staged}")

    async def _stored(self, connection: Connection, batch: _Batch, start: int) -> set[int]:
        """Return the numbers of the rows of a chunk that are stored already, and must be repeats."""
        tenants, ids = list[UUID](), list[UUID]()
        for number in batch.chunk(start):
            tenants.append(batch.episodes[number].tenant_id)
            ids.append(batch.episodes[number].id)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        known = (
            f"SELECT {EPISODES.select()} FROM unnest($1::uuid[], $2::uuid[]) k (tenant_id, id)"
            f" JOIN {EPISODES.source(self.schema)} ON r.tenant_id = k.tenant_id AND r.id = k.id"
        )
        records = list[Record]()
        for part in together(self.database.options, zip(tenants, ids, strict=True), itemgetter(0), len(ids)):
            await turn_to(connection, self.database.options, part[0][0])
            records += await connection.fetch(known, *map(list, zip(*part, strict=True)))
        stored = {batch.numbers[_key(row)]: row for row in map(EPISODES.load, records)}
        for number, row in stored.items():
            refuse_unless_repeat(batch.admit(batch.episodes[number]), row)
        return set(stored)


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let work go on while the block waits; what is left of it behind the block is dropped."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _key(row: Episode) -> bytes:
    return row.tenant_id.bytes + row.id.bytes


async def _stream(rows: Iterable[tuple[bytes, ...]]) -> AsyncIterator[bytes]:
    """Yield a COPY stream in pieces, made of rows in parts, of which the last one has most of the bytes."""
    piece, size = [_HEADER], 0
    for row in rows:
        piece.extend(row)
        size += len(row[-1])
        if size > _PIECE:
            yield b"".join(piece)
            piece, size = [], 0
            # The driver lets others run only while it waits for the network.
            await asyncio.sleep(0)
    yield b"".join([*piece, _TRAILER])


def _parent(row: Episode, space_id: int | None) -> bytes:
    """Return the row of the parent table as COPY takes it."""
    held = row.__dict__
    fields = [_PARENT_FIELDS]
    for field, pack in _PACKS:
        value = held[field]
        fields.append(_NULL if value is None else pack(value))
    folded, lexemes = text_columns(row)
    vector = (_NO_POSITIONS.join(lexemes) + _NO_POSITIONS).encode()
    fields += (
        _NULL if space_id is None else _INTEGER.pack(4, space_id),
        _text(folded),
        _LENGTHS.pack(len(vector) + 4, len(lexemes)),
        vector,
    )
    return b"".join(fields)


def _side(row: Episode, space_id: int) -> bytes:
    """Return the row of the side table as COPY takes it, up to the vector."""
    size, label = len(row.embedding or ()), row.group_id.encode()
    head = _SIDE_HEAD.pack(5, 16, row.tenant_id.bytes, 16, row.id.bytes, 4, space_id, len(label))
    return head + label + _LENGTH.pack(4 + 4 * size)


def _text(value: str) -> bytes:
    data = value.encode()
    return _LENGTH.pack(len(data)) + data


def _moment(value: datetime) -> bytes:
    return _BIGINT.pack(8, (value - _EPOCH) // _MICROSECOND)


def _ids(values: Sequence[UUID]) -> bytes:
    if not values:
        return _EMPTY_ARRAY
    items = b"".join([_UUID.pack(16, value.bytes) for value in values])
    return _ARRAY.pack(20 + len(items), _ONE_DIMENSION, 0, _UUID_OID, len(values), 1) + items


def _json(value: str) -> bytes:
    data = value.encode()
    return _JSONB.pack(len(data) + 1, 1) + data


def _pack_of(column: Column) -> Callable[[Any], bytes]:
    """Return what makes a field's value that of the column in COPY: its length and its bytes."""
    pack, encode = _PACK[column.type], column.encode
    if encode is None or encode is list:
        return pack
    if encode is str:
        # Of an enum: its values come again in every row.
        return functools.cache(lambda value: pack(encode(value)))
    if column.type == "jsonb":
        nothing = pack("{}")
        return lambda value: nothing if value == {} else pack(encode(value))
    return lambda value: pack(encode(value))


_LENGTH, _LENGTHS, _JSONB = struct.Struct("!i"), struct.Struct("!ii"), struct.Struct("!ib")
_BIGINT, _INTEGER, _FLOAT = struct.Struct("!iq"), struct.Struct("!ii"), struct.Struct("!id")
_UUID, _ARRAY = struct.Struct("!i16s"), struct.Struct("!iiiIii")
_SIDE_HEAD = struct.Struct("!hi16si16siii")
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
_PACKS = [(column.field, _pack_of(column)) for column in EPISODES.columns]
_PARENT_FIELDS = struct.pack("!h", len(_PACKS) + 3)
