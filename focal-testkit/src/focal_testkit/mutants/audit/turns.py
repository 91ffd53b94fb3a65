"""Audit stores that break a rule about turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.audit.models import TurnRecord
from focal_core.errors import DuplicateError, InvalidDataError
from focal_core.inmemory.table import Table
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("STORE-030", "AUDIT-006")
class RefusesRepeats(InMemoryAuditStore):
    """A record saved again is a duplicate, however equal."""

    def _append(self, table: Table[Any], record: Any, check: Callable[[Any], None] | None = None) -> UUID:
        if table.get(record.tenant_id, record.id) is not None:
            raise InvalidDataError("stored already")
        return super()._append(table, record, check)


@mutant("AUDIT-001", "AUDIT-023")
class ForgetsTheClock(InMemoryAuditStore):
    """recorded_at is the record's own time."""

    def _append(self, table: Table[Any], record: Any, check: Callable[[Any], None] | None = None) -> UUID:
        saved = super()._append(table, record, check)
        table.get(record.tenant_id, record.id).set_stored(recorded_at=record.created_at)  # type: ignore[union-attr]
        return saved


@mutant("AUDIT-002")
class SessionByTime(InMemoryAuditStore):
    """Turns of a session are listed by time."""

    async def list_turns_by_session(
        self,
        session_id: UUID,
        limit: int = 50,
        offset: int = 0,
        *,
        tenant_id: UUID | None = None,
        after: str | None = None,
    ) -> Page[TurnRecord]:
        page = await super().list_turns_by_session(session_id, limit, offset, tenant_id=tenant_id, after=after)
        return Page(sorted(page, key=lambda turn: turn.created_at), page.next_cursor)


@mutant("AUDIT-003", "AUDIT-004", "AUDIT-011", "AUDIT-012")
class IgnoresFilters(InMemoryAuditStore):
    """Turns of a tenant are listed without filters, in the order of saving."""

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
        return Page(self._turns.rows(tenant_id)[:limit])


@mutant("AUDIT-005", "AUDIT-007")
class LastRecordWins(InMemoryAuditStore):
    """A record with other content replaces the stored one."""

    def _append(self, table: Table[Any], record: Any, check: Callable[[Any], None] | None = None) -> UUID:
        table.remove(record.tenant_id, record.id)
        return super()._append(table, record, check)


@mutant("AUDIT-008")
class NumberUniquePerTenant(InMemoryAuditStore):
    """A turn number is taken for all sessions of the tenant."""

    async def save_turn(self, turn: TurnRecord) -> UUID:
        for other in self._turns.rows(turn.tenant_id):
            if other.turn_number == turn.turn_number and other.id != turn.id:
                raise InvalidDataError("number taken")
        return await super().save_turn(turn)


@mutant("AUDIT-010")
class ThawsRecords(InMemoryAuditStore):
    """Records are handed out with plain containers."""

    async def get_turn(self, turn_id: UUID, *, tenant_id: UUID | None = None) -> TurnRecord | None:
        found = await super().get_turn(turn_id, tenant_id=tenant_id)
        return found and found.model_copy(update={"extra": found.model_dump()["extra"]})


@mutant("AUDIT-009")
class ChecksThenWrites(InMemoryAuditStore):
    """The turn number is checked, and the turn written after a pause."""

    async def save_turn(self, turn: TurnRecord) -> UUID:
        for other in self._turns.rows(turn.tenant_id):
            if other.session_id == turn.session_id and other.turn_number == turn.turn_number and other.id != turn.id:
                raise DuplicateError("number taken")
        await asyncio.sleep(0)
        return self._append(self._turns, turn)


@mutant("AUDIT-013")
class ImportsInAnyOrder(InMemoryAuditStore):
    """The ids of turns saved together come sorted, each once."""

    async def save_turns(self, turns: Sequence[TurnRecord]) -> list[UUID]:
        return sorted(set(await super().save_turns(turns)))


@mutant("AUDIT-014")
class ImportsWhatFits(InMemoryAuditStore):
    """Of turns saved together those that would be refused are left out without a word."""

    async def save_turns(self, turns: Sequence[TurnRecord]) -> list[UUID]:
        for turn in turns:
            with suppress(DuplicateError):
                await self.save_turn(turn)
        return [turn.id for turn in turns]
