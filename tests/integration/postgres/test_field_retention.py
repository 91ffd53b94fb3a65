"""``retention_days`` is reckoned by the server, to the same moments as in Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.postgres.support import empty, open_database

from focal_core.context import BackendContext
from focal_postgres.profile import PostgresProfileStore
from focal_testkit.data.profile import PROFILE, definition, item, profile
from focal_testkit.scenarios import OURS

pytestmark = pytest.mark.asyncio

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
LONG = timedelta(days=3_000_000)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
@pytest.mark.parametrize(
    ("collected_at", "days", "expires_at"),
    [
        (datetime(2024, 3, 30, 12, tzinfo=UTC), 1, datetime(2024, 3, 31, 12, tzinfo=UTC)),
        (FIRST, LONG.days, FIRST + LONG),
        (LAST - LONG, LONG.days, LAST),
        (LAST - LONG + timedelta(microseconds=1), LONG.days, None),
        (LAST, 1, None),
        (datetime(2024, 3, 30, 12, tzinfo=UTC), 2**62, None),
    ],
    ids=["over_summer_time", "from_the_first_moment", "to_the_last_moment", "beyond_it", "after_it", "huge"],
)
async def test_retention(
    postgres_database: str, zone: str, collected_at: datetime, days: int, expires_at: datetime | None
) -> None:
    """A day of retention is 24 hours whatever the session's time zone makes of it; beyond the end of time is never.

    The same version again is the same: the moment is that of the shared rule in Python.
    """
    await empty(postgres_database)
    context = BackendContext()
    async with open_database(postgres_database, context, pool_size=1) as database:
        store = PostgresProfileStore(database, context)
        await database.fetch("test", f"SELECT set_config('TimeZone', '{zone}', false)")
        known = definition(retention_days=days)
        await store.save_field_definition(known)
        await store.save(profile())
        for _ in range(2):
            await store.update_field(OURS, PROFILE, item(0, collected_at=collected_at, field_definition_id=known.id))

        found = await store.get_field(OURS, PROFILE, "email", status=None)

        assert found is not None
        assert found.expires_at == expires_at
