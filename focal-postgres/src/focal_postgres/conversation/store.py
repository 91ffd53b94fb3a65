"""The sessions port on PostgreSQL: one tier, saved by compare-and-swap inside the statement."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias
from uuid import UUID

from focal_core.batching import Batcher
from focal_core.context import BackendContext
from focal_core.conversation import lifecycle
from focal_core.conversation.channels import channel_digest
from focal_core.conversation.models import Channel, Session, SessionStatus
from focal_core.conversation.store import SessionStore
from focal_core.errors import REFUSED_IN_DOUBT, OutcomeUnknownError, StoreUnavailableError
from focal_core.gate import identifier, member
from focal_core.paging import Page, check_limit, cursor_scope
from focal_core.textcodec import encode_text
from focal_postgres.conversation.statements import DOCUMENT, SessionRows, Statements, Write, columns
from focal_postgres.database import Database, Repeated, refusal
from focal_postgres.keyset import Key
from focal_postgres.layout import aware
from focal_postgres.store import PostgresStore
from focal_postgres.transaction import Record

if TYPE_CHECKING:
    from focal_core.config.models import ScopeFilter

_NEWEST_FIRST = (Key("r.last_activity_at", "timestamptz", descending=True), Key("r.session_id", "uuid"))
_ROWS = SessionRows()

_Written: TypeAlias = "Record | Repeated | None"
"""What became of a save: the stored columns; refused; or refused the second time it was sent."""


class PostgresSessionStore(PostgresStore, SessionStore):
    """Sessions in one table; concurrent loads, and concurrent saves, share a statement."""

    tables: ClassVar[tuple[str, ...]] = ("sessions",)

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        self._sql = Statements(self.schema, self.context.session_policy)
        self._loads: Batcher[tuple[UUID, UUID], Record | None] = self.batcher(
            self._fetch, tenant=itemgetter(0), what="get", writes=False
        )
        self._versions: Batcher[tuple[UUID, UUID], Record | None] = self.batcher(
            self._fetch_versions, tenant=itemgetter(0), what="version_of", writes=False
        )
        self._saves: Batcher[Write, _Written] = self.batcher(
            self._write,
            tenant=attrgetter("tenant_id"),
            kind=lambda one: one.expected > 0,
            what="save",
            writes=True,
            key=lambda one: (one.tenant_id.int, one.session_id.int),
            weight=lambda one: len(one.document),
        )
        options = database.options
        self._load = self._loads.submit if options.batching else self._fetch_one
        self._version = self._versions.submit if options.batching else self._fetch_version
        self._save = self._saves.submit if options.batching else self._write_one

    async def drain(self) -> None:
        """Refuse further calls, and return when those that share statements have been answered."""
        await self._loads.drain()
        await self._versions.drain()
        await self._saves.drain()

    async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
        tenant = await self._tenant(tenant_id, session_id, "get")
        record = await self._load((tenant, session_id))
        return None if record is None else _ROWS.load(record)

    async def version_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> tuple[int, datetime] | None:
        tenant = await self._tenant(tenant_id, session_id, "version_of")
        record = await self._version((tenant, session_id))
        return None if record is None else (record["version"], aware(record["last_activity_at"]))

    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        place = channel_digest(member(Channel, channel, "channel"), identifier(user_channel_id, "user_channel_id"))
        now = self.context.clock.now()
        record = await self.database.fetchrow("get_by_channel", self._sql.by_channel, tenant_id, place, now, agent_id)
        return None if record is None else _ROWS.load(record)

    async def save(self, session: Session, *, force: bool = False) -> Session:
        row, document = DOCUMENT.admit(session, self.context.limits)
        if lifecycle.cap_history(row, self.context.session_policy):
            document = DOCUMENT.dump(row)
        token = lifecycle.write_token(session)
        write = self._write_of(row, token, document)
        try:
            saved = await (self._force(write, row) if force else self._save(write))
            if saved is None or isinstance(saved, Repeated):
                saved = await self._explained(session, row, write, force, () if saved is None else saved)
        except OutcomeUnknownError as error:
            # The object carries the token: a repeat of the very same save finds out what became of it.
            error.retryable, error.token = not force and error.code != REFUSED_IN_DOUBT, token
            proof = None if force or error.code != "connection_lost" else await self._proof(write, error)
            if proof is None:
                raise
            saved = proof
        row.set_stored(
            version=saved["version"],
            created_at=aware(saved["created_at"]),
            last_activity_at=aware(saved.get("last_activity_at", write.last_activity_at)),
            expires_at=aware(saved["expires_at"]),
        )
        lifecycle.acknowledge(session, row)
        return row

    async def delete(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        tenant = await self._tenant(tenant_id, session_id, "delete")
        now = self.context.clock.now()
        return bool(await self.database.write("delete", self._sql.delete, tenant, session_id, now))

    async def list_by_agent(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        status: SessionStatus | None = None,
        limit: int = 100,
        offset: int = 0,
        *,
        after: str | None = None,
    ) -> Page[Session]:
        wanted = None if status is None else member(SessionStatus, status, "status")
        args: list[Any] = [tenant_id, agent_id, self.context.clock.now()]
        where = self._sql.list_by_agent
        if wanted is not None:
            args.append(wanted.value)
            where += " AND r.status = $4"
        return await self.page(
            "list_by_agent",
            _ROWS,
            where,
            args,
            order=_NEWEST_FIRST,
            scope=cursor_scope(tenant_id, "list_by_agent", agent=agent_id, status=wanted),
            limit=limit,
            offset=offset,
            after=after,
        )

    async def list_by_customer(
        self, tenant_id: UUID, customer_profile_id: UUID, limit: int = 100, *, after: str | None = None
    ) -> Page[Session]:
        return await self.page(
            "list_by_customer",
            _ROWS,
            self._sql.list_by_customer,
            [tenant_id, customer_profile_id, self.context.clock.now()],
            order=_NEWEST_FIRST,
            scope=cursor_scope(tenant_id, "list_by_customer", customer=customer_profile_id),
            limit=limit,
            after=after,
        )

    async def list_by_step(
        self,
        tenant_id: UUID,
        scenario_id: UUID,
        *,
        version: int | None = None,
        step_content_hash: str | None = None,
        scope: ScopeFilter | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[Session]:
        now = self.context.clock.now()
        # For what it refuses; the test itself is made in SQL.
        lifecycle.scope_test(scope, now)
        where, args = _by_step(tenant_id, scenario_id, now, version, step_content_hash, scope)
        return await self.page(
            "list_by_step",
            _ROWS,
            where,
            args,
            order=_NEWEST_FIRST,
            scope=lifecycle.step_cursor_scope(tenant_id, scenario_id, version, step_content_hash, scope),
            limit=limit,
            after=after,
        )

    async def cleanup_expired(self, *, tenant_id: UUID | None = None, limit: int = 1000) -> int:
        check_limit(limit)
        now = self.context.clock.now()
        if tenant_id is None:
            sql = self._sql.cleanup
            removed = await self.database.write("cleanup_expired", sql, now, limit, bulk=True, maintenance=True)
        else:
            sql = self._sql.cleanup_tenant
            removed = await self.database.write("cleanup_expired", sql, now, limit, tenant_id, bulk=True)
        return len(removed)

    async def _tenant(self, tenant_id: UUID | None, session_id: UUID, method: str) -> UUID:
        if tenant_id is not None:
            return tenant_id
        return await self.resolve_tenant(tenant_id, method, self._sql.candidates, session_id, self.context.clock.now())

    def _write_of(self, row: Session, token: bytes, document: str) -> Write:
        now = self.context.clock.now()
        created = row.created_at if "created_at" in row.model_fields_set else None
        return Write(
            tenant_id=row.tenant_id,
            session_id=row.session_id,
            agent_id=row.agent_id,
            customer_profile_id=row.customer_profile_id,
            channel=row.channel.value,
            channel_hash=channel_digest(row.channel, row.user_channel_id),
            status=row.status.value,
            active_scenario_id=row.active_scenario_id,
            last_activity_at=now,
            created_at=(created or now) if row.version == 0 else created,
            expected=row.version,
            write_token=token,
            digest=hashlib.sha256(document.encode()).digest(),
            document=document,
        )

    async def _fetch(self, keys: Sequence[tuple[UUID, UUID]]) -> list[Record | None]:
        return [await self._fetch_one(keys[0])] if len(keys) == 1 else await self._several("get", keys)

    async def _fetch_one(self, key: tuple[UUID, UUID]) -> Record | None:
        return await self.database.fetchrow("get", self._sql.get, *key, self.context.clock.now())

    async def _fetch_versions(self, keys: Sequence[tuple[UUID, UUID]]) -> list[Record | None]:
        return [await self._fetch_version(keys[0])] if len(keys) == 1 else await self._several("version_of", keys)

    async def _fetch_version(self, key: tuple[UUID, UUID]) -> Record | None:
        return await self.database.fetchrow("version_of", self._sql.version, *key, self.context.clock.now())

    async def _several(self, method: str, keys: Sequence[tuple[UUID, UUID]]) -> list[Record | None]:
        sql = self._sql.get_many if method == "get" else self._sql.version_many
        tenants, sessions = [key[0] for key in keys], [key[1] for key in keys]
        found: list[Record | None] = [None] * len(keys)
        for record in await self.database.fetch(method, sql, tenants, sessions, self.context.clock.now()):
            found[record[0] - 1] = record
        return found

    async def _write(self, rows: Sequence[Write]) -> list[_Written]:
        if len(rows) == 1:
            return [await self._write_one(rows[0])]
        sql = self._sql.update_many if rows[0].expected else self._sql.create_many
        # Safe to repeat: a write that took effect the first time is refused the second, and known by its token. But a
        # session that was begun and deleted meanwhile would be begun anew.
        records = await self.database.write("save", sql, *columns(list(rows)), repeat=rows[0].expected > 0)
        refused = Repeated() if isinstance(records, Repeated) else None
        if not rows[0].expected:
            begun = {(record[0], record[1]): record for record in records}
            return [begun.get((row.tenant_id, row.session_id), refused) for row in rows]
        saved: list[_Written] = [refused] * len(rows)
        for record in records:
            saved[record[0] - 1] = record
        return saved

    async def _write_one(self, row: Write) -> _Written:
        sql = self._sql.update if row.expected else self._sql.create
        records = await self.database.write("save", sql, *row, repeat=row.expected > 0)
        if not records:
            return records if isinstance(records, Repeated) else None
        return records[0]

    async def _force(self, write: Write, row: Session) -> Record | None:
        given = row.created_at if "created_at" in row.model_fields_set else None
        anew = write._replace(created_at=given or write.last_activity_at)
        records = await self.database.write("save", self._sql.force, *anew, given)
        return records[0] if records else None

    async def _explained(
        self, session: Session, row: Session, write: Write, force: bool, saved: Sequence[Record]
    ) -> Record:
        """Return the stored columns when an earlier try of this very save wrote them; else raise why it was refused."""
        now = self.context.clock.now()
        stored = await self.database.fetchrow("save", self._sql.state, row.tenant_id, row.session_id, now, settles=True)
        actual = 0 if stored is None else stored["version"]
        if stored is not None and (force or actual == row.version):
            present = row.model_copy(
                update={
                    "agent_id": stored["agent_id"],
                    "created_at": aware(stored["created_at"]),
                    "status": SessionStatus(stored["status"]),
                }
            )
            lifecycle.check_transition(row, present, force=force)
        if stored is not None and not force and _is_of(write, stored):
            return stored
        if force:
            # It was refused for what is no longer there: somebody removed or replaced it in between.
            raise StoreUnavailableError(f"session {row.session_id} changed while it was saved", code="contention")
        raise refusal(saved, lifecycle.stale(session, actual))

    async def _proof(self, write: Write, error: OutcomeUnknownError) -> Record | None:
        """Return the stored columns when they prove that a save whose reply was lost took effect; else None."""
        try:
            stored = await self.database.fetchrow(
                "save", self._sql.state, write.tenant_id, write.session_id, write.last_activity_at
            )
        except StoreUnavailableError:
            raise error from None
        return stored if stored is not None and _is_of(write, stored) else None


def _is_of(write: Write, stored: Record) -> bool:
    """Return whether what is stored was written by a save."""
    return (stored["version"], stored["write_token"], stored["digest"]) == (
        write.expected + 1,
        write.write_token,
        write.digest,
    )


def _by_step(
    tenant_id: UUID,
    scenario_id: UUID,
    now: datetime,
    version: int | None,
    step_content_hash: str | None,
    scope: ScopeFilter | None,
) -> tuple[str, list[Any]]:
    """Return the condition of ``list_by_step`` and its parameters."""
    args: list[Any] = [tenant_id, scenario_id, now]
    where = ["r.tenant_id = $1 AND r.active_scenario_id = $2 AND r.expires_at > $3"]

    def visit(field: str) -> str:
        return (
            f"(SELECT v.visit->>'{field}' FROM json_array_elements(r.document->'step_history')"
            " WITH ORDINALITY AS v (visit, at) WHERE v.visit->>'step_id' = r.document->>'current_step_id'"
            " ORDER BY v.at DESC LIMIT 1)"
        )

    def add(condition: str, value: Any) -> None:
        args.append(value)
        where.append(condition.format(parameter=f"${len(args)}"))

    if version is not None:
        add("r.document->>'active_scenario_version' = {parameter}", str(version))
    if step_content_hash is not None:
        add(f"{visit('step_content_hash')} = {{parameter}}", encode_text(step_content_hash))
    if scope is not None:
        node = visit("step_name")
        if scope.include_channels:
            add("r.channel = ANY ({parameter}::text[])", _channels(scope.include_channels))
        if scope.exclude_channels:
            add("r.channel <> ALL ({parameter}::text[])", _channels(scope.exclude_channels))
        if scope.include_current_nodes:
            add(f"{node} = ANY ({{parameter}}::text[])", [*map(encode_text, scope.include_current_nodes)])
        if scope.exclude_current_nodes:
            add(
                f"COALESCE({node} <> ALL ({{parameter}}::text[]), true)",
                [*map(encode_text, scope.exclude_current_nodes)],
            )
        if scope.min_session_age_days is not None:
            add("r.created_at <= {parameter}", _before(now, scope.min_session_age_days))
        if scope.max_session_age_days is not None:
            add("r.created_at >= {parameter}", _before(now, scope.max_session_age_days))
    return " AND ".join(where), args


def _channels(names: Sequence[str]) -> list[str]:
    return [member(Channel, name, "channel").value for name in names]


def _before(now: datetime, days: int) -> datetime:
    """Return the moment so many days ago, or the first of all where that lies before it."""
    try:
        return now - timedelta(days=days)
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)
