"""The sessions port on Redis: two tiers, saved by compare-and-swap in one script."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.conversation import lifecycle
from focal_core.conversation.channels import channel_digest
from focal_core.conversation.models import Channel, Session, SessionStatus, Tier
from focal_core.conversation.store import SessionStore
from focal_core.deadline import as_calls
from focal_core.errors import InvalidDataError
from focal_core.gate import identifier, member
from focal_core.inmemory.table import micros
from focal_core.paging import Page, check_limit, check_paging, cursor_scope, decode_cursor, encode_cursor
from focal_redis import frame, keys
from focal_redis.client import RedisClient
from focal_redis.conversation.listing import Index, Lister, Walk
from focal_redis.conversation.saving import Saver
from focal_redis.conversation.scripts import CLEANUP, COPY, DELETE, DEMOTE, PROMOTE
from focal_redis.conversation.tenants import AT_ONCE, Tenants
from focal_redis.frame import Head

if TYPE_CHECKING:
    from datetime import datetime

    from focal_core.config.models import ScopeFilter

_DUE_AT_ONCE = 200
_KEYS_AT_ONCE = 500


@as_calls
class RedisSessionStore(SessionStore):
    """Sessions on one Redis, in both tiers, or in the lasting tier alone.

    Args:
        client: the server.
        context: clock, isolation, limits, policies.
        hot_tier: False for a server that keeps the lasting tier only: sessions are compressed, and the capabilities
            ``two_tier`` and ``session_copies`` are not there.
    """

    capabilities: ClassVar[frozenset[str]] = frozenset({"durable", "session_copies", "two_tier"})

    def __init__(self, client: RedisClient, context: BackendContext | None = None, *, hot_tier: bool = True) -> None:
        self.client = client
        self.context = context or client.context
        self._hot_tier = hot_tier
        if not hot_tier:
            self.capabilities = frozenset({"durable"})  # type: ignore[misc]
        self._hot_ms = self.context.session_policy.hot_ttl_seconds * 1000 if hot_tier else 0
        self._keys = keys.Keys(client.options.key_prefix, client.options.cluster_spread)
        self._tenants = Tenants(client, self.context, self._keys)
        self._saver = Saver(client, self.context, self._keys, hot_tier=hot_tier)
        self._lister = Lister(client, self.context, self._keys)

    async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
        names = self._keys.session(await self._tenants.resolve(tenant_id, session_id, "get"), session_id)
        now, call = self.context.clock.now(), self.client.call
        text = None
        if promote and self._hot_tier:
            # Extending the hot copy is no write that could be in doubt: the read is what is asked for.
            text = await call("get", "GETEX", names.hot, "PX", self._hot_ms, key=names.hot)
            if text is None:
                args = (micros(now), self._hot_ms, 1)
                text = await self.client.run("get", PROMOTE, [names.persist, names.hot], args, writes=False)
        else:
            if self._hot_tier:
                text = await call("get", "GET", names.hot, key=names.hot)
            if text is None:
                text = await call("get", "GET", names.persist, key=names.persist)
        return None if text is None else frame.load(text, now)

    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        digest = channel_digest(member(Channel, channel, "channel"), identifier(user_channel_id, "user_channel_id"))
        index = Index(lambda base: keys.channel_index(base, digest), frame.CHANNEL, digest)
        walk = Walk("get_by_channel", index, agent=b"" if agent_id is None else agent_id.bytes)
        rows = await self._lister.newest(tenant_id, walk, self._hot_ms)
        if rows and self._hot_tier and self.client.options.cluster_spread > 1:
            await self._promote("get_by_channel", tenant_id, rows[0].session_id)
        return rows[0] if rows else None

    async def save(self, session: Session, *, force: bool = False) -> Session:
        draft = self._saver.draft(session)
        row = draft.row
        await self._tenants.register(row.tenant_id, row.session_id)
        head = await (self._saver.force(draft) if force else self._saver.save(session, draft))
        frame.settle(row, head.version, head.created_at, head.last_activity_at, head.expires_at)
        lifecycle.acknowledge(session, row)
        return row

    async def delete(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        names = self._keys.session(await self._tenants.resolve(tenant_id, session_id, "delete"), session_id)
        args = (names.id, names.base, micros(self.context.clock.now()))
        return bool(await self.client.run("delete", DELETE, [names.persist, names.hot, names.all], args, writes=True))

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
        index = Index(lambda base: keys.agent_index(base, agent_id), frame.AGENT, agent_id.bytes)
        code = b"" if wanted is None else bytes([frame.STATUS_CODES[wanted]])
        return await self._lister.page(
            tenant_id,
            Walk("list_by_agent", index, status=code),
            scope=cursor_scope(tenant_id, "list_by_agent", agent=agent_id, status=wanted),
            limit=limit,
            offset=offset,
            after=after,
        )

    async def list_by_customer(
        self, tenant_id: UUID, customer_profile_id: UUID, limit: int = 100, *, after: str | None = None
    ) -> Page[Session]:
        field = frame.reference(customer_profile_id)
        index = Index(lambda base: keys.customer_index(base, customer_profile_id), frame.CUSTOMER, field)
        return await self._lister.page(
            tenant_id,
            Walk("list_by_customer", index),
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
        keep = lifecycle.step_test(version, step_content_hash, scope, self.context.clock.now())
        index = Index(lambda base: keys.scenario_index(base, scenario_id), frame.SCENARIO, frame.reference(scenario_id))
        return await self._lister.page(
            tenant_id,
            Walk("list_by_step", index, keep=keep),
            scope=lifecycle.step_cursor_scope(tenant_id, scenario_id, version, step_content_hash, scope),
            limit=limit,
            after=after,
        )

    async def promote_to_hot(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        if not self._hot_tier:
            return await super().promote_to_hot(session_id, tenant_id=tenant_id)
        tenant = await self._tenants.resolve(tenant_id, session_id, "promote_to_hot")
        return await self._promote("promote_to_hot", tenant, session_id)

    async def demote_to_persistent(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        if not self._hot_tier:
            return await super().demote_to_persistent(session_id, tenant_id=tenant_id)
        method = "demote_to_persistent"
        names = self._keys.session(await self._tenants.resolve(tenant_id, session_id, method), session_id)
        text = await self.client.call(method, "GET", names.persist, key=names.persist)
        small = None if text is None else frame.packed(text)
        args = (micros(self.context.clock.now()), b"" if small is None or small is text else small)
        reply = await self.client.run(method, DEMOTE, [names.persist, names.hot], args, writes=True, repeat=True)
        return bool(reply)

    async def tier_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> Tier | None:
        if not self._hot_tier:
            return await super().tier_of(session_id, tenant_id=tenant_id)
        names = self._keys.session(await self._tenants.resolve(tenant_id, session_id, "tier_of"), session_id)
        if await self._head("tier_of", names.hot) is not None:
            return Tier.HOT
        return None if await self._head("tier_of", names.persist) is None else Tier.PERSIST

    async def version_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> tuple[int, datetime] | None:
        names = self._keys.session(await self._tenants.resolve(tenant_id, session_id, "version_of"), session_id)
        head = await self._head("version_of", names.hot) if self._hot_tier else None
        head = head or await self._head("version_of", names.persist)
        return None if head is None else (head.version, head.last_activity_at)

    async def put_copy(self, session: Session) -> bool:
        if not self._hot_tier:
            return await super().put_copy(session)
        row, document = frame.admit(session, self.context.limits)
        if row.version == 0 or row.expires_at is None:
            raise InvalidDataError(f"session {row.session_id} was never saved", code="never_saved")
        now = self.context.clock.now()
        if not lifecycle.is_live(row, now):
            return False
        head = Head(
            version=row.version,
            write_token=bytes(8),
            digest=frame.digest(document),
            created_at=row.created_at,
            last_activity_at=row.last_activity_at,
            expires_at=row.expires_at,
            agent_id=row.agent_id,
            status=row.status,
        )
        names = self._keys.session(row.tenant_id, row.session_id)
        args = (frame.framed(row, document, head, frame.channel_of(row)), micros(now), self._hot_ms)
        return bool(await self.client.run("put_copy", COPY, [names.hot], args, writes=True, repeat=True))

    async def cleanup_expired(self, *, tenant_id: UUID | None = None, limit: int = 1000) -> int:
        check_limit(limit)
        method = "cleanup_expired"
        if tenant_id is not None:
            return await self._clean(tenant_id, limit)
        registered = await self._tenants.all(method)
        everyone, removed = list(registered), 0
        for start in range(0, len(everyone), AT_ONCE):
            some = everyone[start : start + AT_ONCE]
            for tenant in await self._tenants.with_sessions(method, some, until=micros(self.context.clock.now())):
                removed += await self._clean(tenant, limit - removed)
                if removed == limit:
                    return removed
        await self._tenants.forget(method, registered)
        return removed

    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[UUID]:
        check_paging(limit, 0, after)
        method = "list_tenants"
        scope = cursor_scope(None, f"{self.port}.list_tenants")
        start = "" if after is None else str(decode_cursor(after, scope)[0])
        left = [tenant for tenant in await self._tenants.all(method) if str(tenant) > start]
        found: list[UUID] = []
        while left and len(found) <= limit:
            found += await self._tenants.with_sessions(method, left[:AT_ONCE])
            del left[:AT_ONCE]
        page = found[:limit]
        return Page(page, encode_cursor(scope, [str(page[-1])]) if len(found) > limit else None)

    async def erase_tenant(self, tenant_id: UUID) -> int:
        method, erased = "erase_tenant", 0
        for base in self._keys.bases(tenant_id):
            sessions = set(await self.client.call(method, "ZRANGE", base + b"all", 0, -1, key=base))
            found = {name async for name in self.client.scan(method, self._keys.pattern(tenant_id), key=base)}
            found = {name for name in found if name.startswith(base)}
            sessions |= {name.removeprefix(base + b"persist:") for name in found if name.startswith(base + b"persist:")}
            names = list(found)
            for start in range(0, len(names), _KEYS_AT_ONCE):
                some = names[start : start + _KEYS_AT_ONCE]
                await self.client.call(method, "UNLINK", *some, key=base, writes=True)
            erased += len(sessions)
        return erased

    async def _promote(self, method: str, tenant_id: UUID, session_id: UUID) -> bool:
        names = self._keys.session(tenant_id, session_id)
        args = (micros(self.context.clock.now()), self._hot_ms, 0)
        reply = await self.client.run(method, PROMOTE, [names.persist, names.hot], args, writes=True, repeat=True)
        return bool(reply)

    async def _head(self, method: str, key: bytes) -> Head | None:
        """Return the head of the live session a key holds, or None."""
        header = await self.client.call(method, "GETRANGE", key, 0, frame.SIZE - 1, key=key)
        head = frame.head_of(header) if header else None
        return None if head is None or head.expires_at <= self.context.clock.now() else head

    async def _clean(self, tenant_id: UUID, limit: int) -> int:
        removed = 0
        for base in self._keys.bases(tenant_id):
            looked = wanted = 1
            while looked == wanted and removed < limit:
                wanted = min(limit - removed, _DUE_AT_ONCE)
                args = (base, micros(self.context.clock.now()), wanted)
                looked, gone = await self.client.run(
                    "cleanup_expired", CLEANUP, [base + b"all"], args, writes=True, finds_keys=True
                )
                removed += gone
        return removed
