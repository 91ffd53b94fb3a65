"""Versions in a saved profile: ids name versions of fields and assets, so that no old copy reverts a newer one."""

from __future__ import annotations

from typing import Any

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import DuplicateError
from focal_core.profile.models import ItemStatus
from focal_core.profile.store import ProfileStore
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data.profile import (
    FAR,
    OTHER,
    PROFILE,
    asset,
    consent,
    field_id,
    holding,
    identity,
    item,
    profile,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class VersionContract(ContractBase):
    """What ``save`` does with the fields and assets a profile holds."""

    @requirement("PROFILES-026", since="1.0")
    async def test_save_updates_present_items(self, store: ProfileStore) -> None:
        """Identities, fields and assets that are known get the attributes of the saved object.

        If this fails: only unknown ids are written.
        """
        held: dict[str, Any] = {"fields": holding(item()), "assets": [asset()], "channel_identities": [identity()]}
        await store.save(profile(**held))

        await store.save(
            profile(
                fields=holding(item(verified=True, expires_at=FAR)),
                assets=[asset(verified=True)],
                channel_identities=[identity(verified=True)],
            )
        )

        found = await stored(store)
        email = found.fields["email"]
        assert (email.value, email.verified, email.expires_at) == (item().value, True, FAR)
        assert [one.verified for one in found.assets] == [True]
        assert [one.verified for one in found.channel_identities] == [True]

    @requirement("PROFILES-027", since="1.0")
    async def test_save_supersedes_by_name(self, store: ProfileStore, clock: ManualClock) -> None:
        """A field with a new id under a known name supersedes the version stored under that name.

        If this fails: two versions are active, or the former one is overwritten.
        """
        await store.save(profile(fields=holding(item(0))))
        clock.advance(seconds=5)

        await store.save(profile(fields=holding(item(1))))

        found = await stored(store)
        assert found.fields["email"].id == field_id(1)
        [old] = found.field_history["email"]
        assert (old.id, old.value, old.status) == (field_id(0), item(0).value, ItemStatus.SUPERSEDED)
        assert (old.superseded_by_id, old.superseded_at) == (field_id(1), clock.now())

    @requirement("PROFILES-028", since="1.0")
    async def test_save_of_changed_value_supersedes(self, store: ProfileStore, clock: ManualClock) -> None:
        """A stored active field saved with another value becomes a new version; the former value stays in history.

        Values differ as JSON does: 1, 1.0 and True are three. Saving the same object again changes nothing.

        If this fails: the value is changed in place, or a repeated save makes one more version.
        """
        await store.save(profile(fields=holding(item(value=1, value_type="number"))))
        values: list[Any] = [1.0, True]
        for value in values:
            clock.advance(seconds=5)
            loaded = await store.get_by_id(OURS, PROFILE)
            assert loaded is not None
            former = loaded.fields["email"].id
            changed = item(id=former, value=value, value_type="boolean" if value is True else "number")
            for _ in range(2):
                await store.save(profile(fields=holding(changed)))

            found = await stored(store)
            current = found.fields["email"]
            assert (type(current.value), current.value, current.status) == (type(value), value, ItemStatus.ACTIVE)
            old = next(one for one in found.field_history["email"] if one.id == former)
            assert (old.superseded_by_id, old.superseded_at) == (current.id, clock.now())
        assert len(await store.get_field_history(OURS, PROFILE, "email")) == 3

    @requirement("PROFILES-029", since="1.0")
    async def test_save_of_old_copy_does_not_revert_field(self, store: ProfileStore) -> None:
        """Saving a copy loaded before a field or asset was superseded leaves the newer version in force.

        If this fails: ids are not taken for versions, and the last whole-profile save wins (C-85).
        """
        await store.save(profile(fields=holding(item(0)), assets=[asset(0)]))
        copy = await store.get_by_id(OURS, PROFILE)
        assert copy is not None
        await store.update_field(OURS, PROFILE, item(1))
        await store.add_asset(OURS, PROFILE, asset(1), supersede_existing=True)
        before = await stored(store)
        copy.fields["email"].confidence = 0.5

        await store.save(copy)

        found = await stored(store)
        assert (found.fields, found.field_history) == (before.fields, before.field_history)
        assert (found.assets, found.asset_history) == (before.assets, before.asset_history)
        assert found.fields["email"].id == field_id(1)

    @requirement("PROFILES-031", since="1.0")
    async def test_save_ignores_histories(self, store: ProfileStore) -> None:
        """The history containers of a saved object are ignored, whatever was done to them.

        If this fails: history can be forged or lost by a save.
        """
        await store.save(profile(fields=holding(item(0)), assets=[asset(0)]))
        await store.update_field(OURS, PROFILE, item(1))
        await store.add_asset(OURS, PROFILE, asset(1), supersede_existing=True)
        before = await stored(store)
        forged = before.model_copy(deep=True)
        forged.field_history["email"][0].value = "forged"
        forged.asset_history[0].storage_path = "forged"
        forged.field_history["city"] = [item(7, "city")]

        await store.save(forged)

        found = await stored(store)
        assert (found.field_history, found.asset_history) == (before.field_history, before.asset_history)
        assert await store.get_field_history(OURS, PROFILE, "city") == []
        plain = await store.get_by_id(OURS, PROFILE)
        assert plain is not None
        assert (plain.field_history, plain.asset_history) == ({}, [])

    @requirement("PROFILES-034", since="1.0")
    async def test_save_sets_new_ids(self, store: ProfileStore) -> None:
        """A changed value's new id is set on the object passed in, so that it can be changed and saved again.

        If this fails: the second change of a loaded profile is taken for an old copy and dropped.
        """
        await store.save(profile(fields=holding(item()), assets=[asset(), asset(1, "photo")]))
        loaded = await stored(store)
        for value in ("first change", "second change"):
            loaded.fields["email"].value = value
            loaded.assets[0].metadata = {"says": value}
            await store.save(loaded)

            found = await stored(store)
            assert found.fields["email"].value == value
            assert found.fields["email"].id == loaded.fields["email"].id
            assert [one.metadata for one in found.assets if one.name == "passport"] == [{"says": value}]
            assert {one.id for one in found.assets} == {one.id for one in loaded.assets}
        assert len(found.field_history["email"]) == 2
        assert field_id(0) in {one.id for one in found.field_history["email"]}

    @requirement("PROFILES-035", since="1.0")
    async def test_save_foreign_ids(self, store: ProfileStore) -> None:
        """The id of an item, identity or consent of another profile is refused, and nothing of the save is written.

        If this fails: a save takes another profile's rows over, or moves a version to another name.
        """
        held: dict[str, Any] = {
            "fields": holding(item()),
            "assets": [asset()],
            "channel_identities": [identity()],
            "consents": [consent()],
        }
        await store.save(profile(0, **held))
        await store.save(profile(0, THEIRS, **held))
        before = await stored(store)
        others: list[dict[str, Any]] = [
            {"fields": held["fields"]},
            {"assets": held["assets"]},
            {"consents": held["consents"]},
            {"channel_identities": [identity(channel_user_id="somebody else")]},
        ]

        for other in others:
            with pytest.raises(DuplicateError):
                await store.save(profile(1, **{"external_id": "c", "fields": holding(item(9, "city")), **other}))
        for twice in (holding(item(0, "city")), holding(item(5, "city"), item(5, "plan"))):
            with pytest.raises(DuplicateError):
                await store.save(profile(0, fields=twice))

        assert await store.get_by_id(OURS, OTHER) is None
        assert await stored(store) == before

    @requirement("PROFILES-038", since="1.0")
    async def test_save_of_renamed_asset(self, store: ProfileStore, clock: ManualClock) -> None:
        """A stored active asset saved with other content, its name too, is superseded by a version with a new id.

        Others of either name are left alone. If the asset is no longer active, the save leaves it as it is.

        If this fails: the asset is changed in place, or takes others of its name along.
        """
        await store.save(profile(assets=[asset(0), asset(1), asset(2, "photo")]))
        clock.advance(seconds=5)

        await store.save(profile(assets=[asset(0, "photo")]))

        found = await stored(store)
        assert [one.name for one in found.assets] == ["photo", "passport", "photo"]
        [old] = found.asset_history
        assert (old.id, old.name, old.superseded_at) == (asset(0).id, "passport", clock.now())
        assert old.superseded_by_id == found.assets[0].id != old.id
