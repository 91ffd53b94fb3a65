"""Profiles as such: created once, found by four keys, listed."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID

import pytest

from focal_core.clock import ManualClock
from focal_core.conversation.models import Channel
from focal_core.errors import ConflictError, InvalidDataError, NotFoundError
from focal_core.profile.models import CustomerProfile, VerificationLevel
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data.profile import (
    MINUTE,
    OTHER,
    PROFILE,
    START,
    UNKNOWN,
    USER,
    asset,
    consent,
    holding,
    identity,
    item,
    profile,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class RecordContract(ContractBase):
    """``get_or_create``, the four lookups, ``list_profiles``, ``record_consent``, ``set_verification_level``."""

    @requirement("PROFILES-001", since="1.0")
    async def test_get_or_create_new(self, store: ProfileStore, clock: ManualClock) -> None:
        """An unknown identity gets a new profile that holds this identity, unverified, and nothing else.

        If this fails: the profile or its identity is not stored, or carries other times than the injected clock's.
        """
        made = await store.get_or_create(OURS, Channel.SMS, USER)

        assert await store.get_by_id(OURS, made.id) == made
        assert (made.tenant_id, made.created_at, made.updated_at) == (OURS, clock.now(), clock.now())
        [linked] = made.channel_identities
        assert (linked.channel, linked.channel_user_id, linked.verified) == (Channel.SMS, USER, False)
        assert linked.created_at == clock.now()
        assert (made.fields, made.assets, made.consents, made.external_id) == ({}, [], [], None)
        assert made.customer_id != made.id
        assert made.row_version == 1

    @requirement("PROFILES-002", since="1.0")
    async def test_get_or_create_existing(self, store: ProfileStore) -> None:
        """A known identity gives its profile with everything in it; any other identity gives another one.

        If this fails: the identity is looked up by a part of its key, or a second profile is created.
        """
        made = await store.get_or_create(OURS, Channel.SMS, USER)
        await store.update_field(OURS, made.id, item())

        again = await store.get_or_create(OURS, Channel.SMS, USER)

        assert again.id == made.id
        assert again.fields["email"].value == item().value
        others = [
            await store.get_or_create(tenant, channel, user)
            for tenant, channel, user in (
                (OURS, Channel.VOICE, USER),
                (OURS, Channel.SMS, USER.lower()),
                (OURS, Channel.SMS, f"{USER}0"),
                (THEIRS, Channel.SMS, USER),
            )
        ]
        assert len({made.id, *(other.id for other in others)}) == 5
        assert len(await store.list_profiles(OURS)) == 4

    @requirement("PROFILES-003", since="1.0")
    async def test_get_by_channel_identity(self, store: ProfileStore) -> None:
        """A profile is found by each of its identities, by channel and user together and to the letter.

        If this fails: one half of the identity is ignored, or the user is matched as a pattern or without case.
        """
        here, there = identity(0), identity(1, channel=Channel.EMAIL)
        await store.save(profile(0, channel_identities=[here, there]))
        swapped = [
            identity(5, channel_user_id=f"{USER}1"),
            identity(6, channel=Channel.EMAIL, channel_user_id=f"{USER}0"),
        ]
        await store.save(profile(1, channel_identities=swapped))
        await store.save(profile(2, THEIRS, channel_identities=[here]))

        async def found(channel: Channel, user: str) -> object:
            hit = await store.get_by_channel_identity(OURS, channel, user)
            return hit and hit.id

        assert await found(Channel.WEBCHAT, f"{USER}0") == PROFILE
        assert await found(Channel.EMAIL, f"{USER}1") == PROFILE
        assert await found(Channel.WEBCHAT, f"{USER}1") == OTHER
        assert await found(Channel.EMAIL, f"{USER}0") == OTHER
        assert await found(Channel("web"), f"{USER}0") == PROFILE
        for user in (USER, f"{USER}%", f"{USER}0".upper(), f" {USER}0", f"{USER}00"):
            assert await found(Channel.WEBCHAT, user) is None
        assert await found(Channel.VOICE, f"{USER}0") is None

    @requirement("PROFILES-004", since="1.0")
    async def test_tenant_isolation(self, store: ProfileStore) -> None:
        """Two tenants with the same ids, names and identities each find their own profile under every key.

        If this fails: a lookup lacks the tenant.
        """
        for tenant in (OURS, THEIRS):
            value = item(value=str(tenant))
            await store.save(
                profile(0, tenant, external_id="c", channel_identities=[identity(0)], fields=holding(value))
            )
        await store.save(profile(1, THEIRS, external_id="theirs", channel_identities=[identity(1)]))

        for tenant in (OURS, THEIRS):
            for found in await _every_lookup(store, profile(0, tenant), "c", f"{USER}0", tenant):
                assert found is not None
                assert (found.tenant_id, found.fields["email"].value) == (tenant, str(tenant))
        assert await _every_lookup(store, profile(1), "theirs", f"{USER}1", OURS) == [None] * 4
        assert [one.id for one in await store.list_profiles(OURS)] == [PROFILE]

    @requirement("PROFILES-005", since="1.0")
    async def test_get_or_create_concurrent(self, store: ProfileStore) -> None:
        """However many callers ask for an unknown identity at once, one profile is created and all get it.

        If this fails: looking and creating are two steps, or the losers leave profiles behind.
        """
        found = await asyncio.gather(*[store.get_or_create(OURS, Channel.SMS, USER) for _ in range(32)])

        assert len({one.id for one in found}) == 1
        assert [one.id for one in await store.list_profiles(OURS)] == [found[0].id]
        assert all(len(one.channel_identities) == 1 for one in found)
        assert {one.customer_id for one in found} == {found[0].customer_id}

    @requirement("PROFILES-006", since="1.0")
    async def test_lookup_by_customer_id_after_create(self, store: ProfileStore) -> None:
        """A created profile is found by its own customer id, and only by that: profile ids are another matter.

        If this fails: customer_id is not stored or not indexed, or is taken for the profile id.
        """
        made = await store.get_or_create(OURS, Channel.SMS, USER)

        assert await store.get_by_customer_id(OURS, made.customer_id) == made
        assert await store.get_by_customer_id(OURS, made.id) is None
        assert await store.get_by_id(OURS, made.customer_id) is None

    @requirement("PROFILES-007", since="1.0")
    async def test_external_id_unique_live(self, store: ProfileStore) -> None:
        """An external id belongs to one live profile of a tenant; deleting the profile frees it.

        If this fails: the key lacks the tenant, counts deleted profiles, or is not enforced.
        """
        await store.save(profile(0, external_id="c-5"))
        await store.save(profile(2, THEIRS, external_id="c-5"))
        await store.save(profile(3, external_id=None))
        await store.save(profile(4, external_id=None))

        with pytest.raises(ConflictError):
            await store.save(profile(1, external_id="c-5"))

        assert await store.get_by_id(OURS, OTHER) is None
        await store.save(profile(5, external_id="C-5"))
        assert await store.get_by_external_id(OURS, "c-") is None
        await store.delete(OURS, PROFILE)
        assert await store.get_by_external_id(OURS, "c-5") is None
        await store.save(profile(1, external_id="c-5"))
        found = await store.get_by_external_id(OURS, "c-5")
        assert found is not None
        assert found.id == OTHER

    @requirement("PROFILES-008", since="1.0")
    async def test_external_id_may_change(self, store: ProfileStore) -> None:
        """A changed external id finds the profile, the former one no longer does and is free again.

        If this fails: the old key stays behind.
        """
        await store.save(profile(0, external_id="old"))

        await store.save(profile(0, external_id="new"))

        found = await store.get_by_external_id(OURS, "new")
        assert found is not None
        assert found.id == PROFILE
        assert await store.get_by_external_id(OURS, "old") is None
        await store.save(profile(1, external_id="old"))

    @requirement("PROFILES-009", since="1.0")
    async def test_customer_id_unique(self, store: ProfileStore) -> None:
        """A customer id is used once per tenant and never again, not even when its profile is deleted.

        If this fails: two customers share an id, or the key lacks the tenant.
        """
        await store.save(profile(0))
        await store.save(profile(0, THEIRS))

        for _ in range(2):
            with pytest.raises(ConflictError):
                await store.save(profile(1, customer_id=profile(0).customer_id))
            assert await store.get_by_id(OURS, OTHER) is None
            await store.delete(OURS, PROFILE)

    @requirement("PROFILES-010", since="1.0")
    async def test_list_profiles_order(self, store: ProfileStore) -> None:
        """Profiles are listed by creation, then id; deleted and merged ones and other tenants' are left out.

        If this fails: the order is that of saving or of the last change, or equal times are in no order.
        """
        for n in (3, 7, 1, 5, 9, 8):
            await store.save(profile(n, created_at=START if n in (3, 7, 5) else START + n * MINUTE))
        await store.save(profile(2, THEIRS))
        await store.save(profile(1))
        await store.delete(OURS, profile(8).id)
        await store.merge_profiles(OURS, source_profile_id=profile(9).id, target_profile_id=profile(5).id)

        found = await store.list_profiles(OURS)

        assert [one.id for one in found] == [profile(n).id for n in (3, 5, 7, 1)]

    @requirement("PROFILES-011", since="1.0")
    async def test_list_profiles_updated_since(self, store: ProfileStore, clock: ManualClock) -> None:
        """``updated_since`` keeps profiles saved at or after that moment; a moment without zone is refused.

        If this fails: the bound is left out, or another time is compared.
        """
        moments = []
        for n in range(3):
            await store.save(profile(n))
            moments.append(clock.now())
            clock.advance(seconds=1)

        found = await store.list_profiles(OURS, updated_since=moments[1])

        assert [one.id for one in found] == [profile(1).id, profile(2).id]
        assert await store.list_profiles(OURS, updated_since=clock.now()) == []
        with pytest.raises(InvalidDataError):
            await store.list_profiles(OURS, updated_since=datetime(2024, 1, 1))  # noqa: DTZ001

    @requirement("PROFILES-012", since="1.0")
    async def test_listed_profiles_are_whole(self, store: ProfileStore) -> None:
        """Every listed profile is what ``get_by_id`` returns, with its own identities, fields, assets and consents.

        If this fails: the list leaves parts out, or mixes the parts of two profiles.
        """
        for n in range(2):
            await store.save(
                profile(
                    n,
                    channel_identities=[identity(n)],
                    fields=holding(item(n), item(n + 10, "city")),
                    assets=[asset(n)],
                    consents=[consent(n)],
                )
            )
            await store.update_field(OURS, profile(n).id, item(n + 20))

        listed = await store.list_profiles(OURS)

        assert list(listed) == [await store.get_by_id(OURS, profile(n).id) for n in range(2)]
        assert [[len(one.fields), len(one.assets), len(one.consents)] for one in listed] == [[2, 1, 1]] * 2

    @requirement("PROFILES-013", since="1.0")
    async def test_consent_append_only(self, store: ProfileStore, clock: ManualClock) -> None:
        """Consents are added and never changed: each stays as recorded, in the order of recording.

        If this fails: a later consent replaces an earlier one of its type, or a known id is overwritten.
        """
        await store.save(profile(0))
        began = clock.now()
        for n, granted in enumerate((True, False, True)):
            given = consent(9 - n, granted=granted, ip_address="10.0.0.7")
            assert await store.record_consent(OURS, PROFILE, given) == given.id
            clock.advance(seconds=1)
        await store.record_consent(OURS, PROFILE, consent(9, ip_address="10.0.0.7"))

        with pytest.raises(ConflictError):
            await store.record_consent(OURS, PROFILE, consent(9, granted=False))
        with pytest.raises(NotFoundError):
            await store.record_consent(OURS, UNKNOWN, consent(1))

        found = await store.get_by_id(OURS, PROFILE)
        assert found is not None
        assert [(one.id, one.granted) for one in found.consents] == [
            (consent(9).id, True),
            (consent(8).id, False),
            (consent(7).id, True),
        ]
        assert found.consents[0].created_at == began

    @requirement("PROFILES-014", since="1.0")
    async def test_set_verification_level(self, store: ProfileStore) -> None:
        """The level is set, up or down, on that profile alone; a missing or deleted profile is NotFoundError.

        If this fails: the level has no place in the store, or the call says nothing of a missing profile.
        """
        for one in (profile(0), profile(1), profile(0, THEIRS), profile(2)):
            await store.save(one)
        await store.delete(OURS, profile(2).id)
        for level in (VerificationLevel.KYC_COMPLETE, VerificationLevel.EMAIL_VERIFIED):
            for _ in range(2):
                await store.set_verification_level(OURS, PROFILE, level)
            found = await store.get_by_id(OURS, PROFILE)
            assert found is not None
            assert found.verification_level is level
        assert (await stored(store)).row_version == 3

        for missing in (UNKNOWN, profile(2).id):
            with pytest.raises(NotFoundError):
                await store.set_verification_level(OURS, missing, VerificationLevel.KYC_COMPLETE)
        untouched = [await store.get_by_id(OURS, OTHER), await store.get_by_id(THEIRS, PROFILE)]
        assert [one and one.verification_level for one in untouched] == [VerificationLevel.UNVERIFIED] * 2


async def _every_lookup(
    store: ProfileStore, like: CustomerProfile, external_id: str, user: str, tenant: UUID
) -> list[CustomerProfile | None]:
    return [
        await store.get_by_id(tenant, like.id),
        await store.get_by_customer_id(tenant, like.customer_id),
        await store.get_by_external_id(tenant, external_id),
        await store.get_by_channel_identity(tenant, Channel.WEBCHAT, user),
    ]
