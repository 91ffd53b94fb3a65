"""What all PostgreSQL stores share: tenants, optimistic upserts, soft deletion, pages."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from focal_core.base import Versioned
from focal_core.batching import Batcher
from focal_core.context import BackendContext
from focal_core.deadline import one_call
from focal_core.errors import ConflictError, StaleVersionError
from focal_core.gate import admit, ambiguous_tenant, require_tenant, same_content, stamp
from focal_core.ids import NIL
from focal_core.paging import Page, check_paging, cursor_scope, decode_cursor, encode_cursor, too_many_rows
from focal_core.store import Store
from focal_postgres.database import Database, refusal
from focal_postgres.keyset import Key, beyond, parsed, scalar
from focal_postgres.layout import Layout
from focal_postgres.row_security import speaking_for, walled
from focal_postgres.transaction import Record
from focal_postgres.upsert import upsert_text

V = TypeVar("V", bound=Any)
Item = TypeVar("Item")
Answer = TypeVar("Answer")
V_co = TypeVar("V_co", covariant=True)


class Rows(Protocol[V_co]):
    """How rows are selected and read; every ``Layout`` is one."""

    def select(self) -> str:
        """Return the select list, on the alias ``r``."""

    def source(self, schema: str) -> str:
        """Return the FROM item."""

    def load(self, record: Record) -> V_co:
        """Return what a record holds."""


class Prepared(NamedTuple, Generic[V]):
    """A row that is about to be saved.

    Attributes:
        row: as it will be stored.
        parameters: of ``upsert_text``.
        expected: its row_version as given.
        revival: whether it may revive a deleted row.
    """

    row: V
    parameters: list[Any]
    expected: int
    revival: bool


class PostgresStore(Store):
    """Base of the stores.

    Args:
        database: where the rows are.
        context: clock, isolation, limits, policies.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"durable", "row_level_security"})
    tables: ClassVar[tuple[str, ...]] = ()
    """Names of the tables the store owns, in an order in which they can be emptied."""

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        self.database = database
        self.context = context or database.context
        self.schema = database.schema
        self._upserts: dict[str, str] = {}
        if database.options.row_level_security:
            for name, method in inspect.getmembers(self, inspect.iscoroutinefunction):
                if not name.startswith("_"):
                    setattr(self, name, walled(method))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in list(vars(cls).items()):
            if not name.startswith("_") and inspect.iscoroutinefunction(member):
                setattr(cls, name, one_call(member))

    @property
    def cap(self) -> int:
        """Rows of a list without a limit at most."""
        return self.context.limits.unpaged_cap

    def _tables(self) -> list[str]:
        return list(dict.fromkeys(name for cls in type(self).__mro__ for name in vars(cls).get("tables", ())))

    def batcher(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        tenant: Callable[[Item], UUID],
        kind: Callable[[Item], Hashable] | None = None,
        **how: Any,
    ) -> Batcher[Item, Answer]:
        """Return a batcher of this store's calls; behind row-level security a flight is of one tenant.

        Args:
            send: as of ``Batcher``, like the others.
            tenant: of an item.
            kind: as of ``Batcher``.
            how: what else it takes.
        """
        options = self.database.options
        carry, sort = send, kind
        if options.row_level_security:

            async def carry(items: Sequence[Item]) -> Sequence[Answer]:
                with speaking_for(tenant(items[0])):
                    return await send(items)

            def sort(item: Item) -> Hashable:
                return tenant(item), kind and kind(item)

        return Batcher(
            carry,
            kind=sort,
            patience=options.deadline,
            flights=2,
            ready=self.database.ready,
            max_waiting=options.max_waiters,
            **how,
        )

    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[UUID]:
        """Return the tenants; each table's index is skipped through, tenant by tenant."""
        check_paging(limit, 0, after)
        scope = cursor_scope(None, f"{self.port}.list_tenants")
        start = None if after is None else parsed(decode_cursor(after, scope), [Key("tenant_id", "uuid")])[0]
        # The smallest tenant beyond the last one, again and again: as many index probes as tenants, not rows.
        nexts = " UNION ALL ".join(
            f"(SELECT tenant_id FROM {self.schema}.{table} WHERE tenant_id > t.tenant_id ORDER BY tenant_id LIMIT 1)"
            for table in self._tables()
        )
        seeds = " UNION ALL ".join(
            f"(SELECT tenant_id FROM {self.schema}.{table} WHERE $1::uuid IS NULL OR tenant_id > $1"
            " ORDER BY tenant_id LIMIT 1)"
            for table in self._tables()
        )
        rows = await self.database.fetch(
            "list_tenants",
            f"WITH RECURSIVE t AS ((SELECT tenant_id FROM ({seeds}) s ORDER BY tenant_id LIMIT 1) UNION ALL"
            f" SELECT (SELECT tenant_id FROM ({nexts}) n ORDER BY tenant_id LIMIT 1)"
            " FROM t WHERE t.tenant_id IS NOT NULL)"
            " SELECT tenant_id FROM t WHERE tenant_id IS NOT NULL LIMIT $2",
            start,
            limit + 1,
            maintenance=True,
        )
        page = [row[0] for row in rows[:limit]]
        return Page(page, encode_cursor(scope, [str(page[-1])]) if len(rows) > limit else None)

    async def resolve_tenant(self, tenant_id: UUID | None, what: str, candidates: str, *args: Any) -> UUID:
        """Return the tenant a call means; one that has no rows when it can mean none.

        Args:
            tenant_id: as given by the caller.
            what: method name for the error.
            candidates: a SELECT of the tenants a call without one could mean; looked at under trusting isolation only.
            args: its parameters.

        Raises:
            TenantRequiredError: omitted under strict isolation, or ambiguous.
        """
        require_tenant(tenant_id, self.context, what)
        if tenant_id is not None:
            return tenant_id
        found = await self.database.fetch(what, f"SELECT DISTINCT tenant_id FROM ({candidates}) c LIMIT 2", *args)
        if len(found) > 1:
            raise ambiguous_tenant(what)
        return found[0][0] if found else NIL

    async def page(
        self,
        method: str,
        layout: Rows[V],
        where: str,
        args: Sequence[Any],
        *,
        order: Sequence[Key],
        scope: str,
        limit: int | None,
        offset: int = 0,
        after: str | None = None,
    ) -> Page[V]:
        """Return one page of rows.

        Args:
            method: the store's method.
            layout: what is read; its table has the alias ``r``.
            where: the condition, tenant included; its parameters are ``$1`` to ``$len(args)``.
            args: its parameters.
            order: the sort key, tie-break included.
            scope: from ``paging.cursor_scope``.
            limit: rows; None = all, up to ``limits.unpaged_cap``.
            offset: rows left out at the start.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit, offset or cursor are wrong, or an unlimited list exceeds the cap (code
                ``result_too_large``).
        """
        check_paging(limit, offset, after)
        parameters = list(args)
        if after is not None:
            key = parsed(decode_cursor(after, scope), order)
            where = f"({where}) AND {beyond(order, len(parameters) + 1)}"
            parameters += key
        wanted = self.cap if limit is None else limit
        parameters += [wanted + 1, offset]
        directions = ", ".join(f"{key.column} {'DESC' if key.descending else 'ASC'}" for key in order)
        keys = ", ".join(f"{key.column} AS order_{at}" for at, key in enumerate(order))
        rows = await self.database.fetch(
            method,
            f"SELECT {layout.select()}, {keys} FROM {layout.source(self.schema)} WHERE {where} ORDER BY {directions}"
            f" LIMIT ${len(parameters) - 1} OFFSET ${len(parameters)}",
            *parameters,
            replica=True,
        )
        return self.as_page(rows, wanted, limit, scope, len(order), layout.load)

    def as_page(
        self,
        rows: Sequence[Record],
        wanted: int,
        limit: int | None,
        scope: str,
        keys: int,
        load: Callable[[Record], V],
    ) -> Page[V]:
        """Return the page that ``wanted + 1`` rows make, whose last ``keys`` columns are the sort key.

        Raises:
            InvalidDataError: an unlimited list exceeds the cap.
        """
        more = len(rows) > wanted
        if more and limit is None:
            raise too_many_rows(self.cap)
        shown = rows[:wanted]
        cursor = encode_cursor(scope, [scalar(value) for value in tuple(shown[-1])[-keys:]]) if more else None
        return Page(map(load, shown), cursor)

    async def upsert(
        self, method: str, layout: Layout[V], model: V, *, prepare: Callable[[V], None] | None = None
    ) -> UUID:
        """Insert or replace a versioned row by the rules of ``Versioned`` and of soft deletion: one statement.

        The side table of its vector is written by the same statement, only when the vector differs. A unique key that
        is taken is told by ``errors.CONSTRAINTS``.

        Args:
            method: the store's method.
            layout: where it belongs.
            model: what to store; its row_version, created_at and updated_at are advanced in place on success.
            prepare: a last look at the row, which may refuse it.

        Raises:
            InvalidDataError: the model is invalid.
            EmbeddingSpaceError: spaces are strict and the vector's is not registered.
            StaleVersionError: row_version is given and is not the stored one.
            ConflictError: the id is soft-deleted and this is no explicit revival.
        """
        one = await self.prepared(layout, model, prepare)
        saved = await self.database.write(method, self._upsert_text(layout), *one.parameters, repeat=one.expected > 0)
        if not saved:
            self.advance(model, await self._refused(method, layout, one.row, one.expected, one.revival, saved))
        else:
            self.advance_to(model, saved[0], one.row)
        return one.row.id  # type: ignore[no-any-return]

    async def prepared(self, layout: Layout[V], model: V, prepare: Callable[[V], None] | None = None) -> Prepared[V]:
        """Return what ``upsert_text`` takes for a row, checked; arguments and errors as of ``upsert``."""
        row = admit(model, self.context.limits)
        stamp(row, None, self.context.clock.now())
        expected, revival = row.row_version, "deleted_at" in row.model_fields_set
        if prepare is not None:
            prepare(row)
        vector = layout.vector(row)
        space = None
        if vector is not None:
            self.context.vector_policy.check(row.__dict__[f"{layout.vector_field}_model"], vector)
            space = await self.database.spaces.id_of(row.__dict__[f"{layout.vector_field}_model"], len(vector))
        values = layout.values(row, space)
        values[layout.names.index("row_version")] = 1
        parameters = [*values, expected, revival]
        if layout.vectors is not None:
            parameters.append(vector)
        return Prepared(row, parameters, expected, revival)

    @staticmethod
    def advance_to(model: Versioned, saved: Record, row: Any) -> None:
        """Set on the caller's object what the statement of ``upsert_text`` has returned for its row."""
        model.set_stored(row_version=saved["row_version"], created_at=saved["created_at"], updated_at=row.updated_at)

    def _upsert_text(self, layout: Layout[Any]) -> str:
        if layout.table not in self._upserts:
            self._upserts[layout.table] = upsert_text(layout, self.schema)
        return self._upserts[layout.table]

    async def _refused(
        self, method: str, layout: Layout[V], row: V, expected: int, revival: bool, saved: Sequence[Record] = ()
    ) -> V:
        """Return the stored row when a refused save wants what it holds already; else raise why it was refused."""
        stored = await self.get_row(method, layout, row.tenant_id, row.id, settles=True)
        actual = 0 if stored is None else stored.row_version
        name = type(row).__name__
        if stored is not None and stored.deleted_at is not None and not (revival and expected == actual):
            deleted = ConflictError(
                f"{name} {row.id} is deleted",
                code="deleted",
                hint=f"to revive it, construct it with deleted_at=None and row_version={actual}",
            )
            raise refusal(saved, deleted)
        # A repeat of a save whose reply was lost finds its own content: what it wants is so already.
        if stored is not None and same_content(row, stored):
            return stored
        stale = StaleVersionError(
            f"{name} {row.id} has version {actual}, not {expected}", expected=expected, actual=actual
        )
        raise refusal(saved, stale)

    @staticmethod
    def advance(model: Versioned, row: Any) -> None:
        """Set on the caller's object what the store has decided."""
        model.set_stored(row_version=row.row_version, created_at=row.created_at, updated_at=row.updated_at)

    async def get_row(
        self, method: str, layout: Layout[V], tenant_id: UUID, id: UUID, extra: str = "", *, settles: bool = False
    ) -> V | None:
        """Return a stored row by its id, deleted or not, or None.

        Args:
            method: the store's method.
            layout: what is read.
            tenant_id: the owner.
            id: the row.
            extra: a further condition (``AND ...``) on the alias ``r``, without parameters.
            settles: as of ``Database.fetch``.
        """
        record = await self.database.fetchrow(
            method,
            f"SELECT {layout.select()} FROM {layout.source(self.schema)} WHERE r.tenant_id = $1 AND r.id = $2 {extra}",
            tenant_id,
            id,
            settles=settles,
        )
        return None if record is None else layout.load(record)

    async def soft_delete(self, method: str, layout: Layout[Any], tenant_id: UUID, id: UUID, extra: str = "") -> bool:
        """Mark a live row deleted; False when it is absent or deleted already.

        Args:
            method: the store's method.
            layout: where it is.
            tenant_id: the owner.
            id: the row.
            extra: a further condition (``AND ...``) on the alias ``r``, without parameters.
        """
        rows = await self.database.write(
            method,
            f"UPDATE {self.schema}.{layout.table} r SET deleted_at = $3"
            f" WHERE r.tenant_id = $1 AND r.id = $2 AND r.deleted_at IS NULL {extra} RETURNING 1",
            tenant_id,
            id,
            self.context.clock.now(),
        )
        return bool(rows)

    async def erase_tenant(self, tenant_id: UUID) -> int:
        """Remove every row of the tenant, table by table in one transaction."""

        async def work(connection: Any) -> int:
            removed = 0
            for table in self._tables():
                status = await connection.execute(f"DELETE FROM {self.schema}.{table} WHERE tenant_id = $1", tenant_id)
                removed += int(status.rpartition(" ")[2])
            return removed

        return await self.database.transaction("erase_tenant", work, bulk=True, maintenance=True)
