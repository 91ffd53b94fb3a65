"""Fields: one active version per name, every version kept."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from focal_core.clock import ManualClock
from focal_core.conversation.models import Channel
from focal_core.errors import ConflictError, DuplicateError, NotFoundError
from focal_core.profile.models import ItemStatus, ProfileAsset, ProfileField, ValueType
from focal_core.profile.store import ProfileStore
from focal_core.values import canonical_json
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data import hostile
from focal_testkit.data.profile import (
    FAR,
    LAPSED,
    MINUTE,
    OTHER,
    PROFILE,
    START,
    UNKNOWN,
    USER,
    asset,
    field_id,
    holding,
    identity,
    item,
    profile,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS

VALUES: dict[str, tuple[Any, ValueType]] = {
    "integer": (1, ValueType.NUMBER),
    "integral_float": (1.0, ValueType.NUMBER),
    "big_float": (1e16, ValueType.NUMBER),
    "big_integer": (2**70, ValueType.NUMBER),
    "true": (True, ValueType.BOOLEAN),
    "false": (False, ValueType.BOOLEAN),
    "digits": ("007", ValueType.STRING),
    "empty": ("", ValueType.STRING),
    "null_text": ("null", ValueType.STRING),
    "list": ([1, "1", 1.0, True, None, []], ValueType.JSON),
    **{f"document_{name}": (value, ValueType.JSON) for name, value in hostile.DOCUMENTS.items()},
    **{f"text_{name}": (value, ValueType.STRING) for name, value in hostile.TEXTS.items()},
}


class FieldContract(ContractBase):
    """``update_field``, ``get_field``, ``get_field_history``, ``delete_field``."""

    @requirement("PROFILES-050", since="1.0")
    async def test_update_field(self, store: ProfileStore, clock: ManualClock) -> None:
        """A written field is the active one of its name, in that profile alone, with everything it carries.

        If this fails: a part of the field has no place in the store, or another profile or tenant gets it too.
        """
        for one in (profile(0), profile(1), profile(0, THEIRS)):
            await store.save(one)
        given = item(
            3,
            source="tool_result",
            source_session_id=uuid4(),
            source_item_type="tool",
            source_metadata={"tool": {"name": "crm", "n": 1.0}},
            verified=True,
            verification_method="code",
            verified_at=START,
            verified_by="agent 7",
            confidence=0.25,
            requires_confirmation=True,
            expires_at=FAR,
            field_definition_id=uuid4(),
        )
        clock.advance(seconds=60)

        assert await store.update_field(OURS, PROFILE, given) == given.id

        found = await store.get_field(OURS, PROFILE, "email")
        assert found is not None
        assert found.model_dump(exclude={"updated_at"}) == given.model_dump(exclude={"updated_at"})
        assert found.updated_at == clock.now()
        assert (await stored(store)).fields == {"email": found}
        assert await store.get_field(OURS, PROFILE, "Email") is None
        assert await store.get_field(OURS, OTHER, "email") is None
        assert await store.get_field(THEIRS, PROFILE, "email") is None

    @requirement("PROFILES-051", since="1.0")
    async def test_update_field_twice_links_old_to_new(self, store: ProfileStore, clock: ManualClock) -> None:
        """A new version supersedes the former: the old one points to the new one and says since when.

        If this fails: the link is missing, stands on the new version, or an older version is linked again.
        """
        await store.save(profile(0, fields=holding(item(7, "city"))))
        moments = []
        for n in range(3):
            clock.advance(seconds=1)
            moments.append(clock.now())
            await store.update_field(OURS, PROFILE, item(n))

        versions = {one.id: one for one in await store.get_field_history(OURS, PROFILE, "email")}

        links = [(versions[field_id(n)].superseded_by_id, versions[field_id(n)].superseded_at) for n in range(3)]
        assert links == [(field_id(1), moments[1]), (field_id(2), moments[2]), (None, None)]
        assert [versions[field_id(n)].status.value for n in range(3)] == ["superseded", "superseded", "active"]
        assert [versions[field_id(n)].updated_at for n in range(3)] == [moments[1], moments[2], moments[2]]
        assert [versions[field_id(n)].value for n in range(3)] == ["value 0", "value 1", "value 2"]
        city = await store.get_field(OURS, PROFILE, "city")
        assert city is not None
        assert city.superseded_by_id is None

    @requirement("PROFILES-052", since="1.0")
    async def test_update_field_concurrent_single_active(self, store: ProfileStore) -> None:
        """Of versions written at once exactly one is active; every other one is superseded and kept.

        If this fails: closing the former version and writing the new one are two steps.
        """
        await store.save(profile(0))

        # Twice: by the second time a store has all its connections.
        for first in (0, 16):
            await asyncio.gather(*[store.update_field(OURS, PROFILE, item(n)) for n in range(first, first + 16)])

        versions = await store.get_field_history(OURS, PROFILE, "email")
        assert sorted(one.id for one in versions) == [field_id(n) for n in range(32)]
        active = [one for one in versions if one.status is ItemStatus.ACTIVE]
        assert len(active) == 1
        assert (await stored(store)).fields["email"].id == active[0].id
        assert len({one.superseded_by_id for one in versions}) == 32

    @requirement("PROFILES-053", since="1.0")
    async def test_no_supersede_conflict(self, store: ProfileStore) -> None:
        """Without ``supersede_existing`` a field is written only where no version of its name is active.

        If this fails: the active version is replaced in silence, or two are active.
        """
        await store.save(profile(0, fields=holding(item(5, "city"))))
        await store.save(profile(1, fields=holding(item(6))))
        await store.update_field(OURS, PROFILE, item(0), supersede_existing=False)

        with pytest.raises(ConflictError):
            await store.update_field(OURS, PROFILE, item(1), supersede_existing=False)

        assert [one.id for one in await store.get_field_history(OURS, PROFILE, "email")] == [field_id(0)]
        await store.delete_field(OURS, PROFILE, field_id(0))
        await store.update_field(OURS, PROFILE, item(1), supersede_existing=False)

    @requirement("PROFILES-054", since="1.0")
    async def test_update_field_unknown_profile(self, store: ProfileStore) -> None:
        """Writing a field of a profile that is not there is NotFoundError, and nothing is stored.

        If this fails: fields without a profile are kept, or the profile of another tenant is taken for ours.
        """
        await store.save(profile(1, THEIRS))

        for missing in (UNKNOWN, OTHER):
            with pytest.raises(NotFoundError):
                await store.update_field(OURS, missing, item())

        await store.save(profile(1))
        assert await store.get_field_history(OURS, OTHER, "email") == []
        await store.update_field(OURS, OTHER, item())

    @requirement("PROFILES-055", since="1.0")
    async def test_update_field_repeated(self, store: ProfileStore, clock: ManualClock) -> None:
        """A version written again changes nothing, not even when a newer one has superseded it.

        If this fails: a retry makes the old value the current one, or writes a second row.
        """
        await store.save(profile(0))
        await store.update_field(OURS, PROFILE, item(0))
        await store.update_field(OURS, PROFILE, item(1))
        before = await store.get_field_history(OURS, PROFILE, "email")
        clock.advance(seconds=60)

        for n in (0, 1):
            for supersede in (True, False):
                given = item(n)
                assert await store.update_field(OURS, PROFILE, given, supersede_existing=supersede) == field_id(n)

        assert await store.get_field_history(OURS, PROFILE, "email") == before

    @requirement("PROFILES-056", since="1.0")
    async def test_update_field_known_id(self, store: ProfileStore) -> None:
        """A known id with other content is DuplicateError: versions do not change, and do not change profiles.

        If this fails: the version is overwritten, or moves to another profile.
        """
        for one in (profile(0), profile(1), profile(0, THEIRS)):
            await store.save(one)
        await store.update_field(OURS, PROFILE, item(0, value=1, value_type="number"))
        await store.update_field(OURS, PROFILE, item(1))
        before = await store.get_field_history(OURS, PROFILE, "email")
        others: list[dict[str, Any]] = [
            {"value": 1.0, "value_type": "number"},
            {"value": 1, "value_type": "number", "confidence": 0.5},
            {"value": 1, "value_type": "number", "name": "city"},
        ]

        for other in others:
            with pytest.raises(DuplicateError):
                await store.update_field(OURS, PROFILE, item(0, **other))
        with pytest.raises(DuplicateError):
            await store.update_field(OURS, OTHER, item(0, value=1, value_type="number"))

        assert await store.get_field_history(OURS, PROFILE, "email") == before
        assert await store.get_field_history(OURS, OTHER, "email") == []
        await store.update_field(THEIRS, PROFILE, item(0))

    @pytest.mark.parametrize("case", sorted(VALUES))
    @requirement("PROFILES-057", since="1.0")
    async def test_value_types_preserved(self, store: ProfileStore, case: str) -> None:
        """A value comes back with its type and to the letter, active or superseded, whatever it holds.

        If this fails: values are stored as text, or JSON numbers change their type.
        """
        value, value_type = VALUES[case]
        await store.save(profile(0))
        await store.update_field(OURS, PROFILE, item(0, value=value, value_type=value_type))

        async def kept(found: ProfileField | None) -> None:
            assert found is not None
            assert canonical_json(found.value) == canonical_json(value)
            assert found.value_type is value_type

        await kept(await store.get_field(OURS, PROFILE, "email"))
        await kept((await stored(store)).fields["email"])
        await store.update_field(OURS, PROFILE, item(1))
        await kept(await store.get_field(OURS, PROFILE, "email", status=ItemStatus.SUPERSEDED))

    @pytest.mark.parametrize("case", sorted(hostile.IDENTIFIERS))
    @requirement("PROFILES-058", since="1.0")
    async def test_hostile_field_names(self, store: ProfileStore, case: str) -> None:
        """A field may have any identifier as its name, and is found by exactly that.

        If this fails: the name becomes part of a key, a path or a pattern without being quoted.
        """
        name = hostile.IDENTIFIERS[case]
        await store.save(profile(0, fields=holding(item(5, "city"), item(6, f"{name}"[:-1] + "?"))))
        await store.update_field(OURS, PROFILE, item(0, name))

        await store.update_field(OURS, PROFILE, item(1, name))

        found = await store.get_field(OURS, PROFILE, name)
        assert found is not None
        assert (found.id, found.name) == (field_id(1), name)
        assert [one.id for one in await store.get_field_history(OURS, PROFILE, name)] == [field_id(1), field_id(0)]
        assert set((await stored(store)).fields) == {"city", name, name[:-1] + "?"}

    @requirement("PROFILES-059", since="1.0")
    async def test_history_order(self, store: ProfileStore) -> None:
        """History holds every version of one name, latest collected first, then by id descending.

        If this fails: the order is that of writing, equal times are in no order, or a status is left out.
        """
        await store.save(profile(0))
        await store.save(profile(1, fields=holding(item(50))))
        later = START + 5 * MINUTE
        for n in (4, 10, 2, 5, 3):
            await store.update_field(OURS, PROFILE, item(n, collected_at=later if n in (4, 10, 5) else START))
        await store.update_field(OURS, PROFILE, item(20, "city"))
        await store.update_field(OURS, PROFILE, item(30, collected_at=START - MINUTE, expires_at=LAPSED))

        found = await store.get_field_history(OURS, PROFILE, "email")

        assert [one.id for one in found] == [field_id(n) for n in (10, 5, 4, 3, 2, 30)]
        assert [one.status.value for one in found] == ["superseded"] * 5 + ["expired"]
        assert await store.get_field_history(OURS, PROFILE, "phone") == []
        assert await store.get_field_history(OURS, UNKNOWN, "email") == []

    @requirement("PROFILES-060", since="1.0")
    async def test_include_history_flag(self, store: ProfileStore) -> None:
        """Histories are empty unless asked for; then they hold every version that is not active, newest first.

        If this fails: active versions are in the history, history is in the active part, or the order is wrong.
        """
        await store.save(profile(0, external_id="c", channel_identities=[identity(0)]))
        for n in (3, 10, 7):
            await store.update_field(OURS, PROFILE, item(n))
            await store.add_asset(OURS, PROFILE, asset(n), supersede_existing=True)
        await store.update_field(OURS, PROFILE, item(20, "city", expires_at=LAPSED))
        await store.add_asset(OURS, PROFILE, asset(2, "photo", expires_at=LAPSED))

        for include in (False, True):
            for found in (
                await store.get_by_id(OURS, PROFILE, include_history=include),
                await store.get_by_customer_id(OURS, profile().customer_id, include_history=include),
                await store.get_by_external_id(OURS, "c", include_history=include),
                await store.get_by_channel_identity(OURS, Channel.WEBCHAT, f"{USER}0", include_history=include),
            ):
                assert found is not None
                assert [one.id for one in found.fields.values()] == [field_id(7)]
                assert [one.id for one in found.assets] == [asset(7).id]
                history = {name: [one.id for one in rows] for name, rows in found.field_history.items()}
                old_assets = [one.id for one in found.asset_history]
                if include:
                    assert history == {"email": [field_id(10), field_id(3)], "city": [field_id(20)]}
                    assert old_assets == [asset(n).id for n in (10, 3, 2)]
                else:
                    assert (history, old_assets) == ({}, [])
        assert all(not one.field_history and not one.asset_history for one in await store.list_profiles(OURS))

    @requirement("PROFILES-061", since="1.0")
    async def test_get_field_by_status(self, store: ProfileStore) -> None:
        """A status selects the newest version that has it; None selects the newest of all.

        If this fails: the status is ignored, or "newest" is that of writing.
        """
        await store.save(profile(0))
        for n in (10, 7, 3):
            await store.update_field(OURS, PROFILE, item(n))

        async def newest(status: ItemStatus | None, name: str = "email") -> object:
            found = await store.get_field(OURS, PROFILE, name, status=status)
            return found and (found.id, found.status)

        assert await newest(ItemStatus.ACTIVE) == (field_id(3), ItemStatus.ACTIVE)
        assert await newest(ItemStatus.SUPERSEDED) == (field_id(10), ItemStatus.SUPERSEDED)
        assert await newest(None) == (field_id(10), ItemStatus.SUPERSEDED)
        assert await newest(ItemStatus.EXPIRED) is None
        assert await newest(None, "city") is None

    @requirement("PROFILES-062", since="1.0")
    async def test_delete_field(self, store: ProfileStore) -> None:
        """Deleting removes one version for good; a version that is not in this profile is False.

        If this fails: other versions of the name go too, an older one comes back, or another profile loses its own.
        """
        for one in (profile(0), profile(1), profile(0, THEIRS)):
            await store.save(one)
        await store.update_field(OURS, PROFILE, item(0))
        await store.update_field(OURS, PROFILE, item(1))
        await store.update_field(OURS, OTHER, item(2))
        await store.update_field(THEIRS, PROFILE, item(1))

        assert await store.delete_field(OURS, PROFILE, field_id(2)) is False
        assert await store.delete_field(OURS, UNKNOWN, field_id(1)) is False
        assert await store.delete_field(OURS, PROFILE, field_id(1)) is True
        assert await store.delete_field(OURS, PROFILE, field_id(1)) is False

        assert [one.id for one in await store.get_field_history(OURS, PROFILE, "email")] == [field_id(0)]
        assert await store.get_field(OURS, PROFILE, "email") is None
        assert (await stored(store)).fields == {}
        assert "email" in (await stored(store, OTHER)).fields
        assert "email" in (await stored(store, tenant=THEIRS)).fields

    @requirement("PROFILES-063", since="1.0")
    async def test_status_is_the_stores(self, store: ProfileStore) -> None:
        """What a written item says of its own status and successor is not taken over: new versions are active.

        If this fails: a version read from one profile's history arrives superseded in another.
        """
        await store.save(profile(0))
        past: dict[str, Any] = {"status": "superseded", "superseded_by_id": field_id(9), "superseded_at": START}
        await store.update_field(OURS, PROFILE, item(0, **past))
        await store.add_asset(OURS, PROFILE, asset(0, **past))
        await store.save(profile(0, fields=holding(item(1, "city", status="orphaned")), assets=[asset(1, **past)]))

        found = await stored(store)

        items = [*found.fields.values(), *found.assets]
        assert len(items) == 4
        assert {(one.status, one.superseded_by_id, one.superseded_at) for one in items} == {
            (ItemStatus.ACTIVE, None, None)
        }

    @requirement("PROFILES-064", since="1.0")
    async def test_default_times_are_no_content(self, store: ProfileStore) -> None:
        """A version built anew without saying when it was collected or uploaded is the one stored under its id.

        If this fails: who retries with an object built anew is told that its id is taken.
        """
        await store.save(profile(0))
        kept = []
        for _ in range(2):
            field = ProfileField(id=field_id(0), name="email", value="a")
            document = ProfileAsset(id=asset(0).id, asset_type="document", storage_path="a")
            await store.update_field(OURS, PROFILE, field)
            await store.add_asset(OURS, PROFILE, document)
            kept.append(await stored(store))

        assert kept[0] == kept[1]
        assert (len(kept[0].fields), len(kept[0].assets)) == (1, 1)
        await store.save(profile(0, fields={"email": ProfileField(id=field_id(0), name="email", value="a")}))
        assert (await stored(store)).fields == kept[0].fields
