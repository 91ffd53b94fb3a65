"""Merging as a call: which profiles it takes, what the source's ids mean afterwards, what a repeat does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.conversation.models import Channel
from focal_core.errors import ConflictError, InvalidDataError, NotFoundError, StaleVersionError
from focal_core.profile.models import CustomerProfile, VerificationLevel
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.merge import MERGE
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data.profile import (
    LAPSED,
    OTHER,
    PROFILE,
    UNKNOWN,
    USER,
    asset,
    consent,
    field_id,
    holding,
    identity,
    item,
    profile,
    profile_id,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


async def _merge(store: ProfileStore, source: int, target: int) -> CustomerProfile:
    return await store.merge_profiles(OURS, source_profile_id=profile_id(source), target_profile_id=profile_id(target))


class MergingContract(ContractBase):
    """Which merges are made, and what the ids of a merged profile mean."""

    @requirement("PROFILES-170", since="1.0")
    async def test_merge_source_id_resolves(self, store: ProfileStore) -> None:
        """The ids of a merged profile mean the one that survived, over any number of merges.

        If this fails: whoever kept an id loses the customer, or is sent to a profile that is itself merged.
        """
        for n in range(4):
            await store.save(profile(n, fields=holding(item(n, f"f{n}"))))
        for n in range(3):
            await _merge(store, n, n + 1)

        for n in range(4):
            for found in (
                await store.get_by_id(OURS, profile_id(n), include_history=True),
                await store.get_by_customer_id(OURS, profile(n).customer_id),
            ):
                assert found is not None
                assert (found.id, sorted(found.fields)) == (profile_id(3), ["f0", "f1", "f2", "f3"])
        await store.delete(OURS, profile_id(3))
        for n in range(4):
            assert await store.get_by_id(OURS, profile_id(n)) is None

    @requirement("PROFILES-171", since="1.0")
    async def test_writes_by_merged_id(self, store: ProfileStore) -> None:
        """Fields, assets, channels and consents given to a merged id reach the profile that survived.

        If this fails: a session that began before the merge writes to a profile that nobody reads.
        """
        for n in range(2):
            await store.save(profile(n))
        await store.merge_profiles(OURS, **MERGE)

        await store.update_field(OURS, OTHER, item(0))
        await store.update_field(OURS, OTHER, item(1, "city", expires_at=LAPSED))
        await store.add_asset(OURS, OTHER, asset(0))
        await store.link_channel(OURS, OTHER, identity(0))
        await store.record_consent(OURS, OTHER, consent(0))
        await store.set_verification_level(OURS, OTHER, VerificationLevel.KYC_COMPLETE)

        found = await stored(store)
        assert (len(found.fields), len(found.assets), len(found.channel_identities), len(found.consents)) == (1,) * 4
        assert found.verification_level is VerificationLevel.KYC_COMPLETE
        assert await store.get_field(OURS, OTHER, "email") == found.fields["email"]
        assert len(await store.get_field_history(OURS, OTHER, "email")) == 1
        assert await store.get_asset(OURS, OTHER, asset(0).id) == found.assets[0]
        assert await store.get_asset_by_name(OURS, OTHER, "passport") == found.assets[0]
        assert await store.expire_stale_fields(OURS, OTHER) == 1
        assert await store.unlink_channel(OURS, OTHER, Channel.WEBCHAT, f"{USER}0") is True
        assert await store.delete_asset(OURS, OTHER, asset(0).id) is True
        assert await store.delete_field(OURS, OTHER, field_id(0)) is True

    @requirement("PROFILES-172", since="1.0")
    async def test_merge_self(self, store: ProfileStore) -> None:
        """A profile is not merged with itself: InvalidDataError, and it stays as it is.

        If this fails: the profile is deleted as its own source.
        """
        await store.save(profile(0, fields=holding(item(0))))
        before = await stored(store)

        with pytest.raises(InvalidDataError):
            await _merge(store, 0, 0)

        assert await stored(store) == before

    @requirement("PROFILES-173", since="1.0")
    async def test_merge_repeat(self, store: ProfileStore, clock: ManualClock) -> None:
        """The same merge again changes nothing and returns the target as it is now, also when that was merged on.

        If this fails: a retry after a lost reply is refused, or moves things twice.
        """
        for n in range(3):
            await store.save(profile(n, fields=holding(item(n)), consents=[consent(n)]))
        await store.merge_profiles(OURS, **MERGE)
        await store.update_field(OURS, PROFILE, item(9, "city"))
        before = await stored(store)
        clock.advance(seconds=60)

        again = await store.merge_profiles(OURS, **MERGE)

        assert await stored(store) == before
        assert again == await store.get_by_id(OURS, PROFILE)
        assert "city" in again.fields
        await _merge(store, 0, 2)
        assert (await store.merge_profiles(OURS, **MERGE)).id == profile_id(2)
        assert len((await stored(store, profile_id(2))).consents) == 3

    @requirement("PROFILES-174", since="1.0")
    async def test_merge_of_merged(self, store: ProfileStore) -> None:
        """A profile that was merged already is neither source nor target of another merge: ConflictError.

        If this fails: a second merge of one source moves what is no longer its own, or a merge runs backwards.
        """
        for n in range(3):
            await store.save(profile(n, fields=holding(item(n, f"f{n}"))))
        await store.merge_profiles(OURS, **MERGE)

        for source, target in ((1, 2), (2, 1), (0, 1)):
            with pytest.raises(ConflictError):
                await _merge(store, source, target)

        assert sorted((await stored(store)).fields) == ["f0", "f1"]
        assert sorted((await stored(store, profile_id(2))).fields) == ["f2"]

    @requirement("PROFILES-175", since="1.0")
    async def test_merge_foreign(self, store: ProfileStore) -> None:
        """Merging with a profile that is unknown, deleted or another tenant's is NotFoundError, and changes nothing.

        If this fails: one side is deleted before the other is found missing, or data crosses tenants.
        """
        for n in range(2):
            await store.save(profile(n, fields=holding(item(n))))
        await store.save(profile(7, THEIRS, fields=holding(item(7))))
        await store.save(profile(8))
        await store.delete(OURS, profile_id(8))

        for missing in (UNKNOWN, profile_id(7), profile_id(8)):
            with pytest.raises(NotFoundError):
                await store.merge_profiles(OURS, source_profile_id=missing, target_profile_id=PROFILE)
            with pytest.raises(NotFoundError):
                await store.merge_profiles(OURS, source_profile_id=PROFILE, target_profile_id=missing)

        assert [len(one.fields) for one in await store.list_profiles(OURS)] == [1, 1]
        assert list((await stored(store, profile_id(7), THEIRS)).fields) == ["email"]

    @requirement("PROFILES-176", since="1.0")
    async def test_merge_concurrent_no_deadlock(self, store: ProfileStore) -> None:
        """Merges that cross each other all end: one of each pair is made, the other is refused, nothing is lost.

        If this fails: the two rows are locked in the order of the arguments.
        """
        for n in range(8):
            await store.save(profile(n, channel_identities=[identity(n)], fields=holding(item(n))))
        crossing = [_merge(store, *pair) for n in range(0, 8, 2) for pair in ((n, n + 1), (n + 1, n))]

        results = await asyncio.wait_for(asyncio.gather(*crossing, return_exceptions=True), timeout=30)

        for one, other in zip(results[::2], results[1::2], strict=True):
            made, refused = (one, other) if isinstance(one, CustomerProfile) else (other, one)
            assert isinstance(made, CustomerProfile)
            assert isinstance(refused, ConflictError | NotFoundError)
        left = await store.list_profiles(OURS)
        assert [len(one.channel_identities) for one in left] == [2] * 4
        assert [len(one.fields) for one in left] == [1] * 4

    @requirement("PROFILES-180", since="1.0")
    async def test_merge_into_several_at_once(self, store: ProfileStore) -> None:
        """Of merges of one profile into several others at once exactly one is made; the others are refused.

        If this fails: looking whether the source was merged already and merging it are two steps.
        """
        for n in range(5):
            await store.save(profile(n, fields=holding(item(n, f"f{n}"))))

        results = await asyncio.gather(*[_merge(store, 0, n) for n in range(1, 5)], return_exceptions=True)

        [made] = [one for one in results if isinstance(one, CustomerProfile)]
        assert sum(isinstance(one, ConflictError) for one in results) == 3
        found = await stored(store)
        assert (found.id, "f0" in found.fields) == (made.id, True)

    @requirement("PROFILES-177", since="1.0")
    async def test_merge_positional_is_type_error(self, store: ProfileStore) -> None:
        """The two profiles are named, never given by position: the seeds disagree on which one comes first (C-08).

        If this fails: a call written for the other order deletes the wrong customer.
        """
        for n in range(2):
            await store.save(profile(n))
        merge: Any = store.merge_profiles

        with pytest.raises(TypeError):
            await merge(OURS, OTHER, PROFILE)

        assert len(await store.list_profiles(OURS)) == 2

    @requirement("PROFILES-178", since="1.0")
    async def test_merge_makes_copies_stale(self, store: ProfileStore) -> None:
        """Copies loaded before a merge cannot be saved: the source's is a conflict, the target's is stale.

        If this fails: saving an old copy takes back what the merge decided, or revives the source.
        """
        for n, level in enumerate((VerificationLevel.UNVERIFIED, VerificationLevel.KYC_COMPLETE)):
            await store.save(profile(n, external_id=f"c{n}", verification_level=level))
        copies = [await stored(store, profile_id(n)) for n in range(2)]
        await store.merge_profiles(OURS, **MERGE)

        with pytest.raises(StaleVersionError):
            await store.save(copies[0])
        for source in (copies[1], profile(1), profile(1, deleted_at=None, row_version=2)):
            with pytest.raises(ConflictError):
                await store.save(source)

        [left] = await store.list_profiles(OURS)
        assert (left.id, left.verification_level) == (PROFILE, VerificationLevel.KYC_COMPLETE)

    @requirement("PROFILES-179", since="1.0")
    async def test_delete_of_merged_source(self, store: ProfileStore) -> None:
        """Deleting a merged source is False and leaves the survivor alone: only the very profile is deleted.

        If this fails: a late deletion of the old id removes the customer.
        """
        for n in range(2):
            await store.save(profile(n))
        await store.merge_profiles(OURS, **MERGE)

        assert await store.delete(OURS, OTHER) is False

        assert await store.get_by_id(OURS, OTHER) is not None
        assert await store.delete(OURS, PROFILE) is True
