"""Versions written at the same time: one is active, and no version is lost, whatever meets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from tests.integration.postgres.support import SCHEMA, empty, open_database

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.errors import ConflictError, FocalError, InvalidDataError, NotFoundError
from focal_core.profile.models import ItemStatus, OnDependents, ProfileField
from focal_postgres.profile import PostgresProfileStore
from focal_testkit.data.profile import (
    FAR,
    LAPSED,
    OTHER,
    PROFILE,
    asset,
    derived,
    field_id,
    holding,
    item,
    profile,
)
from focal_testkit.scenarios import OURS
from focal_testkit.servers.postgres import connected

pytestmark = pytest.mark.asyncio


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture
async def stores(postgres_database: str, clock: ManualClock) -> Any:
    """Yield two stores with pools of their own, as two processes have them, on one empty database."""
    await empty(postgres_database)
    context = BackendContext(clock=clock)
    async with (
        open_database(postgres_database, context, pool_size=8) as ours,
        open_database(postgres_database, context, pool_size=8) as theirs,
    ):
        yield PostgresProfileStore(ours, context), PostgresProfileStore(theirs, context)


async def outcomes(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    """Return what calls made at the same time return or raise; an error of no kind of focal's ends the test."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, FocalError):
            raise one
    return list(found)


async def waiting(connection: Any, calls: int) -> None:
    """Wait until as many statements of the database wait for a lock."""
    waiters = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while await connection.fetchval(waiters) < calls:
            pass


def chain(versions: Sequence[ProfileField]) -> list[UUID]:
    """Return the ids of all versions in the order in which each took the place of the one before.

    Raises:
        AssertionError: they are no chain that ends with the one active version.
    """
    [active] = [one.id for one in versions if one.status is ItemStatus.ACTIVE]
    before = {one.superseded_by_id: one.id for one in versions if one.status is ItemStatus.SUPERSEDED}
    assert len(before) == len(versions) - 1, "a version has two predecessors, or is neither active nor superseded"
    order = [active]
    while order[-1] in before:
        order.append(before[order[-1]])
    assert len(order) == len(versions), "the versions are more than one chain"
    return order[::-1]


class TestFieldRaces:
    """``update_field`` and what it meets."""

    async def test_one_name(self, stores: Sequence[PostgresProfileStore]) -> None:
        """Fifty callers at once on one name, twenty times: all are stored, each superseded by the next, one active."""
        await stores[0].save(profile())
        for turn in range(20):
            numbers = range(50 * turn, 50 * (turn + 1))

            written = await outcomes(
                [stores[n % 2].update_field(OURS, PROFILE, item(n), supersede_existing=True) for n in numbers]
            )

            assert written == [field_id(n) for n in numbers]
            order = chain(await stores[0].get_field_history(OURS, PROFILE, "email"))
            assert set(order) == {field_id(n) for n in range(numbers.stop)}
            assert set(order[: numbers.start]) == {field_id(n) for n in range(numbers.start)}

    async def test_first_version_alone_wins(self, stores: Sequence[PostgresProfileStore]) -> None:
        """Of callers that refuse to replace, exactly one writes; the others are told that a version is active."""
        await stores[0].save(profile())
        for turn in range(20):
            name = f"name_{turn}"

            found = await outcomes(
                [
                    stores[n % 2].update_field(OURS, PROFILE, item(100 * turn + n, name), supersede_existing=False)
                    for n in range(20)
                ]
            )

            errors = [one for one in found if isinstance(one, ConflictError)]
            assert [one.code for one in errors] == ["field_active"] * 19
            [active] = await stores[0].get_field_history(OURS, PROFILE, name)
            assert active.id in found

    async def test_lapsed_version_is_closed_once(self, stores: Sequence[PostgresProfileStore]) -> None:
        """A version past its time that nobody swept is closed by whoever is first, whether a sweep runs or not."""
        names = [f"name_{turn}" for turn in range(20)]
        await stores[0].save(
            profile(fields=holding(*(item(1000 + n, name, expires_at=LAPSED) for n, name in enumerate(names))))
        )
        for turn, name in enumerate(names):
            numbers = range(10 * turn, 10 * (turn + 1))

            found = await outcomes(
                [
                    *(
                        stores[n % 2].update_field(OURS, PROFILE, item(n, name), supersede_existing=False)
                        for n in numbers
                    ),
                    *(store.expire_stale_fields(OURS, PROFILE) for store in stores if turn > 10),
                ]
            )

            assert sum(isinstance(one, UUID) for one in found) == 1
            versions = await stores[0].get_field_history(OURS, PROFILE, name)
            assert {one.status: one.id == field_id(1000 + turn) for one in versions} == {
                ItemStatus.ACTIVE: False,
                ItemStatus.EXPIRED: True,
            }

    async def test_one_id_for_two_names(self, stores: Sequence[PostgresProfileStore]) -> None:
        """One id under two names at the same time is one version; who comes second is told that it says otherwise."""
        await stores[0].save(profile())
        for n in range(20):
            names = [f"name_{n}", f"other_{n}"] * 5

            found = await outcomes(
                [stores[at % 2].update_field(OURS, PROFILE, item(n, name)) for at, name in enumerate(names)]
            )

            assert [one.code for one in found if isinstance(one, FocalError)] == ["record_differs"] * 5
            assert found.count(field_id(n)) == 5

    async def test_same_version(self, stores: Sequence[PostgresProfileStore]) -> None:
        """The same version from many callers is stored once, and supersedes once; other content under its id is not."""
        for one in (profile(0, fields=holding(item(0))), profile(1, fields=holding(item(1)))):
            await stores[0].save(one)
        for n in range(10, 30):
            calls = [
                *(store.update_field(OURS, PROFILE, item(n)) for store in stores * 5),
                *(store.update_field(OURS, OTHER, item(n)) for store in stores * 5),
                *(store.update_field(OURS, PROFILE, item(n, confidence=0.5)) for store in stores * 5),
            ]

            found = await outcomes(calls)

            codes = {one.code for one in found if isinstance(one, FocalError)}
            assert codes <= {"id_taken", "record_differs"}
            assert sum(one == field_id(n) for one in found) == 10
            for owner, first in ((PROFILE, 0), (OTHER, 1)):
                assert chain(await stores[0].get_field_history(OURS, owner, "email"))[0] == field_id(first)

    async def test_whole_profile_saved_meanwhile(self, stores: Sequence[PostgresProfileStore]) -> None:
        """Versions that come with whole profiles and versions that come alone are one chain."""
        await stores[0].save(profile())
        for turn in range(10):
            numbers = range(20 * turn, 20 * (turn + 1))

            found = await outcomes(
                [
                    stores[n % 2].save(profile(fields=holding(item(n))))
                    if n % 4 == 0
                    else stores[n % 2].update_field(OURS, PROFILE, item(n))
                    for n in numbers
                ]
            )

            assert not [one for one in found if isinstance(one, FocalError)]
            order = chain(await stores[0].get_field_history(OURS, PROFILE, "email"))
            assert set(order) == {field_id(n) for n in range(numbers.stop)}

    async def test_merged_meanwhile(self, stores: Sequence[PostgresProfileStore]) -> None:
        """What is written while profiles merge ends in the profile that survives, with one active version."""
        for turn in range(10):
            source, target = profile(2 * turn), profile(2 * turn + 1)
            numbers = range(1000 * turn, 1000 * turn + 20)
            for one in (source, target):
                await stores[0].save(one)

            found = await outcomes(
                [
                    *(
                        stores[n % 2].update_field(OURS, (source if n % 3 else target).id, item(n))
                        for n in numbers[:10]
                    ),
                    stores[0].merge_profiles(OURS, source_profile_id=source.id, target_profile_id=target.id),
                    *(stores[n % 2].update_field(OURS, source.id, item(n)) for n in numbers[10:]),
                ]
            )

            assert not [one for one in found if isinstance(one, FocalError)]
            versions = await stores[0].get_field_history(OURS, target.id, "email")
            assert {one.id for one in versions} == {field_id(n) for n in numbers}
            assert [one.status for one in versions].count(ItemStatus.ACTIVE) == 1

    async def test_deleted_meanwhile(self, stores: Sequence[PostgresProfileStore]) -> None:
        """What is written while the profile is deleted is written before, or refused as of an unknown profile."""
        for turn in range(20):
            whose = profile(turn)
            await stores[0].save(whose)

            found = await outcomes(
                [
                    *(stores[n % 2].update_field(OURS, whose.id, item(100 * turn + n)) for n in range(5)),
                    stores[0].delete(OURS, whose.id),
                    *(stores[n % 2].update_field(OURS, whose.id, item(100 * turn + n)) for n in range(5, 10)),
                ]
            )

            assert found[5] is True
            assert all(isinstance(one, UUID | NotFoundError) for one in (*found[:5], *found[6:]))

    async def test_source_deleted_meanwhile(self, stores: Sequence[PostgresProfileStore]) -> None:
        """Nothing active is left without its source: who deletes it sees the derived item, or that one is refused."""
        await stores[0].save(profile())
        for turn in range(40):
            source = item(1000 + turn, f"source_{turn}")
            await stores[0].update_field(OURS, PROFILE, source)
            choice = OnDependents.ORPHAN if turn % 2 else OnDependents.REFUSE

            written, deleted = await outcomes(
                [
                    stores[0].update_field(OURS, PROFILE, derived(turn, source)),
                    stores[1].delete_field(OURS, PROFILE, source.id, on_dependents=choice),
                ]
            )

            assert isinstance(written, UUID | InvalidDataError)
            if isinstance(written, InvalidDataError):
                assert (written.code, deleted) == ("source_missing", True)
            elif choice is OnDependents.REFUSE:
                assert isinstance(deleted, ConflictError)
            else:
                assert deleted is True
        assert await stores[0].mark_orphaned_items(OURS) == 0

    @pytest.mark.parametrize("choice", list(OnDependents))
    async def test_source_deleted_while_derived_is_written(
        self, stores: Sequence[PostgresProfileStore], postgres_database: str, choice: OnDependents
    ) -> None:
        """Who deletes a source waits for a version that is just being derived from it, and then sees it."""
        source, late = item(0), derived(1, item(0))
        await stores[0].save(profile(fields=holding(source)))
        async with connected(postgres_database) as other, connected(postgres_database) as watcher:
            # In nobody's view, but in the way of the version in the unique index.
            held = other.transaction()
            await held.start()
            await other.execute(
                f"INSERT INTO {SCHEMA}.profile_fields (tenant_id, profile_id, id, field_name, field_value)"
                " VALUES ($1, $2, $3, $4, 'null')",
                *(OURS, PROFILE, field_id(2), late.name),
            )
            writing = asyncio.create_task(stores[0].update_field(OURS, PROFILE, late))
            await waiting(watcher, 1)
            deleting = asyncio.create_task(stores[1].delete_field(OURS, PROFILE, source.id, on_dependents=choice))
            await waiting(watcher, 2)
            await held.rollback()

            written, deleted = await outcomes([writing, deleting])

        assert written == late.id
        found = await stores[0].get_field(OURS, PROFILE, late.name, status=None)
        assert found is not None
        if choice is OnDependents.REFUSE:
            assert (deleted.code, found.status) == ("has_dependents", ItemStatus.ACTIVE)
        else:
            assert (deleted, found.status) == (True, ItemStatus.ORPHANED)

    async def test_assets_of_one_name(self, stores: Sequence[PostgresProfileStore]) -> None:
        """Assets that supersede those of their name at the same time leave one active."""
        await stores[0].save(profile())
        for turn in range(10):
            found = await outcomes(
                [
                    stores[n % 2].add_asset(OURS, PROFILE, asset(n, expires_at=FAR), supersede_existing=True)
                    for n in range(20 * turn, 20 * (turn + 1))
                ]
            )

            assert not [one for one in found if isinstance(one, FocalError)]
            whole = await stores[0].get_by_id(OURS, PROFILE, include_history=True)
            assert whole is not None
            assert (len(whole.assets), len(whole.asset_history)) == (1, 20 * (turn + 1) - 1)
