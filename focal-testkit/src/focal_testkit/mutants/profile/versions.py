"""Profile stores whose save mistakes one version for another."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import CustomerProfile
from focal_core.profile.status import is_active
from focal_testkit.mutants import mutant


@mutant("PROFILES-026", "PROFILES-028", "PROFILES-034")
class WritesUnknownIdsOnly(InMemoryProfileStore):
    """Items that are stored already are left as they are."""

    def is_news(self, table: Any, tenant_id: UUID, profile_id: UUID, item: Any, now: datetime) -> bool:
        known = table.get(tenant_id, item.id) is not None
        return super().is_news(table, tenant_id, profile_id, item, now) and not known


@mutant("PROFILES-027", "PROFILES-051")
class NewVersionRemovesOld(InMemoryProfileStore):
    """A version that is followed by another is gone."""

    def write(self, table: Any, tenant_id: UUID, profile_id: UUID, item: Any, superseded: Any, now: datetime) -> None:
        if superseded is not None:
            table.remove(tenant_id, superseded.id)
        super().write(table, tenant_id, profile_id, item, None, now)


@mutant("PROFILES-028", "PROFILES-034")
class EditsInPlace(InMemoryProfileStore):
    """A changed value replaces the stored one under its id."""

    def is_news(self, table: Any, tenant_id: UUID, profile_id: UUID, item: Any, now: datetime) -> bool:
        given = item.id
        news = super().is_news(table, tenant_id, profile_id, item, now)
        if item.id != given:
            table.remove(tenant_id, given)
            item.set_stored(id=given)
        return news


@mutant("PROFILES-029")
class OldCopiesRevert(InMemoryProfileStore):
    """A version that is no longer active is written as a new one."""

    def is_news(self, table: Any, tenant_id: UUID, profile_id: UUID, item: Any, now: datetime) -> bool:
        row = table.get(tenant_id, item.id)
        news = super().is_news(table, tenant_id, profile_id, item, now)
        if row is not None and not is_active(row.item, now):
            item.set_stored(id=self.context.id_factory())
            return True
        return news


@mutant("PROFILES-031")
class SavesHistory(InMemoryProfileStore):
    """Values of the saved object's history are written."""

    async def save(self, profile: CustomerProfile) -> UUID:
        saved = await super().save(profile)
        for versions in profile.field_history.values():
            for one in versions:
                if (row := self._fields.get(profile.tenant_id, one.id)) is not None:
                    row.item.set_stored(value=one.value)
        return saved


@mutant("PROFILES-035", "PROFILES-056", "PROFILES-084")
class TakesRowsOver(InMemoryProfileStore):
    """A version of another profile's id takes that row over."""

    def _prepared(self, table: Any, tenant_id: UUID, profile_id: UUID, item: Any, agent_id: UUID | None) -> Any:
        row = table.get(tenant_id, item.id)
        if row is not None and row.profile_id != profile_id:
            table.remove(tenant_id, item.id)
        return super()._prepared(table, tenant_id, profile_id, item, agent_id)


@mutant("PROFILES-038")
class AssetsKeepTheirNames(InMemoryProfileStore):
    """An asset that is renamed stays what it was."""

    def is_news(self, table: Any, tenant_id: UUID, profile_id: UUID, item: Any, now: datetime) -> bool:
        row = table.get(tenant_id, item.id)
        if row is not None and row.item.name != item.name and table is self._assets:
            return False
        return super().is_news(table, tenant_id, profile_id, item, now)
