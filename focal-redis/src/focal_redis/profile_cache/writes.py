"""Writes of profiles, each behind fences around all that it may change."""

from __future__ import annotations

from uuid import UUID

from focal_core.conversation.models import Channel
from focal_core.profile.metrics import CACHE_INVALIDATIONS
from focal_core.profile.models import (
    ChannelIdentity,
    Consent,
    CustomerProfile,
    MergePolicy,
    OnDependents,
    ProfileAsset,
    ProfileField,
    VerificationLevel,
)
from focal_redis.profile_cache.keys import Scope
from focal_redis.profile_cache.records import CachedProfileRecords
from focal_redis.profile_cache.server import Fence


class CachedProfileWrites(CachedProfileRecords):
    """Writes of profiles.

    What follows an id that may have been merged takes one more look at the store, unless the cache knows better.
    """

    async def save(self, profile: CustomerProfile) -> UUID:
        """Insert or update a profile."""
        scope = self._keys.profile(profile.tenant_id, profile.id)
        return await self._write("save", lambda: self.backend.save(profile), scope)

    async def delete(self, tenant_id: UUID, profile_id: UUID) -> bool:
        """Delete a profile."""
        return await self._write(
            "delete", lambda: self.backend.delete(tenant_id, profile_id), self._keys.profile(tenant_id, profile_id)
        )

    async def erase_profile(self, tenant_id: UUID, profile_id: UUID) -> int:
        """Remove a profile for good, what lies of it in Redis included.

        What pointed to profiles that were merged into it no longer counts, and expires within a day.
        """
        found = await self.backend.get_by_id(tenant_id, profile_id)
        ids = [profile_id] if found is None or found.id == profile_id else [profile_id, found.id]

        async def erase() -> int:
            erased = await self.backend.erase_profile(tenant_id, profile_id)
            if found is not None:
                await self._server.drop("erase_profile", *self._pointers(found))
            return erased

        scopes = [self._keys.profile(tenant_id, one) for one in ids]
        return await self._write("erase_profile", erase, *scopes, self._keys.profiles(tenant_id))

    def _pointers(self, profile: CustomerProfile) -> list[bytes]:
        tenant_id, keys = profile.tenant_id, self._keys
        external = [] if profile.external_id is None else [keys.by_external(tenant_id, profile.external_id)]
        accounts = [keys.by_channel(tenant_id, one.channel, one.channel_user_id) for one in profile.channel_identities]
        return [keys.by_customer(tenant_id, profile.customer_id), *external, *accounts]

    async def erase_tenant(self, tenant_id: UUID) -> int:
        """Remove every row of a tenant, what lies of its profiles in Redis included.

        What a Redis that does not answer still holds is never read again, and ends with its time to live.
        """

        async def erase() -> int:
            erased = await self.backend.erase_tenant(tenant_id)
            await self._server.purge("erase_tenant", self._keys.readable(tenant_id))
            return erased

        keys = self._keys
        lists = (keys.definitions(tenant_id), keys.requirements(tenant_id))
        return await self._write("erase_tenant", erase, keys.profiles(tenant_id), lists=lists)

    async def record_consent(self, tenant_id: UUID, profile_id: UUID, consent: Consent) -> UUID:
        """Append a consent."""
        return await self._write_to(
            "record_consent",
            tenant_id,
            profile_id,
            lambda: self.backend.record_consent(tenant_id, profile_id, consent),
        )

    async def set_verification_level(self, tenant_id: UUID, profile_id: UUID, level: VerificationLevel) -> None:
        """Set how well a customer is known."""
        await self._write_to(
            "set_verification_level",
            tenant_id,
            profile_id,
            lambda: self.backend.set_verification_level(tenant_id, profile_id, level),
        )

    async def update_field(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field: ProfileField,
        *,
        supersede_existing: bool = True,
        agent_id: UUID | None = None,
    ) -> UUID:
        """Store a new version of a field."""
        return await self._write_to(
            "update_field",
            tenant_id,
            profile_id,
            lambda: self.backend.update_field(
                tenant_id, profile_id, field, supersede_existing=supersede_existing, agent_id=agent_id
            ),
        )

    async def expire_stale_fields(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        """Mark what is past its time as expired.

        Reads from the cache judge that themselves. So a sweep over a tenant takes no fence, and what lies there dies
        only when something was marked: another process's clock may be behind.
        """
        if profile_id is not None:
            return await self._write_to(
                "expire_stale_fields",
                tenant_id,
                profile_id,
                lambda: self.backend.expire_stale_fields(tenant_id, profile_id),
            )
        expired = await self.backend.expire_stale_fields(tenant_id)
        if expired:
            fence = Fence(b"", (self._keys.profiles(tenant_id),), False, (False,))
            await self._finish(self._released("expire_stale_fields", expired, fence))
        return expired

    async def delete_field(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field_id: UUID,
        *,
        on_dependents: OnDependents = OnDependents.REFUSE,
    ) -> bool:
        """Remove a version of a field."""
        return await self._write_to(
            "delete_field",
            tenant_id,
            profile_id,
            lambda: self.backend.delete_field(tenant_id, profile_id, field_id, on_dependents=on_dependents),
            *self._dependents(tenant_id, on_dependents),
        )

    async def add_asset(
        self, tenant_id: UUID, profile_id: UUID, asset: ProfileAsset, *, supersede_existing: bool = False
    ) -> UUID:
        """Store a new asset."""
        return await self._write_to(
            "add_asset",
            tenant_id,
            profile_id,
            lambda: self.backend.add_asset(tenant_id, profile_id, asset, supersede_existing=supersede_existing),
        )

    async def delete_asset(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        asset_id: UUID,
        *,
        on_dependents: OnDependents = OnDependents.REFUSE,
    ) -> bool:
        """Remove an asset."""
        return await self._write_to(
            "delete_asset",
            tenant_id,
            profile_id,
            lambda: self.backend.delete_asset(tenant_id, profile_id, asset_id, on_dependents=on_dependents),
            *self._dependents(tenant_id, on_dependents),
        )

    def _dependents(self, tenant_id: UUID, on_dependents: OnDependents) -> list[Scope]:
        """Return what else a deletion may change: items of any profile may have been derived from what is deleted."""
        return [] if on_dependents == OnDependents.REFUSE else [self._keys.profiles(tenant_id)]

    async def mark_orphaned_items(self, tenant_id: UUID, profile_id: UUID | None = None) -> int:
        """Mark items whose source is gone as orphaned."""
        if profile_id is not None:
            return await self._write_to(
                "mark_orphaned_items",
                tenant_id,
                profile_id,
                lambda: self.backend.mark_orphaned_items(tenant_id, profile_id),
            )
        return await self._write(
            "mark_orphaned_items",
            lambda: self.backend.mark_orphaned_items(tenant_id),
            self._keys.profiles(tenant_id),
        )

    async def link_channel(self, tenant_id: UUID, profile_id: UUID, identity: ChannelIdentity) -> bool:
        """Link an account to a profile."""
        return await self._write_to(
            "link_channel",
            tenant_id,
            profile_id,
            lambda: self.backend.link_channel(tenant_id, profile_id, identity),
        )

    async def unlink_channel(self, tenant_id: UUID, profile_id: UUID, channel: Channel, channel_user_id: str) -> bool:
        """Take an account from a profile."""
        return await self._write_to(
            "unlink_channel",
            tenant_id,
            profile_id,
            lambda: self.backend.unlink_channel(tenant_id, profile_id, channel, channel_user_id),
        )

    async def merge_profiles(
        self,
        tenant_id: UUID,
        *,
        source_profile_id: UUID,
        target_profile_id: UUID,
        policy: MergePolicy = MergePolicy.BEST,
    ) -> CustomerProfile:
        """Merge one profile into another."""
        scopes = [self._keys.profile(tenant_id, one) for one in (source_profile_id, target_profile_id)]
        fence = await self._server.fence("merge_profiles", *scopes)
        merged = await self._guarded(
            "merge_profiles",
            lambda: self.backend.merge_profiles(
                tenant_id, source_profile_id=source_profile_id, target_profile_id=target_profile_id, policy=policy
            ),
            [fence],
        )
        return await self._finish(self._merged(merged, fence))

    async def _merged(self, merged: CustomerProfile, fence: Fence) -> CustomerProfile:
        """Release the source, then the target, unless others were writing to the source: that lands in the target."""
        self._counters.increment(CACHE_INVALIDATIONS, reason="merge_profiles")
        source, target = (fence._replace(scopes=(scope,)) for scope in fence.scopes)
        told = await self._server.release("merge_profiles", source, "x")
        if told is not None and told[0].others and fence.stands:
            return merged
        self._check("merge_profiles", told, await self._server.release("merge_profiles", target, "0"))
        return merged
