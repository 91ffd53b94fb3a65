"""Removing profiles: soft deletion, which frees keys, and erasure, which leaves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from focal_core.context import BackendContext
from focal_core.conversation.models import Channel
from focal_core.errors import InvalidDataError, NotFoundError
from focal_core.profile.models import ItemStatus
from focal_core.profile.policy import ProfilePolicy
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data.profile import (
    LAPSED,
    OTHER,
    PROFILE,
    UNKNOWN,
    USER,
    asset,
    asset_id,
    consent,
    derived,
    derived_asset,
    field_id,
    holding,
    identity,
    item,
    profile,
    profile_id,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class ErasureContract(ContractBase):
    """``delete`` and ``erase_profile``."""

    @requirement("PROFILES-040", since="1.0")
    async def test_delete_hides_profile(self, store: ProfileStore) -> None:
        """A deleted profile is gone from every read; deleting it again, or what never was, is False.

        If this fails: a lookup forgets to leave deleted profiles out, or the neighbour's profile goes too.
        """
        for tenant in (OURS, THEIRS):
            await store.save(
                profile(
                    0,
                    tenant,
                    external_id="c",
                    channel_identities=[identity()],
                    fields=holding(item(0), item(1, "city", expires_at=LAPSED)),
                    assets=[asset()],
                )
            )

        assert await store.delete(OURS, PROFILE) is True

        assert await store.delete(OURS, PROFILE) is False
        assert await store.delete(OURS, UNKNOWN) is False
        assert [
            await store.get_by_id(OURS, PROFILE),
            await store.get_by_customer_id(OURS, profile().customer_id),
            await store.get_by_external_id(OURS, "c"),
            await store.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}0"),
            await store.get_field(OURS, PROFILE, "email"),
            await store.get_asset(OURS, PROFILE, asset_id(0)),
            await store.get_asset_by_name(OURS, PROFILE, "passport"),
        ] == [None] * 7
        assert await store.list_profiles(OURS) == []
        assert await store.get_field_history(OURS, PROFILE, "email") == []
        assert await store.get_derivation_chain(OURS, field_id(0), "profile_field") == []
        assert not any((await store.count_fields_by_status(OURS)).values())
        theirs = await stored(store, tenant=THEIRS)
        assert (len(theirs.fields), len(theirs.assets), len(theirs.channel_identities)) == (1, 1, 1)

    @requirement("PROFILES-041", since="1.0")
    async def test_delete_frees_identity(self, store: ProfileStore) -> None:
        """The identity and external id of a deleted profile are free: the person who comes back gets a new profile.

        If this fails: the deleted profile is returned or revived, or its keys block the new one.
        """
        await store.save(profile(0, external_id="c", channel_identities=[identity()], fields=holding(item())))
        await store.delete(OURS, PROFILE)

        made = await store.get_or_create(OURS, Channel.WEBCHAT, f"{USER}0")

        assert made.id != PROFILE
        assert made.fields == {}
        made.external_id = "c"
        await store.save(made)
        await store.save(profile(1))
        assert await store.get_by_id(OURS, PROFILE) is None
        assert await store.link_channel(OURS, OTHER, identity(3)) is True

    @requirement("PROFILES-042", since="1.0")
    async def test_writes_to_deleted_profile(self, store: ProfileStore) -> None:
        """A deleted profile takes no writes: NotFoundError, or False where nothing is there to remove.

        If this fails: data is added to a profile that nobody can see.
        """
        await store.save(profile(0, channel_identities=[identity()], fields=holding(item()), assets=[asset()]))
        await store.delete(OURS, PROFILE)

        writes: list[Any] = [
            lambda: store.update_field(OURS, PROFILE, item(1)),
            lambda: store.add_asset(OURS, PROFILE, asset(1)),
            lambda: store.link_channel(OURS, PROFILE, identity(1)),
            lambda: store.record_consent(OURS, PROFILE, consent()),
        ]
        for write in writes:
            with pytest.raises(NotFoundError):
                await write()
        assert await store.unlink_channel(OURS, PROFILE, Channel.WEBCHAT, f"{USER}0") is False

    @requirement("PROFILES-043", since="1.0")
    async def test_erase_profile_complete(self, store: ProfileStore) -> None:
        """Erasing removes every row of a profile and of all that was merged into it, and frees every key.

        If this fails: a kind of row survives, or a merged-in source keeps the person's data.
        """
        for n in range(3):
            await store.save(
                profile(
                    n,
                    external_id=f"c{n}",
                    channel_identities=[identity(n)],
                    fields=holding(item(n), item(n + 10, "city")),
                    assets=[asset(n)],
                    consents=[consent(n)],
                )
            )
        await store.update_field(OURS, PROFILE, item(20))
        await store.save(profile(0, THEIRS, channel_identities=[identity(0)], fields=holding(item(0))))
        await store.save(profile(3, fields=holding(item(30))))
        await store.merge_profiles(OURS, source_profile_id=profile_id(2), target_profile_id=OTHER)
        await store.merge_profiles(OURS, source_profile_id=OTHER, target_profile_id=PROFILE)

        # 3 profiles, 3 identities, 7 field versions, 3 assets, 3 consents; a store may hold more rows for them.
        assert await store.erase_profile(OURS, PROFILE) >= 19

        for n in range(3):
            assert await store.get_by_id(OURS, profile_id(n), include_history=True) is None
            assert await store.get_by_customer_id(OURS, profile(n).customer_id) is None
            assert await store.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}{n}") is None
            assert await store.get_asset(OURS, profile_id(n), asset_id(n)) is None
            assert await store.get_field_history(OURS, profile_id(n), "email") == []
            assert await store.get_derivation_chain(OURS, field_id(n), "profile_field") == []
            assert await store.get_derivation_chain(OURS, asset_id(n), "profile_asset") == []
        left = {status: count for status, count in (await store.count_fields_by_status(OURS)).items() if count}
        assert left == {ItemStatus.ACTIVE: 1}
        assert await store.erase_profile(OURS, PROFILE) == 0
        assert [one.id for one in await store.list_profiles(OURS)] == [profile_id(3)]
        assert (await stored(store, tenant=THEIRS)).fields["email"].value == "value 0"
        for n in range(3):
            await store.save(
                profile(n, channel_identities=[identity(n)], fields=holding(item(n)), consents=[consent(n)])
            )
            assert len((await stored(store, profile_id(n))).consents) == 1

    @requirement("PROFILES-044", since="1.0")
    async def test_erase_deleted_profile(self, store: ProfileStore) -> None:
        """A profile that was deleted before can still be erased; its ids are then as good as new.

        If this fails: erasure looks only at live profiles, and what was soft-deleted stays for good.
        """
        await store.save(profile(0, fields=holding(item(0)), assets=[asset(0)]))
        await store.delete(OURS, PROFILE)

        assert await store.erase_profile(OURS, PROFILE) == 3

        assert await store.erase_profile(OURS, UNKNOWN) == 0
        await store.save(profile(0, fields=holding(item(0, value="new")), assets=[asset(0)]))
        assert (await stored(store)).fields["email"].value == "new"

    @requirement("PROFILES-045", since="1.0")
    async def test_erase_source_alone(self, store: ProfileStore) -> None:
        """Erasing leaves profiles that nothing was merged from untouched, whatever was derived from its items.

        If this fails: erasure follows lineage, or removes by name.
        """
        source = item(0)
        await store.save(profile(0, fields=holding(source)))
        await store.save(profile(1, fields=holding(derived(1, source), item(2))))
        before = await stored(store, OTHER)

        await store.erase_profile(OURS, PROFILE)

        found = await stored(store, OTHER)
        assert {one.id for one in found.fields.values()} == {one.id for one in before.fields.values()}

    @requirement("PROFILES-046", since="1.0")
    async def test_erase_by_merged_id(self, store: ProfileStore) -> None:
        """Erasing by the id of a merged source erases the customer: the survivor and all that was merged into it.

        If this fails: who asks with an id from before the merge is told it is done, and the data is still there.
        """
        for n in range(4):
            await store.save(profile(n, fields=holding(item(n, f"f{n}"))))
        for source, target in ((0, 1), (2, 1)):
            await store.merge_profiles(OURS, source_profile_id=profile_id(source), target_profile_id=profile_id(target))

        assert await store.erase_profile(OURS, profile_id(2)) >= 6

        assert [one.id for one in await store.list_profiles(OURS)] == [profile_id(3)]
        assert [await store.erase_profile(OURS, profile_id(n)) for n in range(3)] == [0, 0, 0]
        for n in range(3):
            assert await store.get_by_customer_id(OURS, profile(n).customer_id) is None

    @requirement("PROFILES-047", since="1.0")
    async def test_lineage_over_deleted_profile(self, context: BackendContext) -> None:
        """Items of a deleted profile are absent: not listed, no dependents, no source for new items; but they stay
        links of the chains they are part of, and count for their length.

        If this fails: deletion breaks chains, or deleted items show or block through lineage.
        """
        policy = ProfilePolicy(max_derivation_chain_depth=2)
        async with self.open_store(replace(context, profile_policy=policy)) as store:
            root, lost = item(0), derived(1, item(0))
            await store.save(profile(1, fields=holding(root, item(9, "city"))))
            await store.save(profile(0, fields=holding(lost), assets=[derived_asset(4, root)]))
            await store.save(profile(2, fields=holding(derived(2, lost))))
            await store.delete(OURS, PROFILE)

            assert await store.get_derived_items(OURS, root.id) == {"fields": [], "assets": []}
            assert await store.check_has_dependents(OURS, root.id) is False
            chain = await store.get_derivation_chain(OURS, field_id(2), "profile_field")
            assert [one["id"] for one in chain] == [field_id(0), field_id(1), field_id(2)]
            for refused in (derived(5, lost), derived(6, derived(2, lost))):
                with pytest.raises(InvalidDataError):
                    await store.update_field(OURS, OTHER, refused)
            assert await store.delete_field(OURS, OTHER, field_id(0)) is True

    @requirement("PROFILES-048", since="1.0")
    async def test_revived_profile(self, store: ProfileStore) -> None:
        """A revived profile has its fields, assets and consents again, and what is derived from them may be saved.

        Its accounts were freed by the deletion and are not linked again.

        If this fails: revival brings back an empty profile, or one whose items count as absent.
        """
        given = profile(
            0, channel_identities=[identity()], fields=holding(item(0)), assets=[asset()], consents=[consent()]
        )
        await store.save(given)
        await store.delete(OURS, PROFILE)
        back = profile(0, deleted_at=None, row_version=given.row_version, fields=holding(derived(1, item(0))))

        await store.save(back)

        found = await stored(store)
        assert sorted(found.fields) == ["derived_1", "email"]
        assert (len(found.assets), len(found.consents), found.channel_identities) == (1, 1, [])
        assert await store.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}0") is None
