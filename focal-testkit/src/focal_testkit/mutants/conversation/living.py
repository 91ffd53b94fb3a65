"""Session stores that let sessions live too long, too short, or in the wrong tier."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.context import BackendContext
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Session, Tier
from focal_core.errors import InvalidDataError, StoreUnavailableError
from focal_core.paging import Page
from focal_testkit.mutants import mutant


def _policy(context: BackendContext | None, **changes: int) -> BackendContext:
    given = context or BackendContext()
    return replace(given, session_policy=replace(given.session_policy, **changes))


@mutant("SESSIONS-040")
class IdleCountsFromTheStart(InMemorySessionStore):
    """The idle time runs from the first save."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        end = session.expires_at
        await super().save(session, force=force)
        if end is not None:
            session.set_stored(expires_at=end)
            self._sessions.put(validated_copy(session))
        return validated_copy(session)


@mutant("SESSIONS-040")
class GoneTooLate(InMemorySessionStore):
    """A session ends a second too late."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self.context = _policy(context, idle_ttl_seconds=self.context.session_policy.idle_ttl_seconds + 1)


@mutant("SESSIONS-041")
class NeverTooOld(InMemorySessionStore):
    """There is no maximum age."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(_policy(context, max_session_age_seconds=10**9))


@mutant("SESSIONS-042", "SESSIONS-055")
class ReadingExtendsLife(InMemorySessionStore):
    """A read that counts as use postpones the end of the session."""

    def _use(self, row: Session) -> None:
        super()._use(row)
        used = validated_copy(row)
        used.set_stored(expires_at=self.context.clock.now() + timedelta(days=7))
        if row.last_activity_at < self.context.clock.now():
            self._sessions.put(used)


@mutant("SESSIONS-043")
class ExpiryWaitsForCleanup(InMemorySessionStore):
    """Expired sessions can be deleted until they are cleaned up."""

    async def delete(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        return self._sessions.remove(tenant_id, session_id) is not None if tenant_id else False


@mutant("SESSIONS-043")
class LateSavesRevive(InMemorySessionStore):
    """A save on an expired session goes on from it."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        gone = self._live(session.tenant_id, session.session_id) is None
        return await super().save(session, force=force or (gone and session.version > 0))


@mutant("SESSIONS-044")
class ExpiredFillPages(InMemorySessionStore):
    """Expired sessions are left out after the page was cut."""

    async def list_by_agent(self, *args: Any, **kwargs: Any) -> Page[Session]:
        live = self._live_now()
        self._live_now = lambda: lambda row: True  # type: ignore[method-assign]
        page = await super().list_by_agent(*args, **kwargs)
        del self._live_now
        return Page([row for row in page if live(row)], page.next_cursor)


@mutant("SESSIONS-045")
class CleansWithoutLimit(InMemorySessionStore):
    """A cleanup removes whatever has expired, at once."""

    async def cleanup_expired(self, *, tenant_id: UUID | None = None, limit: int = 1000) -> int:
        if not 1 <= limit <= 1000:
            raise InvalidDataError("limit")
        return await super().cleanup_expired(tenant_id=tenant_id)


@mutant("SESSIONS-045")
class CleansOneTier(InMemorySessionStore):
    """A cleanup counts expired sessions and leaves them."""

    def _remove(self, row: Session) -> None:
        self._hot_until.pop((row.tenant_id, row.session_id), None)


@mutant("SESSIONS-046")
class CleansEverybody(InMemorySessionStore):
    """A cleanup of one tenant is a cleanup of all."""

    async def cleanup_expired(self, *, tenant_id: UUID | None = None, limit: int = 1000) -> int:
        return await super().cleanup_expired(limit=limit)


@mutant("SESSIONS-046")
class CleansNobody(InMemorySessionStore):
    """A cleanup without a tenant does nothing."""

    async def cleanup_expired(self, *, tenant_id: UUID | None = None, limit: int = 1000) -> int:
        return 0 if tenant_id is None else await super().cleanup_expired(tenant_id=tenant_id, limit=limit)


@mutant("SESSIONS-047")
class OverflowsAtTheEndOfTime(InMemorySessionStore):
    """The end of a session is computed from created_at alone."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        session.created_at + timedelta(days=7)
        return await super().save(session, force=force)


@mutant("SESSIONS-048")
class ExpiredIsACandidate(InMemorySessionStore):
    """An expired session of the same id makes a call without tenant ambiguous."""

    def _find(self, session_id: UUID, tenant_id: UUID | None, method: str) -> Session | None:
        tenant = self.resolve_tenant(tenant_id, lambda: self._sessions.tenants_of(session_id), method)
        return super()._find(session_id, tenant, method)


@mutant("SESSIONS-049")
class CleansByTheFirstEnd(InMemorySessionStore):
    """A cleanup removes a session at the end that its first save gave it."""

    async def cleanup_expired(self, *, tenant_id: UUID | None = None, limit: int = 1000) -> int:
        removed = await super().cleanup_expired(tenant_id=tenant_id, limit=limit)
        idle, now = timedelta(seconds=self.context.session_policy.idle_ttl_seconds), self.context.clock.now()
        due = [row for row in self._sessions.rows(tenant_id) if now >= row.created_at + idle] if tenant_id else []
        for row in due:
            self._remove(row)
        return removed + len(due)


@mutant("SESSIONS-050")
class EverythingIsHot(InMemorySessionStore):
    """Every session is reported hot."""

    async def tier_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> Tier | None:
        return await super().tier_of(session_id, tenant_id=tenant_id) and Tier.HOT


@mutant("SESSIONS-051")
class CoolingIsLosing(InMemorySessionStore):
    """A session that leaves the hot tier is lost."""

    async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
        hot = tenant_id is None or await self.tier_of(session_id, tenant_id=tenant_id) is Tier.HOT
        return await super().get(session_id, tenant_id=tenant_id, promote=promote) if hot else None


@mutant("SESSIONS-051", "SESSIONS-052")
class NeverCools(InMemorySessionStore):
    """A session stays hot until it is demoted."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(_policy(context, hot_ttl_seconds=10**8))


@mutant("SESSIONS-052")
class ReadsDoNotPromote(InMemorySessionStore):
    """Reading leaves a session in its tier."""

    async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
        return await super().get(session_id, tenant_id=tenant_id, promote=False)


@mutant("SESSIONS-053")
class PeekingPromotes(InMemorySessionStore):
    """promote=False is ignored."""

    async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
        return await super().get(session_id, tenant_id=tenant_id)


@mutant("SESSIONS-054")
class ListsPromote(InMemorySessionStore):
    """A session that is listed becomes hot."""

    async def list_by_customer(self, *args: Any, **kwargs: Any) -> Page[Session]:
        page = await super().list_by_customer(*args, **kwargs)
        for row in page:
            self._use(row)
        return page


@mutant("SESSIONS-056")
class DemotedCopyComesBack(InMemorySessionStore):
    """What was stored when a session was demoted is what is read when it is demoted again."""

    async def demote_to_persistent(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        row = self._find(session_id, tenant_id, "demote_to_persistent")
        if row is not None:
            copies: dict[UUID, Session] = self.__dict__.setdefault("copies", {})
            self._sessions.put(copies.setdefault(session_id, row))
        return await super().demote_to_persistent(session_id, tenant_id=tenant_id)


@mutant("SESSIONS-057")
class SavesCold(InMemorySessionStore):
    """A save after the first one leaves the session in its tier."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        key = session.tenant_id, session.session_id
        first, until = self._live(*key) is None, self._hot_until.get(key)
        saved = await super().save(session, force=force)
        if not first:
            self._hot_until.pop(key)
            self._hot_until.update({key: until} if until else {})
        return saved


@mutant("SESSIONS-058")
class MovesForStrangers(InMemorySessionStore):
    """A stranger's id promotes the owner's session."""

    async def promote_to_hot(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        for owner in self._sessions.tenants_of(session_id):
            await super().promote_to_hot(session_id, tenant_id=owner)
        return await super().promote_to_hot(session_id, tenant_id=tenant_id)


@mutant("SESSIONS-059")
class PromotesSlowly(InMemorySessionStore):
    """A promotion takes 60 ms."""

    async def promote_to_hot(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        await asyncio.sleep(0.06)
        return await super().promote_to_hot(session_id, tenant_id=tenant_id)


@mutant("SESSIONS-070")
class GivesUpUnderLoad(InMemorySessionStore):
    """More than a hundred saves at once are refused."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        running: list[Session] = self.__dict__.setdefault("running", [])
        if len(running) == 100:
            raise StoreUnavailableError("no connection left")
        running.append(session)
        await asyncio.sleep(0)
        running.pop()
        return await super().save(session, force=force)


@mutant("SESSIONS-071")
class ForcesUnderLoad(InMemorySessionStore):
    """A save that meets another one is not held to its version."""

    saving = 0

    async def save(self, session: Session, *, force: bool = False) -> Session:
        self.saving += 1
        await asyncio.sleep(0)
        met, self.saving = self.saving > 1, self.saving - 1
        return await super().save(session, force=force or met)


@mutant("SESSIONS-072")
class PromotionRestartsNothing(InMemorySessionStore):
    """Promoting a session that is hot leaves its time there as it is."""

    async def promote_to_hot(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        if await self.tier_of(session_id, tenant_id=tenant_id) is Tier.HOT:
            return True
        return await super().promote_to_hot(session_id, tenant_id=tenant_id)
