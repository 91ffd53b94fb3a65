"""Channels: whose account is whose."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from focal_core.clock import ManualClock
from focal_core.conversation.models import Channel
from focal_core.errors import ConflictError, InvalidDataError, NotFoundError
from focal_core.profile.models import CustomerProfile
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data import hostile
from focal_testkit.data.profile import OTHER, PROFILE, START, UNKNOWN, USER, identity, profile, profile_id
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


async def owner(store: ProfileStore, user: str, channel: Channel = Channel.WEBCHAT, tenant: UUID = OURS) -> UUID | None:
    """Return the id of the profile an account is linked to."""
    found = await store.get_by_channel_identity(tenant, channel, user)
    return None if found is None else found.id


class ChannelContract(ContractBase):
    """``link_channel`` and ``unlink_channel``."""

    @requirement("PROFILES-130", since="1.0")
    async def test_link_channel(self, store: ProfileStore, clock: ManualClock) -> None:
        """A newly linked identity is True, and from then on finds the profile, beside the former ones.

        If this fails: the identity replaces another, or carries other values or times than it should.
        """
        await store.save(profile(0, channel_identities=[identity(0)]))
        await store.save(profile(0, THEIRS))
        clock.advance(seconds=60)
        given = identity(1, channel=Channel.EMAIL, verified=True, verified_at=START, primary=True)

        assert await store.link_channel(OURS, PROFILE, given) is True

        found = await stored(store)
        assert {one.id for one in found.channel_identities} == {identity(0).id, given.id}
        linked = next(one for one in found.channel_identities if one.id == given.id)
        assert linked.model_dump(exclude={"created_at"}) == given.model_dump(exclude={"created_at"})
        assert linked.created_at == clock.now()
        assert await owner(store, f"{USER}1", Channel.EMAIL) == PROFILE
        assert await owner(store, f"{USER}0") == PROFILE
        assert await owner(store, f"{USER}1", Channel.EMAIL, THEIRS) is None

    @requirement("PROFILES-131", since="1.0")
    async def test_link_channel_conflict(self, store: ProfileStore) -> None:
        """An account of another live profile is refused and stays there; one of another tenant does not matter.

        If this fails: accounts move without a merge, or a neighbour's data blocks or shows in an error.
        """
        await store.save(profile(0, channel_identities=[identity(0)]))
        await store.save(profile(1))
        await store.save(profile(7, THEIRS, channel_identities=[identity(1)]))

        with pytest.raises(ConflictError):
            await store.link_channel(OURS, OTHER, identity(5, channel_user_id=f"{USER}0"))

        assert await owner(store, f"{USER}0") == PROFILE
        assert (await stored(store, OTHER)).channel_identities == []
        assert await store.link_channel(OURS, OTHER, identity(1)) is True
        assert await owner(store, f"{USER}1") == OTHER
        assert await owner(store, f"{USER}1", tenant=THEIRS) == profile_id(7)

    @requirement("PROFILES-132", since="1.0")
    async def test_link_channel_idempotent(self, store: ProfileStore, clock: ManualClock) -> None:
        """An account that is linked already is False; it takes over what is said of it and keeps its id and time.

        If this fails: an account is listed twice, or verification by a later link is lost.
        """
        await store.save(profile(0, channel_identities=[identity(0), identity(1)]))
        before = {one.id: one for one in (await stored(store)).channel_identities}
        clock.advance(seconds=60)
        again = identity(9, channel_user_id=f"{USER}0", verified=True, verified_at=START, primary=True)

        for _ in range(2):
            assert await store.link_channel(OURS, PROFILE, again) is False
        assert await store.link_channel(OURS, PROFILE, identity(1)) is False

        found = {one.id: one for one in (await stored(store)).channel_identities}
        assert set(found) == set(before)
        changed = found[identity(0).id]
        assert (changed.verified, changed.verified_at, changed.primary) == (True, START, True)
        assert changed.created_at == before[changed.id].created_at
        assert found[identity(1).id] == before[identity(1).id]

    @requirement("PROFILES-133", since="1.0")
    async def test_link_channel_unknown_profile(self, store: ProfileStore) -> None:
        """Linking to a profile that is not there is NotFoundError, and the account stays free.

        If this fails: identities without a profile are kept, or the profile of another tenant is taken for ours.
        """
        await store.save(profile(1, THEIRS))

        for missing in (UNKNOWN, OTHER):
            with pytest.raises(NotFoundError):
                await store.link_channel(OURS, missing, identity(0))

        assert await owner(store, f"{USER}0") is None
        await store.save(profile(1))
        assert await owner(store, f"{USER}0") is None

    @requirement("PROFILES-134", since="1.0")
    async def test_one_primary_per_channel(self, store: ProfileStore) -> None:
        """A profile has one primary account on a channel at most: a new one takes the former one's place (INV-CI1).

        If this fails: two accounts are primary, or primaries of other channels and profiles give way too.
        """
        await store.save(profile(0, channel_identities=[identity(0, primary=True)]))
        await store.save(profile(1, channel_identities=[identity(10, primary=True)]))
        await store.link_channel(OURS, PROFILE, identity(1, channel=Channel.EMAIL, primary=True))

        async def primaries(of: UUID = PROFILE) -> set[UUID]:
            return {one.id for one in (await stored(store, of)).channel_identities if one.primary}

        await store.link_channel(OURS, PROFILE, identity(2, primary=True))
        assert await primaries() == {identity(1).id, identity(2).id}
        await store.save(profile(0, channel_identities=[identity(3, primary=True)]))
        assert await primaries() == {identity(1).id, identity(3).id}
        await store.link_channel(OURS, PROFILE, identity(4))
        assert await primaries() == {identity(1).id, identity(3).id}
        assert await primaries(OTHER) == {identity(10).id}

    @requirement("PROFILES-135", since="1.0")
    async def test_link_channel_concurrent(self, store: ProfileStore) -> None:
        """Of profiles that claim an account at once exactly one gets it, the others are refused.

        If this fails: looking for the owner and linking are two steps.
        """
        for n in range(8):
            await store.save(profile(n))
        claims = [store.link_channel(OURS, profile_id(n), identity(n, channel_user_id=USER)) for n in range(8)]

        results = await asyncio.gather(*claims, return_exceptions=True)

        assert results.count(True) == 1
        assert sum(isinstance(result, ConflictError) for result in results) == 7
        assert await owner(store, USER) == profile_id(results.index(True))

    @requirement("PROFILES-143", since="1.0")
    async def test_asked_for_and_linked_at_once(self, store: ProfileStore) -> None:
        """An account that is asked for and linked at once is one profile's, and who asked gets that one.

        If this fails: looking for the account and creating its profile are two steps, or one fails for the other.
        """
        await store.save(profile(0))
        users = [f"{USER}{n}" for n in range(16)]
        asked = [store.get_or_create(OURS, Channel.WEBCHAT, user) for user in users]
        linking = [store.link_channel(OURS, PROFILE, identity(n, channel_user_id=user)) for n, user in enumerate(users)]

        results = await asyncio.gather(*asked, *linking, return_exceptions=True)

        for user, found, linked in zip(users, results[:16], results[16:], strict=True):
            assert isinstance(found, CustomerProfile)
            assert linked is True if found.id == PROFILE else isinstance(linked, ConflictError)
            assert await owner(store, user) == found.id

    @requirement("PROFILES-136", since="1.0")
    async def test_unlink(self, store: ProfileStore) -> None:
        """An unlinked account is True, no longer finds the profile and is free for another; what is not there is False.

        If this fails: another account goes too, another profile loses its own, or the freed key stays taken.
        """
        await store.save(profile(0, channel_identities=[identity(0), identity(1), identity(2, channel=Channel.EMAIL)]))
        await store.save(profile(1, channel_identities=[identity(5)]))
        await store.save(profile(0, THEIRS, channel_identities=[identity(0)]))

        assert await store.unlink_channel(OURS, PROFILE, Channel.WEBCHAT, f"{USER}5") is False
        assert await store.unlink_channel(OURS, PROFILE, Channel.EMAIL, f"{USER}0") is False
        assert await store.unlink_channel(OURS, UNKNOWN, Channel.WEBCHAT, f"{USER}0") is False
        assert await store.unlink_channel(OURS, PROFILE, Channel.WEBCHAT, f"{USER}0") is True
        assert await store.unlink_channel(OURS, PROFILE, Channel.WEBCHAT, f"{USER}0") is False

        assert {one.id for one in (await stored(store)).channel_identities} == {identity(1).id, identity(2).id}
        assert await owner(store, f"{USER}0") is None
        assert await owner(store, f"{USER}0", tenant=THEIRS) == PROFILE
        assert await owner(store, f"{USER}5") == OTHER
        assert await store.link_channel(OURS, OTHER, identity(0)) is True

    @requirement("PROFILES-137", since="1.0")
    async def test_identity_id_belongs_to_one_account(self, store: ProfileStore) -> None:
        """The id of an identity is one account's: linking it to another profile is refused, with another account too.

        If this fails: two profiles share a row, and each write to one changes the other.
        """
        await store.save(profile(0, channel_identities=[identity(0)]))
        await store.save(profile(1))

        with pytest.raises(ConflictError):
            await store.link_channel(OURS, OTHER, identity(0, channel_user_id="somebody else"))
        with pytest.raises(ConflictError):
            await store.link_channel(OURS, PROFILE, identity(0, channel_user_id="somebody else"))

        assert await owner(store, f"{USER}0") == PROFILE
        assert await owner(store, "somebody else") is None

    @pytest.mark.parametrize("case", sorted(hostile.IDENTIFIERS))
    @requirement("PROFILES-138", since="1.0")
    async def test_hostile_user_ids(self, store: ProfileStore, case: str) -> None:
        """A user id may be any identifier, on any channel, and finds exactly its own profile.

        If this fails: the id becomes part of a key or a pattern without being quoted.
        """
        user = hostile.IDENTIFIERS[case]
        plain = await store.get_or_create(OURS, Channel.SMS, "plain")
        made = await store.get_or_create(OURS, Channel("bespoke-channel_2"), user)

        assert made.id != plain.id
        assert await owner(store, user, Channel("bespoke-channel_2")) == made.id
        assert await owner(store, user, Channel.SMS) is None
        assert made.channel_identities[0].channel_user_id == user

    @pytest.mark.parametrize("case", sorted(hostile.REFUSED_IDENTIFIERS))
    @requirement("PROFILES-139", since="1.0")
    async def test_refused_identifiers(self, store: ProfileStore, case: str) -> None:
        """A name or id that no model would take is refused as an argument too, and nothing is created.

        If this fails: arguments reach the backend unchecked.
        """
        wrong = hostile.REFUSED_IDENTIFIERS[case]
        await store.save(profile(0))
        calls: list[Any] = [
            lambda: store.get_or_create(OURS, Channel.SMS, wrong),
            lambda: store.get_by_channel_identity(OURS, Channel.SMS, wrong),
            lambda: store.get_by_external_id(OURS, wrong),
            lambda: store.unlink_channel(OURS, PROFILE, Channel.SMS, wrong),
            lambda: store.get_field(OURS, PROFILE, wrong),
            lambda: store.get_field_history(OURS, PROFILE, wrong),
            lambda: store.get_asset_by_name(OURS, PROFILE, wrong),
        ]

        for call in calls:
            with pytest.raises(InvalidDataError):
                await call()

        assert len(await store.list_profiles(OURS)) == 1

    @requirement("PROFILES-140", since="1.0")
    async def test_arguments_in_any_unicode_form(self, store: ProfileStore) -> None:
        """Names and ids are found in any Unicode form: what is stored is normalised, and so is what is asked for.

        If this fails: the same person on another keyboard is another customer.
        """
        composed, decomposed = "\u00c5ngstr\u00f6m", "A\u030angstro\u0308m"
        made = await store.get_or_create(OURS, Channel.SMS, composed)

        assert (await store.get_or_create(OURS, Channel.SMS, decomposed)).id == made.id
        assert await owner(store, decomposed, Channel.SMS) == made.id
        made.external_id = composed
        await store.save(made)
        assert await store.get_by_external_id(OURS, decomposed) is not None
        assert await store.unlink_channel(OURS, made.id, Channel.SMS, decomposed) is True

    @requirement("PROFILES-141", since="1.0")
    async def test_refused_choices(self, store: ProfileStore) -> None:
        """A word that is none of an argument's choices is refused; any letter case of one that is will do.

        If this fails: a misspelt policy or status does something else than the caller meant.
        """
        for n in range(2):
            await store.save(profile(n))
        loose: Any = store
        wrong = "supersede"
        calls: list[Any] = [
            lambda: loose.get_or_create(OURS, "no channel!", USER),
            lambda: loose.get_by_channel_identity(OURS, "no channel!", USER),
            lambda: loose.unlink_channel(OURS, PROFILE, "no channel!", USER),
            lambda: loose.get_field(OURS, PROFILE, "email", status=wrong),
            lambda: loose.get_asset_by_name(OURS, PROFILE, "passport", status=wrong),
            lambda: loose.delete_field(OURS, PROFILE, UNKNOWN, on_dependents=wrong),
            lambda: loose.delete_asset(OURS, PROFILE, UNKNOWN, on_dependents=wrong),
            lambda: loose.set_verification_level(OURS, PROFILE, wrong),
            lambda: loose.merge_profiles(OURS, source_profile_id=OTHER, target_profile_id=PROFILE, policy=wrong),
        ]

        for call in calls:
            with pytest.raises(InvalidDataError):
                await call()

        assert len(await store.list_profiles(OURS)) == 2
        assert await loose.get_field(OURS, PROFILE, "email", status="ACTIVE") is None
        await loose.merge_profiles(OURS, source_profile_id=OTHER, target_profile_id=PROFILE, policy="Best")

    @requirement("PROFILES-142", since="1.0")
    async def test_accounts_change_hands(self, store: ProfileStore) -> None:
        """Saved identities are known by id and may swap accounts, each of which stays one identity's.

        If this fails: the keys are written one by one, and the second write removes what the first has just set.
        """
        await store.save(profile(0, channel_identities=[identity(0), identity(1)]))
        swapped = [identity(0, channel_user_id=f"{USER}1"), identity(1, channel_user_id=f"{USER}0")]

        await store.save(profile(0, channel_identities=swapped))

        found = {one.id: one.channel_user_id for one in (await stored(store)).channel_identities}
        assert found == {identity(0).id: f"{USER}1", identity(1).id: f"{USER}0"}
        for n in (0, 1):
            assert await owner(store, f"{USER}{n}") == PROFILE
        with pytest.raises(ConflictError):
            await store.save(profile(0, channel_identities=[identity(0, channel_user_id=f"{USER}0")]))
        await store.save(profile(0, channel_identities=[identity(0, channel_user_id="new")]))
        assert await owner(store, f"{USER}1") is None
        assert await store.get_or_create(OURS, Channel.WEBCHAT, f"{USER}1") != await stored(store)
