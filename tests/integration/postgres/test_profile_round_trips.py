"""How often the methods of the profile store wait for the network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from tests.integration.postgres.support import empty, open_database

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.conversation.models import Channel
from focal_core.ids import uuid7
from focal_core.profile.models import CustomerProfile, VerificationLevel
from focal_postgres.profile import PostgresProfileStore
from focal_testkit.data.profile import (
    PROFILE,
    USER,
    asset,
    consent,
    definition,
    derived,
    holding,
    identity,
    item,
    needs,
    profile,
    profile_id,
)
from focal_testkit.faults.postgres import PostgresFraming
from focal_testkit.faults.proxy import FaultProxy
from focal_testkit.faults.round_trips import round_trips
from focal_testkit.scenarios import OURS

CALLS = 22
"""What ``round_trips`` makes of each operation, warm ones included."""


@pytest_asyncio.fixture
async def proxy(postgres_database: str) -> AsyncIterator[FaultProxy]:
    """Yield a proxy before an empty database."""
    await empty(postgres_database)
    address = urlsplit(postgres_database)
    async with FaultProxy(address.hostname or "", address.port, framing=PostgresFraming) as opened:
        yield opened


@pytest_asyncio.fixture
async def store(proxy: FaultProxy, postgres_database: str) -> AsyncIterator[PostgresProfileStore]:
    """Yield a store of one connection that leads through the proxy."""
    context = BackendContext(clock=ManualClock())
    async with open_database(proxy.url(postgres_database), context, pool_size=1) as database:
        yield PostgresProfileStore(database, context)


def whole(number: int, size: int = 3) -> CustomerProfile:
    """Return a profile with so many items of each kind, all of them new."""
    return profile(
        number,
        channel_identities=[identity(id=uuid7(), channel_user_id=f"{number} {uuid7()}") for _ in range(size)],
        fields=holding(*(item(n, f"name_{n}", id=uuid7()) for n in range(size))),
        assets=[asset(id=uuid7()) for _ in range(size)],
        consents=[consent(id=uuid7()) for _ in range(size)],
    )


@pytest.mark.asyncio
async def test_reads(store: PostgresProfileStore, proxy: FaultProxy) -> None:
    """Every read is one round trip, whole profiles with their histories included."""
    first, document, account = item(0, "name_0"), asset(0), identity(0)
    await store.save(profile(0, channel_identities=[account], fields=holding(first), assets=[document]))
    await store.save_scenario_requirement(needs())
    await store.save_field_definition(definition())
    found = await store.get_by_id(OURS, PROFILE)
    assert found is not None
    known, need = definition(), needs()

    operations = {
        "get_by_id": lambda: store.get_by_id(OURS, PROFILE),
        "with history": lambda: store.get_by_id(OURS, PROFILE, include_history=True),
        "get_by_customer_id": lambda: store.get_by_customer_id(OURS, found.customer_id),
        "get_by_channel_identity": lambda: store.get_by_channel_identity(OURS, account.channel, f"{USER}0"),
        "get_by_external_id": lambda: store.get_by_external_id(OURS, "nobody's"),
        "get_or_create: hit": lambda: store.get_or_create(OURS, account.channel, f"{USER}0"),
        "list_profiles": lambda: store.list_profiles(OURS),
        "get_field": lambda: store.get_field(OURS, PROFILE, "name_0"),
        "get_field_history": lambda: store.get_field_history(OURS, PROFILE, "name_0"),
        "count_fields_by_status": lambda: store.count_fields_by_status(OURS),
        "get_asset": lambda: store.get_asset(OURS, PROFILE, document.id),
        "get_asset_by_name": lambda: store.get_asset_by_name(OURS, PROFILE, "passport"),
        "get_derivation_chain": lambda: store.get_derivation_chain(OURS, first.id, "profile_field"),
        "get_derived_items": lambda: store.get_derived_items(OURS, first.id),
        "check_has_dependents": lambda: store.check_has_dependents(OURS, first.id),
        "get_field_definitions": lambda: store.get_field_definitions(OURS, known.agent_id),
        "get_field_definition": lambda: store.get_field_definition(OURS, known.agent_id, known.name),
        "get_scenario_requirements": lambda: store.get_scenario_requirements(OURS, need.scenario_id),
        "get_missing_fields": lambda: store.get_missing_fields(OURS, found, need.scenario_id),
    }

    assert await round_trips(proxy, operations) == dict.fromkeys(operations, 1)


@pytest.mark.asyncio
async def test_writes(store: PostgresProfileStore, proxy: FaultProxy) -> None:
    """A write of one row, and what else one statement can do, is one round trip; a new profile is two."""
    doomed = [await store.save(whole(number)) for number in range(100, 100 + CALLS)]
    source = item(0, "name_0")
    await store.save(profile(0, channel_identities=[identity(0)], fields=holding(source)))
    for n in range(CALLS):
        await store.link_channel(OURS, PROFILE, identity(2000 + n, channel=Channel.EMAIL))
    numbers, gone, unlinked, levels = count(1000), iter(doomed), count(2000), count()

    operations = {
        "save": lambda: store.save(profile(next(numbers))),
        "delete": lambda: store.delete(OURS, next(gone)),
        "get_or_create: creation": lambda: store.get_or_create(OURS, Channel.EMAIL, f"new {next(numbers)}"),
        "link_channel": lambda: store.link_channel(OURS, PROFILE, identity(next(numbers))),
        "link_channel: again": lambda: store.link_channel(OURS, PROFILE, identity(0)),
        "unlink_channel": lambda: store.unlink_channel(OURS, PROFILE, Channel.EMAIL, f"{USER}{next(unlinked)}"),
        "record_consent": lambda: store.record_consent(OURS, PROFILE, consent(next(numbers))),
        "set_verification_level": lambda: store.set_verification_level(
            OURS, PROFILE, list(VerificationLevel)[next(levels) % 2]
        ),
        "update_field": lambda: store.update_field(OURS, PROFILE, item(next(numbers))),
        "update_field: derived": lambda: store.update_field(OURS, PROFILE, derived(next(numbers), source)),
        "add_asset": lambda: store.add_asset(OURS, PROFILE, asset(next(numbers))),
        "expire_stale_fields": lambda: store.expire_stale_fields(OURS, PROFILE),
        "mark_orphaned_items": lambda: store.mark_orphaned_items(OURS, PROFILE),
        "save_field_definition": lambda: store.save_field_definition(definition()),
        "save_scenario_requirement": lambda: store.save_scenario_requirement(needs()),
    }

    found = await round_trips(proxy, operations)

    assert found == {**dict.fromkeys(operations, 1), "get_or_create: creation": 2}


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [2, 50])
async def test_whole_profiles(store: PostgresProfileStore, proxy: FaultProxy, size: int) -> None:
    """Merging, erasing and saving with parts take as many round trips for many rows as for few."""
    for number in range(4 * CALLS):
        await store.save(whole(number, size))
    merged, erased, saved = count(0, 2), count(2 * CALLS), count(3 * CALLS)

    async def merge() -> None:
        number = next(merged)
        await store.merge_profiles(OURS, source_profile_id=profile_id(number), target_profile_id=profile_id(number + 1))

    operations = {
        "merge_profiles": merge,
        "erase_profile": lambda: store.erase_profile(OURS, profile_id(next(erased))),
        "save": lambda: store.save(whole(next(saved), size)),
    }

    assert await round_trips(proxy, operations) == {"merge_profiles": 7, "erase_profile": 6, "save": 9}
