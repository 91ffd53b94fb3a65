"""Expiry: what is past its time reads as expired at once, and is marked so by the sweep."""

from __future__ import annotations

from datetime import timedelta

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import ConflictError
from focal_core.profile.models import ItemStatus
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data.profile import (
    FAR,
    LAPSED,
    OTHER,
    PROFILE,
    UNKNOWN,
    asset,
    asset_id,
    field_id,
    holding,
    item,
    profile,
    profile_id,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

TICK = timedelta(microseconds=1)


class ExpiryContract(ContractBase):
    """``expires_at``, ``expire_stale_fields``, ``count_fields_by_status``."""

    @requirement("PROFILES-070", since="1.0")
    async def test_expired_not_returned_before_sweep(self, store: ProfileStore, clock: ManualClock) -> None:
        """From the moment ``expires_at`` on, a field reads as expired in every read, though nothing swept it (C-53).

        If this fails: correctness waits for a job, or the moment itself still counts as active.
        """
        moment = clock.now() + timedelta(seconds=30)
        await store.save(profile(0, fields=holding(item(0, expires_at=moment), item(1, "city", expires_at=FAR))))
        clock.set(moment - TICK)
        assert await store.get_field(OURS, PROFILE, "email") is not None
        assert sorted((await stored(store)).fields) == ["city", "email"]

        clock.set(moment)

        assert await store.get_field(OURS, PROFILE, "email") is None
        for status in (ItemStatus.EXPIRED, None):
            found = await store.get_field(OURS, PROFILE, "email", status=status)
            assert found is not None
            assert (found.id, found.status) == (field_id(0), ItemStatus.EXPIRED)
        [version] = await store.get_field_history(OURS, PROFILE, "email")
        assert version.status is ItemStatus.EXPIRED
        whole = await stored(store)
        assert list(whole.fields) == ["city"]
        assert [one.status for one in whole.field_history["email"]] == [ItemStatus.EXPIRED]
        [listed] = await store.list_profiles(OURS)
        assert list(listed.fields) == ["city"]

    @requirement("PROFILES-071", since="1.0")
    async def test_expired_asset_not_returned_before_sweep(self, store: ProfileStore, clock: ManualClock) -> None:
        """From the moment ``expires_at`` on, an asset reads as expired in every read, though nothing swept it.

        If this fails: expiry is evaluated for fields alone, or the moment itself still counts as active.
        """
        moment = clock.now() + timedelta(seconds=30)
        await store.save(profile(0, assets=[asset(0, expires_at=moment), asset(1, "photo", expires_at=FAR)]))
        clock.set(moment - TICK)
        assert await store.get_asset_by_name(OURS, PROFILE, "passport") is not None

        clock.set(moment)

        assert await store.get_asset_by_name(OURS, PROFILE, "passport") is None
        for found in (
            await store.get_asset(OURS, PROFILE, asset_id(0)),
            await store.get_asset_by_name(OURS, PROFILE, "passport", status=None),
            await store.get_asset_by_name(OURS, PROFILE, "passport", status=ItemStatus.EXPIRED),
        ):
            assert found is not None
            assert found.status is ItemStatus.EXPIRED
        whole = await stored(store)
        assert [one.id for one in whole.assets] == [asset_id(1)]
        assert [(one.id, one.status) for one in whole.asset_history] == [(asset_id(0), ItemStatus.EXPIRED)]

    @requirement("PROFILES-072", since="1.0")
    async def test_expire_counts_and_idempotent(self, store: ProfileStore, clock: ManualClock) -> None:
        """The sweep marks fields and assets of all profiles that are past their time, counts the fields, and is done.

        If this fails: assets are counted or left out, what has time left is marked, or a second sweep finds the same.
        """
        moment = clock.now() + timedelta(seconds=30)
        await store.save(
            profile(
                0,
                fields=holding(item(0, expires_at=moment), item(1, "city", expires_at=moment + TICK), item(2, "plan")),
                assets=[asset(0, expires_at=moment), asset(1, "photo", expires_at=moment + TICK), asset(2, "scan")],
            )
        )
        await store.save(profile(1, fields=holding(item(3, expires_at=LAPSED)), assets=[asset(3, expires_at=LAPSED)]))
        await store.save(profile(1, THEIRS, fields=holding(item(3, expires_at=LAPSED))))
        before = clock.now()
        clock.set(moment)

        assert await store.expire_stale_fields(OURS) == 2
        assert await store.expire_stale_fields(OURS) == 0

        # What the sweep marked stays so for a clock that is set back; what merely reads so does not.
        clock.set(before)
        found = await stored(store)
        assert sorted(found.fields) == ["city", "plan"]
        assert [one.status for one in found.field_history["email"]] == [ItemStatus.EXPIRED]
        assert [one.id for one in found.assets] == [asset_id(1), asset_id(2)]
        clock.set(LAPSED - TICK)
        other = await stored(store, OTHER)
        assert (other.fields, other.assets) == ({}, [])
        assert list((await stored(store, OTHER, THEIRS)).fields) == ["email"]

    @requirement("PROFILES-073", since="1.0")
    async def test_expire_single_profile_foreign(self, store: ProfileStore) -> None:
        """A sweep of one profile touches no other; a foreign, unknown or deleted profile has nothing to sweep.

        If this fails: the profile is ignored, or the tenant is.
        """
        for n in range(3):
            await store.save(profile(n, fields=holding(item(n, expires_at=LAPSED))))
        await store.save(profile(5, THEIRS, fields=holding(item(5, expires_at=LAPSED))))
        await store.delete(OURS, profile_id(2))

        assert await store.expire_stale_fields(OURS, profile_id(5)) == 0
        assert await store.expire_stale_fields(OURS, UNKNOWN) == 0
        assert await store.expire_stale_fields(OURS, profile_id(2)) == 0
        assert await store.expire_stale_fields(OURS, PROFILE) == 1
        assert await store.expire_stale_fields(OURS) == 1
        assert await store.expire_stale_fields(THEIRS) == 1

    @requirement("PROFILES-074", since="1.0")
    async def test_expire_leaves_other_statuses(self, store: ProfileStore, clock: ManualClock) -> None:
        """A superseded version stays superseded when its time is over, in every read and after the sweep.

        If this fails: expiry outranks what a version has become (superseded > orphaned > expired > active).
        """
        moment = clock.now() + timedelta(seconds=30)
        await store.save(profile(0, fields=holding(item(0, expires_at=moment)), assets=[asset(0, expires_at=moment)]))
        await store.update_field(OURS, PROFILE, item(1))
        await store.add_asset(OURS, PROFILE, asset(1), supersede_existing=True)
        clock.set(moment)

        assert await store.expire_stale_fields(OURS) == 0

        found = await stored(store)
        versions = (*found.field_history["email"], *found.asset_history)
        assert [one.status for one in versions] == [ItemStatus.SUPERSEDED] * 2

    @requirement("PROFILES-075", since="1.0")
    async def test_overdue_version_can_be_followed(self, store: ProfileStore, clock: ManualClock) -> None:
        """A version past its time never conflicts: a new one supersedes it, or, told not to, leaves it expired.

        If this fails: an overdue version blocks the new one until the sweep, or comes to be active beside it.
        """
        await store.save(profile(0, fields=holding(item(0, expires_at=LAPSED), item(10, "city", expires_at=LAPSED))))

        await store.update_field(OURS, PROFILE, item(1), supersede_existing=False)
        await store.update_field(OURS, PROFILE, item(11, "city"))

        async def history(name: str) -> list[object]:
            found = await store.get_field_history(OURS, PROFILE, name)
            return [(one.id, one.status, one.superseded_by_id) for one in found]

        assert await history("email") == [
            (field_id(1), ItemStatus.ACTIVE, None),
            (field_id(0), ItemStatus.EXPIRED, None),
        ]
        assert await history("city") == [
            (field_id(11), ItemStatus.ACTIVE, None),
            (field_id(10), ItemStatus.SUPERSEDED, field_id(11)),
        ]
        clock.set(LAPSED - TICK)
        assert (await history("email"))[1] == (field_id(0), ItemStatus.EXPIRED, None)
        with pytest.raises(ConflictError):
            await store.update_field(OURS, PROFILE, item(2), supersede_existing=False)

    @requirement("PROFILES-076", since="1.0")
    async def test_count_fields_by_status(self, store: ProfileStore) -> None:
        """Every version of every live profile is counted once under the status it has now; every status is a key.

        If this fails: stored statuses are counted, assets are, or another tenant's or a deleted profile's fields.
        """
        await store.save(profile(0, fields=holding(item(0), item(5, "city", expires_at=LAPSED)), assets=[asset(0)]))
        for n in (1, 2):
            await store.update_field(OURS, PROFILE, item(n))
        await store.save(profile(1, fields=holding(item(10), item(11, "city"))))
        await store.save(profile(2, fields=holding(item(20))))
        await store.delete(OURS, profile_id(2))
        await store.save(profile(0, THEIRS, fields=holding(item(0))))

        found = await store.count_fields_by_status(OURS)

        assert found == {
            ItemStatus.ACTIVE: 3,
            ItemStatus.SUPERSEDED: 2,
            ItemStatus.EXPIRED: 1,
            ItemStatus.ORPHANED: 0,
        }
