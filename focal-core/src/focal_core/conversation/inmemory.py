"""The in-memory reference of the sessions port."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.context import BackendContext
from focal_core.conversation import lifecycle
from focal_core.conversation.models import Channel, Session, SessionStatus, Tier
from focal_core.conversation.store import SessionStore
from focal_core.errors import InvalidDataError
from focal_core.gate import admit, identifier, member
from focal_core.inmemory.store import InMemoryStore
from focal_core.inmemory.table import OrderedIndex, Table, micros
from focal_core.paging import Page, check_limit, cursor_scope

if TYPE_CHECKING:
    from focal_core.config.models import ScopeFilter


def _newest_first(session: Session) -> tuple[int, str]:
    return -micros(session.last_activity_at), str(session.session_id)


def _first_to_expire(session: Session) -> tuple[int, str]:
    return micros(lifecycle.end_of(session)), str(session.session_id)


class InMemorySessionStore(InMemoryStore, SessionStore):
    """Sessions in memory; the hot tier is the set of sessions used lately.

    A stored row carries the write token it was saved with as its private attribute; no copy does.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"two_tier", "session_copies"})
    tables: ClassVar[tuple[str, ...]] = ("_sessions",)

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._of_agent = OrderedIndex[Session](lambda row: (row.tenant_id, row.agent_id), _newest_first)
        self._of_agent_in_status = OrderedIndex[Session](
            lambda row: (row.tenant_id, row.agent_id, row.status), _newest_first
        )
        self._of_customer = OrderedIndex[Session](
            lambda row: row.customer_profile_id and (row.tenant_id, row.customer_profile_id), _newest_first
        )
        self._on_channel = OrderedIndex[Session](
            lambda row: (row.tenant_id, row.channel.value, row.user_channel_id), _newest_first
        )
        self._in_scenario = OrderedIndex[Session](
            lambda row: row.active_scenario_id and (row.tenant_id, row.active_scenario_id), _newest_first
        )
        self._expiring = OrderedIndex[Session](lambda row: row.tenant_id, _first_to_expire)
        self._sessions = Table[Session](
            self._of_agent,
            self._of_agent_in_status,
            self._of_customer,
            self._on_channel,
            self._in_scenario,
            self._expiring,
            key=lambda row: (row.tenant_id, row.session_id),
        )
        self._copies: dict[tuple[UUID, UUID], Session] = {}
        self._hot_until: dict[tuple[UUID, UUID], datetime] = {}

    async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
        row = self._find(session_id, tenant_id, "get")
        if row is None:
            return None
        if promote:
            self._use(row)
        return validated_copy(row)

    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        partition = (
            tenant_id,
            member(Channel, channel, "channel").value,
            identifier(user_channel_id, "user_channel_id"),
        )
        now = self.context.clock.now()
        for row in self._on_channel.rows(partition):
            if (
                lifecycle.is_live(row, now)
                and row.status is not SessionStatus.CLOSED
                and agent_id in (None, row.agent_id)
            ):
                self._use(row)
                return validated_copy(row)
        return None

    async def save(self, session: Session, *, force: bool = False) -> Session:
        row = lifecycle.prepare(session, self.context)
        stored = self._live(row.tenant_id, row.session_id)
        actual = 0 if stored is None else stored.version
        if not force and row.version != actual:
            if stored is None or not self._is_repeat(session, row, stored):
                raise lifecycle.stale(session, actual)
            lifecycle.acknowledge(session, stored)
            return validated_copy(stored)
        if stored is not None:
            lifecycle.check_transition(row, stored, force=force)
        lifecycle.settle(row, stored, self.context.clock.now(), self.context.session_policy)
        row._write_token = lifecycle.write_token(session)
        self._sessions.put(row)
        self._copies.pop((row.tenant_id, row.session_id), None)
        self._use(row)
        lifecycle.acknowledge(session, row)
        return validated_copy(row)

    async def delete(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        row = self._find(session_id, tenant_id, "delete")
        if row is None:
            return False
        self._remove(row)
        return True

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
        index = self._of_agent if wanted is None else self._of_agent_in_status
        return index.page(
            (tenant_id, agent_id) if wanted is None else (tenant_id, agent_id, wanted),
            scope=cursor_scope(tenant_id, "list_by_agent", agent=agent_id, status=wanted),
            limit=limit,
            cap=self.cap,
            offset=offset,
            after=after,
            keep=self._live_now(),
        )

    async def list_by_customer(
        self, tenant_id: UUID, customer_profile_id: UUID, limit: int = 100, *, after: str | None = None
    ) -> Page[Session]:
        return self._of_customer.page(
            (tenant_id, customer_profile_id),
            scope=cursor_scope(tenant_id, "list_by_customer", customer=customer_profile_id),
            limit=limit,
            cap=self.cap,
            after=after,
            keep=self._live_now(),
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
        live = self._live_now()
        wanted = lifecycle.step_test(version, step_content_hash, scope, self.context.clock.now())
        return self._in_scenario.page(
            (tenant_id, scenario_id),
            scope=lifecycle.step_cursor_scope(tenant_id, scenario_id, version, step_content_hash, scope),
            limit=limit,
            cap=self.cap,
            after=after,
            keep=lambda row: live(row) and wanted(row),
        )

    async def promote_to_hot(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        row = self._find(session_id, tenant_id, "promote_to_hot")
        if row is None:
            return False
        self._use(row)
        return True

    async def demote_to_persistent(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        row = self._find(session_id, tenant_id, "demote_to_persistent")
        if row is None:
            return False
        self._cool(row.tenant_id, row.session_id)
        return True

    async def tier_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> Tier | None:
        row = self._find(session_id, tenant_id, "tier_of")
        if row is None:
            return None
        hot_until = self._hot_until.get((row.tenant_id, row.session_id))
        return Tier.HOT if hot_until is not None and self.context.clock.now() < hot_until else Tier.PERSIST

    async def put_copy(self, session: Session) -> bool:
        row = admit(session, self.context.limits)
        if row.version == 0 or row.expires_at is None:
            raise InvalidDataError(f"session {row.session_id} was never saved", code="never_saved")
        kept = self._copy(row.tenant_id, row.session_id)
        if not lifecycle.is_live(row, self.context.clock.now()) or (kept is not None and kept.version > row.version):
            return False
        self._copies[row.tenant_id, row.session_id] = row
        self._use(row)
        return True

    async def cleanup_expired(self, *, tenant_id: UUID | None = None, limit: int = 1000) -> int:
        check_limit(limit)
        now = self.context.clock.now()
        expired: list[Session] = []
        for tenant in self._sessions.tenants() if tenant_id is None else [tenant_id]:
            for row in self._expiring.rows(tenant):
                if lifecycle.is_live(row, now) or len(expired) == limit:
                    break
                expired.append(row)
        for row in expired:
            self._remove(row)
        for tenant, session_id in list(self._copies):
            if self._copy(tenant, session_id) is None:
                del self._copies[tenant, session_id]
        return len(expired)

    async def erase_tenant(self, tenant_id: UUID) -> int:
        rows = self._sessions.rows(tenant_id)
        for row in rows:
            self._remove(row)
        for tenant, session_id in list(self._copies):
            if tenant == tenant_id:
                self._cool(tenant, session_id)
        return len(rows)

    def _find(self, session_id: UUID, tenant_id: UUID | None, method: str) -> Session | None:
        tenant = self.resolve_tenant(
            tenant_id,
            lambda: [owner for owner in self._sessions.tenants_of(session_id) if self._live(owner, session_id)],
            method,
        )
        if tenant is None:
            return None
        copy = None if tenant_id is None else self._copy(tenant, session_id)
        return copy or self._live(tenant, session_id)

    def _copy(self, tenant_id: UUID, session_id: UUID) -> Session | None:
        """Return the copy of another store's session, while it is hot and has not expired."""
        copy, now = self._copies.get((tenant_id, session_id)), self.context.clock.now()
        if copy is None or now >= self._hot_until[tenant_id, session_id] or not lifecycle.is_live(copy, now):
            return None
        return copy

    def _live(self, tenant_id: UUID, session_id: UUID) -> Session | None:
        row = self._sessions.get(tenant_id, session_id)
        return row if row is not None and lifecycle.is_live(row, self.context.clock.now()) else None

    def _live_now(self) -> Callable[[Session], bool]:
        now = self.context.clock.now()
        return lambda row: lifecycle.is_live(row, now)

    def _use(self, row: Session) -> None:
        hot_ttl = timedelta(seconds=self.context.session_policy.hot_ttl_seconds)
        self._hot_until[row.tenant_id, row.session_id] = self.context.clock.now() + hot_ttl

    def _cool(self, tenant_id: UUID, session_id: UUID) -> None:
        self._copies.pop((tenant_id, session_id), None)
        self._hot_until.pop((tenant_id, session_id), None)

    def _remove(self, row: Session) -> None:
        self._sessions.remove(row.tenant_id, row.session_id)
        self._cool(row.tenant_id, row.session_id)

    @staticmethod
    def _is_repeat(session: Session, row: Session, stored: Session) -> bool:
        """Return whether the stored row is what an earlier try of this very save wrote."""
        return (
            stored.version == session.version + 1
            and stored._write_token == session._write_token
            and lifecycle.content_digest(stored) == lifecycle.content_digest(row)
        )
