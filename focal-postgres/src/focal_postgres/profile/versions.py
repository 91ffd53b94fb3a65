"""Writing versions of fields and assets on PostgreSQL: one statement each, and again under a lock after a lost race."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import ConflictError, DuplicateError, StoreUnavailableError
from focal_core.gate import member
from focal_core.profile.models import ItemStatus, ProfileAsset, ProfileField, SourceType
from focal_core.profile.versions import id_taken, is_repeat, prepare, record_differs
from focal_postgres.database import Database
from focal_postgres.layout import Layout
from focal_postgres.profile.lineage import VERSIONS, PostgresProfileLineage, counts, touched
from focal_postgres.profile.schema import PostgresFieldSchema
from focal_postgres.profile.tables import (
    DEFINITIONS,
    FIELDS,
    PROFILES,
    judged,
    owned_select,
    owned_values,
    unknown_profile,
)
from focal_postgres.transaction import Connection, Record

V = TypeVar("V", bound=ProfileField | ProfileAsset)

_ATTEMPTS = 5
"""Races with others that a call may lose before it gives up; all but the first are run under the profile's lock."""


class PostgresProfileVersions(PostgresFieldSchema, PostgresProfileLineage):
    """Base of the parts that write fields and assets."""

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        self._writes = {
            (layout.table, source): self._write_text(layout, source)
            for layout in VERSIONS.values()
            for source in (None, *VERSIONS)
        }
        self._known_texts = {layout.table: self._known_text(layout) for layout in VERSIONS.values()}
        self._newest_texts = {
            (layout.table, active): self._newest_text(layout, active)
            for layout in VERSIONS.values()
            for active in (True, False)
        }

    async def add_version(
        self,
        method: str,
        layout: Layout[V],
        tenant_id: UUID,
        profile_id: UUID,
        item: V,
        *,
        supersede: bool,
        agent_id: UUID | None = None,
    ) -> UUID:
        """Store an admitted item as the active version of its name, and return its id.

        One statement locks the profile, closes the version that was active, and inserts the new one; it does nothing
        at all when the item is refused, is there already, or somebody else was faster. Which of these it was is then
        read by another statement; after a lost race it is run again behind the lock, where it sees what the others
        wrote. Assets that supersede others begin there, since no unique key tells them of a lost race.

        Raises:
            FocalError: as of ``update_field`` and ``add_asset``.
        """
        prepare(item, None, self.context.profile_policy)
        now, locked = self.now(), supersede and layout is not FIELDS
        text = self._writes[layout.table, item.source_item_type if item.source_item_id is not None else None]
        arguments = self._write_arguments(layout, tenant_id, profile_id, item, supersede, agent_id, now)

        async def under_lock(connection: Connection) -> list[Record]:
            await self.lock(connection, tenant_id, profile_id)
            written: list[Record] = await connection.fetch(text, *arguments)
            return written

        for _ in range(_ATTEMPTS):
            try:
                if locked:
                    written = await self.database.transaction(method, under_lock, repeat=True)
                else:
                    written = await self.database.write(method, text, *arguments, repeat=True)
            except DuplicateError as error:
                # Somebody else stored the id just now.
                if error.details.get("constraint") != f"pk_{layout.table}":
                    raise
                written = []
            if written or await self._is_written(method, layout, tenant_id, profile_id, item, supersede, agent_id, now):
                return item.id
            locked = True
        raise StoreUnavailableError(f"{method} kept colliding with others", code="contention")

    async def _is_written(
        self,
        method: str,
        layout: Layout[V],
        tenant_id: UUID,
        profile_id: UUID,
        item: V,
        supersede: bool,
        agent_id: UUID | None,
        now: datetime,
    ) -> bool:
        """Return whether an item is stored already; else raise why it must not be, if there is a reason."""
        policy, named = self.context.profile_policy, getattr(item, "field_definition_id", None)
        [row] = await self.database.fetch(
            method,
            self._known_texts[layout.table],
            *(tenant_id, profile_id, item.id, item.name, now, named, agent_id),
            settles=True,
        )
        live, has_active, owner = row[0], row[1], row[2]
        if live is None:
            raise unknown_profile(profile_id)
        if owner is not None:
            if owner != live:
                raise id_taken(item)
            at = 3 + len(layout.columns)
            definition = None if row[at + _DEFINITION_ID] is None else DEFINITIONS.load(row, at)
            stored = layout.load(row, 3)
            prepare(item, stored, policy, definition)
            if not is_repeat(item, stored, policy):
                raise record_differs(item)
            return True
        if has_active and not supersede and layout is FIELDS:
            raise ConflictError(
                f"field {item.name!r} has an active version",
                code="field_active",
                hint="pass supersede_existing=True to replace it",
            )
        await self.check_sources(
            lambda *query: self.database.fetch(method, *query, settles=True), tenant_id, live, [item]
        )
        return False

    def _known_text(self, layout: Layout[Any]) -> str:
        """Return a query of what is known of an item: its live profile, its name's active version, its id's row."""
        table = f"{self.schema}.{layout.table}"
        named = layout.column_of("name")
        definition = self.definition_for(DEFINITIONS.select("d"), "$4::text", "$6::uuid", "$7::uuid")
        return (
            f"SELECT t.id, EXISTS (SELECT FROM {table} r WHERE r.tenant_id = $1 AND r.profile_id = t.id"
            f" AND r.{named} = $4 AND {counts('$5::timestamptz')}),"
            f" {owned_select(layout, 's')}, {DEFINITIONS.select('d')}"
            f" FROM (SELECT {self.live_id()} AS id) t LEFT JOIN {table} s ON s.tenant_id = $1 AND s.id = $3"
            f" LEFT JOIN ({definition}) d ON true"
        )

    def _write_arguments(
        self,
        layout: Layout[V],
        tenant_id: UUID,
        profile_id: UUID,
        item: V,
        supersede: bool,
        agent_id: UUID | None,
        now: datetime,
    ) -> list[Any]:
        """Return the parameters of ``_write_text``: the child's, then those it counts as ``extra``."""
        if isinstance(item, ProfileField):
            item.set_stored(updated_at=now)
        arguments = [*owned_values(layout, tenant_id, profile_id, item), now, supersede]
        if isinstance(item, ProfileField):
            arguments += [agent_id, (_END_OF_TIME - item.collected_at).days]
        if item.source_item_id is not None:
            arguments.append(self.context.profile_policy.max_derivation_chain_depth)
        return arguments

    def _write_text(self, layout: Layout[Any], source: SourceType | None) -> str:
        """Return the statement that closes what was active under a name and inserts a version.

        It returns a row when it did, and does neither otherwise. The INSERT reads the number of rows that the UPDATE
        closed: so it runs after it, and finds the place in the unique index free. Where the UPDATE finds nothing
        though the place is taken (by a version that is younger than the statement's view), the INSERT does nothing.

        Args:
            layout: of fields or of assets.
            source: the type of item the version is derived from, or None.
        """
        table, profiles = (f"{self.schema}.{one.table}" for one in (layout, PROFILES))
        named = layout.column_of("name")
        values = {
            name: f"${at}::{kind}" for at, (name, kind) in enumerate(zip(layout.names, layout.types, strict=True), 3)
        }
        extra = 3 + len(values)
        now, supersede = f"${extra}::timestamptz", f"${extra + 1}::boolean"
        id, name, tables = values["id"], values[named], "target t"
        # A subquery, not a join: so the index is searched by all of its columns, whatever the statistics say.
        owner = "(SELECT t.id FROM target t)"
        closable, retention, conflict = f"AND {supersede}", "", ""
        if layout is FIELDS:
            closable = f"AND ({supersede} OR r.expires_at <= {now})"
            definition = self.definition_for(
                "d.retention_days", name, values["field_definition_id"], f"${extra + 2}::uuid"
            )
            retention = f" LEFT JOIN ({definition}) d ON true"
            # In hours: a day of the session's time zone may have 23 or 25 of them. From a finite moment: the driver
            # writes the first one of the calendar as -infinity.
            values["expires_at"] = (
                f"COALESCE({values['expires_at']}, CASE WHEN d.retention_days <= ${extra + 3}::bigint"
                f" THEN GREATEST({values['collected_at']}, '0001-01-01 00:00:00+00') + d.retention_days * interval"
                " '24 hours' END)"
            )
            conflict = f" ON CONFLICT (tenant_id, profile_id, {named}) WHERE status = 'active' DO NOTHING"
        steps = [
            f"target AS MATERIALIZED (SELECT p.id FROM {profiles} p WHERE p.tenant_id = $1::uuid"
            f" AND p.id = {self.live_id(profile='$2::uuid')} AND p.deleted_at IS NULL"
            f" AND NOT EXISTS (SELECT FROM {table} x WHERE x.tenant_id = $1 AND x.id = {id}) FOR NO KEY UPDATE)"
        ]
        if source is not None:
            tables, closable = f"{tables}, source", f"{closable} AND EXISTS (SELECT FROM source)"
            depth = f"${extra + (4 if layout is FIELDS else 2)}::bigint"
            steps += [
                self.walk(
                    f"(SELECT {id}, '{source.value}'::text, {values['source_item_id']})",
                    condition=f"(l.profile_id = {owner} OR (SELECT o.deleted_at IS NULL FROM {profiles} o"
                    " WHERE o.tenant_id = $1 AND o.id = l.profile_id))",
                ),
                f"source AS MATERIALIZED (SELECT s.id FROM {self.schema}.{VERSIONS[source].table} s"
                f" WHERE s.tenant_id = $1 AND s.id = {values['source_item_id']} AND EXISTS (SELECT FROM target)"
                f" AND (SELECT w.depth <= {depth} AND (w.source_item_id IS NULL OR w.source_item_id <> ALL (w.path))"
                " FROM walk w ORDER BY w.depth DESC LIMIT 1) FOR KEY SHARE)",
            ]
        steps.append(
            f"closed AS (UPDATE {table} r SET status = CASE WHEN {supersede} THEN 'superseded' ELSE 'expired' END,"
            f" superseded_by_id = CASE WHEN {supersede} THEN {id} END,"
            f" superseded_at = CASE WHEN {supersede} THEN {now} END{touched(layout, now)}"
            f" WHERE r.tenant_id = $1 AND r.profile_id = {owner} AND r.{named} = {name} AND r.status = 'active'"
            f" {closable} RETURNING 1)"
        )
        return (
            f"WITH RECURSIVE {', '.join(steps)} INSERT INTO {table} (tenant_id, profile_id, {', '.join(values)})"
            f" SELECT $1, t.id, {', '.join(values.values())} FROM {tables} CROSS JOIN"
            f" (SELECT count(*) FROM closed) c{retention}{conflict} RETURNING id"
        )

    async def newest(
        self, method: str, layout: Layout[V], tenant_id: UUID, profile_id: UUID, name: str, status: ItemStatus | None
    ) -> V | None:
        """Return the newest version of a name that has a status now, or None."""
        wanted = None if status is None else member(ItemStatus, status, "status")
        now, arguments = self.now(), [] if wanted is ItemStatus.ACTIVE else [wanted]
        row = await self.database.fetchrow(
            method,
            self._newest_texts[layout.table, wanted is ItemStatus.ACTIVE],
            tenant_id,
            profile_id,
            name,
            now,
            *arguments,
        )
        return None if row is None else judged(layout.load(row), now)

    def _newest_text(self, layout: Layout[Any], active: bool) -> str:
        taken = layout.column_of("collected_at" if layout is FIELDS else "uploaded_at")
        wanted = counts("$4") if active else f"($5::text IS NULL OR {effective('$4')} = $5)"
        return (
            f"SELECT {layout.select()} FROM {layout.source(self.schema)} WHERE r.tenant_id = $1"
            f" AND r.profile_id = {self.live_id()} AND r.{layout.column_of('name')} = $3 AND {wanted}"
            f" ORDER BY r.{taken} DESC, r.id DESC LIMIT 1"
        )


def effective(now: str, row: str = "r") -> str:
    """Return the expression of the status an item has at a moment.

    Args:
        now: SQL expression of the moment.
        row: alias of its table.
    """
    return f"CASE WHEN {row}.status = 'active' AND {row}.expires_at <= {now} THEN 'expired' ELSE {row}.status END"


_END_OF_TIME = datetime.max.replace(tzinfo=UTC)
_DEFINITION_ID = DEFINITIONS.names.index("id")
