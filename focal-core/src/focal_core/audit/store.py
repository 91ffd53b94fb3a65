"""The audit port: append, read, and purge by retention; no update and no delete."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from focal_core.audit.models import AuditEvent, TurnRecord
from focal_core.paging import Page
from focal_core.store import Store


class AuditStore(Store):
    """Append-only record of what happened.

    A record never changes once stored: the same id with the same content (digest without clock fields) is an
    idempotent success, with other content it is refused.
    """

    port: ClassVar[str] = "audit"

    @abstractmethod
    async def save_turn(self, turn: TurnRecord) -> UUID:
        """Append a turn and return its id.

        Args:
            turn: the record; ``recorded_at`` is set by the store.

        Raises:
            DuplicateError: the id is stored with other content, or another turn has this number in the session.
            InvalidDataError: the record exceeds a limit.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    async def save_turns(self, turns: Sequence[TurnRecord]) -> list[UUID]:
        """Append turns, as an import does, and return their ids in the order given.

        Appended one by one: after an error the turns before the one it is about are stored. A backend that can do so
        appends all of them or none, in far fewer round trips. Either way the same call may be made again.

        Args:
            turns: the records, each as for ``save_turn``.

        Raises:
            DuplicateError: an id is stored with other content, or another turn has a number in its session.
            InvalidDataError: a record exceeds a limit.
            StoreUnavailableError: safe to retry.
        """
        return [await self.save_turn(turn) for turn in turns]

    @abstractmethod
    async def get_turn(self, turn_id: UUID, *, tenant_id: UUID | None = None) -> TurnRecord | None:
        """Return a turn, or None when the tenant has none of that id.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

    @abstractmethod
    async def list_turns_by_session(
        self,
        session_id: UUID,
        limit: int = 50,
        offset: int = 0,
        *,
        tenant_id: UUID | None = None,
        after: str | None = None,
    ) -> Page[TurnRecord]:
        """Return the turns of a session by turn number, then created_at, then id, ascending.

        Args:
            session_id: the session.
            limit: rows, 1 to 1,000.
            offset: rows left out at the start; not together with ``after``.
            tenant_id: the owner.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit, offset or cursor are wrong.
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

    @abstractmethod
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
        """Return the turns of a tenant by created_at, then id, ascending.

        Args:
            tenant_id: the owner.
            start_time: only turns created at or after it.
            end_time: only turns created before it.
            agent_id: only turns of this agent.
            limit: rows, 1 to 1,000.
            offset: rows left out at the start; not together with ``after``.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit, offset or cursor are wrong, or a time is naive.
        """

    @abstractmethod
    async def save_event(self, event: AuditEvent) -> UUID:
        """Append an event and return its id; its turn need not exist.

        Raises:
            DuplicateError: the id is stored with other content.
            InvalidDataError: the record exceeds a limit.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def get_event(self, event_id: UUID, *, tenant_id: UUID | None = None) -> AuditEvent | None:
        """Return an event, or None when the tenant has none of that id.

        Raises:
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous.
        """

    @abstractmethod
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
        """Return the events of a tenant by created_at, then id, ascending; every filter given must hold.

        Args:
            tenant_id: the owner.
            event_type: only events of this type, exactly.
            session_id: only events of this session.
            start_time: only events created at or after it.
            end_time: only events created before it.
            limit: rows, 1 to 1,000.
            turn_id: only events of this turn.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit or cursor are wrong, or a time is naive.
        """

    @abstractmethod
    async def purge(
        self, tenant_id: UUID, *, before: datetime | None = None, session_ids: Collection[UUID] | None = None
    ) -> int:
        """Remove turns and events for good, write one ``audit.purged`` event, and return how many were removed.

        Needs capability ``purge``; meant for retention and erasure, under a privileged role. Both filters given must
        hold. Idempotent: a call that finds nothing returns 0 and writes no event.

        Args:
            tenant_id: the owner.
            before: only records created before it.
            session_ids: only records of these sessions.

        Raises:
            InvalidDataError: no filter is given, or ``before`` is naive.
            UnsupportedOperationError: the backend does not declare ``purge``.
        """
