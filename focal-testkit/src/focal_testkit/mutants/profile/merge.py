"""Profile stores that lose something in a merge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.ids import uuid7
from focal_core.profile.inmemory import InMemoryProfileStore
from focal_core.profile.inmemory.tables import Owned
from focal_core.profile.models import CustomerProfile, ItemStatus, MergePolicy
from focal_core.profile.versions import winner
from focal_testkit.mutants import mutant


@mutant("PROFILES-150", "PROFILES-170")
class SwapsTheTwo(InMemoryProfileStore):
    """The target goes into the source."""

    async def merge_profiles(
        self, tenant_id: UUID, *, source_profile_id: UUID, target_profile_id: UUID, **options: Any
    ) -> CustomerProfile:
        return await super().merge_profiles(
            tenant_id, source_profile_id=target_profile_id, target_profile_id=source_profile_id, **options
        )


@mutant("PROFILES-151")
class OnlyActiveVersionsMove(InMemoryProfileStore):
    """The source's history is lost."""

    def _move_children(self, source: CustomerProfile, target: CustomerProfile) -> None:
        for row in list(self._fields.of_profile.rows((source.tenant_id, source.id))):
            if row.item.status is not ItemStatus.ACTIVE:
                self._fields.remove(source.tenant_id, row.id)
        super()._move_children(source, target)


@mutant("PROFILES-151", "PROFILES-173")
class ConsentsStay(InMemoryProfileStore):
    """Consents stay with the deleted source."""

    def _move_children(self, source: CustomerProfile, target: CustomerProfile) -> None:
        staying = list(self._consents_of.rows((source.tenant_id, source.id)))
        super()._move_children(source, target)
        for row in staying:
            self._consents.put(row)


@mutant("PROFILES-152", "PROFILES-153", "PROFILES-154")
class TargetAlwaysWins(InMemoryProfileStore):
    """The policy is ignored in favour of the target."""

    def _settle_names(self, source: CustomerProfile, target: CustomerProfile, policy: MergePolicy) -> None:
        super()._settle_names(source, target, MergePolicy.TARGET_WINS)


@mutant("PROFILES-154")
class BothStayActive(InMemoryProfileStore):
    """Two active fields of one name stay side by side."""

    def _settle_names(self, source: CustomerProfile, target: CustomerProfile, policy: MergePolicy) -> None:
        return None


@mutant("PROFILES-155")
class OverdueFieldsWin(InMemoryProfileStore):
    """Fields past their time take part like any other."""

    def _settle_names(self, source: CustomerProfile, target: CustomerProfile, policy: MergePolicy) -> None:
        now = self.context.clock.now()
        for ours in list(self._fields.active.rows((source.tenant_id, source.id))):
            theirs = self._active_names.get((target.tenant_id, target.id, ours.item.name))
            if theirs is not None:
                source_wins = winner(theirs.item, ours.item, policy) is ours.item
                loser, best = (theirs, ours) if source_wins else (ours, theirs)
                self._fields.supersede(loser, best.id, now)


@mutant("PROFILES-156")
class LevelsAsText(InMemoryProfileStore):
    """The higher level is the later in the alphabet."""

    def _close_merge(self, source: CustomerProfile, target: CustomerProfile) -> None:
        super()._close_merge(source, target)
        row = validated_copy(self.require(target.tenant_id, target.id))
        row.set_stored(verification_level=max(source.verification_level, target.verification_level))
        self._profiles.put(row)


@mutant("PROFILES-157")
class NewIdsForWhatMoves(InMemoryProfileStore):
    """Fields get new ids as they move."""

    def _move_children(self, source: CustomerProfile, target: CustomerProfile) -> None:
        for row in list(self._fields.of_profile.rows((source.tenant_id, source.id))):
            self._fields.remove(source.tenant_id, row.id)
            self._fields.put(replace(row, item=row.item.model_copy(update={"id": uuid7()})))
        super()._move_children(source, target)


@mutant("PROFILES-158")
class PrimariesMeet(InMemoryProfileStore):
    """Accounts move as they are, primary ones too."""

    def _move_children(self, source: CustomerProfile, target: CustomerProfile) -> None:
        moving = list(self._identities_of.rows((source.tenant_id, source.id)))
        super()._move_children(source, target)
        for row in moving:
            self._identities.put(Owned(row.tenant_id, target.id, row.item))


@mutant("PROFILES-159")
class TakesTheSourcesName(InMemoryProfileStore):
    """The target takes the source's external id over its own."""

    def _close_merge(self, source: CustomerProfile, target: CustomerProfile) -> None:
        renamed = validated_copy(target)
        renamed.set_stored(external_id=source.external_id or target.external_id)
        super()._close_merge(source, renamed)


@mutant("PROFILES-160")
class AssetNamesAreUnique(InMemoryProfileStore):
    """Of assets of one name only the newest stays active."""

    def _move_children(self, source: CustomerProfile, target: CustomerProfile) -> None:
        super()._move_children(source, target)
        newest = {row.item.name: row for row in self._assets.active.rows((target.tenant_id, target.id))}
        for row in list(self._assets.active.rows((target.tenant_id, target.id))):
            if row.id != newest[row.item.name].id:
                self._assets.supersede(row, newest[row.item.name].id, self.context.clock.now())
