"""The tables of the memory store, and what its parts share: groups, validity, adding and updating rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from focal_core.errors import StaleVersionError
from focal_core.gate import admit, identifier, moment, same_content, stamp
from focal_core.memory.models import Entity, Episode, Relationship
from focal_core.memory.rules import not_found, refuse_if_moved, refuse_unless_repeat
from focal_core.paging import Page, cursor_scope
from focal_postgres.database import refusal
from focal_postgres.errors import register_constraints, register_references
from focal_postgres.keyset import Key
from focal_postgres.layout import Layout
from focal_postgres.memory.text import text_columns
from focal_postgres.store import PostgresStore
from focal_postgres.upsert import vector_writes

R = TypeVar("R", Episode, Entity, Relationship)

EPISODES = Layout(Episode, "episodes", vectors="episode_vectors")
ENTITIES = Layout(Entity, "entities", vectors="entity_vectors")
RELATIONSHIPS = Layout(Relationship, "relationships")

BY_CREATION = (Key("r.created_at", "timestamptz"), Key("r.id", "uuid"))

_TEXT_COLUMNS = {"content_folded": "${}::text", "content_tsv": "array_to_tsvector(${}::text[])"}
_FIXED = ("group_id", "from_entity_id", "to_entity_id")
_KEPT = {"tenant_id", "id", "created_at", "recorded_at", "row_version", *_FIXED}

_END_MISSING = ("an end is no entity of the relationship's tenant and group", "endpoint_missing")
register_references({f"fk_relationships_{end}_entity_id": _END_MISSING for end in ("from", "to")})
register_constraints(
    {"uq_relationships_edge": ("the group has such a relationship from that moment on already", "relationship_exists")}
)


def valid(row: str, then: str) -> str:
    """Return the condition that a row is valid at a moment.

    Args:
        row: alias of the table.
        then: the parameter, cast.
    """
    return f"({row}.valid_from <= {then} AND ({row}.valid_to IS NULL OR {then} < {row}.valid_to))"


class MemoryTables(PostgresStore):
    """Base of the parts of the memory store."""

    tables: ClassVar[tuple[str, ...]] = ("relationships", "episodes", "entities")

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._adds = {layout.table: add_text(layout, self.schema) for layout in (EPISODES, ENTITIES, RELATIONSHIPS)}
        self._updates = {
            layout.table: update_text(layout, self.schema) for layout in (EPISODES, ENTITIES, RELATIONSHIPS)
        }

    async def tenant_of_groups(self, tenant_id: UUID | None, groups: Sequence[str], what: str) -> UUID:
        """Return the tenant a method means that is about groups: the one with any row in them.

        Raises:
            TenantRequiredError: omitted under strict isolation, or several tenants have rows in the groups.
        """
        tables = (f"SELECT tenant_id FROM {self.schema}.{table} WHERE group_id = ANY ($1)" for table in self._tables())
        return await self.resolve_tenant(tenant_id, what, " UNION ".join(tables), list(groups))

    async def partition(self, tenant_id: UUID | None, group_id: str, what: str) -> tuple[UUID, str]:
        """Return tenant and group that a method means.

        Raises:
            InvalidDataError: the group is no identifier.
            TenantRequiredError: as for ``tenant_of_groups``.
        """
        group = identifier(group_id, "group_id")
        return await self.tenant_of_groups(tenant_id, [group], what), group

    async def tenant_of_row(self, layout: Layout[Any], tenant_id: UUID | None, id: UUID, what: str) -> UUID:
        """Return the tenant a method means that is about one row."""
        candidates = f"SELECT tenant_id FROM {self.schema}.{layout.table} WHERE id = $1"
        return await self.resolve_tenant(tenant_id, what, candidates, id)

    def moment_or_now(self, as_of: datetime | None) -> datetime:
        """Return ``as_of``, or the present when it is None."""
        return moment(as_of, "as_of") or self.context.clock.now()

    async def read(self, method: str, layout: Layout[R], tenant_id: UUID | None, id: UUID) -> R | None:
        """Return a row by its id."""
        tenant = await self.tenant_of_row(layout, tenant_id, id, method)
        return await self.get_row(method, layout, tenant, id)

    async def remove(self, method: str, layout: Layout[Any], tenant_id: UUID | None, id: UUID) -> bool:
        """Remove a row for good, and by the foreign keys what hangs on it; False when there is none."""
        tenant = await self.tenant_of_row(layout, tenant_id, id, method)
        sql = f"DELETE FROM {self.schema}.{layout.table} WHERE tenant_id = $1 AND id = $2 RETURNING 1"
        return bool(await self.database.write(method, sql, tenant, id))

    async def list_of_group(
        self,
        method: str,
        layout: Layout[R],
        partition: tuple[UUID, str],
        where: str,
        args: Sequence[Any],
        *,
        order: Sequence[Key],
        limit: int | None,
        after: str | None,
        **filters: Any,
    ) -> Page[R]:
        """Return a page of a group; the cursor is bound to the method and its filters.

        Args:
            method: the store's method.
            layout: what is listed.
            partition: tenant and group: ``$1`` and ``$2``.
            where: a further condition on the alias ``r``; its parameters begin with ``$3``.
            args: its parameters.
            order: the sort key.
            limit: rows, or None.
            after: cursor of the previous page.
            filters: what the cursor is bound to.
        """
        tenant, group = partition
        return await self.page(
            method,
            layout,
            f"r.tenant_id = $1 AND r.group_id = $2 AND {where}",
            [tenant, group, *args],
            order=order,
            scope=cursor_scope(tenant, method, group=group, **filters),
            limit=limit,
            after=after,
        )

    async def add(self, method: str, layout: Layout[R], model: R) -> R:
        """Insert a row unless it is a repeat; return what is stored."""
        row, expected = self.admitted(model)
        while True:
            if not expected and await self._write(method, self._adds[layout.table], layout, row, repeat=True):
                return row
            stored = await self.get_row(method, layout, row.tenant_id, row.id, settles=True)
            if stored is not None:
                refuse_unless_repeat(row, stored)
                return stored
            if expected:
                raise _stale(row, expected, 0)

    def admitted(self, model: R) -> tuple[R, int]:
        """Return a checked copy of a row to be added, with the store's times, and the row_version the caller gave."""
        row = admit(model, self.context.limits)
        now = self.context.clock.now()
        stamp(row, None, now)
        row.set_stored(recorded_at=now)
        if not isinstance(row, Relationship):
            self.context.vector_policy.check(row.embedding_model, row.embedding)
        expected = 0
        if not isinstance(row, Episode):
            expected = row.row_version
            row.set_stored(row_version=1)
        return row, expected

    async def update(self, method: str, layout: Layout[R], model: R) -> R:
        """Replace a stored row by the rules of ``Versioned``; return what is stored then, but for ``recorded_at``."""
        row = admit(model, self.context.limits)
        stamp(row, None, self.context.clock.now())
        expected = 0 if isinstance(row, Episode) else row.row_version
        while True:
            saved = await self._write(method, self._updates[layout.table], layout, row, repeat=expected > 0)
            if saved:
                if not isinstance(row, Episode):
                    row.set_stored(row_version=saved[0]["row_version"])
                row.set_stored(created_at=saved[0]["created_at"])
                return row
            stored = await self.get_row(method, layout, row.tenant_id, row.id, settles=True)
            if stored is None:
                raise refusal(saved, not_found(type(row).__name__.lower(), row.id))
            if expected and not isinstance(stored, Episode) and expected != stored.row_version:
                # A repeat of an update whose reply was lost finds its own content: what it wants is so already.
                if same_content(row, stored):
                    return stored
                raise refusal(saved, _stale(row, expected, stored.row_version))
            refuse_if_moved(row, stored)

    async def _write(self, method: str, sql: str, layout: Layout[R], row: R, *, repeat: bool) -> Any:
        vector, space = layout.vector(row), None
        if vector is not None:
            model = row.__dict__["embedding_model"]
            self.context.vector_policy.check(model, vector)
            space = await self.database.spaces.id_of(model, len(vector))
        parameters = layout.values(row, space)
        if isinstance(row, Episode):
            parameters += text_columns(row)
        if layout.vectors is not None:
            parameters.append(vector)
        return await self.database.write(method, sql, *parameters, repeat=repeat)


def _stale(row: Entity | Relationship | Episode, expected: int, actual: int) -> StaleVersionError:
    return StaleVersionError(
        f"{type(row).__name__} {row.id} has version {actual}, not {expected}", expected=expected, actual=actual
    )


def _columns(layout: Layout[Any]) -> tuple[list[str], str]:
    """Return all columns of a table with the values of ``_write`` for them."""
    names, values, first = layout.names, layout.parameters(), len(layout.names) + 1
    if layout is EPISODES:
        made = [text.format(first + at) for at, text in enumerate(_TEXT_COLUMNS.values())]
        return [*names, *_TEXT_COLUMNS], ", ".join([values, *made])
    return names, values


def _with_vectors(layout: Layout[Any], schema: str, saved: str) -> str:
    if layout.vectors is None:
        return saved
    vector = f"${len(_columns(layout)[0]) + 1}::vector"
    return f"WITH saved AS ({saved}), {vector_writes(layout, schema, 'saved', vector)} SELECT * FROM saved"


def add_text(layout: Layout[Any], schema: str) -> str:
    """Return the statement that inserts a row with its vector, and returns a row when it was not there before."""
    names, values = _columns(layout)
    return _with_vectors(
        layout,
        schema,
        f"INSERT INTO {schema}.{layout.table} ({', '.join(names)}) VALUES ({values})"
        " ON CONFLICT (tenant_id, id) DO NOTHING RETURNING tenant_id, id",
    )


def update_text(layout: Layout[Any], schema: str) -> str:
    """Return the statement that replaces a row with its vector, and returns a row when it was what was expected."""
    names, values = _columns(layout)
    versioned = "row_version" in names
    changes = [f"{name} = n.{name}" for name in names if name not in _KEPT]
    conditions = [f"t.{name} = n.{name}" for name in ("tenant_id", "id", *_FIXED) if name in names]
    returned = "t.tenant_id, t.id, t.created_at"
    if versioned:
        changes.append("row_version = t.row_version + 1")
        conditions.append("n.row_version IN (0, t.row_version)")
        returned += ", t.row_version"
    return _with_vectors(
        layout,
        schema,
        f"UPDATE {schema}.{layout.table} t SET {', '.join(changes)}"
        f" FROM (VALUES ({values})) AS n ({', '.join(names)})"
        f" WHERE {' AND '.join(conditions)} RETURNING {returned}",
    )
