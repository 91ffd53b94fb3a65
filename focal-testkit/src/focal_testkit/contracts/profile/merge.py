"""Merging two profiles of one customer: everything moves, nothing is lost, one value per name is active."""

from __future__ import annotations

from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.conversation.models import Channel
from focal_core.profile.models import ItemStatus, MergePolicy, VerificationLevel
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data.profile import (
    FAR,
    LAPSED,
    MINUTE,
    OTHER,
    PROFILE,
    START,
    USER,
    asset,
    asset_id,
    consent,
    derived,
    field_id,
    holding,
    identity,
    item,
    profile,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

MERGE: dict[str, Any] = {"source_profile_id": OTHER, "target_profile_id": PROFILE}
"""The merge of these tests: profile 1 goes into profile 0."""

_SURE: dict[str, Any] = {"confidence": 0.9}
_UNSURE: dict[str, Any] = {"confidence": 0.8}
_LATE: dict[str, Any] = {"collected_at": START + 10 * MINUTE}
_EARLY: dict[str, Any] = {"collected_at": START + 5 * MINUTE}
WINNERS: dict[str, tuple[Any, dict[str, Any], dict[str, Any], str]] = {
    "best_verified": ("best", {**_SURE, **_LATE}, {"verified": True, **_UNSURE, **_EARLY}, "source"),
    "best_verified_target": ("best", {"verified": True, **_UNSURE, **_EARLY}, {**_SURE, **_LATE}, "target"),
    "best_confidence": ("best", {**_UNSURE, **_LATE}, {**_SURE, **_EARLY}, "source"),
    "best_confidence_target": ("best", {**_SURE, **_EARLY}, {**_UNSURE, **_LATE}, "target"),
    "best_later": ("best", {**_SURE, **_EARLY}, {**_SURE, **_LATE}, "source"),
    "best_later_target": ("best", {**_SURE, **_LATE}, {**_SURE, **_EARLY}, "target"),
    "best_tie": ("best", {**_SURE, **_LATE}, {**_SURE, **_LATE}, "target"),
    "target_wins": ("target_wins", {**_UNSURE, **_EARLY}, {"verified": True, **_SURE, **_LATE}, "target"),
    "source_wins": ("source_wins", {"verified": True, **_SURE, **_LATE}, {**_UNSURE, **_EARLY}, "source"),
}
"""Case -> policy, what the target's and what the source's field has, and which of them wins."""


class MergeContract(ContractBase):
    """What ``merge_profiles`` does to what the profiles hold."""

    @requirement("PROFILES-150", since="1.0")
    async def test_merge_profiles(self, store: ProfileStore) -> None:
        """A merge returns the target, which holds what both held; the source is no profile of its own any more.

        If this fails: the wrong one of the two survives, or something of either is lost.
        """
        for tenant in (OURS, THEIRS):
            await store.save(profile(0, tenant, channel_identities=[identity(0)], fields=holding(item(0))))
            await store.save(profile(1, tenant, channel_identities=[identity(1)], fields=holding(item(1, "city"))))

        merged = await store.merge_profiles(OURS, **MERGE)

        assert merged == await store.get_by_id(OURS, PROFILE)
        assert (merged.id, merged.customer_id, merged.deleted_at) == (PROFILE, profile(0).customer_id, None)
        assert {name: one.id for name, one in merged.fields.items()} == {"email": field_id(0), "city": field_id(1)}
        assert len(merged.channel_identities) == 2
        assert [one.id for one in await store.list_profiles(OURS)] == [PROFILE]
        assert len(await store.list_profiles(THEIRS)) == 2

    @requirement("PROFILES-151", since="1.0")
    async def test_merge_moves_everything(self, store: ProfileStore) -> None:
        """Identities, every version of every field, assets in every status and consents move to the target.

        If this fails: only what is active moves, or one kind stays behind with the deleted source.
        """
        for n in (0, 1):
            await store.save(
                profile(
                    n,
                    channel_identities=[identity(n, verified=True), identity(n + 10, channel=Channel.EMAIL)],
                    fields=holding(item(n, f"only_{n}"), item(n + 2, f"over_{n}", expires_at=LAPSED)),
                    assets=[asset(n, f"asset_{n}"), asset(n + 2, f"lapsed_{n}", expires_at=LAPSED)],
                    consents=[consent(n, f"kind_{n}", granted=not n)],
                )
            )
            await store.update_field(OURS, profile(n).id, item(n + 10, f"only_{n}"))
            await store.add_asset(OURS, profile(n).id, asset(n + 10, f"asset_{n}"), supersede_existing=True)

        await store.merge_profiles(OURS, **MERGE)

        found = await stored(store)
        ids = {one.id for one in found.channel_identities}
        assert ids == {identity(n).id for n in (0, 1, 10, 11)}
        assert {name: one.id for name, one in found.fields.items()} == {"only_0": field_id(10), "only_1": field_id(11)}
        history = {name: [(one.id, one.status.value) for one in rows] for name, rows in found.field_history.items()}
        assert history == {
            "only_0": [(field_id(0), "superseded")],
            "only_1": [(field_id(1), "superseded")],
            "over_0": [(field_id(2), "expired")],
            "over_1": [(field_id(3), "expired")],
        }
        assert [one.id for one in found.assets] == [asset_id(10), asset_id(11)]
        assert {one.id for one in found.asset_history} == {asset_id(n) for n in range(4)}
        assert sorted((one.consent_type, one.granted) for one in found.consents) == [
            ("kind_0", True),
            ("kind_1", False),
        ]
        for n in (0, 1):
            owner = await store.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}{n}")
            assert owner is not None
            assert owner.id == PROFILE
        assert (await store.count_fields_by_status(OURS))[ItemStatus.SUPERSEDED] == 2

    @pytest.mark.parametrize("case", sorted(WINNERS))
    @requirement("PROFILES-152", since="1.0")
    async def test_merge_winner_policy(self, store: ProfileStore, case: str) -> None:
        """Of two active fields of one name the policy's winner stays; best: verified, confident, late, the target's.

        If this fails: the criteria are taken in another order, or the tie goes to the source.
        """
        policy, target, source, wins = WINNERS[case]
        await store.save(profile(0, fields=holding(item(5, **target))))
        await store.save(profile(1, fields=holding(item(7, **source))))

        merged = await store.merge_profiles(OURS, **MERGE, policy=policy)

        assert merged.fields["email"].id == (field_id(5) if wins == "target" else field_id(7))

    @requirement("PROFILES-153", since="1.0")
    async def test_merge_default_policy(self, store: ProfileStore) -> None:
        """Without a policy the better field wins, name by name.

        If this fails: the default is one side for all names.
        """
        await store.save(profile(0, fields=holding(item(0, **_SURE), item(1, "city", **_UNSURE))))
        await store.save(profile(1, fields=holding(item(2, **_UNSURE), item(3, "city", **_SURE))))

        merged = await store.merge_profiles(OURS, **MERGE)

        assert {name: one.id for name, one in merged.fields.items()} == {"email": field_id(0), "city": field_id(3)}

    @requirement("PROFILES-154", since="1.0")
    async def test_merge_single_active_per_name(self, store: ProfileStore, clock: ManualClock) -> None:
        """After a merge each name has one active version; the loser is superseded by the winner and says since when.

        If this fails: two versions are active, or the loser is linked to nothing.
        """
        await store.save(profile(0, fields=holding(item(0), item(1, "city", verified=True))))
        await store.save(profile(1, fields=holding(item(2, verified=True), item(3, "city"))))
        clock.advance(seconds=30)

        await store.merge_profiles(OURS, **MERGE)

        found = await stored(store)
        for name, winner, loser in (("email", 2, 0), ("city", 1, 3)):
            versions = await store.get_field_history(OURS, PROFILE, name)
            assert [one.id for one in versions if one.status is ItemStatus.ACTIVE] == [field_id(winner)]
            [old] = found.field_history[name]
            assert (old.id, old.status) == (field_id(loser), ItemStatus.SUPERSEDED)
            assert (old.superseded_by_id, old.superseded_at) == (field_id(winner), clock.now())
            kept = await store.get_field(OURS, PROFILE, name)
            assert kept is not None
            assert (kept.id, kept.superseded_by_id) == (field_id(winner), None)

    @pytest.mark.parametrize("overdue", ["source", "target", "both"])
    @requirement("PROFILES-155", since="1.0")
    async def test_merge_overdue_never_wins(self, store: ProfileStore, clock: ManualClock, overdue: str) -> None:
        """A field past its time takes no part: it moves as expired, whatever the policy, and wins over nothing.

        If this fails: an expired value supersedes a valid one, or comes back to life beside it.
        """
        lapsed: dict[str, Any] = {"expires_at": LAPSED, "verified": True}
        await store.save(profile(0, fields=holding(item(0, **(lapsed if overdue != "source" else {})))))
        await store.save(profile(1, fields=holding(item(1, **(lapsed if overdue != "target" else {})))))
        policy: Any = "target_wins" if overdue == "target" else "source_wins"

        merged = await store.merge_profiles(OURS, **MERGE, policy=policy)

        expected = {"source": [field_id(0)], "target": [field_id(1)], "both": []}[overdue]
        assert [one.id for one in merged.fields.values()] == expected
        versions = await store.get_field_history(OURS, PROFILE, "email")
        statuses = {one.id: one.status for one in versions}
        gone = {field_id(0), field_id(1)} - set(expected)
        assert {statuses[one] for one in gone} == {ItemStatus.EXPIRED}
        clock.set(LAPSED - MINUTE)
        active = [one for one in await store.get_field_history(OURS, PROFILE, "email") if one.status == "active"]
        assert len(active) <= 1
        await store.update_field(OURS, PROFILE, item(9))

    @pytest.mark.parametrize(
        ("target", "source"),
        [
            ("unverified", "kyc_complete"),
            ("kyc_complete", "unverified"),
            ("email_verified", "phone_verified"),
            ("document_verified", "phone_verified"),
            ("email_verified", "document_verified"),
        ],
    )
    @requirement("PROFILES-156", since="1.0")
    async def test_merge_verification_level(self, store: ProfileStore, target: str, source: str) -> None:
        """The target has the higher of the two verification levels.

        If this fails: the target's level stays, or levels are compared as text.
        """
        await store.save(profile(0, verification_level=target))
        await store.save(profile(1, verification_level=source))

        merged = await store.merge_profiles(OURS, **MERGE)

        levels = list(VerificationLevel)
        higher = max((VerificationLevel(target), VerificationLevel(source)), key=levels.index)
        assert merged.verification_level is higher

    @requirement("PROFILES-157", since="1.0")
    async def test_merge_keeps_lineage(self, store: ProfileStore) -> None:
        """Ids and links of lineage are the same after a merge, for chains within and across the two profiles.

        If this fails: items get new ids as they move, and what was derived from them hangs in the air.
        """
        source, scan = item(0), asset(0)
        await store.save(profile(1, fields=holding(source), assets=[scan]))
        await store.update_field(OURS, OTHER, derived(1, source))
        await store.save(profile(0, fields=holding(derived(2, derived(1, source)), derived(3, scan), item(5))))

        await store.merge_profiles(OURS, **MERGE, policy=MergePolicy.TARGET_WINS)

        chain = await store.get_derivation_chain(OURS, field_id(2), "profile_field")
        assert [one["id"] for one in chain] == [field_id(0), field_id(1), field_id(2)]
        assert [one.id for one in (await store.get_derived_items(OURS, scan.id))["fields"]] == [field_id(3)]
        assert await store.check_has_dependents(OURS, field_id(0)) is True
        assert await store.mark_orphaned_items(OURS) == 0
        old = await store.get_field(OURS, PROFILE, "email", status=ItemStatus.SUPERSEDED)
        assert old is not None
        assert old.id == field_id(0)

    @requirement("PROFILES-158", since="1.0")
    async def test_merge_one_primary_per_channel(self, store: ProfileStore) -> None:
        """Where both have a primary account on a channel the target's stays primary; others stay as they are (INV-CI1).

        If this fails: a channel has two primaries after a merge, or none.
        """
        await store.save(profile(0, channel_identities=[identity(0, primary=True), identity(1, channel=Channel.EMAIL)]))
        await store.save(
            profile(
                1,
                channel_identities=[
                    identity(2, primary=True),
                    identity(3, channel=Channel.EMAIL, primary=True),
                    identity(4, channel=Channel.SMS),
                ],
            )
        )

        merged = await store.merge_profiles(OURS, **MERGE)

        assert {one.id for one in merged.channel_identities if one.primary} == {identity(0).id, identity(3).id}
        assert len(merged.channel_identities) == 5

    @requirement("PROFILES-159", since="1.0")
    async def test_merge_row(self, store: ProfileStore, clock: ManualClock) -> None:
        """The target keeps its own ids, and gets the later last interaction, and the external id where it has none.

        If this fails: the target takes the source's place, or a customer is no longer found under a known id.
        """
        await store.save(profile(0, external_id="target", last_interaction_at=START))
        await store.save(profile(1, external_id="source", last_interaction_at=START + MINUTE))
        await store.save(profile(2, last_interaction_at=FAR))
        clock.advance(seconds=9)

        merged = await store.merge_profiles(OURS, **MERGE)

        assert (merged.external_id, merged.last_interaction_at) == ("target", START + MINUTE)
        assert merged.row_version == 2
        assert (merged.customer_id, merged.created_at, merged.updated_at) == (
            profile(0).customer_id,
            START,
            clock.now(),
        )
        assert await store.get_by_external_id(OURS, "source") is None
        again = await store.merge_profiles(OURS, source_profile_id=PROFILE, target_profile_id=profile(2).id)

        assert (again.external_id, again.last_interaction_at) == ("target", FAR)
        found = await store.get_by_external_id(OURS, "target")
        assert found is not None
        assert found.id == profile(2).id

    @requirement("PROFILES-160", since="1.0")
    async def test_merge_keeps_assets_of_one_name(self, store: ProfileStore) -> None:
        """Assets of one name stand side by side after a merge: names of assets are not unique.

        If this fails: a document is superseded by one that has nothing to do with it.
        """
        await store.save(profile(0, assets=[asset(0)]))
        await store.save(profile(1, assets=[asset(1)]))

        merged = await store.merge_profiles(OURS, **MERGE)

        assert [one.id for one in merged.assets] == [asset_id(0), asset_id(1)]
