"""Whole profiles created, merged, deleted and erased at the same time, by several processes' stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from tests.integration.postgres.support import empty, open_database

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.conversation.models import Channel
from focal_core.errors import ConflictError, FocalError, NotFoundError, StaleVersionError
from focal_core.ids import uuid7
from focal_core.profile.models import ItemStatus, ProfileField
from focal_postgres.profile import PostgresProfileStore
from focal_postgres.profile.tables import IDENTITIES
from focal_testkit.data.profile import OTHER, PROFILE, consent, holding, identity, item, profile, profile_id
from focal_testkit.scenarios import OURS, THEIRS
from focal_testkit.servers.postgres import connected

pytestmark = pytest.mark.asyncio

STORES = 4


@pytest_asyncio.fixture
async def stores(postgres_database: str) -> AsyncIterator[list[PostgresProfileStore]]:
    """Yield stores with pools of their own, as several processes have them, on one empty database."""
    await empty(postgres_database)
    context = BackendContext(clock=ManualClock())
    async with AsyncExitStack() as stack:
        databases = [
            await stack.enter_async_context(open_database(postgres_database, context, pool_size=4))
            for _ in range(STORES)
        ]
        yield [PostgresProfileStore(database, context) for database in databases]


async def outcomes(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    """Return what calls made at the same time return or raise; an error of no kind of focal's ends the test."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, FocalError):
            raise one
    return found


async def rows(store: PostgresProfileStore, table: str, tenant: UUID = OURS) -> int:
    """Return how many rows of a tenant a table has."""
    sql = f"SELECT count(*) FROM {store.schema}.{table} WHERE tenant_id = $1"
    found: int = (await store.database.fetch("rows", sql, tenant))[0][0]
    return found


async def test_one_profile_for_two_hundred_callers(stores: list[PostgresProfileStore]) -> None:
    """200 calls at once for one new account, over four pools, 50 times: each time one profile, and everybody gets it.

    Another tenant's account of the same name gets a profile of its own.
    """
    for round_ in range(50):
        calls = [stores[n % STORES].get_or_create(OURS, Channel.WEBCHAT, f"user {round_}") for n in range(199)]
        *ours, theirs = await asyncio.gather(*calls, stores[0].get_or_create(THEIRS, Channel.WEBCHAT, f"user {round_}"))

        assert {one.id for one in ours} == {ours[0].id} != {theirs.id}
        assert len({id(one) for one in ours}) == len(ours)
    assert [await rows(stores[0], table) for table in ("customer_profiles", "channel_identities")] == [50, 50]
    assert [await rows(stores[0], table, THEIRS) for table in ("customer_profiles", "channel_identities")] == [50, 50]


async def test_linked_created_unlinked_and_deleted(stores: list[PostgresProfileStore]) -> None:
    """However linking, unlinking, creating and deleting meet, no account is left with a profile that is gone."""
    for round_ in range(25):
        account = identity(round_)
        kept, doomed = (profile(2 * round_ + n) for n in range(2))
        for one in (kept, doomed):
            await stores[0].save(one)

        found = await outcomes(
            [
                stores[0].link_channel(OURS, doomed.id, account),
                stores[1].delete(OURS, doomed.id),
                stores[2].link_channel(OURS, kept.id, identity(round_, id=uuid7())),
                stores[3].unlink_channel(OURS, kept.id, account.channel, account.channel_user_id),
                stores[0].get_or_create(OURS, account.channel, account.channel_user_id),
            ]
        )

        assert {type(one) for one in found if isinstance(one, FocalError)} <= {ConflictError, NotFoundError} | {
            kind for kind in ConflictError.__subclasses__() if kind is not StaleVersionError
        }
        assert found[1] is True
        created = await stores[0].get_or_create(OURS, account.channel, account.channel_user_id)
        assert created.id != doomed.id
    assert await rows(stores[0], "channel_identities") == 25


async def test_account_linked_while_a_delete_waits(stores: list[PostgresProfileStore], postgres_database: str) -> None:
    """An account that is linked by a transaction the delete had to wait for goes with the profile, too."""
    await stores[0].save(profile(0))
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with (
        connected(postgres_database) as watching,
        connected(postgres_database) as linking,
        linking.transaction(),
    ):
        await stores[0].lock_live(linking, OURS, PROFILE)
        await stores[0].insert(linking, IDENTITIES, OURS, PROFILE, [identity(0)])
        deleting = asyncio.create_task(stores[1].delete(OURS, PROFILE))
        async with asyncio.timeout(10):
            while not await watching.fetchval(waiting):  # noqa: ASYNC110 - only the server knows
                await asyncio.sleep(0.01)

    assert await deleting is True
    assert await rows(stores[0], "channel_identities") == 0
    assert (await stores[0].get_or_create(OURS, Channel.WEBCHAT, identity(0).channel_user_id)).id != PROFILE


async def test_merges_against_each_other(stores: list[PostgresProfileStore]) -> None:
    """Merges of three profiles in every direction leave one that has everything; every id stands for it or for none.

    While they run, fields are written to all three: each write is there, and one field of a name is active.
    """
    for round_ in range(10):
        ids = [profile_id(3 * round_ + n) for n in range(3)]
        for number in range(3 * round_, 3 * round_ + 3):
            await stores[0].save(
                profile(
                    number,
                    channel_identities=[identity(number, primary=True)],
                    fields=holding(item(number)),
                    consents=[consent(number)],
                )
            )
        written = [ProfileField(name="email", value=f"late {n}", confidence=n / 10) for n in range(9)]

        found = await outcomes(
            [
                *(
                    stores[n % STORES].merge_profiles(OURS, source_profile_id=source, target_profile_id=target)
                    for n, (source, target) in enumerate((a, b) for a in ids for b in ids if a != b)
                ),
                *(stores[n % STORES].update_field(OURS, ids[n % 3], field) for n, field in enumerate(written)),
            ]
        )

        assert all(isinstance(one, ConflictError) for one in found[:6] if isinstance(one, FocalError))
        assert found[6:] == [one.id for one in written]
        survivors = [await stores[0].get_by_id(OURS, id, include_history=True) for id in ids]
        assert len({None if one is None else one.id for one in survivors}) == 1
        [survivor] = {one.id: one for one in survivors if one is not None}.values()
        assert len(survivor.channel_identities) == len(survivor.consents) == 3
        assert sum(one.primary for one in survivor.channel_identities) == 1
        versions = [survivor.fields["email"], *survivor.field_history["email"]]
        assert len(versions) == 12
        assert [one.status for one in versions].count(ItemStatus.ACTIVE) == 1
        known = {one.id for one in versions}
        assert all(one.superseded_by_id in known for one in versions if one.status is ItemStatus.SUPERSEDED)


async def test_children_written_during_a_merge_follow_it(stores: list[PostgresProfileStore]) -> None:
    """What is linked, recorded, set or saved while a profile is merged is the target's afterwards, or was refused."""
    for round_ in range(15):
        source, target = (profile(2 * round_ + n) for n in range(2))
        for one in (source, target):
            await stores[0].save(one)
        copy = profile(2 * round_, fields=holding(item(round_)))

        merged, linked, recorded, saved, _ = await outcomes(
            [
                stores[0].merge_profiles(OURS, source_profile_id=source.id, target_profile_id=target.id),
                stores[1].link_channel(OURS, source.id, identity(round_)),
                stores[2].record_consent(OURS, source.id, consent(round_)),
                stores[3].save(copy),
                stores[1].set_verification_level(OURS, source.id, "kyc_complete"),  # type: ignore[arg-type]
            ]
        )

        assert (merged.id, linked, recorded) == (target.id, True, consent(round_).id)
        survivor = await stores[0].get_by_id(OURS, source.id)
        assert survivor is not None
        assert survivor.id == target.id
        assert len(survivor.channel_identities) == len(survivor.consents) == 1
        if isinstance(saved, FocalError):
            assert (type(saved), saved.code, survivor.fields) == (ConflictError, "merged", {})
            assert survivor.verification_level == "kyc_complete"
        else:
            # The save may have come after the level was set, and then it took it back.
            assert list(survivor.fields) == ["email"]


async def test_erasure_leaves_nothing(stores: list[PostgresProfileStore]) -> None:
    """What is written to a profile while it is erased is erased with it or refused as to an unknown profile."""
    for round_ in range(15):
        await stores[0].save(profile(0, fields=holding(item(0))))
        await stores[0].save(profile(1))

        erased, *found = await outcomes(
            [
                stores[0].erase_profile(OURS, PROFILE),
                stores[1].record_consent(OURS, PROFILE, consent(round_)),
                stores[2].link_channel(OURS, PROFILE, identity(round_)),
                stores[3].update_field(OURS, PROFILE, ProfileField(name="city", value="Ghent")),
                stores[1].merge_profiles(OURS, source_profile_id=OTHER, target_profile_id=PROFILE),
            ]
        )

        assert erased >= 2
        assert {type(one) for one in found if isinstance(one, FocalError)} <= {NotFoundError}
        assert await stores[0].get_by_id(OURS, PROFILE) is None
        await stores[0].erase_profile(OURS, OTHER)
        for table in ("customer_profiles", "channel_identities", "profile_fields", "consents"):
            assert await rows(stores[0], table) == 0


async def test_saves_of_one_version(stores: list[PostgresProfileStore]) -> None:
    """Of concurrent saves of one loaded profile one is stored, with its parts; the others store nothing."""
    await stores[0].save(profile(0))
    for round_ in range(10):
        loaded = [await store.get_by_id(OURS, PROFILE) for store in stores]
        for n, one in enumerate(loaded):
            assert one is not None
            one.external_id = f"{round_}-{n}"
            one.fields = holding(ProfileField(name="email", value=f"{round_}-{n}"))

        found = await outcomes([store.save(one) for store, one in zip(stores, loaded, strict=True) if one is not None])

        assert [type(one) for one in found].count(StaleVersionError) == STORES - 1
        stored = await stores[0].get_by_id(OURS, PROFILE, include_history=True)
        assert stored is not None
        assert stored.row_version == round_ + 2
        assert stored.fields["email"].value == stored.external_id
        assert len(stored.field_history.get("email", [])) == round_
