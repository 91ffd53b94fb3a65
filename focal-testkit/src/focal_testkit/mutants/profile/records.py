"""Profile stores that lose or confuse profiles."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from focal_core.conversation.models import Channel
from focal_core.errors import NotFoundError
from focal_core.paging import Page
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import ChannelIdentity, CustomerProfile
from focal_testkit.mutants import mutant


@mutant("PROFILES-001", "PROFILES-002")
class ForgetsTheIdentity(InMemoryProfileStore):
    """A created profile is stored without the identity it was created for."""

    async def get_or_create(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> CustomerProfile:
        made = await super().get_or_create(tenant_id, channel, channel_user_id)
        self._identities.remove(tenant_id, made.channel_identities[0].id)
        return made


@mutant("PROFILES-002", "PROFILES-003")
class IgnoresTheChannel(InMemoryProfileStore):
    """An account is looked up by its user alone."""

    def _account(self, tenant_id: UUID, account: tuple[Channel, str]) -> Any:
        rows = self._identities.rows(tenant_id)
        return next((row for row in rows if row.item.channel_user_id == account[1]), None)


@mutant("PROFILES-004")
class ExternalIdOfAnyTenant(InMemoryProfileStore):
    """External ids are looked up over all tenants."""

    async def get_by_external_id(self, tenant_id: UUID, external_id: str, **options: Any) -> CustomerProfile | None:
        for owner in sorted(self._profiles.tenants()):
            if (found := await super().get_by_external_id(owner, external_id)) is not None:
                return found
        return None


@mutant("PROFILES-005")
class LooksThenCreates(InMemoryProfileStore):
    """Between looking for a profile and creating one others may do the same."""

    async def get_or_create(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> CustomerProfile:
        found = await self.get_by_channel_identity(tenant_id, channel, channel_user_id)
        await asyncio.sleep(0)
        if found is None:
            found = CustomerProfile(tenant_id=tenant_id)
            found.channel_identities = [ChannelIdentity(channel=channel, channel_user_id=channel_user_id)]
            await self.save(found)
        return found


@mutant("PROFILES-006")
class CustomerIdIsProfileId(InMemoryProfileStore):
    """get_by_customer_id takes the profile id."""

    async def get_by_customer_id(self, tenant_id: UUID, customer_id: UUID, **options: Any) -> CustomerProfile | None:
        return await self.get_by_id(tenant_id, customer_id, **options)


@mutant("PROFILES-007", "PROFILES-009")
class NothingIsUnique(InMemoryProfileStore):
    """External ids and customer ids may be used any number of times."""

    def _check_unique(self, row: CustomerProfile) -> None:
        return None


@mutant("PROFILES-007", "PROFILES-008")
class KeepsOldExternalIds(InMemoryProfileStore):
    """An external id goes on finding what it once found."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._external_ids.discard = lambda row: None  # type: ignore[method-assign]


@mutant("PROFILES-009")
class CustomerIdsAreFreed(InMemoryProfileStore):
    """The customer id of a deleted profile may be used again."""

    def _check_unique(self, row: CustomerProfile) -> None:
        other = self._customers.owner_other_than(row)
        if other is None or other.deleted_at is None:
            super()._check_unique(row)


@mutant("PROFILES-010")
class ListsById(InMemoryProfileStore):
    """Profiles are listed by id."""

    async def list_profiles(self, *args: Any, **options: Any) -> Page[CustomerProfile]:
        page = await super().list_profiles(*args, **options)
        return Page(sorted(page, key=lambda one: one.id), page.next_cursor)


@mutant("PROFILES-011")
class ListsWhateverItsTime(InMemoryProfileStore):
    """updated_since is ignored."""

    async def list_profiles(self, *args: Any, updated_since: Any = None, **options: Any) -> Page[CustomerProfile]:
        return await super().list_profiles(*args, **options)


@mutant("PROFILES-012")
class ListsWithoutAssets(InMemoryProfileStore):
    """Listed profiles have no assets."""

    async def list_profiles(self, *args: Any, **options: Any) -> Page[CustomerProfile]:
        page = await super().list_profiles(*args, **options)
        for one in page:
            one.set_stored(assets=[])
        return page


@mutant("PROFILES-013")
class ReplacesConsents(InMemoryProfileStore):
    """A consent of a known id replaces the recorded one."""

    async def record_consent(self, tenant_id: UUID, profile_id: UUID, consent: Any) -> UUID:
        self._consents.remove(tenant_id, consent.id)
        return await super().record_consent(tenant_id, profile_id, consent)


@mutant("PROFILES-014")
class LevelOfNobody(InMemoryProfileStore):
    """Setting the level of a missing profile is no error."""

    async def set_verification_level(self, *args: Any) -> None:
        try:
            await super().set_verification_level(*args)
        except NotFoundError:
            return
