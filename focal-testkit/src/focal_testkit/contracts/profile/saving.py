"""Saving a whole profile: what is inserted, what is updated, what no save may touch."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from focal_core.clock import ManualClock
from focal_core.conversation.models import Channel
from focal_core.errors import ConflictError, InvalidDataError, StaleVersionError
from focal_core.profile.models import CustomerProfile, VerificationLevel
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.data.profile import (
    FAR,
    OTHER,
    PROFILE,
    START,
    USER,
    asset,
    asset_id,
    consent,
    field_id,
    holding,
    identity,
    item,
    profile,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


async def stored(store: ProfileStore, profile_id: UUID = PROFILE, tenant: UUID = OURS) -> CustomerProfile:
    """Return a profile with its history; it must be there."""
    found = await store.get_by_id(tenant, profile_id, include_history=True)
    assert found is not None
    return found


class SavingContract(ContractBase):
    """``save``."""

    @requirement("PROFILES-020", since="1.0")
    async def test_save_sets_times_and_version(self, store: ProfileStore, clock: ManualClock) -> None:
        """A save keeps the first created_at, takes updated_at from the clock and advances row_version, in place too.

        If this fails: the store's times or version do not reach the caller's object, or a later save resets them.
        """
        given, default = profile(0), CustomerProfile(tenant_id=OURS)
        clock.advance(timedelta(hours=1))
        assert [await store.save(one) for one in (given, default)] == [given.id, default.id]
        first = clock.now()
        clock.advance(timedelta(hours=1))
        given.verification_level = VerificationLevel.PHONE_VERIFIED

        await store.save(given)

        for one, created, updated, version in ((given, START, clock.now(), 2), (default, first, first, 1)):
            found = await stored(store, one.id)
            for seen in (one, found):
                assert (seen.created_at, seen.updated_at, seen.row_version) == (created, updated, version)
        assert (await stored(store)).verification_level is VerificationLevel.PHONE_VERIFIED

    @requirement("PROFILES-021", since="1.0")
    async def test_save_updates_the_row(self, store: ProfileStore) -> None:
        """The profile's own attributes become those of the saved object, also when they are taken away.

        If this fails: a None is taken for "keep".
        """
        await store.save(
            profile(external_id="c", last_interaction_at=START, verification_level=VerificationLevel.KYC_COMPLETE)
        )

        await store.save(profile())

        found = await stored(store)
        assert (found.external_id, found.last_interaction_at) == (None, None)
        assert found.verification_level is VerificationLevel.UNVERIFIED

    @requirement("PROFILES-022", since="1.0")
    async def test_save_stale_version(self, store: ProfileStore) -> None:
        """A save that expects another version than the stored one is refused, and none of its parts is written.

        If this fails: the version is not compared, or identities, fields and assets are written before it is.
        """
        await store.save(profile())
        [copy, mine] = [await store.get_by_id(OURS, PROFILE) for _ in range(2)]
        assert copy is not None
        assert mine is not None
        mine.external_id = "mine"
        await store.save(mine)
        before = await stored(store)
        copy.fields = holding(item())
        copy.assets = [asset()]
        copy.channel_identities = [identity()]
        copy.consents = [consent()]

        with pytest.raises(StaleVersionError) as refused:
            await store.save(copy)

        assert (refused.value.expected, refused.value.actual) == (1, 2)
        assert await stored(store) == before

    @requirement("PROFILES-023", since="1.0")
    async def test_row_version_zero_upserts(self, store: ProfileStore) -> None:
        """A save with row_version 0 expects nothing: it inserts or replaces.

        If this fails: 0 is compared like a version.
        """
        for name in ("a", "b", "c"):
            await store.save(profile(external_id=name))

        found = await stored(store)

        assert (found.external_id, found.row_version) == ("c", 3)

    @requirement("PROFILES-024", since="1.0")
    async def test_child_writes_keep_row_version(self, store: ProfileStore) -> None:
        """Writing fields, assets, identities and consents by their own methods does not make a loaded profile stale.

        If this fails: row_version guards more than the profile's own row.
        """
        await store.save(profile())
        loaded = await stored(store)

        await store.update_field(OURS, PROFILE, item())
        await store.add_asset(OURS, PROFILE, asset())
        await store.link_channel(OURS, PROFILE, identity())
        await store.record_consent(OURS, PROFILE, consent())
        await store.delete_field(OURS, PROFILE, field_id(0))
        await store.delete_asset(OURS, PROFILE, asset_id(0))
        await store.unlink_channel(OURS, PROFILE, Channel.WEBCHAT, f"{USER}0")

        assert (await stored(store)).row_version == loaded.row_version
        loaded.external_id = "c"
        await store.save(loaded)
        assert (await stored(store)).external_id == "c"

    @requirement("PROFILES-025", since="1.0")
    async def test_save_keeps_absent_items(self, store: ProfileStore) -> None:
        """Identities, fields, assets and consents that the saved object does not hold are left untouched.

        If this fails: a profile loaded before someone else's write removes that write.
        """
        await store.save(profile())
        early = await stored(store)
        await store.save(
            profile(
                channel_identities=[identity(0)],
                fields=holding(item(0)),
                assets=[asset(0)],
                consents=[consent(0)],
            )
        )
        early.row_version = 0
        early.fields = holding(item(1, "city"))

        await store.save(early)

        found = await stored(store)
        assert [one.id for one in found.channel_identities] == [identity(0).id]
        assert {name: one.id for name, one in found.fields.items()} == {"email": field_id(0), "city": field_id(1)}
        assert [one.id for one in found.assets] == [asset_id(0)]
        assert [one.id for one in found.consents] == [consent(0).id]

    @requirement("PROFILES-030", since="1.0")
    async def test_save_conflicting_identity(self, store: ProfileStore) -> None:
        """An identity that belongs to another live profile is refused, and nothing of the save is written.

        If this fails: the identity moves over, or the other parts are written before it is found taken.
        """
        await store.save(profile(0, channel_identities=[identity(0)]))
        await store.save(profile(0, THEIRS, channel_identities=[identity(5)]))
        taken = identity(1, channel_user_id=f"{USER}0")

        with pytest.raises(ConflictError):
            await store.save(profile(1, channel_identities=[taken], fields=holding(item()), assets=[asset()]))

        assert await store.get_by_id(OURS, OTHER) is None
        assert await store.get_field(OURS, OTHER, "email") is None
        found = await store.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}0")
        assert found is not None
        assert found.id == PROFILE
        await store.save(profile(1, channel_identities=[identity(5)]))

    @requirement("PROFILES-032", since="1.0")
    async def test_save_of_deleted_profile(self, store: ProfileStore) -> None:
        """A deleted profile is not brought back by saving it, only by explicit revival with its row_version.

        If this fails: a copy loaded before the deletion undoes it.
        """
        await store.save(profile(external_id="c"))
        copy = await store.get_by_id(OURS, PROFILE)
        assert copy is not None
        await store.delete(OURS, PROFILE)
        copy.external_id = "again"
        for refused in (copy, profile(), profile(deleted_at=None), profile(row_version=copy.row_version)):
            with pytest.raises(ConflictError):
                await store.save(refused)
        assert await store.get_by_id(OURS, PROFILE) is None

        await store.save(profile(external_id="back", deleted_at=None, row_version=copy.row_version))

        assert (await stored(store)).external_id == "back"

    @requirement("PROFILES-033", since="1.0")
    async def test_save_refuses_what_the_store_sets(self, store: ProfileStore) -> None:
        """A save that says it is deleted or merged is refused: only delete and merge do that.

        If this fails: a profile vanishes by being saved.
        """
        await store.save(profile(0))
        await store.save(profile(1))

        with pytest.raises(InvalidDataError):
            await store.save(profile(0, deleted_at=START))
        with pytest.raises(InvalidDataError):
            await store.save(profile(0, deleted_at=START, merged_into_id=OTHER))

        assert (await stored(store)).merged_into_id is None

    @requirement("PROFILES-036", since="1.0")
    async def test_save_appends_consents(self, store: ProfileStore, clock: ManualClock) -> None:
        """Consents of a saved profile are recorded once, and refused when they differ from what was recorded.

        If this fails: saving a loaded profile records its consents again, or rewrites one.
        """
        await store.save(profile(consents=[consent(0)]))
        recorded = clock.now()
        clock.advance(seconds=60)
        loaded = await stored(store)
        loaded.consents.append(consent(1))
        await store.save(loaded)
        await store.save(profile(consents=[consent(0)]))

        with pytest.raises(ConflictError):
            await store.save(profile(external_id="c", consents=[consent(0, granted=False)]))

        found = await stored(store)
        assert found.external_id is None
        assert [(one.id, one.created_at) for one in found.consents] == [
            (consent(0).id, recorded),
            (consent(1).id, clock.now()),
        ]

    @requirement("PROFILES-037", since="1.0")
    async def test_children_times_are_the_clocks(self, store: ProfileStore, clock: ManualClock) -> None:
        """When identities were linked and consents recorded is the store's to say, whatever the object says.

        If this fails: a consent can be dated back, or the machines' clocks decide the order.
        """
        await store.save(
            profile(channel_identities=[identity(0, created_at=START)], consents=[consent(0, created_at=START)])
        )
        await store.link_channel(OURS, PROFILE, identity(1, created_at=FAR))
        for _ in range(2):
            await store.record_consent(OURS, PROFILE, consent(1, created_at=FAR))

        found = await stored(store)

        times = [one.created_at for one in found.channel_identities] + [one.created_at for one in found.consents]
        assert times == [clock.now()] * 4
