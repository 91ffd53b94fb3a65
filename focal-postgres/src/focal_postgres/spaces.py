"""The embedding spaces of a database: which (model, dims) pair has which number, and which indexes exist."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID

if TYPE_CHECKING:
    from focal_postgres.database import Database

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Space = tuple[str, int]
"""(model, dims)."""

VECTOR_TABLES = ("rule_vectors", "scenario_vectors", "episode_vectors", "entity_vectors")
"""The side tables."""

LIFETIME = 60.0
"""Seconds after which what is known of indexes and of the sizes of scopes is looked up again."""

_ITERATIVE_SCANS = (0, 8)
"""The first pgvector whose index scans go on until enough rows have passed the filters."""


def index_name(table: str, space_id: int, tenant_id: UUID | None = None) -> str:
    """Return the name of the vector index of a space, or of a tenant's own one; the only sign by which it is found."""
    return f"hnsw_{table}_{space_id}" + ("" if tenant_id is None else f"_{tenant_id.hex}")


def indexed(column: str, storage: str, dims: int) -> str:
    """Return the expression that is indexed, and by which a search must order for its index to be used.

    Of length 1, since half precision neither holds what is above 65,504 nor much of what is far below 1.

    Args:
        column: the vector.
        storage: ``halfvec`` or ``vector``.
        dims: its length.
    """
    return f"l2_normalize({column})::{storage}({dims})"


class KnownIndex(NamedTuple):
    """A valid HNSW index.

    Attributes:
        rows: vectors in it, as PostgreSQL estimates.
        storage: ``halfvec`` or ``vector``: what its expression casts to.
    """

    rows: float
    storage: str


class Recent(Generic[K, V]):
    """What was learnt lately: at most ``size`` entries, each for ``LIFETIME`` seconds.

    Args:
        size: entries at most; the one not asked for longest goes first.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return what is known of a key, or None."""
        entry = self._entries.get(key)
        if entry is None or entry[0] < time.monotonic():
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: K, value: V) -> None:
        """Remember something."""
        self._entries[key] = (time.monotonic() + LIFETIME, value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


class Spaces:
    """The spaces and their indexes, read once, and again when they may have changed.

    Args:
        database: where they are.

    Attributes:
        sizes: (table, tenant, partitions, space id) -> vectors in that scope.
        meant: (table, tenant, partitions, dims) -> the model that a search without one meant.
    """

    _changed: ClassVar[float] = 0.0
    """When this process last created or dropped an index."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ids: dict[Space, int] = {}
        self._indexes: dict[str, KnownIndex] = {}
        self._read_at = -LIFETIME
        self._version: str | None = None
        self.sizes = Recent[Any, int](4096)
        self.meant = Recent[Any, str](4096)

    async def id_of(self, model: str, dims: int) -> int:
        """Return the number of a space, entering it if it is new: one round trip the first time, none afterwards."""
        known = self._ids.get((model, dims))
        if known is not None:
            return known
        table = f"{self._database.schema}.embedding_spaces"
        # The loser of a race sees no row of its own and none of the winner's: look again.
        while (known := self._ids.get((model, dims))) is None:
            rows = await self._database.write(
                "spaces",
                f"WITH added AS (INSERT INTO {table} (model, dims, metric) VALUES ($1, $2, 'cosine')"
                f" ON CONFLICT (model, dims, metric) DO NOTHING RETURNING id)"
                f" SELECT id FROM added UNION ALL SELECT id FROM {table} WHERE model = $1 AND dims = $2",
                model,
                dims,
                repeat=True,
            )
            if rows:
                self._ids[model, dims] = rows[0][0]
        return known

    def number(self, model: str, dims: int) -> int | None:
        """Return the number of a space that was met before, or None."""
        return self._ids.get((model, dims))

    async def known(self, *, refresh: bool = False) -> dict[Space, int]:
        """Return every space with its number.

        Args:
            refresh: True asks the database again; otherwise only the first call does, and one a minute.
        """
        await self._read(refresh)
        return dict(self._ids)

    async def in_use(self) -> set[Space]:
        """Return the spaces that hold vectors, as far as the first thousand of each kind tell."""
        schema = self._database.schema
        some = " UNION ALL ".join(f"(SELECT space_id FROM {schema}.{table} LIMIT 1000)" for table in VECTOR_TABLES)
        rows = await self._database.fetch(
            "spaces", f"SELECT model, dims FROM {schema}.embedding_spaces WHERE id IN ({some})", maintenance=True
        )
        return {(row["model"], row["dims"]) for row in rows}

    async def indexes(self, *, refresh: bool = False) -> Mapping[str, KnownIndex]:
        """Return name -> index of the valid vector indexes; none where pgvector is too old to search through one."""
        await self._read(refresh)
        return self._indexes

    async def vector_version(self) -> str | None:
        """Return the version of pgvector in the database, or None without it."""
        await self._read(False)
        return self._version

    def learn(self, found: list[tuple[int, str, int]]) -> None:
        """Take over (id, model, dims) of spaces that a statement has met."""
        for id, model, dims in found:
            self._ids[model, dims] = id

    @classmethod
    def indexes_changed(cls) -> None:
        """Make every database of this process look at the indexes again before its next search."""
        cls._changed = time.monotonic()

    async def _read(self, refresh: bool) -> None:
        if not refresh and self._read_at > max(self._changed, time.monotonic() - LIFETIME):
            return
        began = time.monotonic()
        schema = self._database.schema
        rows = await self._database.fetch(
            "spaces",
            "SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS version,"
            f" (SELECT json_agg(json_build_array(id, model, dims)) FROM {schema}.embedding_spaces)::text AS spaces,"
            " (SELECT json_agg(json_build_array(c.relname, greatest(c.reltuples, 0), pg_get_indexdef(c.oid)))"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = $1 AND starts_with(c.relname, 'hnsw_') AND i.indisvalid AND i.indisready"
            ")::text AS indexes",
            schema,
        )
        self._version = rows[0]["version"]
        self.learn(json.loads(rows[0]["spaces"] or "[]"))
        found = json.loads(rows[0]["indexes"] or "[]") if has_iterative_scans(self._version) else []
        self._indexes = {
            name: KnownIndex(size, "halfvec" if "halfvec_cosine_ops" in text else "vector")
            for name, size, text in found
        }
        self._read_at = began


def has_iterative_scans(version: str | None) -> bool:
    """Return whether a version of pgvector can search a filtered index without losing rows: 0.8 and later.

    Args:
        version: such as ``"0.8.5"``; None without pgvector.
    """
    parts = (version or "0.0").split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts[:2]) >= _ITERATIVE_SCANS
