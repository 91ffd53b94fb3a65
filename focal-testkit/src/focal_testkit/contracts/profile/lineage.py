"""Lineage: what was derived from what, checked when it is written and whole when it is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.errors import DuplicateError, FocalError, InvalidDataError
from focal_core.profile.policy import ProfilePolicy
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data.profile import (
    LAPSED,
    MINUTE,
    OTHER,
    PROFILE,
    START,
    asset,
    asset_id,
    derived,
    derived_asset,
    field_id,
    holding,
    item,
    profile,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class LineageContract(ContractBase):
    """``get_derivation_chain``, ``get_derived_items``, ``check_has_dependents``, and the checks of INV-F3."""

    @requirement("PROFILES-100", since="1.0")
    async def test_chain_root_to_item(self, store: ProfileStore) -> None:
        """A chain leads from the root to the item, both included, over fields and assets alike.

        If this fails: the chain is reversed, stops at a change of kind or profile, or leaves an end out.
        """
        scan = asset(0, source_item_type="external", source_metadata={"ref": "x"})
        read = derived(1, scan, source_metadata={"page": 2})
        copy = derived_asset(2, read)
        for tenant in (THEIRS, OURS):
            await store.save(profile(0, tenant, assets=[scan], fields=holding(read, item(9))))
            await store.save(profile(1, tenant))
            await store.add_asset(tenant, PROFILE, copy)
            await store.update_field(tenant, OTHER, derived(3, copy))

        found = await store.get_derivation_chain(OURS, field_id(3), "profile_field")

        assert found == [
            {"id": asset_id(0), "type": "profile_asset", "name": "passport", "source_metadata": {"ref": "x"}},
            {"id": field_id(1), "type": "profile_field", "name": "derived_1", "source_metadata": {"page": 2}},
            {"id": asset_id(2), "type": "profile_asset", "name": "derived_2", "source_metadata": {}},
            {"id": field_id(3), "type": "profile_field", "name": "derived_3", "source_metadata": {}},
        ]
        assert await store.get_derivation_chain(OURS, asset_id(2), "profile_asset") == found[:3]
        assert [one["id"] for one in await store.get_derivation_chain(OURS, field_id(9), "profile_field")] == [
            field_id(9)
        ]

    @requirement("PROFILES-101", since="1.0")
    async def test_chain_of_unknown_item(self, store: ProfileStore) -> None:
        """An unknown item has no chain; a type that is neither field nor asset is refused.

        If this fails: the type is ignored, or a wrong one is taken for "unknown".
        """
        await store.save(profile(0, fields=holding(item(0)), assets=[asset(0)]))

        assert await store.get_derivation_chain(OURS, field_id(0), "profile_asset") == []
        assert await store.get_derivation_chain(OURS, asset_id(0), "profile_field") == []
        assert await store.get_derivation_chain(OURS, field_id(7), "profile_field") == []
        for wrong in ("session", "field", "", "profile_field "):
            with pytest.raises(InvalidDataError):
                await store.get_derivation_chain(OURS, field_id(0), wrong)

    @requirement("PROFILES-102", since="1.0")
    async def test_chain_survives_supersession(self, store: ProfileStore) -> None:
        """A chain names the versions it was made of, also when newer ones have superseded them.

        If this fails: links follow names instead of versions, or only active items are links.
        """
        root, middle = item(0), derived(1, item(0))
        await store.save(profile(0, fields=holding(root)))
        await store.update_field(OURS, PROFILE, middle)
        await store.update_field(OURS, PROFILE, derived(2, middle))
        await store.update_field(OURS, PROFILE, item(3))
        await store.update_field(OURS, PROFILE, item(4, "derived_1"))

        found = await store.get_derivation_chain(OURS, field_id(2), "profile_field")

        assert [one["id"] for one in found] == [field_id(0), field_id(1), field_id(2)]

    @requirement("PROFILES-103", since="1.0")
    async def test_chain_depth_limit_on_write(self, context: BackendContext) -> None:
        """A chain has as many links as the policy allows; the write that would exceed them is refused.

        If this fails: the limit is not checked, is off by one, counts items, or cuts chains when they are read.
        """
        policy = ProfilePolicy(max_derivation_chain_depth=3)
        async with self.open_store(replace(context, profile_policy=policy)) as store:
            last: Any = item(0)
            await store.save(profile(0, fields=holding(last)))
            for n in (1, 2, 3):
                last = derived_asset(n, last) if n == 2 else derived(n, last)
                await (store.add_asset if n == 2 else store.update_field)(OURS, PROFILE, last)

            writes: list[Any] = [
                lambda: store.update_field(OURS, PROFILE, derived(4, last)),
                lambda: store.add_asset(OURS, PROFILE, derived_asset(4, last)),
                lambda: store.save(profile(0, fields=holding(derived(4, last), item(9, "city")))),
                lambda: store.save(profile(1, fields=holding(item(5), *_chain(5, 4)))),
            ]
            for write in writes:
                with pytest.raises(InvalidDataError):
                    await write()

            chain = await store.get_derivation_chain(OURS, field_id(3), "profile_field")
            assert [one["id"] for one in chain] == [field_id(0), field_id(1), asset_id(2), field_id(3)]
            assert sorted((await stored(store)).fields) == ["derived_1", "derived_3", "email"]
            assert await store.get_by_id(OURS, OTHER) is None
            await store.save(profile(1, fields=holding(item(5), *_chain(5, 3))))

    @requirement("PROFILES-104", since="1.0")
    async def test_chain_cycle_refused(self, store: ProfileStore) -> None:
        """Nothing is derived from itself, directly or over other items; such a write stores nothing.

        If this fails: reading the chain never ends.
        """
        await store.save(profile(0))
        itself: dict[str, Any] = {"source_item_id": field_id(1), "source_item_type": "profile_field"}
        ring = [derived(n, item((n + 1) % 3)) for n in range(3)]

        with pytest.raises(InvalidDataError):
            await store.update_field(OURS, PROFILE, item(1, **itself))
        with pytest.raises(InvalidDataError):
            await store.add_asset(OURS, PROFILE, derived_asset(1, asset(1)))
        with pytest.raises(InvalidDataError):
            await store.save(profile(0, fields=holding(item(1, **itself))))
        with pytest.raises(InvalidDataError):
            await store.save(profile(0, fields=holding(derived(9, item(0)), *ring), assets=[asset(5)]))

        found = await stored(store)
        assert (found.fields, found.assets) == ({}, [])

    @requirement("PROFILES-105", since="1.0")
    async def test_lineage_source_must_exist(self, store: ProfileStore) -> None:
        """What an item is derived from exists, as that kind, in the same tenant; otherwise the write is refused.

        If this fails: chains begin in the air, or lead into another tenant's data.
        """
        await store.save(profile(0, fields=holding(item(0)), assets=[asset(1)]))
        await store.save(profile(1))
        await store.save(profile(0, THEIRS, fields=holding(item(7)), assets=[asset(7)]))
        as_asset: dict[str, Any] = {"source_item_id": field_id(0), "source_item_type": "profile_asset"}
        as_field: dict[str, Any] = {"source_item_id": asset_id(1), "source_item_type": "profile_field"}
        sources: list[dict[str, Any]] = [
            as_asset,
            as_field,
            *({"source_item_id": source(99).id, "source_item_type": kind} for source, kind in _KINDS),
            *({"source_item_id": source(7).id, "source_item_type": kind} for source, kind in _KINDS),
        ]

        for wrong in sources:
            with pytest.raises(InvalidDataError):
                await store.update_field(OURS, PROFILE, item(20, "city", **wrong))
            with pytest.raises(InvalidDataError):
                await store.add_asset(OURS, PROFILE, asset(20, "photo", **wrong))
            with pytest.raises(InvalidDataError):
                await store.save(profile(0, fields=holding(item(20, "city", **wrong))))

        found = await stored(store)
        assert (len(found.fields), len(found.assets)) == (1, 1)
        await store.update_field(OURS, OTHER, derived(20, item(0)))

    @requirement("PROFILES-106", since="1.0")
    async def test_lineage_within_one_save(self, store: ProfileStore) -> None:
        """Items of one save may be derived from each other, whatever order the profile holds them in.

        If this fails: sources are looked up among stored items alone, or in the order of the containers.
        """
        last, middle = derived(1, asset(2)), derived_asset(2, item(3))
        held = profile(0, fields=holding(last, item(3)), assets=[derived_asset(4, last), middle])

        await store.save(held)

        found = await store.get_derivation_chain(OURS, asset_id(4), "profile_asset")
        assert [one["id"] for one in found] == [field_id(3), asset_id(2), field_id(1), asset_id(4)]

    @requirement("PROFILES-107", since="1.0")
    async def test_lineage_immutable(self, store: ProfileStore) -> None:
        """The lineage of a stored item never changes: a write that says otherwise is refused.

        If this fails: where a value came from can be rewritten afterwards.
        """
        await store.save(profile(0, fields=holding(item(0), item(1, "city")), assets=[asset(0)]))
        first = derived(2, item(0))
        photo = derived_asset(3, item(0))
        await store.update_field(OURS, PROFILE, first)
        await store.add_asset(OURS, PROFILE, photo)
        before = await stored(store)
        moved = derived(2, item(1))
        plain = item(2, "derived_2")

        for other in (moved, plain):
            with pytest.raises((InvalidDataError, DuplicateError)):
                await store.update_field(OURS, PROFILE, other)
            with pytest.raises(InvalidDataError):
                await store.save(profile(0, fields=holding(other)))
        for asset_other in (derived_asset(3, item(1)), asset(3, "derived_3")):
            with pytest.raises((InvalidDataError, DuplicateError)):
                await store.add_asset(OURS, PROFILE, asset_other)
            with pytest.raises(InvalidDataError):
                await store.save(profile(0, assets=[asset_other]))

        found = await stored(store)
        assert (found.fields, found.assets) == (before.fields, before.assets)
        assert (found.field_history, found.asset_history) == (before.field_history, before.asset_history)

    @requirement("PROFILES-108", since="1.0")
    async def test_derived_items_shape(self, store: ProfileStore) -> None:
        """Derived items are the direct ones alone, fields and assets apart, in every status, oldest first.

        If this fails: grandchildren or other tenants' items are among them, or only active ones are.
        """
        source = item(0)
        for tenant in (THEIRS, OURS):
            await store.save(profile(0, tenant, fields=holding(source)))
            await store.save(profile(1, tenant))
        tied = {"collected_at": START + 9 * MINUTE}
        children = [
            derived(10, source, name="a"),
            derived(2, source, name="a"),
            derived(5, source, **tied),
            derived(4, source, expires_at=LAPSED, **tied),
        ]
        for child in children:
            await store.update_field(OURS, PROFILE, child)
        await store.update_field(OURS, OTHER, derived(3, source))
        await store.update_field(OURS, PROFILE, derived(20, children[2]))
        for n in (7, 6):
            await store.add_asset(OURS, PROFILE, derived_asset(n, source))
        await store.update_field(THEIRS, PROFILE, derived(30, source))

        found = await store.get_derived_items(OURS, source.id)

        assert set(found) == {"fields", "assets"}
        assert [one.id for one in found["fields"]] == [field_id(n) for n in (2, 3, 4, 5, 10)]
        statuses = [one.status.value for one in found["fields"]]
        assert statuses == ["active", "active", "expired", "active", "superseded"]
        assert [one.id for one in found["assets"]] == [asset_id(6), asset_id(7)]
        assert await store.get_derived_items(OURS, field_id(20)) == {"fields": [], "assets": []}

    @requirement("PROFILES-109", since="1.0")
    async def test_check_has_dependents(self, store: ProfileStore, clock: ManualClock) -> None:
        """An item has dependents while something derived directly from it is active now.

        If this fails: superseded or expired items count, grandchildren do, or assets do not.
        """
        scan = asset(0)
        for tenant in (THEIRS, OURS):
            await store.save(profile(0, tenant, fields=holding(*(item(n, f"s{n}") for n in range(5))), assets=[scan]))
        await store.update_field(THEIRS, PROFILE, derived(40, item(4, "s4")))
        await store.update_field(OURS, PROFILE, derived(10, item(0, "s0")))
        await store.update_field(OURS, PROFILE, derived(20, item(1, "s1")))
        await store.update_field(OURS, PROFILE, item(21, "derived_20"))
        await store.update_field(OURS, PROFILE, derived(30, item(2, "s2"), expires_at=LAPSED))
        await store.add_asset(OURS, PROFILE, derived_asset(11, item(3, "s3")))
        await store.update_field(OURS, PROFILE, derived(12, scan))

        found = [await store.check_has_dependents(OURS, field_id(n)) for n in range(5)]

        assert found == [True, False, False, True, False]
        assert await store.check_has_dependents(OURS, scan.id) is True
        assert await store.check_has_dependents(OURS, field_id(10)) is False
        clock.set(LAPSED - MINUTE)
        assert await store.check_has_dependents(OURS, field_id(2)) is True

    @requirement("PROFILES-110", since="1.0")
    async def test_lineage_tracking_off(self, context: BackendContext) -> None:
        """With lineage tracking off, links are dropped before storing: nothing is checked, chains have one item.

        If this fails: the setting is ignored, or what is dropped is more than the link.
        """
        policy = ProfilePolicy(lineage_tracking_enabled=False)
        async with self.open_store(replace(context, profile_policy=policy)) as store:
            await store.save(profile(0, fields=holding(item(0), derived(1, item(99), source_metadata={"page": 1}))))
            await store.update_field(OURS, PROFILE, derived(2, item(0)))
            await store.add_asset(OURS, PROFILE, derived_asset(3, item(0)))
            await store.update_field(OURS, PROFILE, derived(2, item(0)))

            found = await stored(store)

            items = [*found.fields.values(), *found.assets]
            assert len(items) == 4
            assert {(one.source_item_id, one.source_item_type) for one in items} == {(None, None)}
            assert found.fields["derived_1"].source_metadata == {"page": 1}
            assert len(await store.get_derivation_chain(OURS, field_id(2), "profile_field")) == 1
            assert await store.delete_field(OURS, PROFILE, field_id(0)) is True

    @requirement("PROFILES-111", since="1.0")
    async def test_refused_source_tells_nothing(self, store: ProfileStore) -> None:
        """A source of another tenant is refused in the same words as one that never was.

        If this fails: a stranger can find out by the error which ids exist.
        """
        await store.save(profile(0))
        await store.save(profile(0, THEIRS, fields=holding(item(7))))
        told = []
        for n in (7, 8):
            with pytest.raises(FocalError) as refused:
                await store.update_field(OURS, PROFILE, derived(20, item(n)))
            told.append((refused.value.code, str(refused.value).replace(str(field_id(n)), ""), refused.value.hint))

        assert told[0] == told[1]
        assert await store.get_field(OURS, PROFILE, "derived_20", status=None) is None


_KINDS: list[tuple[Any, str]] = [(item, "profile_field"), (asset, "profile_asset")]


def _chain(first: int, links: int) -> list[Any]:
    """Return fields each derived from the one before, beginning behind a field of that number."""
    return [derived(n, item(n - 1)) for n in range(first + 1, first + 1 + links)]
