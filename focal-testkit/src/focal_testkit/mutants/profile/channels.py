"""Profile stores that confuse accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from focal_core.conversation.models import Channel
from focal_core.errors import InvalidDataError
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.inmemory.tables import Owned
from focal_core.profile.models import ChannelIdentity, CustomerProfile
from focal_testkit.mutants import mutant


@mutant("PROFILES-130", "PROFILES-132", "PROFILES-134")
class OneAccountEach(InMemoryProfileStore):
    """A linked account takes the place of the others."""

    async def link_channel(self, tenant_id: UUID, profile_id: UUID, identity: ChannelIdentity) -> bool:
        for row in list(self._identities_of.rows((tenant_id, profile_id))):
            self._identities.remove(tenant_id, row.id)
        return await super().link_channel(tenant_id, profile_id, identity)


@mutant("PROFILES-132")
class AlwaysNewlyLinked(InMemoryProfileStore):
    """Linking what is linked already is True."""

    async def link_channel(self, *args: Any) -> bool:
        await super().link_channel(*args)
        return True


@mutant("PROFILES-143")
class CreatesWhatWasMissing(InMemoryProfileStore):
    """That an account was linked meanwhile is an error for who asked for it."""

    async def get_or_create(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> CustomerProfile:
        if (found := await self.get_by_channel_identity(tenant_id, channel, channel_user_id)) is not None:
            return found
        await asyncio.sleep(0)
        identity = ChannelIdentity(channel=channel, channel_user_id=channel_user_id)
        created = CustomerProfile(tenant_id=tenant_id, channel_identities=[identity])
        await self.save(created)
        return created


@mutant("PROFILES-133")
class CreatesProfilesForAccounts(InMemoryProfileStore):
    """An account of an unknown profile brings the profile about."""

    async def link_channel(self, tenant_id: UUID, profile_id: UUID, identity: ChannelIdentity) -> bool:
        if self.survivor(tenant_id, profile_id) is None:
            await self.save(CustomerProfile(id=profile_id, tenant_id=tenant_id))
        return await super().link_channel(tenant_id, profile_id, identity)


@mutant("PROFILES-134")
class ManyPrimaries(InMemoryProfileStore):
    """The former primary account of a channel stays primary."""

    def put_identities(self, tenant_id: UUID, profile_id: UUID, items: Iterable[ChannelIdentity]) -> None:
        new = [one for one in items if one.primary or self._identities.get(tenant_id, one.id) is None]
        super().put_identities(tenant_id, profile_id, new)


@mutant("PROFILES-135")
class LooksThenLinks(InMemoryProfileStore):
    """Between looking for the owner and linking others may do the same."""

    async def link_channel(self, tenant_id: UUID, profile_id: UUID, identity: ChannelIdentity) -> bool:
        owner = self.find_account(tenant_id, identity.channel, identity.channel_user_id)
        await asyncio.sleep(0)
        if owner is None:
            self._identities.put(Owned(tenant_id, profile_id, identity))
        return owner is None


@mutant("PROFILES-136")
class UnlinksTheChannel(InMemoryProfileStore):
    """Unlinking takes every account on the channel."""

    async def unlink_channel(self, tenant_id: UUID, profile_id: UUID, channel: Channel, channel_user_id: str) -> bool:
        found = await super().unlink_channel(tenant_id, profile_id, channel, channel_user_id)
        for row in list(self._identities_of.rows((tenant_id, profile_id))):
            if row.item.channel == channel:
                self._identities.remove(tenant_id, row.id)
        return found


@mutant("PROFILES-136")
class UnlinksAnyones(InMemoryProfileStore):
    """An account is unlinked whoever has it."""

    async def unlink_channel(self, tenant_id: UUID, profile_id: UUID, channel: Channel, channel_user_id: str) -> bool:
        row = self.find_account(tenant_id, channel, channel_user_id)
        return row is not None and self._identities.remove(tenant_id, row.id) is not None


@mutant("PROFILES-137")
class IdentityIdsMove(InMemoryProfileStore):
    """An identity goes wherever its id is linked."""

    async def link_channel(self, tenant_id: UUID, profile_id: UUID, identity: ChannelIdentity) -> bool:
        self._identities.remove(tenant_id, identity.id)
        return await super().link_channel(tenant_id, profile_id, identity)


@mutant("PROFILES-138")
class CutsUserIds(InMemoryProfileStore):
    """User ids have a hundred characters at most."""

    async def get_or_create(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> CustomerProfile:
        return await super().get_or_create(tenant_id, channel, channel_user_id[:100])


@mutant("PROFILES-139", "PROFILES-140")
class TakesArgumentsAsTheyAre(InMemoryProfileStore):
    """The user id of an account is neither checked nor normalised."""

    def find_account(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> Any:
        return self._account(tenant_id, (channel, channel_user_id))


@mutant("PROFILES-141")
class UnknownStatusFindsNothing(InMemoryProfileStore):
    """A status that is none finds nothing."""

    def newest(self, *args: Any) -> Any:
        try:
            return super().newest(*args)
        except InvalidDataError:
            return None


@mutant("PROFILES-142")
class OldAccountsStay(InMemoryProfileStore):
    """An identity goes on being found by an account it once had."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._accounts.discard = lambda row: None  # type: ignore[method-assign]
