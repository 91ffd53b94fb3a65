"""Profile stores that mistreat fields."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from focal_core.errors import ConflictError, DuplicateError
from focal_core.paging import Page
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import CustomerProfile, ItemStatus, ProfileField, ValueType
from focal_testkit.mutants import mutant


@mutant("PROFILES-050", "PROFILES-087")
class DropsSourceMetadata(InMemoryProfileStore):
    """How a field was derived is not stored."""

    async def update_field(self, tenant_id: UUID, profile_id: UUID, field: ProfileField, **options: Any) -> UUID:
        bare = field.model_copy(update={"source_metadata": {}})
        return await super().update_field(tenant_id, profile_id, bare, **options)


@mutant("PROFILES-052")
class ReadsThenWrites(InMemoryProfileStore):
    """Between reading the active version and following it others may do the same."""

    async def update_field(self, tenant_id: UUID, profile_id: UUID, field: ProfileField, **options: Any) -> UUID:
        current = self._active_names.get((tenant_id, profile_id, field.name))
        await asyncio.sleep(0)
        self.write(self._fields, tenant_id, profile_id, field, current, self.context.clock.now())
        return field.id


@mutant("PROFILES-053")
class SupersedesUnasked(InMemoryProfileStore):
    """supersede_existing=False is ignored."""

    async def update_field(self, *args: Any, supersede_existing: bool = True, **options: Any) -> UUID:
        return await super().update_field(*args, **options)


@mutant("PROFILES-054")
class CreatesProfilesForFields(InMemoryProfileStore):
    """A field of an unknown profile brings the profile about."""

    async def update_field(self, tenant_id: UUID, profile_id: UUID, field: ProfileField, **options: Any) -> UUID:
        if self.survivor(tenant_id, profile_id) is None:
            await self.save(CustomerProfile(id=profile_id, tenant_id=tenant_id))
        return await super().update_field(tenant_id, profile_id, field, **options)


@mutant("PROFILES-055", "PROFILES-056", "PROFILES-084")
class WritesRepeatsAnew(InMemoryProfileStore):
    """A version that is stored already is written again."""

    def is_written(self, table: Any, tenant_id: UUID, profile_id: UUID, *args: Any) -> bool:
        self._prepared(table, tenant_id, profile_id, args[0], None)
        return False


@mutant("PROFILES-056", "PROFILES-084")
class DropsDuplicates(InMemoryProfileStore):
    """A known id with other content is dropped in silence."""

    def is_written(self, *args: Any) -> bool:
        try:
            return super().is_written(*args)
        except DuplicateError:
            return True


@mutant("PROFILES-057")
class StoresText(InMemoryProfileStore):
    """Values are stored as text."""

    async def update_field(self, tenant_id: UUID, profile_id: UUID, field: ProfileField, **options: Any) -> UUID:
        text = field.model_copy(update={"value": str(field.value), "value_type": ValueType.STRING})
        return await super().update_field(tenant_id, profile_id, text, **options)


@mutant("PROFILES-058")
class CutsFieldNames(InMemoryProfileStore):
    """Names of fields have a hundred characters at most."""

    async def update_field(self, tenant_id: UUID, profile_id: UUID, field: ProfileField, **options: Any) -> UUID:
        cut = field.model_copy(update={"name": field.name[:100]})
        return await super().update_field(tenant_id, profile_id, cut, **options)


@mutant("PROFILES-059")
class HistoryById(InMemoryProfileStore):
    """History is listed by id."""

    async def get_field_history(self, *args: Any, **options: Any) -> Page[ProfileField]:
        page = await super().get_field_history(*args, **options)
        return Page(sorted(page, key=lambda one: one.id, reverse=True), page.next_cursor)


@mutant("PROFILES-060")
class NeverAnyHistory(InMemoryProfileStore):
    """include_history is ignored."""

    def read(self, row: CustomerProfile | None, include_history: bool = False) -> CustomerProfile | None:
        return super().read(row)


@mutant("PROFILES-061", "PROFILES-070")
class OnlyActiveFields(InMemoryProfileStore):
    """get_field knows active versions alone."""

    async def get_field(self, *args: Any, status: ItemStatus | None = None) -> ProfileField | None:
        return await super().get_field(*args)


@mutant("PROFILES-062")
class DeletesByName(InMemoryProfileStore):
    """Deleting a version deletes all versions of its name."""

    async def delete_field(self, tenant_id: UUID, profile_id: UUID, field_id: UUID, **options: Any) -> bool:
        doomed = self._fields.get(tenant_id, field_id)
        deleted = await super().delete_field(tenant_id, profile_id, field_id, **options)
        if deleted and doomed is not None:
            for row in list(self._fields.of_name.rows((tenant_id, profile_id, doomed.item.name))):
                self._fields.remove(tenant_id, row.id)
        return deleted


@mutant("PROFILES-063")
class TakesTheStatusGiven(InMemoryProfileStore):
    """A written field has the status it says it has."""

    async def update_field(self, tenant_id: UUID, profile_id: UUID, field: ProfileField, **options: Any) -> UUID:
        written = await super().update_field(tenant_id, profile_id, field, **options)
        row = self._fields.get(tenant_id, written)
        if row is not None:
            given = field.model_dump(include={"status", "superseded_by_id", "superseded_at"})
            self._fields.change(row, self.context.clock.now(), **given)
        return written


@mutant("PROFILES-075")
class OverdueConflicts(InMemoryProfileStore):
    """A version past its time blocks the next one until it is swept."""

    async def update_field(
        self, tenant_id: UUID, profile_id: UUID, field: ProfileField, *, supersede_existing: bool = True, **options: Any
    ) -> UUID:
        if not supersede_existing and self._active_names.get((tenant_id, profile_id, field.name)) is not None:
            raise ConflictError("an active version is stored")
        return await super().update_field(
            tenant_id, profile_id, field, supersede_existing=supersede_existing, **options
        )


@mutant("PROFILES-125")
class OrphansHoldTheName(InMemoryProfileStore):
    """An orphaned version is superseded by the next one of its name."""

    async def update_field(self, tenant_id: UUID, profile_id: UUID, field: ProfileField, **options: Any) -> UUID:
        written = await super().update_field(tenant_id, profile_id, field, **options)
        for row in list(self._fields.of_name.rows((tenant_id, profile_id, field.name))):
            if row.item.is_orphaned:
                self._fields.supersede(row, written, self.context.clock.now())
        return written


@mutant("PROFILES-064")
class DefaultTimesAreContent(InMemoryProfileStore):
    """A time that was left to its default is compared like one that was given."""

    async def update_field(self, tenant_id: UUID, profile_id: UUID, field: ProfileField, **options: Any) -> UUID:
        dated = field.model_copy()
        dated.set_stored(collected_at=field.collected_at)
        return await super().update_field(tenant_id, profile_id, dated, **options)
