"""Session stores that keep copies of other stores' sessions too long, too dearly, or at all."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Session
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("SESSIONS-060")
class VersionIsTheActivity(InMemorySessionStore):
    """The version comes with the session's first time, not with its last."""

    async def version_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> tuple[int, datetime] | None:
        found = await self.get(session_id, tenant_id=tenant_id, promote=False)
        return None if found is None else (found.version, found.created_at)


@mutant("SESSIONS-060")
class VersionOutlivesTheSession(InMemorySessionStore):
    """The version of an expired session is still told."""

    async def version_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> tuple[int, datetime] | None:
        found = await super().version_of(session_id, tenant_id=tenant_id)
        row = None if tenant_id is None else self._sessions.get(tenant_id, session_id)
        return found if row is None else (row.version, row.last_activity_at)


@mutant("SESSIONS-061")
class AskingIsUse(InMemorySessionStore):
    """Asking for the version keeps a session hot."""

    async def version_of(self, session_id: UUID, *, tenant_id: UUID | None = None) -> tuple[int, datetime] | None:
        found = await self.get(session_id, tenant_id=tenant_id)
        return None if found is None else (found.version, found.last_activity_at)


@mutant("SESSIONS-062")
class CopyIsASave(InMemorySessionStore):
    """A copy is stored as a session of this store."""

    async def put_copy(self, session: Session) -> bool:
        kept = await super().put_copy(session)
        if kept:
            self._sessions.put(self._copies[session.tenant_id, session.session_id])
        return kept


@mutant("SESSIONS-062")
class CopyIsShared(InMemorySessionStore):
    """The copy is the caller's object."""

    async def put_copy(self, session: Session) -> bool:
        kept = await super().put_copy(session)
        if kept:
            self._copies[session.tenant_id, session.session_id] = session
        return kept


@mutant("SESSIONS-063")
class CopyNeverCools(InMemorySessionStore):
    """A copy stays until its session ends."""

    async def put_copy(self, session: Session) -> bool:
        kept = await super().put_copy(session)
        if kept and session.expires_at is not None:
            self._hot_until[session.tenant_id, session.session_id] = session.expires_at
        return kept


@mutant("SESSIONS-063")
class ReadCopyCools(InMemorySessionStore):
    """Reading a copy does not restart its time."""

    async def get(self, session_id: UUID, *, tenant_id: UUID | None = None, promote: bool = True) -> Session | None:
        copied = tenant_id is not None and (tenant_id, session_id) in self._copies
        return await super().get(session_id, tenant_id=tenant_id, promote=promote and not copied)


@mutant("SESSIONS-064")
class CopyOutlivesItsSession(InMemorySessionStore):
    """A copy that is in use has no end."""

    def _copy(self, tenant_id: UUID, session_id: UUID) -> Session | None:
        hot = self._hot_until.get((tenant_id, session_id))
        return self._copies.get((tenant_id, session_id)) if hot and self.context.clock.now() < hot else None


@mutant("SESSIONS-065")
class LastCopyWins(InMemorySessionStore):
    """A copy takes the place of a newer one."""

    async def put_copy(self, session: Session) -> bool:
        kept = self._copy(session.tenant_id, session.session_id)
        if kept is not None and kept.version > session.version:
            self._cool(session.tenant_id, session.session_id)
        return await super().put_copy(session)


@mutant("SESSIONS-065")
class FirstCopyWins(InMemorySessionStore):
    """A copy of the version that is there already is not put."""

    async def put_copy(self, session: Session) -> bool:
        kept = self._copy(session.tenant_id, session.session_id)
        if kept is not None and kept.version == session.version:
            return True
        return await super().put_copy(session)


@mutant("SESSIONS-066")
class CopiesWhatNobodyHas(InMemorySessionStore):
    """A session that was never saved is kept as a copy of version 1."""

    async def put_copy(self, session: Session) -> bool:
        given = validated_copy(session)
        if given.version == 0:
            given.set_stored(version=1, expires_at=session.last_activity_at)
        return await super().put_copy(given)


@mutant("SESSIONS-067")
class DemotedCopyStays(InMemorySessionStore):
    """A copy has nowhere to be demoted to and stays."""

    async def demote_to_persistent(self, session_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        copy = None if tenant_id is None else self._copy(tenant_id, session_id)
        return copy is not None or await super().demote_to_persistent(session_id, tenant_id=tenant_id)


@mutant("SESSIONS-067")
class EraseLeavesCopies(InMemorySessionStore):
    """A tenant's copies survive the tenant."""

    async def erase_tenant(self, tenant_id: UUID) -> int:
        copies = dict(self._copies)
        rows = await super().erase_tenant(tenant_id)
        self._copies.update(copies)
        self._hot_until.update({key: datetime.max.replace(tzinfo=self.context.clock.now().tzinfo) for key in copies})
        return rows


@mutant("SESSIONS-068")
class CopyIsGuessed(InMemorySessionStore):
    """A call without a tenant finds whosever copy."""

    def _find(self, session_id: UUID, tenant_id: UUID | None, method: str) -> Session | None:
        found = super()._find(session_id, tenant_id, method)
        guesses = [self._copy(tenant, id) for tenant, id in self._copies if id == session_id and tenant_id is None]
        return found or next(iter(guesses), None)


@mutant("SESSIONS-068")
class OneCopyPerId(InMemorySessionStore):
    """The copy of one tenant's session ends the copies of every other's."""

    async def put_copy(self, session: Session) -> bool:
        for tenant, id in list(self._copies):
            if id == session.session_id and tenant != session.tenant_id:
                self._cool(tenant, id)
        return await super().put_copy(session)


@mutant("SESSIONS-069")
class CopyHidesTheSave(InMemorySessionStore):
    """A copy is read in place of what was saved here."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        copy = self._copies.get((session.tenant_id, session.session_id))
        saved = await super().save(session, force=force)
        if copy is not None:
            self._copies[session.tenant_id, session.session_id] = copy
        return saved


@mutant("SESSIONS-062")
class ListsTenantsOfCopies(InMemorySessionStore):
    """A tenant that has only copies here is listed."""

    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[UUID]:
        page = await super().list_tenants(limit=limit, after=after)
        return Page(sorted({*page, *(tenant for tenant, _ in self._copies)}), page.next_cursor)
