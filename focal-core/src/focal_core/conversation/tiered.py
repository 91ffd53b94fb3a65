"""A hot session store before a durable one: the durable one decides, the hot one answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.conversation.hot_tier import (
    MAINTENANCE_PATIENCE,
    READ_PATIENCE,
    WRITE_PATIENCE,
    HotTier,
    Unanswered,
)
from focal_core.conversation.models import Channel, Session, SessionStatus, Tier
from focal_core.conversation.store import SessionStore
from focal_core.deadline import as_calls
from focal_core.errors import ConfigurationError, OutcomeUnknownError, StoreUnavailableError
from focal_core.health import CheckResult
from focal_core.ids import NIL
from focal_core.paging import Page

if TYPE_CHECKING:
    from focal_core.config.models import ScopeFilter

NEEDED = frozenset({"two_tier", "session_copies"})
"""What the hot store must be able to do."""

_FENCE_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_EVERY_VERSION = 2**53 - 1


@as_calls
class TieredSessionStore(SessionStore):
    """Sessions of a durable store, with copies of those in use in a hot one.

    Every save and deletion is made in the durable store first, and what it says is what happened. The hot store holds
    nothing that cannot be lost: while it fails, sessions are served without it; when it is back it is used again.

    With ``verify_hot`` a read asks the hot store for the copy and the durable one for its version at the same time,
    and a copy of another version is not returned. So no failure of the hot store, of a process between its two writes,
    or of the network between the tiers shows an old state; not even a hot store that comes back with old data does.

    Without it, a copy is believed. Where a late copy could bring back what was deleted, demoted or is in doubt, a fence
    keeps it out for ``hot_ttl_seconds``: a copy that is no session, of a version as high as needed. A write whose copy
    can be neither refreshed nor fenced off ends with ``OutcomeUnknownError`` (``hot_tier_lost``, ``written=True``). An
    old state can then still be read, for ``hot_ttl_seconds`` after its last use, when the hot store comes back with
    old data, a process dies between its two writes, or an id is used again within a second of its deletion. The hot
    store must hold no sessions of its own.

    Args:
        hot: where copies go; declares ``two_tier`` and ``session_copies``.
        durable: where the sessions are.
        context: clock, isolation and policies; those of both stores.
        verify_hot: whether copies are compared with the durable store before they are returned.

    Attributes:
        counts: reads by id answered by a copy (``hot``) and by the durable store (``durable``), copies found to be
            old (``stale``), and calls the hot store failed (``hot_failures``).

    Raises:
        ConfigurationError: the hot store lacks a capability.
    """

    def __init__(
        self, hot: SessionStore, durable: SessionStore, context: BackendContext, *, verify_hot: bool = True
    ) -> None:
        if missing := NEEDED - hot.capabilities:
            raise ConfigurationError(
                f"{type(hot).__name__} cannot be a hot tier of sessions: it lacks {', '.join(sorted(missing))}",
                hint="use a store that declares 'two_tier' and 'session_copies'",
            )
        self.context = context
        self.capabilities = (durable.capabilities - NEEDED) | {"two_tier"}  # type: ignore[misc]
        self._hot = hot
        self._durable = durable
        self._verify_hot = verify_hot
        self._tier = HotTier(hot)
        self._served = {"hot": 0, "durable": 0, "stale": 0}

    @property
    def counts(self) -> dict[str, int]:
        """What was served from where so far, and how often the hot store failed."""
        return {**self._served, "hot_failures": self._tier.failures}

    async def health_check(self) -> CheckResult:
        """Return whether the hot tier answers, with what was served so far; never raises for its failures."""
        result = await self._tier.check()
        counted = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        return result.model_copy(update={"detail": f"{result.detail} ({counted})"})

    async def drain(self) -> None:
        """Return when nothing is under way behind a caller's back, after a moment at most."""
        await self._tier.drain()

    async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
        if promote and tenant_id is not None and self._tier.awake():
            return await (self._verified if self._verify_hot else self._believed)(tenant_id, session_id)
        session = await self._durable.get(session_id, tenant_id=tenant_id, promote=False)
        self._served["durable"] += 1
        if promote and session is not None and self._tier.awake():
            await self._fill(session)
        return session

    async def _verified(self, tenant_id: UUID, session_id: UUID) -> Session | None:
        asked = self._tier.start(self._hot.get, session_id, tenant_id=tenant_id)
        try:
            version = await self._durable.version_of(session_id, tenant_id=tenant_id)
        except BaseException:
            asked.cancel()
            raise
        copy = await self._tier.answer(READ_PATIENCE, asked)
        if isinstance(copy, Session) and version == _version(copy):
            self._served["hot"] += 1
            return copy
        session = None
        if version is not None:
            session = await self._durable.get(session_id, tenant_id=tenant_id, promote=False)
        self._served["durable"] += 1
        if copy is Unanswered.SILENT:
            return session
        if isinstance(copy, Session):
            if session is not None and _version(session) == _version(copy):
                return session
            self._served["stale"] += 1
        # An older copy gives way to a newer one; any other would stand in its way.
        if copy is not None and not (isinstance(copy, Session) and session and copy.version < session.version):
            await self._end_copy(tenant_id, session_id)
        if session is not None:
            await self._fill(session)
        return session

    async def _believed(self, tenant_id: UUID, session_id: UUID) -> Session | None:
        copy = await self._tier.ask(READ_PATIENCE, self._hot.get, session_id, tenant_id=tenant_id)
        if isinstance(copy, Session) and copy.last_activity_at != _FENCE_TIME:
            self._served["hot"] += 1
            return copy
        session = await self._durable.get(session_id, tenant_id=tenant_id, promote=False)
        self._served["durable"] += 1
        if session is not None and copy is not Unanswered.SILENT:
            await self._fill(session)
        return session

    async def get_by_channel(
        self, tenant_id: UUID, channel: Channel, user_channel_id: str, *, agent_id: UUID | None = None
    ) -> Session | None:
        session = await self._durable.get_by_channel(tenant_id, channel, user_channel_id, agent_id=agent_id)
        if session is not None and self._tier.awake():
            await self._fill(session)
        return session

    async def save(self, session: Session, *, force: bool = False) -> Session:
        doubtful = _EVERY_VERSION if force else session.version + 1
        async with self._fenced_in_doubt(session.tenant_id, session.session_id, doubtful):
            saved = await self._durable.save(session, force=force)
            settled = await self._refreshed(saved)
        if not settled:
            raise _hot_tier_lost(f"session {saved.session_id} is saved", "save", retryable=not force)
        return saved

    async def _refreshed(self, saved: Session) -> bool:
        """Return whether no older copy than a saved session will be read."""
        if self._verify_hot:
            if self._tier.awake():
                await self._tier.ask(WRITE_PATIENCE, self._hot.put_copy, saved)
            return True
        kept = await self._tier.ask(WRITE_PATIENCE, self._hot.put_copy, saved)
        if isinstance(kept, Unanswered):
            return await self._fence(saved.tenant_id, saved.session_id, saved.version)
        if not kept and saved.version == 1 and await self._end_copy(saved.tenant_id, saved.session_id):
            # It met the fence of an earlier session of its id, or a later save of its own: look again.
            with suppress(StoreUnavailableError):
                fresh = await self._durable.get(saved.session_id, tenant_id=saved.tenant_id, promote=False)
                if fresh is not None:
                    await self._fill(fresh)
        return True

    async def delete(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        tenant = await self._owner(session_id, tenant_id)
        if tenant is None:
            return False
        async with self._fenced_in_doubt(tenant, session_id, _EVERY_VERSION):
            removed = await self._durable.delete(session_id, tenant_id=tenant)
            settled = self._verify_hot or await self._fence(tenant, session_id, _EVERY_VERSION)
        if not settled:
            raise _hot_tier_lost(f"session {session_id} is deleted", "delete")
        if self._verify_hot and self._tier.awake():
            await self._tier.ask(WRITE_PATIENCE, self._hot.delete, session_id, tenant_id=tenant)
        return removed

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
        return await self._durable.list_by_agent(tenant_id, agent_id, status, limit, offset, after=after)

    async def list_by_customer(
        self, tenant_id: UUID, customer_profile_id: UUID, limit: int = 100, *, after: str | None = None
    ) -> Page[Session]:
        return await self._durable.list_by_customer(tenant_id, customer_profile_id, limit, after=after)

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
        return await self._durable.list_by_step(
            tenant_id,
            scenario_id,
            version=version,
            step_content_hash=step_content_hash,
            scope=scope,
            limit=limit,
            after=after,
        )

    async def promote_to_hot(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        """Put a copy; ``StoreUnavailableError`` when the hot store does not answer."""
        session = await self._durable.get(session_id, tenant_id=tenant_id, promote=False)
        if session is None:
            return False
        if isinstance(await self._tier.ask(WRITE_PATIENCE, self._hot.put_copy, session), Unanswered):
            raise _unmoved("promote_to_hot", session_id)
        return True

    async def demote_to_persistent(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        """End the copy; ``StoreUnavailableError`` when the hot store does not answer."""
        tenant = await self._owner(session_id, tenant_id)
        if tenant is None or (stored := await self._durable.version_of(session_id, tenant_id=tenant)) is None:
            return False
        ended = self._end_copy(tenant, session_id) if self._verify_hot else self._fence(tenant, session_id, stored[0])
        if not await ended:
            raise _unmoved("demote_to_persistent", session_id)
        return True

    async def tier_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> Tier | None:
        tenant = await self._owner(session_id, tenant_id)
        if tenant is None or (stored := await self._durable.version_of(session_id, tenant_id=tenant)) is None:
            return None
        hot = self._tier.awake() and stored == await self._tier.ask(
            READ_PATIENCE, self._hot.version_of, session_id, tenant_id=tenant
        )
        return Tier.HOT if hot else Tier.PERSIST

    async def version_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> tuple[int, datetime] | None:
        return await self._durable.version_of(session_id, tenant_id=tenant_id)

    async def cleanup_expired(self, *, tenant_id: UUID | None = None, limit: int = 1000) -> int:
        """Count those of the durable store; copies end by themselves."""
        removed = await self._durable.cleanup_expired(tenant_id=tenant_id, limit=limit)
        if self._tier.awake():
            await self._tier.ask(MAINTENANCE_PATIENCE, self._hot.cleanup_expired, tenant_id=tenant_id, limit=limit)
        return removed

    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[UUID]:
        """Ask the durable store."""
        return await self._durable.list_tenants(limit=limit, after=after)

    async def erase_tenant(self, tenant_id: UUID) -> int:
        """Count the rows of the durable store; ``OutcomeUnknownError`` when copies may be left in the hot one."""
        removed = await self._durable.erase_tenant(tenant_id)
        if isinstance(await self._tier.ask(MAINTENANCE_PATIENCE, self._hot.erase_tenant, tenant_id), Unanswered):
            raise _hot_tier_lost(f"tenant {tenant_id} is erased", "erase_tenant")
        return removed

    async def _owner(self, session_id: UUID, tenant_id: UUID | None) -> UUID | None:
        if tenant_id is not None:
            return tenant_id
        found = await self._durable.get(session_id, promote=False)
        return None if found is None else found.tenant_id

    async def _fill(self, session: Session) -> None:
        await self._tier.ask(READ_PATIENCE, self._hot.put_copy, session)

    async def _end_copy(self, tenant_id: UUID, session_id: UUID) -> bool:
        """End whatever copy there is, and return whether the hot store answered."""
        ended = await self._tier.ask(WRITE_PATIENCE, self._hot.demote_to_persistent, session_id, tenant_id=tenant_id)
        return not isinstance(ended, Unanswered)

    async def _fence(self, tenant_id: UUID, session_id: UUID, version: int) -> bool:
        """Keep copies below a version out of the hot store; return whether that is certain.

        Merely ending the copy there is would let in whatever older one is still on its way.
        """
        end = self.context.clock.now() + timedelta(seconds=self.context.session_policy.hot_ttl_seconds)
        fence = Session(
            session_id=session_id,
            tenant_id=tenant_id,
            agent_id=NIL,
            channel=Channel.API,
            user_channel_id="fence",
            status=SessionStatus.CLOSED,
            created_at=_FENCE_TIME,
            last_activity_at=_FENCE_TIME,
            expires_at=end,
            version=version,
        )
        stands = await self._tier.ask(WRITE_PATIENCE, self._hot.put_copy, fence)
        return not isinstance(stands, Unanswered)

    @asynccontextmanager
    async def _fenced_in_doubt(self, tenant_id: UUID, session_id: UUID, version: int) -> AsyncIterator[None]:
        """Keep copies below a version out of the hot store when it is not known what became of a durable write."""
        try:
            yield
        except (OutcomeUnknownError, asyncio.CancelledError) as error:
            if not self._verify_hot:
                fence = self._tier.behind(self._fence(tenant_id, session_id, version))
                if isinstance(error, OutcomeUnknownError):
                    await asyncio.wait((fence,))
            raise


def _version(session: Session) -> tuple[int, datetime]:
    return session.version, session.last_activity_at


def _hot_tier_lost(done: str, method: str, *, retryable: bool = True) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"{done}, but the hot tier does not answer and may hold it as it was",
        written=True,
        code="hot_tier_lost",
        retryable=retryable,
        hint="repeat the call when the hot tier answers again, or set session.verify_hot = true",
        details={"method": method},
    )


def _unmoved(method: str, session_id: UUID) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"{method}: the hot tier does not answer; session {session_id} stays where it is", code="hot_tier_unavailable"
    )
