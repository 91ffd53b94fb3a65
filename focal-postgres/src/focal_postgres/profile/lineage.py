"""Lineage on PostgreSQL, and the rules it sets for writing and deleting items."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import ConflictError
from focal_core.gate import member
from focal_core.profile.lineage import Item, check_lineage, parse_item_type
from focal_core.profile.models import (
    DerivedItems,
    LineageItem,
    OnDependents,
    ProfileField,
    SourceType,
)
from focal_core.values import JSONObject
from focal_postgres import jsonb
from focal_postgres.database import Database
from focal_postgres.layout import Layout
from focal_postgres.profile.tables import ASSETS, FIELDS, PostgresProfileTables, judged
from focal_postgres.transaction import Connection, Record

Fetch = Callable[..., Awaitable[list[Record]]]
"""Runs a statement with its parameters, and returns the rows."""

VERSIONS: Mapping[SourceType, Layout[Any]] = {SourceType.PROFILE_FIELD: FIELDS, SourceType.PROFILE_ASSET: ASSETS}
"""The layouts of the items that others can be derived from."""

_LINK = ("kind", "id", "tenant_id", "profile_id", "source_item_type", "source_item_id")
_FIELD_ID = FIELDS.names.index("id")


def counts(now: str, row: str = "r") -> str:
    """Return the condition that an item is active at a moment.

    Args:
        now: SQL expression of the moment.
        row: alias of its table.
    """
    return f"{row}.status = 'active' AND ({row}.expires_at IS NULL OR {row}.expires_at > {now})"


def touched(layout: Layout[Any], now: str) -> str:
    """Return what an UPDATE of a version sets besides: ``, updated_at = ...`` where the model has it."""
    return f", updated_at = {now}" if "updated_at" in layout.names else ""


class PostgresProfileLineage(PostgresProfileTables):
    """Lineage on PostgreSQL: chains are walked by one recursive query.

    A source is locked by who derives something from it, and by who removes it: neither overlooks the other.
    """

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        self._chain_text = (
            f"WITH RECURSIVE item AS (SELECT * FROM ({self._link('$3::text', '$2::uuid', with_content=True)}) i"
            f" WHERE {self.visible('i')}),"
            f" {self.walk('(SELECT i.id, i.source_item_type, i.source_item_id FROM item i)', with_content=True)}"
            " SELECT id, kind, name, source_metadata FROM (SELECT item.*, 0 AS depth FROM item UNION ALL"
            f" SELECT {', '.join(_LINK)}, name, source_metadata, depth FROM walk) c ORDER BY depth DESC"
        )
        self._sources_text = (
            f"WITH RECURSIVE {self.walk('unnest($3::uuid[], $4::text[], $5::uuid[])')}"
            " SELECT w.kind, w.id, w.source_item_type, w.source_item_id,"
            f" w.profile_id = $2 OR {self.visible('w')} AS usable FROM walk w"
        )
        locks = ", ".join(
            f"{layout.table} AS MATERIALIZED (SELECT r.id FROM {layout.source(self.schema)} WHERE r.tenant_id = $1"
            " AND r.id = ANY($2::uuid[]) ORDER BY r.id FOR KEY SHARE)"
            for layout in VERSIONS.values()
        )
        self._source_locks_text = f"WITH {locks} SELECT " + " + ".join(
            f"(SELECT count(*) FROM {one.table})" for one in VERSIONS.values()
        )
        fields, assets = (
            f"(SELECT * FROM {layout.source(self.schema)} WHERE r.tenant_id = $1 AND r.source_item_id = $2"
            f" AND {self.visible()})"
            for layout in VERSIONS.values()
        )
        self._derived_text = (
            f"SELECT {FIELDS.select('f')}, {ASSETS.select('a')} FROM {fields} f FULL JOIN {assets} a ON false"
            " ORDER BY f.collected_at, f.id, a.uploaded_at, a.id"
        )
        self._has_dependents_text = "SELECT " + " OR ".join(
            f"EXISTS ({self._dependents(layout)})" for layout in VERSIONS.values()
        )
        self._orphaning_text = self.marking(
            "orphaned",
            counts("$2")
            + "".join(
                f" AND NOT EXISTS (SELECT FROM {self.schema}.{layout.table} s WHERE s.tenant_id = r.tenant_id"
                f" AND s.id = r.source_item_id AND r.source_item_type = '{kind.value}')"
                for kind, layout in VERSIONS.items()
            )
            + " AND r.source_item_id IS NOT NULL",
            counted=VERSIONS.values(),
        )
        self._removals = {layout.table: self._removal_text(layout) for layout in VERSIONS.values()}

    async def get_derivation_chain(self, tenant_id: UUID, item_id: UUID, item_type: str) -> list[LineageItem]:
        kind = parse_item_type(item_type)
        rows = await self.database.fetch(
            "get_derivation_chain", self._chain_text, tenant_id, item_id, kind.value, replica=True
        )
        return [
            LineageItem(id=id, type=kind, name=name, source_metadata=cast("JSONObject", jsonb.loads(metadata)))
            for id, kind, name, metadata in rows
        ]

    async def get_derived_items(self, tenant_id: UUID, source_item_id: UUID) -> DerivedItems:
        now, found = self.now(), DerivedItems(fields=[], assets=[])
        for row in await self.database.fetch(
            "get_derived_items", self._derived_text, tenant_id, source_item_id, replica=True
        ):
            if row[_FIELD_ID] is None:
                found["assets"].append(judged(ASSETS.load(row, len(FIELDS.columns)), now))
            else:
                found["fields"].append(judged(FIELDS.load(row), now))
        return found

    async def check_has_dependents(self, tenant_id: UUID, item_id: UUID) -> bool:
        rows = await self.database.fetch(
            "check_has_dependents", self._has_dependents_text, tenant_id, item_id, self.now()
        )
        return bool(rows[0][0])

    async def mark_orphaned_items(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        return await self.mark("mark_orphaned_items", self._orphaning_text, tenant_id, profile_id)

    async def mark(self, method: str, text: str, tenant_id: UUID, profile_id: UUID | None) -> int:
        """Run a statement of ``marking``, and return how many items it counted."""
        rows = await self.database.write(method, text, tenant_id, self.now(), profile_id, bulk=profile_id is None)
        marked: int = rows[0][0]
        return marked

    def marking(self, status: str, condition: str, counted: Iterable[Layout[Any]]) -> str:
        """Return a statement that gives the versions of live profiles another status.

        Its parameters: the tenant, the moment, and a profile id or NULL for all.

        Args:
            status: the new one.
            condition: which, with the alias ``r``.
            counted: which of them are counted.
        """
        marked = ", ".join(
            f"marked_{layout.table} AS (UPDATE {layout.source(self.schema)} SET status = '{status}'"
            f"{touched(layout, '$2')} WHERE r.tenant_id = $1 AND {condition} AND {self.visible()}"
            f" AND ($3::uuid IS NULL OR r.profile_id = {self.live_id(profile='$3')}) RETURNING 1)"
            for layout in VERSIONS.values()
        )
        return f"WITH {marked} SELECT " + " + ".join(
            f"(SELECT count(*) FROM marked_{layout.table})" for layout in counted
        )

    def _link(self, kind: str, id: str, *, with_content: bool = False) -> str:
        """Return a query of one item, by SQL expressions of its type and id."""
        content = {
            FIELDS.table: ", i.field_name AS name, i.source_metadata",
            ASSETS.table: ", i.name, i.source_metadata",
        }
        return " UNION ALL ".join(
            f"SELECT '{of.value}'::text AS kind, {', '.join(f'i.{name}' for name in _LINK[1:])}"
            f"{content[layout.table] if with_content else ''} FROM {self.schema}.{layout.table} i"
            f" WHERE {kind} = '{of.value}' AND i.tenant_id = $1 AND i.id = {id}"
            for of, layout in VERSIONS.items()
        )

    def walk(self, starts: str, with_content: bool = False, condition: str = "true") -> str:
        """Return the recursive CTE ``walk``: what items were derived from, as far as it is stored.

        Its columns: ``kind``, ``id``, ``tenant_id``, ``profile_id``, ``source_item_type``, ``source_item_id``,
        ``depth`` from 1, and ``path``, the ids of the item and of its ancestors up to the row's. It ends before a
        repetition.

        Args:
            starts: FROM item of three columns: id of an item, type and id of its source.
            with_content: whether to give ``name`` and ``source_metadata`` too.
            condition: of the direct sources, with the alias ``l``.
        """
        first = self._link("s.kind", "s.source", with_content=with_content)
        further = self._link("w.source_item_type", "w.source_item_id", with_content=with_content)
        return (
            f"walk AS (SELECT l.*, 1 AS depth, ARRAY[s.item, l.id] AS path FROM {starts} AS s (item, kind, source)"
            f" CROSS JOIN LATERAL ({first}) l WHERE l.id <> s.item AND {condition} UNION ALL"
            f" SELECT l.*, w.depth + 1, w.path || l.id FROM walk w CROSS JOIN LATERAL ({further}) l"
            " WHERE l.id <> ALL (w.path))"
        )

    async def check_sources(
        self,
        fetch: Fetch,
        tenant_id: UUID,
        profile_id: UUID,
        items: Iterable[Item],
        arriving: Mapping[tuple[SourceType, UUID], Item] | None = None,
        *,
        lock: bool = False,
    ) -> None:
        """Refuse lineages that must not be written; without linked items nothing is read.

        Args:
            fetch: runs the reading.
            tenant_id: the owner.
            profile_id: the profile the items are for, after all merges.
            items: the items.
            arriving: items that are written at the same time, by type and id.
            lock: whether to keep the sources until the end of the transaction that ``fetch`` is in.

        Raises:
            InvalidDataError: as ``focal_core.profile.lineage.check_lineage``.
        """
        linked = [item for item in items if item.source_item_id is not None and item.source_item_type is not None]
        if not linked:
            return
        if lock:
            await fetch(self._source_locks_text, tenant_id, [item.source_item_id for item in linked])
        rows = await fetch(
            self._sources_text,
            tenant_id,
            profile_id,
            [item.id for item in linked],
            [str(item.source_item_type) for item in linked],
            [item.source_item_id for item in linked],
        )
        stored = {(row["kind"], row["id"]): (_stub(row), row["usable"]) for row in rows}
        for item in linked:

            def find(kind: SourceType, id: UUID, item: Item = item) -> Item | None:
                if arriving is not None and (kind, id) in arriving:
                    return arriving[kind, id]
                found, usable = stored.get((kind, id), (None, False))
                # What a deleted profile has is no source any more, but stays a link of older chains.
                return found if usable or id != item.source_item_id else None

            check_lineage(item, find, self.context.profile_policy.max_derivation_chain_depth)

    async def remove_version(
        self, method: str, kind: SourceType, tenant_id: UUID, profile_id: UUID, id: UUID, on_dependents: OnDependents
    ) -> bool:
        """Remove an item of a profile; False when it has none of that id.

        Two statements: the second sees what was derived from the item while the first waited for its lock.

        Raises:
            ConflictError: active items were derived from it and on_dependents is refuse (code ``has_dependents``).
        """
        orphan = member(OnDependents, on_dependents, "on_dependents") is OnDependents.ORPHAN
        layout, now = VERSIONS[kind], self.now()
        lock = f"SELECT 1 FROM {layout.source(self.schema)} WHERE r.tenant_id = $1 AND r.id = $2 FOR UPDATE"

        async def work(connection: Connection) -> tuple[bool, int]:
            if not await connection.fetch(lock, tenant_id, id):
                return False, 0
            removed, dependents = await connection.fetchrow(
                self._removals[layout.table], tenant_id, id, now, profile_id, orphan
            )
            return removed, dependents

        removed, dependents = await self.database.transaction(method, work)
        if dependents and not orphan:
            raise ConflictError(
                f"{dependents} active item(s) were derived from {layout.model.__name__} {id}",
                code="has_dependents",
                hint="delete them first, or pass on_dependents=OnDependents.ORPHAN",
            )
        return removed

    def _removal_text(self, layout: Layout[Any]) -> str:
        dependents = ", ".join(
            f"of_{one.table} AS MATERIALIZED ({self._dependents(one)} AND EXISTS (SELECT FROM target))"
            for one in VERSIONS.values()
        )
        orphaned = ", ".join(
            f"orphaned_{one.table} AS (UPDATE {one.source(self.schema)} SET status = 'orphaned'{touched(one, '$3')}"
            f" FROM of_{one.table} d WHERE $5 AND r.tenant_id = $1 AND r.id = d.id AND r.status = 'active')"
            for one in VERSIONS.values()
        )
        number = " + ".join(f"(SELECT count(*) FROM of_{one.table})" for one in VERSIONS.values())
        return (
            f"WITH target AS MATERIALIZED (SELECT r.id FROM {layout.source(self.schema)} WHERE r.tenant_id = $1"
            f" AND r.id = $2 AND r.profile_id = {self.live_id(profile='$4')}), {dependents}, {orphaned},"
            f" removed AS (DELETE FROM {layout.source(self.schema)} USING target t WHERE r.tenant_id = $1"
            f" AND r.id = t.id AND ($5::boolean OR {number} = 0) RETURNING 1)"
            f" SELECT EXISTS (SELECT FROM removed), {number}"
        )

    def _dependents(self, layout: Layout[Any]) -> str:
        """Return a query of the active items that were derived from item $2 of tenant $1 at moment $3."""
        return (
            f"SELECT r.id FROM {layout.source(self.schema)} WHERE r.tenant_id = $1 AND r.source_item_id = $2"
            f" AND {counts('$3::timestamptz')} AND {self.visible()}"
        )


def _stub(row: Record) -> Item:
    """Return an item of nothing but its links, which is all the rules of lineage look at, whatever its type."""
    source = row["source_item_type"]
    return ProfileField.model_construct(
        id=row["id"],
        source_item_id=row["source_item_id"],
        source_item_type=None if source is None else SourceType(source),
    )
