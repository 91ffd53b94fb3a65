"""Orphans: items whose source is gone."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import ConflictError, InvalidDataError
from focal_core.profile.models import ItemStatus, OnDependents
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data.profile import (
    FAR,
    LAPSED,
    MINUTE,
    OTHER,
    PROFILE,
    UNKNOWN,
    asset,
    asset_id,
    derived,
    derived_asset,
    field_id,
    holding,
    item,
    profile,
    profile_id,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class OrphanContract(ContractBase):
    """``on_dependents`` and ``mark_orphaned_items``."""

    @requirement("PROFILES-120", since="1.0")
    async def test_dependents_refuse(self, store: ProfileStore) -> None:
        """An item with active dependents is not deleted unless asked to orphan them, and all stays as it was.

        If this fails: the source of an active value vanishes, or items without active dependents cannot be deleted.
        """
        source, scan = item(0), asset(0)
        await store.save(profile(0, fields=holding(source, item(1, "city")), assets=[scan, asset(1, "photo")]))
        await store.save(profile(1))
        await store.update_field(OURS, OTHER, derived(2, scan))
        await store.add_asset(OURS, PROFILE, derived_asset(3, source))
        await store.update_field(OURS, PROFILE, derived(4, item(1, "city"), expires_at=LAPSED))
        before = await stored(store)

        for options in ({}, {"on_dependents": OnDependents.REFUSE}):
            with pytest.raises(ConflictError):
                await store.delete_field(OURS, PROFILE, field_id(0), **options)
            with pytest.raises(ConflictError):
                await store.delete_asset(OURS, PROFILE, asset_id(0), **options)

        assert await stored(store) == before
        assert await store.delete_field(OURS, PROFILE, field_id(1)) is True
        assert await store.delete_asset(OURS, PROFILE, asset_id(1)) is True
        assert await store.delete_asset(OURS, PROFILE, asset_id(3)) is True
        assert await store.delete_field(OURS, PROFILE, field_id(0)) is True

    @requirement("PROFILES-128", since="1.0")
    async def test_removed_and_derived_from_at_once(self, store: ProfileStore) -> None:
        """Of removing an item and deriving another from it at once one succeeds and the other is refused.

        If this fails: looking for dependents and removing are two steps, or looking for the source and writing are.
        """
        sources = [item(n, f"source_{n}") for n in range(32)]
        await store.save(profile(0, fields=holding(*sources)))

        async def remove(n: int) -> bool | ConflictError:
            try:
                return await store.delete_field(OURS, PROFILE, field_id(n))
            except ConflictError as error:
                return error

        async def derive(n: int) -> UUID | InvalidDataError:
            try:
                return await store.update_field(OURS, PROFILE, derived(100 + n, sources[n]))
            except InvalidDataError as error:
                return error

        # Twice: by the second time a store has all its connections.
        for numbers in (range(16), range(16, 32)):
            pairs = await asyncio.gather(*(asyncio.gather(remove(n), derive(n)) for n in numbers))

            for n, (removed, written) in zip(numbers, pairs, strict=True):
                if removed is True:
                    assert isinstance(written, InvalidDataError)
                else:
                    assert isinstance(removed, ConflictError)
                    assert written == field_id(100 + n)

    @requirement("PROFILES-121", since="1.0")
    async def test_dependents_orphan(self, store: ProfileStore) -> None:
        """Asked to orphan, the item goes and its direct dependents become orphaned; theirs stay active.

        If this fails: dependents stay active or vanish, or the whole tree below is orphaned.
        """
        source = item(0)
        for tenant in (OURS, THEIRS):
            await store.save(profile(0, tenant, fields=holding(source)))
            await store.save(profile(1, tenant))
            await store.update_field(tenant, PROFILE, derived(1, source))
            await store.add_asset(tenant, OTHER, derived_asset(2, source))
            await store.update_field(tenant, OTHER, derived(3, derived_asset(2, source)))

        assert await store.delete_field(OURS, PROFILE, field_id(0), on_dependents=OnDependents.ORPHAN) is True

        found, other = await stored(store), await stored(store, OTHER)
        [field] = found.field_history["derived_1"]
        assert (field.id, field.status, field.is_orphaned) == (field_id(1), ItemStatus.ORPHANED, True)
        assert field.source_item_id == field_id(0)
        assert [(one.id, one.status) for one in other.asset_history] == [(asset_id(2), ItemStatus.ORPHANED)]
        assert (list(found.fields), list(other.fields), other.assets) == ([], ["derived_3"], [])
        assert await store.get_field(OURS, PROFILE, "derived_1") is None
        orphan = await store.get_field(OURS, PROFILE, "derived_1", status=ItemStatus.ORPHANED)
        assert orphan == field
        assert (await store.count_fields_by_status(OURS))[ItemStatus.ORPHANED] == 1
        assert len((await stored(store, tenant=THEIRS)).fields) == 2

    @requirement("PROFILES-122", since="1.0")
    async def test_delete_asset_orphans(self, store: ProfileStore) -> None:
        """What holds for fields with dependents holds for assets: the asset goes, what was read from it is orphaned.

        If this fails: one of the two methods forgets the dependents.
        """
        scan = asset(0)
        await store.save(profile(0, assets=[scan]))
        await store.update_field(OURS, PROFILE, derived(1, scan))
        await store.add_asset(OURS, PROFILE, derived_asset(2, scan))

        assert await store.delete_asset(OURS, PROFILE, asset_id(0), on_dependents=OnDependents.ORPHAN) is True

        found = await stored(store)
        assert (found.fields, found.assets) == ({}, [])
        orphans = (*found.field_history["derived_1"], *found.asset_history)
        assert [one.status for one in orphans] == [ItemStatus.ORPHANED] * 2

    @requirement("PROFILES-123", since="1.0")
    async def test_chain_behind_a_removed_source(self, store: ProfileStore) -> None:
        """A chain whose source was removed begins behind it and keeps its link.

        If this fails: the chain is empty, or the link to what is gone is cut.
        """
        source, middle = item(0), derived(1, item(0))
        await store.save(profile(0, fields=holding(source, middle, derived(2, middle))))
        await store.delete_field(OURS, PROFILE, field_id(0), on_dependents=OnDependents.ORPHAN)

        chain = await store.get_derivation_chain(OURS, field_id(2), "profile_field")

        assert [one["id"] for one in chain] == [field_id(1), field_id(2)]
        derived_items = await store.get_derived_items(OURS, field_id(0))
        assert [one.id for one in derived_items["fields"]] == [field_id(1)]

    @requirement("PROFILES-124", since="1.0")
    async def test_orphan_outranks_expiry_only(self, store: ProfileStore, clock: ManualClock) -> None:
        """A superseded dependent stays superseded; an orphaned one stays orphaned when its time is over.

        If this fails: the order superseded > orphaned > expired > active is not kept.
        """
        source = item(0)
        moment = clock.now() + MINUTE
        await store.save(profile(0, fields=holding(source)))
        await store.update_field(OURS, PROFILE, derived(1, source, name="plan"))
        await store.update_field(OURS, PROFILE, item(2, "plan"))
        await store.update_field(OURS, PROFILE, derived(3, source, expires_at=moment))
        await store.add_asset(OURS, PROFILE, derived_asset(4, source, expires_at=moment))

        await store.delete_field(OURS, PROFILE, field_id(0), on_dependents=OnDependents.ORPHAN)
        clock.set(moment)

        assert await store.expire_stale_fields(OURS) == 0
        found = await stored(store)
        assert [one.status for one in found.field_history["plan"]] == [ItemStatus.SUPERSEDED]
        assert [one.status for one in found.field_history["derived_3"]] == [ItemStatus.ORPHANED]
        assert [one.status for one in found.asset_history] == [ItemStatus.ORPHANED]
        assert (await store.count_fields_by_status(OURS))[ItemStatus.ORPHANED] == 1

    @requirement("PROFILES-125", since="1.0")
    async def test_orphan_can_be_followed(self, store: ProfileStore) -> None:
        """An orphaned version is not active: a new one of its name does not conflict, and leaves it orphaned.

        If this fails: the orphan still holds the name, or is superseded by what never followed it.
        """
        await store.save(profile(0, fields=holding(item(0), derived(1, item(0)))))
        await store.delete_field(OURS, PROFILE, field_id(0), on_dependents=OnDependents.ORPHAN)

        await store.update_field(OURS, PROFILE, item(2, "derived_1"), supersede_existing=False)

        found = await store.get_field_history(OURS, PROFILE, "derived_1")
        assert [(one.id, one.status) for one in found] == [
            (field_id(2), ItemStatus.ACTIVE),
            (field_id(1), ItemStatus.ORPHANED),
        ]

    @requirement("PROFILES-126", since="1.0")
    async def test_mark_orphaned(self, store: ProfileStore) -> None:
        """Active items whose source is gone are marked orphaned and counted, fields and assets, once.

        If this fails: a source of the other kind is looked for, items that are not active are marked, or a second
        call counts the same items.
        """
        donated, scan = item(0), asset(0)
        for tenant in (OURS, THEIRS):
            await store.save(profile(2, tenant, fields=holding(donated), assets=[scan]))
            for n in range(2):
                await store.save(profile(n, tenant, fields=holding(item(n + 5))))
        await store.update_field(OURS, PROFILE, derived(10, donated, expires_at=FAR))
        await store.update_field(OURS, PROFILE, derived(11, scan))
        await store.add_asset(OURS, PROFILE, derived_asset(12, donated))
        await store.update_field(OURS, OTHER, derived(13, donated))
        await store.update_field(OURS, OTHER, derived(14, derived(13, donated)))
        await store.update_field(OURS, OTHER, derived(15, donated, name="plan"))
        await store.update_field(OURS, OTHER, item(16, "plan"))
        await store.update_field(OURS, OTHER, derived(17, donated, expires_at=LAPSED))
        await store.update_field(THEIRS, PROFILE, derived(10, donated))
        assert await store.mark_orphaned_items(OURS) == 0

        await store.erase_profile(OURS, profile_id(2))

        assert await store.mark_orphaned_items(OURS, UNKNOWN) == 0
        assert await store.mark_orphaned_items(THEIRS) == 0
        assert await store.mark_orphaned_items(OURS, PROFILE) == 3
        assert await store.mark_orphaned_items(OURS) == 1
        assert await store.mark_orphaned_items(OURS) == 0
        found, other = await stored(store), await stored(store, OTHER)
        assert (list(found.fields), sorted(other.fields)) == (["email"], ["derived_14", "email", "plan"])
        assert [one.status for one in found.asset_history] == [ItemStatus.ORPHANED]
        statuses = {name: rows[0].status.value for name, rows in other.field_history.items()}
        assert statuses == {"derived_13": "orphaned", "plan": "superseded", "derived_17": "expired"}

    @requirement("PROFILES-127", since="1.0")
    async def test_mark_orphaned_profile(self, store: ProfileStore) -> None:
        """A source whose profile is merely deleted is not gone; items of deleted profiles are not marked.

        If this fails: soft deletion counts as removal, or a profile that nobody sees is written to.
        """
        donated = item(0)
        await store.save(profile(2, fields=holding(donated)))
        await store.save(profile(0, fields=holding(derived(1, donated))))
        await store.save(profile(1, fields=holding(derived(2, donated))))
        await store.delete(OURS, profile_id(2))
        assert await store.mark_orphaned_items(OURS) == 0
        assert (await stored(store)).fields["derived_1"].status is ItemStatus.ACTIVE
        await store.delete(OURS, PROFILE)
        await store.erase_profile(OURS, profile_id(2))

        assert await store.mark_orphaned_items(OURS, PROFILE) == 0
        assert await store.mark_orphaned_items(OURS) == 1
