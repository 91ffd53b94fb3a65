"""Profile stores whose save writes too much, too little, or what it should refuse."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.errors import StaleVersionError
from focal_core.ids import uuid7
from focal_core.profile.identities import account
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import ChannelIdentity, Consent, CustomerProfile, ProfileField
from focal_testkit.mutants import mutant


@mutant("PROFILES-020", "PROFILES-034")
class TellsNothingBack(InMemoryProfileStore):
    """Version, times and new ids do not reach the object passed in."""

    async def save(self, profile: CustomerProfile) -> UUID:
        return await super().save(validated_copy(profile))


@mutant("PROFILES-021")
class NoneMeansKeep(InMemoryProfileStore):
    """An external id that is None leaves the stored one."""

    async def save(self, profile: CustomerProfile) -> UUID:
        stored = self._profiles.get(profile.tenant_id, profile.id)
        if stored is not None and profile.external_id is None:
            profile.set_stored(external_id=stored.external_id)
        return await super().save(profile)


@mutant("PROFILES-022", "PROFILES-178")
class LastSaveWins(InMemoryProfileStore):
    """row_version is not looked at."""

    async def save(self, profile: CustomerProfile) -> UUID:
        profile.set_stored(row_version=0)
        return await super().save(profile)


@mutant("PROFILES-023")
class ZeroMeansNew(InMemoryProfileStore):
    """row_version 0 expects that there is no row."""

    async def save(self, profile: CustomerProfile) -> UUID:
        if profile.row_version == 0 and self._profiles.get(profile.tenant_id, profile.id) is not None:
            raise StaleVersionError("stored already", expected=0, actual=1)
        return await super().save(profile)


@mutant("PROFILES-024")
class FieldsAdvanceTheVersion(InMemoryProfileStore):
    """Writing a field makes loaded profiles stale."""

    async def update_field(self, tenant_id: UUID, profile_id: UUID, field: ProfileField, **options: Any) -> UUID:
        written = await super().update_field(tenant_id, profile_id, field, **options)
        row = validated_copy(self.require(tenant_id, profile_id))
        row.set_stored(row_version=row.row_version + 1)
        self._profiles.put(row)
        return written


@mutant("PROFILES-025")
class SaveReplacesAll(InMemoryProfileStore):
    """What a saved object does not hold is removed."""

    async def save(self, profile: CustomerProfile) -> UUID:
        kept = {field.id for field in profile.fields.values()}
        for row in list(self._fields.of_profile.rows((profile.tenant_id, profile.id))):
            if row.id not in kept:
                self._fields.remove(profile.tenant_id, row.id)
        return await super().save(profile)


@mutant("PROFILES-030", "PROFILES-131", "PROFILES-135")
class AccountsMoveOver(InMemoryProfileStore):
    """An account is taken from the profile that has it."""

    def joining(self, tenant_id: UUID, profile_id: UUID, incoming: Iterable[ChannelIdentity]) -> list[ChannelIdentity]:
        arriving = list(incoming)
        for item in arriving:
            row = self._account(tenant_id, account(item))
            if row is not None and row.profile_id != profile_id:
                self._identities.remove(tenant_id, row.id)
        return super().joining(tenant_id, profile_id, arriving)


@mutant("PROFILES-032")
class SaveRevives(InMemoryProfileStore):
    """Saving a deleted profile brings it back."""

    async def save(self, profile: CustomerProfile) -> UUID:
        stored = self._profiles.get(profile.tenant_id, profile.id)
        if stored is not None and stored.deleted_at is not None:
            profile.set_stored(deleted_at=None, row_version=stored.row_version)
        return await super().save(profile)


@mutant("PROFILES-033")
class DropsWhatTheStoreSets(InMemoryProfileStore):
    """deleted_at and merged_into_id of a saved object are ignored."""

    async def save(self, profile: CustomerProfile) -> UUID:
        profile.set_stored(deleted_at=None, merged_into_id=None)
        return await super().save(profile)


@mutant("PROFILES-036")
class RecordsConsentsAgain(InMemoryProfileStore):
    """Every save records the consents it holds anew."""

    async def save(self, profile: CustomerProfile) -> UUID:
        for one in profile.consents:
            one.set_stored(id=uuid7())
        return await super().save(profile)


@mutant("PROFILES-037")
class ConsentsDateThemselves(InMemoryProfileStore):
    """A consent keeps the time it claims to be of."""

    def _is_new_consent(self, tenant_id: UUID, profile_id: UUID, item: Consent) -> bool:
        claimed = item.created_at
        found = super()._is_new_consent(tenant_id, profile_id, item)
        item.set_stored(created_at=claimed)
        return found
