"""Profile stores that merge what they should not, or forget that they did."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.errors import ConflictError, NotFoundError
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.models import CustomerProfile, MergePolicy
from focal_testkit.mutants import mutant


@mutant("PROFILES-170")
class OneMergeBack(InMemoryProfileStore):
    """An id stands for the profile it was merged into, but no further."""

    def survivor(self, tenant_id: UUID, profile_id: UUID) -> CustomerProfile | None:
        row = self._profiles.get(tenant_id, profile_id)
        return row if row is None or row.merged_into_id is None else self._profiles.get(tenant_id, row.merged_into_id)


@mutant("PROFILES-171")
class WritesToTheVeryProfile(InMemoryProfileStore):
    """A merged id takes no writes."""

    def require(self, tenant_id: UUID, profile_id: UUID) -> CustomerProfile:
        row = self._profiles.get(tenant_id, profile_id)
        if row is None or row.deleted_at is not None:
            raise NotFoundError("no such profile")
        return row


@mutant("PROFILES-172")
class MergesWithItself(InMemoryProfileStore):
    """Merging a profile with itself is nothing to do."""

    async def merge_profiles(self, tenant_id: UUID, **options: Any) -> CustomerProfile:
        if options["source_profile_id"] == options["target_profile_id"]:
            return self.assemble(self.require(tenant_id, options["target_profile_id"]))
        return await super().merge_profiles(tenant_id, **options)


@mutant("PROFILES-173")
class RefusesRepeatedMerges(InMemoryProfileStore):
    """The same merge again is a conflict."""

    async def merge_profiles(self, tenant_id: UUID, **options: Any) -> CustomerProfile:
        source = self._profiles.get(tenant_id, options["source_profile_id"])
        if source is not None and source.merged_into_id is not None:
            raise ConflictError("merged already")
        return await super().merge_profiles(tenant_id, **options)


@mutant("PROFILES-174")
class MergesOnBehalf(InMemoryProfileStore):
    """A profile that was merged already stands for its survivor in another merge."""

    def _mergeable(self, tenant_id: UUID, profile_id: UUID) -> CustomerProfile:
        return self.require(tenant_id, profile_id)


@mutant("PROFILES-175")
class MissingSourceIsNothing(InMemoryProfileStore):
    """Merging a missing profile is nothing to do."""

    async def merge_profiles(self, tenant_id: UUID, **options: Any) -> CustomerProfile:
        if self.live(tenant_id, options["source_profile_id"]) is None:
            return self.assemble(self.require(tenant_id, options["target_profile_id"]))
        return await super().merge_profiles(tenant_id, **options)


@mutant("PROFILES-176")
class ChecksThenMerges(InMemoryProfileStore):
    """Between the check of the two profiles and the merge others may merge them."""

    async def merge_profiles(self, tenant_id: UUID, **options: Any) -> CustomerProfile:
        source = self._mergeable(tenant_id, options["source_profile_id"])
        target = self._mergeable(tenant_id, options["target_profile_id"])
        await asyncio.sleep(0)
        self._move_children(source, target)
        self._close_merge(source, target)
        return self.assemble(target)


@mutant("PROFILES-180")
class MergesWhatWasFree(InMemoryProfileStore):
    """That the source was merged meanwhile is overlooked."""

    async def merge_profiles(self, tenant_id: UUID, **options: Any) -> CustomerProfile:
        source = self._profiles.get(tenant_id, options["source_profile_id"])
        await asyncio.sleep(0)
        if source is not None and source.merged_into_id is None:
            self._profiles.put(source)
        return await super().merge_profiles(tenant_id, **options)


@mutant("PROFILES-177")
class TakesPositions(InMemoryProfileStore):
    """The two profiles may be given by position."""

    async def merge_profiles(
        self,
        tenant_id: UUID,
        source_profile_id: UUID,
        target_profile_id: UUID,
        policy: MergePolicy = MergePolicy.BEST,
    ) -> CustomerProfile:
        return await super().merge_profiles(
            tenant_id, source_profile_id=source_profile_id, target_profile_id=target_profile_id, policy=policy
        )


@mutant("PROFILES-178")
class MergeKeepsTheVersion(InMemoryProfileStore):
    """A merge does not advance the target's version."""

    def _close_merge(self, source: CustomerProfile, target: CustomerProfile) -> None:
        super()._close_merge(source, target)
        row = validated_copy(self.require(target.tenant_id, target.id))
        row.set_stored(row_version=target.row_version)
        self._profiles.put(row)


@mutant("PROFILES-179")
class DeletesTheSurvivor(InMemoryProfileStore):
    """Deleting a merged id deletes the profile it stands for."""

    async def delete(self, tenant_id: UUID, profile_id: UUID) -> bool:
        row = self.live(tenant_id, profile_id)
        return row is not None and await super().delete(tenant_id, row.id)
