"""Profile stores that remove too little or too much."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.errors import NotFoundError
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import CustomerProfile
from focal_testkit.mutants import mutant


@mutant("PROFILES-040")
class FindsDeleted(InMemoryProfileStore):
    """A deleted profile is still found by its id."""

    async def get_by_id(self, tenant_id: UUID, profile_id: UUID, **options: Any) -> CustomerProfile | None:
        row = self.survivor(tenant_id, profile_id)
        return None if row is None else self.assemble(row, **options)


@mutant("PROFILES-041")
class DeletedKeepAccounts(InMemoryProfileStore):
    """The accounts of a deleted profile stay taken."""

    async def delete(self, tenant_id: UUID, profile_id: UUID) -> bool:
        return self.soft_delete(self._profiles, tenant_id, profile_id)


@mutant("PROFILES-014", "PROFILES-042")
class WritesToDeleted(InMemoryProfileStore):
    """A deleted profile takes writes."""

    def require(self, tenant_id: UUID, profile_id: UUID) -> CustomerProfile:
        if (row := self.survivor(tenant_id, profile_id)) is None:
            raise NotFoundError("no such profile")
        return row


@mutant("PROFILES-043", "PROFILES-046")
class ErasesOneRow(InMemoryProfileStore):
    """Erasing leaves what was merged into a profile."""

    async def erase_profile(self, tenant_id: UUID, profile_id: UUID) -> int:
        return self._erase(tenant_id, profile_id) if self._profiles.get(tenant_id, profile_id) else 0


@mutant("PROFILES-044")
class ErasesLiveOnly(InMemoryProfileStore):
    """A deleted profile cannot be erased."""

    async def erase_profile(self, tenant_id: UUID, profile_id: UUID) -> int:
        return await super().erase_profile(tenant_id, profile_id) if self.live(tenant_id, profile_id) else 0


@mutant("PROFILES-045")
class ErasesWhatWasDerived(InMemoryProfileStore):
    """Erasing a profile removes what was derived from its fields, wherever it is."""

    async def erase_profile(self, tenant_id: UUID, profile_id: UUID) -> int:
        for row in list(self._fields.of_profile.rows((tenant_id, profile_id))):
            for child in list(self._fields.of_source.rows((tenant_id, row.id))):
                self._fields.remove(tenant_id, child.id)
        return await super().erase_profile(tenant_id, profile_id)


@mutant("PROFILES-046")
class ErasesByOwnIdOnly(InMemoryProfileStore):
    """Erasing by the id of a merged source finds nothing."""

    async def erase_profile(self, tenant_id: UUID, profile_id: UUID) -> int:
        row = self._profiles.get(tenant_id, profile_id)
        if row is None or row.merged_into_id is not None:
            return 0
        return await super().erase_profile(tenant_id, profile_id)


@mutant("PROFILES-047")
class DeletedItemsShow(InMemoryProfileStore):
    """Lineage finds items of deleted profiles."""

    def is_visible(self, row: Any) -> bool:
        return True


@mutant("PROFILES-048")
class DeletionEmpties(InMemoryProfileStore):
    """Deleting a profile removes its fields."""

    async def delete(self, tenant_id: UUID, profile_id: UUID) -> bool:
        deleted = await super().delete(tenant_id, profile_id)
        for row in list(self._fields.of_profile.rows((tenant_id, profile_id))) if deleted else ():
            self._fields.remove(tenant_id, row.id)
        return deleted
