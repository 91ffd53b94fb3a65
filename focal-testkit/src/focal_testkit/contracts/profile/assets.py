"""Assets: references to documents, version by version."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from focal_core.clock import ManualClock
from focal_core.errors import DuplicateError, NotFoundError
from focal_core.profile.models import ItemStatus
from focal_core.profile.store import ProfileStore
from focal_core.values import canonical_json
from focal_testkit.contracts.base import ContractBase
from focal_testkit.contracts.profile.saving import stored
from focal_testkit.data import hostile
from focal_testkit.data.profile import (
    FAR,
    MINUTE,
    OTHER,
    PROFILE,
    START,
    UNKNOWN,
    asset,
    asset_id,
    field_id,
    holding,
    item,
    profile,
)
from focal_testkit.requirement import requirement
from focal_testkit.scenarios import OURS, THEIRS


class AssetContract(ContractBase):
    """``add_asset``, ``get_asset``, ``get_asset_by_name``, ``delete_asset``."""

    @requirement("PROFILES-080", since="1.0")
    async def test_add_asset(self, store: ProfileStore) -> None:
        """An added asset is found by id and by name, in that profile alone, with everything it carries.

        If this fails: a part of the asset has no place in the store, or another profile or tenant gets it too.
        """
        for one in (profile(0), profile(1), profile(0, THEIRS)):
            await store.save(one)
        given = asset(
            3,
            storage_provider="s3",
            mime_type="image/png",
            size_bytes=2**40,
            checksum="0a" * 32,
            metadata={"pages": [1, 1.0, True, None]},
            uploaded_in_session_id=uuid4(),
            uploaded_in_scenario_id=uuid4(),
            source_item_type="tool",
            source_metadata={"tool": "scanner"},
            derived_from_tool="scanner",
            verified=True,
            verification_result={"score": 1.0},
            retention_policy="7 years",
            expires_at=FAR,
            analysis_field_ids=[uuid4(), uuid4()],
        )

        assert await store.add_asset(OURS, PROFILE, given) == given.id

        found = await store.get_asset(OURS, PROFILE, given.id)
        assert found is not None
        assert canonical_json(found.model_dump(mode="json")) == canonical_json(given.model_dump(mode="json"))
        assert await store.get_asset_by_name(OURS, PROFILE, "passport") == found
        assert (await stored(store)).assets == [found]
        for tenant, owner in ((OURS, OTHER), (THEIRS, PROFILE)):
            assert await store.get_asset(tenant, owner, given.id) is None
            assert await store.get_asset_by_name(tenant, owner, "passport") is None
        assert await store.get_asset_by_name(OURS, PROFILE, "Passport") is None

    @requirement("PROFILES-081", since="1.0")
    async def test_assets_of_one_name(self, store: ProfileStore) -> None:
        """Assets of one name stand side by side unless told otherwise; the name gives the last uploaded, then the id.

        If this fails: an asset replaces another in silence, or "newest" is that of writing.
        """
        await store.save(profile(0))
        later = START + 5 * MINUTE
        for n in (4, 10, 5, 2):
            await store.add_asset(OURS, PROFILE, asset(n, uploaded_at=START if n == 2 else later))
        await store.add_asset(OURS, PROFILE, asset(20, "photo"))

        found = await store.get_asset_by_name(OURS, PROFILE, "passport")

        assert found is not None
        assert found.id == asset_id(10)
        whole = await stored(store)
        assert [one.id for one in whole.assets] == [asset_id(n) for n in (2, 4, 5, 10, 20)]
        assert whole.asset_history == []

    @requirement("PROFILES-082", since="1.0")
    async def test_asset_supersede_by_name(self, store: ProfileStore, clock: ManualClock) -> None:
        """Told to supersede, a new asset supersedes every active one of its name and no other.

        If this fails: assets are matched by type, one of several stays active, or the link is missing.
        """
        await store.save(profile(0))
        await store.save(profile(1, assets=[asset(30)]))
        for n in (0, 1):
            await store.add_asset(OURS, PROFILE, asset(n))
        await store.add_asset(OURS, PROFILE, asset(2, "photo"))
        clock.advance(seconds=7)

        await store.add_asset(OURS, PROFILE, asset(3), supersede_existing=True)
        clock.advance(seconds=7)
        await store.add_asset(OURS, PROFILE, asset(4), supersede_existing=True)

        found = await stored(store)
        assert [one.id for one in found.assets] == [asset_id(2), asset_id(4)]
        links = {one.id: one.superseded_by_id for one in found.asset_history}
        assert links == {asset_id(3): asset_id(4), asset_id(1): asset_id(3), asset_id(0): asset_id(3)}
        assert [one.status for one in found.asset_history] == [ItemStatus.SUPERSEDED] * 3
        assert found.asset_history[0].superseded_at == clock.now()
        assert len((await stored(store, OTHER)).assets) == 1

    @requirement("PROFILES-089", since="1.0")
    async def test_assets_superseding_at_once(self, store: ProfileStore) -> None:
        """Of assets that supersede their name at once exactly one is active; every other one is superseded and kept.

        If this fails: closing the former assets and adding the new one are two steps.
        """
        await store.save(profile(0, assets=[asset(20)]))

        await asyncio.gather(*[store.add_asset(OURS, PROFILE, asset(n), supersede_existing=True) for n in range(16)])

        found = await stored(store)
        kept = [*found.assets, *found.asset_history]
        assert sorted(one.id for one in kept) == sorted(asset_id(n) for n in (*range(16), 20))
        assert [one.status for one in kept] == [ItemStatus.ACTIVE, *[ItemStatus.SUPERSEDED] * 16]
        assert len({one.superseded_by_id for one in kept}) == 17

    @requirement("PROFILES-083", since="1.0")
    async def test_get_asset_by_status(self, store: ProfileStore) -> None:
        """By id an asset is found in any status; by name the newest that has the status asked for, None being any.

        If this fails: superseded assets cannot be read, or the status is ignored.
        """
        await store.save(profile(0))
        for n in (10, 7, 3):
            await store.add_asset(OURS, PROFILE, asset(n), supersede_existing=True)

        async def newest(status: ItemStatus | None) -> object:
            found = await store.get_asset_by_name(OURS, PROFILE, "passport", status=status)
            return found and (found.id, found.status)

        assert await newest(ItemStatus.ACTIVE) == (asset_id(3), ItemStatus.ACTIVE)
        assert await newest(ItemStatus.SUPERSEDED) == (asset_id(10), ItemStatus.SUPERSEDED)
        assert await newest(None) == (asset_id(10), ItemStatus.SUPERSEDED)
        assert await newest(ItemStatus.ORPHANED) is None
        old = await store.get_asset(OURS, PROFILE, asset_id(7))
        assert old is not None
        assert old.superseded_by_id == asset_id(3)

    @requirement("PROFILES-084", since="1.0")
    async def test_add_asset_known_id(self, store: ProfileStore) -> None:
        """The same asset added again changes nothing; a known id with other content or owner is DuplicateError.

        If this fails: a retry makes a second row or supersedes anew, or an asset is overwritten.
        """
        for one in (profile(0), profile(1)):
            await store.save(one)
        await store.add_asset(OURS, PROFILE, asset(0))
        await store.add_asset(OURS, PROFILE, asset(1), supersede_existing=True)
        before = await stored(store)

        for n in (0, 1):
            for supersede in (True, False):
                again = await store.add_asset(OURS, PROFILE, asset(n), supersede_existing=supersede)
                assert again == asset_id(n)
        with pytest.raises(DuplicateError):
            await store.add_asset(OURS, PROFILE, asset(0, storage_path="s3://vault/other"))
        with pytest.raises(DuplicateError):
            await store.add_asset(OURS, OTHER, asset(0))

        assert await stored(store) == before
        assert (await stored(store, OTHER)).assets == []

    @requirement("PROFILES-085", since="1.0")
    async def test_add_asset_unknown_profile(self, store: ProfileStore) -> None:
        """Adding an asset to a profile that is not there is NotFoundError, and nothing is stored.

        If this fails: assets without a profile are kept, or the profile of another tenant is taken for ours.
        """
        await store.save(profile(1, THEIRS))

        for missing in (UNKNOWN, OTHER):
            with pytest.raises(NotFoundError):
                await store.add_asset(OURS, missing, asset())

        await store.save(profile(1))
        assert await store.get_asset(OURS, OTHER, asset_id(0)) is None
        await store.add_asset(OURS, OTHER, asset())

    @requirement("PROFILES-086", since="1.0")
    async def test_delete_asset(self, store: ProfileStore) -> None:
        """Deleting removes one asset for good; an asset that is not in this profile is False.

        If this fails: others of the name go too, or another profile or tenant loses its own.
        """
        for one in (profile(0, fields=holding(item(0))), profile(1), profile(0, THEIRS)):
            await store.save(one)
        for n in (0, 1):
            await store.add_asset(OURS, PROFILE, asset(n))
        await store.add_asset(OURS, OTHER, asset(2))
        await store.add_asset(THEIRS, PROFILE, asset(1))

        assert await store.delete_asset(OURS, PROFILE, asset_id(2)) is False
        assert await store.delete_asset(OURS, PROFILE, field_id(0)) is False
        assert await store.delete_asset(OURS, UNKNOWN, asset_id(1)) is False
        assert await store.delete_asset(OURS, PROFILE, asset_id(1)) is True
        assert await store.delete_asset(OURS, PROFILE, asset_id(1)) is False

        assert await store.get_asset(OURS, PROFILE, asset_id(1)) is None
        assert [one.id for one in (await stored(store)).assets] == [asset_id(0)]
        assert await store.get_asset(OURS, OTHER, asset_id(2)) is not None
        assert await store.get_asset(THEIRS, PROFILE, asset_id(1)) is not None

    @pytest.mark.parametrize("case", sorted(hostile.DOCUMENTS))
    @requirement("PROFILES-087", since="1.0")
    async def test_hostile_asset_documents(self, store: ProfileStore, case: str) -> None:
        """Metadata, lineage metadata and verification results come back with every type and key as they were.

        If this fails: integers lose digits, 1.0 becomes 1, True becomes 1, or a key is taken for syntax.
        """
        document = hostile.DOCUMENTS[case]
        given: dict[str, Any] = dict.fromkeys(("metadata", "source_metadata", "verification_result"), document)
        await store.save(profile(0))
        await store.add_asset(OURS, PROFILE, asset(source_item_type="external", **given))
        await store.update_field(OURS, PROFILE, item(source_item_type="external", source_metadata=document))

        found = await store.get_asset(OURS, PROFILE, asset_id(0))
        field = await store.get_field(OURS, PROFILE, "email")

        assert found is not None
        assert field is not None
        for kept in (found.metadata, found.source_metadata, found.verification_result, field.source_metadata):
            assert canonical_json(kept) == canonical_json(document)

    @pytest.mark.parametrize("case", sorted(hostile.IDENTIFIERS))
    @requirement("PROFILES-088", since="1.0")
    async def test_hostile_asset_names(self, store: ProfileStore, case: str) -> None:
        """An asset may have any identifier as its name and path, and is found by exactly that.

        If this fails: the name becomes part of a key, a path or a pattern without being quoted.
        """
        name = hostile.IDENTIFIERS[case]
        await store.save(profile(0, assets=[asset(5), asset(6, name[:-1] + "?")]))
        await store.add_asset(OURS, PROFILE, asset(0, name, storage_path=name))

        found = await store.get_asset_by_name(OURS, PROFILE, name)

        assert found is not None
        assert (found.id, found.name, found.storage_path) == (asset_id(0), name, name)
