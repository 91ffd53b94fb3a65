"""Accounts of a customer on channels, and the merging of two profiles of one customer."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.conversation.models import Channel
from focal_core.profile.models import ChannelIdentity, CustomerProfile, MergePolicy
from focal_core.store import Store


class ProfileChannels(Store):
    """Accounts of a customer on channels, and merging."""

    @abstractmethod
    async def link_channel(self, tenant_id: UUID, profile_id: UUID, identity: ChannelIdentity) -> bool:
        """Link an account to a profile; True when it is newly linked, False when it was linked already.

        An account that is linked already takes over verified, verified_at and primary and keeps its id. A primary one
        takes the place of the profile's other primary one on the channel.

        Raises:
            NotFoundError: no such profile.
            ConflictError: the account is another live profile's (code ``identity_taken``).
            DuplicateError: the id is another account's (code ``id_taken``).
            InvalidDataError: the identity is invalid.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def unlink_channel(self, tenant_id: UUID, profile_id: UUID, channel: Channel, channel_user_id: str) -> bool:
        """Take an account from a profile and return True; False when the profile does not have it.

        Raises:
            InvalidDataError: channel or channel_user_id cannot be one.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def merge_profiles(
        self,
        tenant_id: UUID,
        *,
        source_profile_id: UUID,
        target_profile_id: UUID,
        policy: MergePolicy = MergePolicy.BEST,
    ) -> CustomerProfile:
        """Merge one profile into another and return the latter; all of it happens at once.

        Identities, every version of every field, assets and consents move to the target with their ids and lineage;
        where both profiles have a primary account on a channel, the target's stays primary. Of two active fields of
        one name the loser is superseded by the winner. The target gets the higher verification level, the later
        last_interaction_at, and the source's external_id if it has none. The source is deleted, with
        ``merged_into_id`` set, and its ids stand for the target from then on. Both row versions advance.

        Merging the same two again changes nothing and returns the profile that survived.

        Args:
            tenant_id: the owner.
            source_profile_id: the profile that goes.
            target_profile_id: the profile that stays.
            policy: which active field of a name wins.

        Raises:
            NotFoundError: one of them is unknown or deleted.
            ConflictError: one of them was merged already (code ``merged``).
            InvalidDataError: both are the same (code ``merge_self``), or the policy is none of its values.
            StoreUnavailableError: nothing was written; safe to retry.
        """
