"""Which tenants there are, and which of them a call without one may mean."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from focal_core.context import BackendContext, Isolation
from focal_core.gate import ambiguous_tenant, require_tenant
from focal_core.ids import NIL
from focal_core.inmemory.table import micros
from focal_redis import frame
from focal_redis.client import RedisClient
from focal_redis.conversation.scripts import FORGET, OWNER
from focal_redis.keys import Keys

AT_ONCE = 256
"""Tenants that are asked about in one go."""
_REFRESH = timedelta(hours=1)
_REMEMBERED = 100_000


class Tenants:
    """The register of tenants. It holds every tenant that has a session, and some that have none any more.

    Args:
        client: where it is.
        context: clock, isolation, policies.
        keys: the names of the keys.
    """

    def __init__(self, client: RedisClient, context: BackendContext, keys: Keys) -> None:
        self._client = client
        self._context = context
        self._keys = keys
        policy = context.session_policy
        self._age = timedelta(seconds=max(policy.max_session_age_seconds, policy.idle_ttl_seconds))
        self._registered: dict[UUID, datetime] = {}

    async def register(self, tenant_id: UUID, session_id: UUID) -> None:
        """Note a tenant whose session is about to be saved; no round trip where that was done lately.

        Raises:
            StoreUnavailableError: nothing was noted, or only this.
        """
        now = self._context.clock.now()
        known = self._registered.get(tenant_id)
        # None of these counts as a write: what they note is a hint, and no session has been touched yet.
        if known is None or now - known > min(_REFRESH, self._age / 2):
            tenants = self._keys.tenants
            await self._client.call("save", "ZADD", tenants, micros(now), str(tenant_id), key=tenants)
            if len(self._registered) >= _REMEMBERED:
                self._registered.clear()
            self._registered[tenant_id] = now
        if self._context.isolation is Isolation.TRUSTING:
            lives = self._age // timedelta(milliseconds=1)
            owners = self._keys.owners(session_id)
            await self._client.run("save", OWNER, [owners], [str(tenant_id), lives], writes=False)

    async def resolve(self, tenant_id: UUID | None, session_id: UUID, method: str) -> UUID:
        """Return the tenant a call means; the nil tenant when it can mean none.

        Raises:
            TenantRequiredError: omitted under strict isolation, or ambiguous.
        """
        require_tenant(tenant_id, self._context, method)
        if tenant_id is not None:
            return tenant_id
        owners = self._keys.owners(session_id)
        members = await self._client.call(method, "SMEMBERS", owners, key=owners)
        candidates = [UUID(member.decode()) for member in members]
        persists = [self._keys.session(candidate, session_id).persist for candidate in candidates]
        headers = await asyncio.gather(
            *(self._client.call(method, "GETRANGE", key, 0, frame.SIZE - 1, key=key) for key in persists)
        )
        now = self._context.clock.now()
        found = [
            candidate
            for candidate, header in zip(candidates, headers, strict=True)
            if header and frame.head_of(header).expires_at > now
        ]
        if len(found) > 1:
            raise ambiguous_tenant(method)
        return found[0] if found else NIL

    async def all(self, method: str) -> dict[UUID, int]:
        """Return every tenant of the register, by id ascending, with when it was registered, in microseconds."""
        tenants = self._keys.tenants
        reply = await self._client.call(method, "ZRANGE", tenants, 0, -1, "WITHSCORES", key=tenants)
        found = {UUID(member.decode()): int(score) for member, score in zip(reply[::2], reply[1::2], strict=True)}
        return dict(sorted(found.items()))

    async def with_sessions(self, method: str, tenants: Iterable[UUID], until: int | None = None) -> list[UUID]:
        """Return those of some tenants that have a session, expired ones included; one round trip.

        Args:
            method: the store's method.
            tenants: at most ``AT_ONCE``.
            until: only sessions that may have expired by then, in microseconds.
        """
        asked = [(tenant, base + b"all") for tenant in tenants for base in self._keys.bases(tenant)]
        highest = "+inf" if until is None else until
        counts = await asyncio.gather(
            *(self._client.call(method, "ZCOUNT", key, "-inf", highest, key=key) for _, key in asked)
        )
        return list(dict.fromkeys(tenant for (tenant, _), count in zip(asked, counts, strict=True) if count))

    async def forget(self, method: str, tenants: dict[UUID, int]) -> None:
        """Take off the register whoever has no session and was registered too long ago to be about to have one."""
        oldest = micros(self._context.clock.now() - self._age)
        stale = [tenant for tenant, registered in tenants.items() if registered < oldest]
        for start in range(0, len(stale), AT_ONCE):
            some = stale[start : start + AT_ONCE]
            alive = set(await self.with_sessions(method, some))
            await asyncio.gather(
                *(
                    self._client.run(
                        method, FORGET, [self._keys.tenants], [str(tenant), tenants[tenant]], writes=True, repeat=True
                    )
                    for tenant in some
                    if tenant not in alive
                )
            )
