"""Accounts and merging in memory."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.conversation.models import Channel
from focal_core.errors import ConflictError, InvalidDataError, NotFoundError
from focal_core.gate import admit, identifier, member
from focal_core.profile.identities import account, demoted, identity_taken, joined
from focal_core.profile.inmemory.tables import Owned, ProfileTables
from focal_core.profile.models import ChannelIdentity, CustomerProfile, ItemStatus, MergePolicy
from focal_core.profile.status import is_active
from focal_core.profile.versions import id_taken, winner


class InMemoryProfileChannels(ProfileTables):
    """Accounts and merging in memory."""

    async def link_channel(self, tenant_id: UUID, profile_id: UUID, identity: ChannelIdentity) -> bool:
        item = admit(identity, self.context.limits)
        profile = self.require(tenant_id, profile_id)
        linked, stored = self._account(tenant_id, account(item)), self._identities.get(tenant_id, item.id)
        if stored is not None and account(stored.item) != account(item):
            raise id_taken(item)
        self.put_identities(tenant_id, profile.id, self.joining(tenant_id, profile.id, [item]))
        return linked is None

    async def unlink_channel(self, tenant_id: UUID, profile_id: UUID, channel: Channel, channel_user_id: str) -> bool:
        row = self.find_account(tenant_id, channel, channel_user_id)
        profile = self.live(tenant_id, profile_id)
        if row is None or profile is None or row.profile_id != profile.id:
            return False
        self._identities.remove(tenant_id, row.id)
        return True

    async def merge_profiles(
        self,
        tenant_id: UUID,
        *,
        source_profile_id: UUID,
        target_profile_id: UUID,
        policy: MergePolicy = MergePolicy.BEST,
    ) -> CustomerProfile:
        choice = member(MergePolicy, policy, "policy")
        if source_profile_id == target_profile_id:
            raise InvalidDataError("a profile cannot be merged into itself", code="merge_self")
        source = self._profiles.get(tenant_id, source_profile_id)
        if source is not None and source.merged_into_id == target_profile_id:
            return self.assemble(self.require(tenant_id, target_profile_id))
        source, target = (self._mergeable(tenant_id, id) for id in (source_profile_id, target_profile_id))
        self._settle_names(source, target, choice)
        self._move_children(source, target)
        self._close_merge(source, target)
        return self.assemble(self.require(tenant_id, target.id))

    def find_account(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> Owned[ChannelIdentity] | None:
        """Return the identity of an account, or None.

        Raises:
            InvalidDataError: channel or channel_user_id cannot be one.
        """
        return self._account(
            tenant_id, (member(Channel, channel, "channel"), identifier(channel_user_id, "channel_user_id"))
        )

    def _account(self, tenant_id: UUID, account: tuple[Channel, str]) -> Owned[ChannelIdentity] | None:
        return self._accounts.get((tenant_id, *account))

    def joining(self, tenant_id: UUID, profile_id: UUID, incoming: Iterable[ChannelIdentity]) -> list[ChannelIdentity]:
        """Return the identities of a profile that change when admitted ones join it, after checking that they may.

        Raises:
            ConflictError: an account is another profile's.
            DuplicateError: an id is that of another profile's account.
        """
        current = [row.item for row in self._identities_of.rows((tenant_id, profile_id))]
        changed = joined(current, incoming, self.now())
        for item in changed:
            owner, stored = self._account(tenant_id, account(item)), self._identities.get(tenant_id, item.id)
            if owner is not None and owner.profile_id != profile_id:
                raise identity_taken(owner.profile_id)
            if stored is not None and stored.profile_id != profile_id:
                raise id_taken(item)
        return changed

    def put_identities(self, tenant_id: UUID, profile_id: UUID, items: Iterable[ChannelIdentity]) -> None:
        """Store identities for a profile in place of those with their ids."""
        changed = list(items)
        # All out before any goes in: two of them may have swapped their accounts.
        for item in changed:
            self._identities.remove(tenant_id, item.id)
        for item in changed:
            self._identities.put(Owned(tenant_id, profile_id, item))

    def _mergeable(self, tenant_id: UUID, profile_id: UUID) -> CustomerProfile:
        row = self._profiles.get(tenant_id, profile_id)
        if row is not None and row.merged_into_id is not None:
            raise ConflictError(
                f"profile {profile_id} was merged already",
                code="merged",
                hint="get_by_id returns the profile that survived; merge that one",
            )
        if row is None or row.deleted_at is not None:
            raise NotFoundError(f"no profile {profile_id}", hint="only live profiles can be merged")
        return row

    def _settle_names(self, source: CustomerProfile, target: CustomerProfile, policy: MergePolicy) -> None:
        now = self.now()
        for ours in list(self._fields.active.rows((source.tenant_id, source.id))):
            theirs = self._active_names.get((target.tenant_id, target.id, ours.item.name))
            if theirs is None:
                continue
            if not is_active(ours.item, now):
                self._fields.change(ours, now, status=ItemStatus.EXPIRED)
            elif not is_active(theirs.item, now):
                self._fields.change(theirs, now, status=ItemStatus.EXPIRED)
            elif winner(theirs.item, ours.item, policy) is ours.item:
                self._fields.supersede(theirs, ours.id, now)
            else:
                self._fields.supersede(ours, theirs.id, now)

    def _move_children(self, source: CustomerProfile, target: CustomerProfile) -> None:
        tenant_id, place = source.tenant_id, (source.tenant_id, source.id)
        staying = [row.item for row in self._identities_of.rows((tenant_id, target.id))]
        moving = [row.item for row in self._identities_of.rows(place)]
        self.put_identities(tenant_id, target.id, demoted(moving, staying))
        for table in self.version_tables:
            for row in list(table.of_profile.rows(place)):
                table.put(Owned(tenant_id, target.id, row.item))
        for consent in list(self._consents_of.rows(place)):
            self._consents.put(Owned(tenant_id, target.id, consent.item))

    def _close_merge(self, source: CustomerProfile, target: CustomerProfile) -> None:
        now = self.now()
        gone, kept = validated_copy(source), validated_copy(target)
        gone.set_stored(merged_into_id=target.id, deleted_at=now, updated_at=now, row_version=source.row_version + 1)
        heard = [at for at in (source.last_interaction_at, target.last_interaction_at) if at is not None]
        kept.set_stored(
            external_id=target.external_id or source.external_id,
            verification_level=max(target.verification_level, source.verification_level, key=lambda level: level.rank),
            last_interaction_at=max(heard, default=None),
            updated_at=now,
            row_version=target.row_version + 1,
        )
        self._profiles.put(gone)
        self._profiles.put(kept)
