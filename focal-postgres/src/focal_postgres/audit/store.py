"""The audit port on PostgreSQL: append-only by the database's own triggers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from focal_core.audit.models import AuditEvent, AuditRecord, TurnRecord
from focal_core.audit.store import AuditStore
from focal_core.batching import Batcher
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError, InvalidDataError, OutcomeUnknownError
from focal_core.gate import moment
from focal_core.paging import Page, cursor_scope
from focal_postgres.audit.records import EVENTS, TURNS, Entry, Records
from focal_postgres.database import Database
from focal_postgres.keyset import Key
from focal_postgres.row_security import together, turn_to
from focal_postgres.store import PostgresStore
from focal_postgres.transaction import Connection

A = TypeVar("A", bound=AuditRecord)

_BULK_ROWS = 1_000
_BY_TIME = (Key("r.created_at", "timestamptz"), Key("r.id", "uuid"))
# The number alone is a total order: it is unique in its session.
_BY_NUMBER = (Key("r.turn_number", "bigint"),)


class PostgresAuditStore(PostgresStore, AuditStore):
    """Turns and events, each in a table; concurrent appends share a statement.

    Run-time roles need no right to change or remove records: ``purge`` and ``erase_tenant`` go through functions of the
    schema's owner.
    """

    capabilities: ClassVar[frozenset[str]] = PostgresStore.capabilities | {"purge"}
    tables: ClassVar[tuple[str, ...]] = ("turn_records", "audit_events")

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        kinds: tuple[Records[Any], ...] = (TURNS, EVENTS)
        self._appends = {records: self._appender(records) for records in kinds}

    def _appender(self, records: Records[Any]) -> Batcher[Entry, bool]:
        one, many = records.append(self.schema), records.append_many(self.schema)
        method = "save_turn" if records is TURNS else "save_event"

        async def send(entries: Sequence[Entry]) -> list[bool]:
            # Safe to repeat: what is there already is found there, and compared.
            if len(entries) == 1:
                return [bool(await self.database.write(method, one, *entries[0].values, repeat=True))]
            columns = [list(column) for column in zip(*(entry.values for entry in entries), strict=True)]
            found = {(row[0], row[1]) for row in await self.database.write(method, many, *columns, repeat=True)}
            return [(entry.tenant_id, entry.id) in found for entry in entries]

        return self.batcher(
            send,
            tenant=attrgetter("tenant_id"),
            what=method,
            writes=True,
            key=lambda entry: entry.tenant_id.bytes + entry.id.bytes,
            weight=lambda entry: len(entry.payload),
        )

    async def drain(self) -> None:
        """Refuse further appends, and return when those under way have been answered."""
        for appends in self._appends.values():
            await appends.drain()

    async def save_turn(self, turn: TurnRecord) -> UUID:
        return await self._save("save_turn", TURNS, turn)

    async def save_turns(self, turns: Sequence[TurnRecord]) -> list[UUID]:
        """Append turns and return their ids: all of them or, when one is refused, none."""
        now = self.context.clock.now()
        admitted = [TURNS.admit(turn, self.context.limits, now) for turn in turns]
        rows = {(row.tenant_id, row.id): row for row, _ in admitted}
        if len(rows) < len(turns):
            _refuse_different(turns)
        once = {(entry.tenant_id, entry.id): entry for _, entry in admitted}
        entries = [once[key] for key in sorted(once)]
        sql, options = TURNS.append_many(self.schema), self.database.options

        async def work(connection: Connection) -> None:
            for chunk in together(options, entries, attrgetter("tenant_id"), _BULK_ROWS):
                await turn_to(connection, options, chunk[0].tenant_id)
                columns = [list(column) for column in zip(*(entry.values for entry in chunk), strict=True)]
                done = {(row[0], row[1]) for row in await connection.fetch(sql, *columns)}
                left = [entry for entry in chunk if (entry.tenant_id, entry.id) not in done]
                for entry in left:
                    await self._settle(TURNS, rows[entry.tenant_id, entry.id], entry, connection.fetch)

        if entries:
            await self._unsettled(lambda: self.database.transaction("save_turns", work, bulk=True, repeat=True))
        return [turn.id for turn in turns]

    async def get_turn(self, turn_id: UUID, *, tenant_id: UUID | None = None) -> TurnRecord | None:
        return await self._get("get_turn", TURNS, turn_id, tenant_id)

    async def list_turns_by_session(
        self,
        session_id: UUID,
        limit: int = 50,
        offset: int = 0,
        *,
        tenant_id: UUID | None = None,
        after: str | None = None,
    ) -> Page[TurnRecord]:
        candidates = f"SELECT tenant_id FROM {self.schema}.turn_records WHERE session_id = $1"
        tenant = await self.resolve_tenant(tenant_id, "list_turns_by_session", candidates, session_id)
        return await self.page(
            "list_turns_by_session",
            TURNS,
            "r.tenant_id = $1 AND r.session_id = $2",
            [tenant, session_id],
            order=_BY_NUMBER,
            scope=cursor_scope(tenant, "list_turns_by_session", session_id=session_id),
            limit=limit,
            offset=offset,
            after=after,
        )

    async def list_turns_by_tenant(
        self,
        tenant_id: UUID,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        agent_id: UUID | None = None,
        limit: int = 100,
        offset: int = 0,
        *,
        after: str | None = None,
    ) -> Page[TurnRecord]:
        where, args = _within(tenant_id, start_time, end_time, agent_id=agent_id)
        return await self.page(
            "list_turns_by_tenant",
            TURNS,
            where,
            args,
            order=_BY_TIME,
            scope=cursor_scope(tenant_id, "list_turns_by_tenant", start=start_time, end=end_time, agent=agent_id),
            limit=limit,
            offset=offset,
            after=after,
        )

    async def save_event(self, event: AuditEvent) -> UUID:
        return await self._save("save_event", EVENTS, event)

    async def get_event(self, event_id: UUID, *, tenant_id: UUID | None = None) -> AuditEvent | None:
        return await self._get("get_event", EVENTS, event_id, tenant_id)

    async def list_events(
        self,
        tenant_id: UUID,
        event_type: str | None = None,
        session_id: UUID | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        limit: int = 100,
        *,
        turn_id: UUID | None = None,
        after: str | None = None,
    ) -> Page[AuditEvent]:
        where, args = _within(
            tenant_id, start_time, end_time, event_type=event_type, session_id=session_id, turn_id=turn_id
        )
        return await self.page(
            "list_events",
            EVENTS,
            where,
            args,
            order=_BY_TIME,
            scope=cursor_scope(
                tenant_id,
                "list_events",
                type=event_type,
                session=session_id,
                start=start_time,
                end=end_time,
                turn=turn_id,
            ),
            limit=limit,
            after=after,
        )

    async def purge(
        self, tenant_id: UUID, *, before: datetime | None = None, session_ids: Collection[UUID] | None = None
    ) -> int:
        moment(before, "before")
        if before is None and session_ids is None:
            raise InvalidDataError("purge needs a filter", code="filter_required", hint="pass before= or session_ids=")
        sessions = None if session_ids is None else list(session_ids)
        now, id = self.context.clock.now(), self.context.id_factory()

        async def work(connection: Connection) -> int:
            removed: int = await connection.fetchval(
                f"SELECT {self.schema}.purge_audit($1, $2, $3)", tenant_id, before, sessions
            )
            if removed:
                event = AuditEvent(
                    id=id,
                    tenant_id=tenant_id,
                    event_type="audit.purged",
                    event_data={"removed": removed, "before": before.isoformat() if before else None},
                    created_at=now,
                )
                _, entry = EVENTS.admit(event, self.context.limits, now)
                await connection.execute(EVENTS.append(self.schema), *entry.values)
            return removed

        return await self.database.transaction("purge", work, bulk=True, maintenance=True)

    async def erase_tenant(self, tenant_id: UUID) -> int:
        """Remove every record of the tenant, through the schema's owner."""
        sql = f"SELECT {self.schema}.erase_tenant_audit($1)"
        rows = await self.database.write("erase_tenant", sql, tenant_id, bulk=True, maintenance=True)
        removed: int = rows[0][0]
        return removed

    async def _save(self, method: str, records: Records[A], record: A) -> UUID:
        # The copy is let go: a burst would keep a thousand of them alive until their flights land.
        _, entry = records.admit(record, self.context.limits, self.context.clock.now())
        if self.database.options.batching:
            append = self._appends[records].submit(entry)
        else:
            append = self._append_alone(method, records, entry)
        if not await self._unsettled(lambda: append):
            read = functools.partial(self.database.fetch, method, settles=True)
            await self._settle(records, record, entry, read)
        return record.id

    async def _append_alone(self, method: str, records: Records[Any], entry: Entry) -> bool:
        return bool(await self.database.write(method, records.append(self.schema), *entry.values, repeat=True))

    async def _settle(self, records: Records[A], row: A, entry: Entry, fetch: Callable[..., Any]) -> None:
        """Accept a record that was not appended because it is stored already; else raise what stood in its way."""
        sql = f"SELECT digest, {records.select()} FROM {records.source(self.schema)} WHERE tenant_id = $1 AND id = $2"
        found = await fetch(sql, row.tenant_id, row.id)
        if not found:
            number = getattr(row, "turn_number", None)
            raise DuplicateError(
                f"session {getattr(row, 'session_id', None)} has a turn {number} already", code="turn_number_taken"
            )
        if found[0]["digest"] != entry.values[-2] and records.load(found[0]) != row:
            raise _differs(row)

    @staticmethod
    async def _unsettled(call: Callable[[], Any]) -> Any:
        try:
            return await call()
        except OutcomeUnknownError as error:
            # The same record again is stored once.
            error.retryable = True
            raise

    async def _get(self, method: str, records: Records[A], id: UUID, tenant_id: UUID | None) -> A | None:
        table = f"{self.schema}.{records.table}"
        if tenant_id is None:
            candidates = f"SELECT tenant_id FROM {table} WHERE id = $1"
            tenant_id = await self.resolve_tenant(tenant_id, method, candidates, id)
        found = await self.database.fetchrow(
            method,
            f"SELECT {records.select()} FROM {records.source(self.schema)} WHERE r.tenant_id = $1 AND r.id = $2",
            tenant_id,
            id,
        )
        return None if found is None else records.load(found)


def _differs(row: AuditRecord) -> DuplicateError:
    return DuplicateError(f"{type(row).__name__} {row.id} is stored with other content", code="record_differs")


def _refuse_different(turns: Sequence[TurnRecord]) -> None:
    """Refuse turns of one id and different content."""
    first: dict[tuple[UUID, UUID], TurnRecord] = {}
    for turn in turns:
        if first.setdefault((turn.tenant_id, turn.id), turn) != turn:
            raise _differs(turn)


def _within(tenant_id: UUID, start: datetime | None, end: datetime | None, **equal: Any) -> tuple[str, list[Any]]:
    """Return the condition for the half-open interval [start, end) and the equalities given, with its parameters."""
    moment(start, "start_time")
    moment(end, "end_time")
    conditions, args = ["r.tenant_id = $1"], [tenant_id]
    tests = [
        ("r.created_at >=", start),
        ("r.created_at <", end),
        *((f"r.{name} =", value) for name, value in equal.items()),
    ]
    for test, value in tests:
        if value is not None:
            args.append(value)
            conditions.append(f"{test} ${len(args)}")
    return " AND ".join(conditions), args
