"""Stores whose tenants meet."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from focal_core.audit.inmemory import InMemoryAuditStore
from focal_core.audit.models import TurnRecord
from focal_core.config.inmemory import InMemoryConfigStore
from focal_core.config.models import Rule
from focal_core.context import BackendContext
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Session
from focal_core.inmemory.table import Table
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("STORE-001", "STORE-004")
class AnyTenantsTurn(InMemoryAuditStore):
    """get_turn returns the turn of whatever tenant has the id."""

    async def get_turn(self, turn_id: UUID, *, tenant_id: UUID | None = None) -> TurnRecord | None:
        self.resolve_tenant(tenant_id, lambda: (), "get_turn")
        return next((self._turns.get(owner, turn_id) for owner in sorted(self._turns.tenants_of(turn_id))), None)


@mutant("STORE-002")
class IdAloneIsTheKey(InMemoryAuditStore):
    """A record replaces the record of that id under any tenant."""

    def _append(self, table: Table[Any], record: Any, check: Callable[[Any], None] | None = None) -> UUID:
        for owner in set(table.tenants_of(record.id)) - {record.tenant_id}:
            table.remove(owner, record.id)
        return super()._append(table, record, check)


@mutant("STORE-002", "SESSIONS-019")
class SavesForEveryTenant(InMemorySessionStore):
    """The second save of a session replaces those of its id under every tenant."""

    async def save(self, session: Session, *, force: bool = False) -> Session:
        saved = await super().save(session, force=force)
        for owner in self._sessions.tenants_of(saved.session_id) if saved.version > 1 else ():
            self._sessions.put(saved.model_copy(update={"tenant_id": owner}, deep=True))
        return saved


@mutant("STORE-002")
class VectorOfAnyTenant(InMemoryConfigStore):
    """A rule is read with the vector that another tenant's rule of its id has."""

    async def get_rule(self, tenant_id: UUID, rule_id: UUID) -> Rule | None:
        found = await super().get_rule(tenant_id, rule_id)
        others = [self._rules.get(owner, rule_id) for owner in self._rules.tenants_of(rule_id) - {tenant_id}]
        if found is not None and others and others[0] is not None:
            found.set_stored(condition_embedding=others[0].condition_embedding)
        return found


@mutant("STORE-003")
class GuessesTheTenant(InMemoryAuditStore):
    """An omitted tenant is guessed under strict isolation too."""

    def resolve_tenant(
        self, tenant_id: UUID | None, candidates: Callable[[], Collection[UUID]], what: str
    ) -> UUID | None:
        return tenant_id or next(iter(candidates()), None)


@mutant("STORE-005")
class AlwaysStrict(InMemoryAuditStore):
    """Trusting isolation is ignored."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(BackendContext(clock=context.clock) if context else None)


@mutant("STORE-006")
class ViewIsTheStore(InMemoryAuditStore):
    """The bound view is the store itself."""

    def for_tenant(self, tenant_id: UUID) -> Any:
        return self


@mutant("STORE-007")
class TenantsInAnyOrder(InMemoryAuditStore):
    """Tenants are listed in descending order."""

    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[UUID]:
        return Page(sorted(await super().list_tenants(limit=limit, after=after), reverse=True))


@mutant("STORE-008")
class EraseForgetsEvents(InMemoryAuditStore):
    """Erasing a tenant leaves its events."""

    async def erase_tenant(self, tenant_id: UUID) -> int:
        return self._turns.erase(tenant_id)


@mutant("STORE-009")
class DeclaresWhatItLacks(InMemoryAuditStore):
    """purge is declared and does nothing."""

    async def purge(
        self, tenant_id: UUID, *, before: datetime | None = None, session_ids: Collection[UUID] | None = None
    ) -> int:
        return 0


@mutant("STORE-018")
class RemembersErasedTenants(InMemoryAuditStore):
    """A tenant once seen is counted among those a call could mean, even after it was erased."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._erased: set[UUID] = set()

    async def erase_tenant(self, tenant_id: UUID) -> int:
        self._erased.add(tenant_id)
        return await super().erase_tenant(tenant_id)

    def resolve_tenant(
        self, tenant_id: UUID | None, candidates: Callable[[], Collection[UUID]], what: str
    ) -> UUID | None:
        return super().resolve_tenant(tenant_id, lambda: {*candidates(), *self._erased}, what)


@mutant("STORE-019")
class AnySecondTenantIsAmbiguous(InMemoryAuditStore):
    """Every tenant in the store is one that a call without tenant could mean."""

    def resolve_tenant(
        self, tenant_id: UUID | None, candidates: Callable[[], Collection[UUID]], what: str
    ) -> UUID | None:
        return super().resolve_tenant(tenant_id, self._turns.tenants, what)
