"""The server is killed under writers: what was acknowledged is there, what was in doubt is whole or absent.

``FOCAL_CRASH_SECONDS=30`` kills for so long; by default it takes about ten seconds.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from tests.integration.postgres.support import SCHEMA, migrate, open_database

from focal_core.context import BackendContext
from focal_core.ids import uuid7
from focal_core.profile.models import CustomerProfile, MergePolicy
from focal_postgres.audit import PostgresAuditStore
from focal_postgres.conversation import PostgresSessionStore
from focal_postgres.database import Database
from focal_postgres.profile import PostgresProfileStore
from focal_testkit.data.audit import turn
from focal_testkit.data.conversation import placed
from focal_testkit.data.profile import holding, identity, item, profile
from focal_testkit.faults.crash import CrashReport, Found, crash_run
from focal_testkit.faults.outcomes import Outcome
from focal_testkit.servers.postgres import EmbeddedPostgres, connected

pytestmark = pytest.mark.asyncio
LOGGER = logging.getLogger("focal_testkit.faults")
SECONDS = float(os.environ.get("FOCAL_CRASH_SECONDS", "6"))
WRITERS = 16
ACKNOWLEDGED = 300
"""Writes at least before each kill."""
FIELDS = 3


class Writes:
    """Numbered writes of four kinds; a number that is written again is the same call with the same object."""

    def __init__(self, database: Database, kinds: tuple[str, ...] = ("session", "turn", "field", "merge")) -> None:
        self.sessions = PostgresSessionStore(database)
        self.audit = PostgresAuditStore(database)
        self.profiles = PostgresProfileStore(database)
        self.tenant = uuid7()
        self.kinds = kinds
        self.shared = [profile(tenant=self.tenant, id=uuid7(), customer_id=uuid7()) for _ in range(4)]
        self.objects: dict[int, Any] = {}
        self.pairs: dict[int, list[CustomerProfile]] = {}
        self.numbers: dict[UUID, int] = {}

    async def prepare(self) -> None:
        """Store what the writes need."""
        for one in self.shared:
            await self.profiles.save(one)

    async def write(self, number: int) -> None:
        """Make a write, or make it again."""
        writes: Mapping[str, Callable[[int], Awaitable[None]]] = {
            "session": self._session,
            "turn": self._turn,
            "field": self._field,
            "merge": self._merge,
        }
        await writes[self.kinds[number % len(self.kinds)]](number)

    async def _session(self, number: int) -> None:
        """Begin a session, then count in it: the second save is the write."""
        if number not in self.objects:
            session = placed(0, self.tenant, session_id=uuid7())
            self.numbers[session.session_id] = number
            self.objects[number] = await self.sessions.save(session)
            self.objects[number].turn_count += 1
        await self.sessions.save(self.objects[number])

    async def _turn(self, number: int) -> None:
        if number not in self.objects:
            self.objects[number] = turn(number, self.tenant, id=uuid7(), session_id=uuid7())
            self.numbers[self.objects[number].id] = number
        await self.audit.save_turn(self.objects[number])

    async def _field(self, number: int) -> None:
        """Replace the active version of one of a few fields that all writers share."""
        if number not in self.objects:
            self.objects[number] = item(0, f"field_{number % 3}", id=uuid7(), value=str(number))
            self.numbers[self.objects[number].id] = number
        owner = self.shared[number % len(self.shared)].id
        await self.profiles.update_field(self.tenant, owner, self.objects[number])

    async def _merge(self, number: int) -> None:
        """Store two profiles, each with fields and an account, and merge them: the merge is the write."""
        if number not in self.objects:
            pair = self.pairs.setdefault(number, [self._mergeable(number, at) for at in range(2)])
            for one in pair:
                await self.profiles.save(one)
            self.objects[number] = tuple(one.id for one in pair)
        source, target = self.objects[number]
        await self.profiles.merge_profiles(
            self.tenant, source_profile_id=source, target_profile_id=target, policy=MergePolicy.BEST
        )

    def _mergeable(self, number: int, at: int) -> CustomerProfile:
        names = ["both", *(f"own_{at}_{n}" for n in range(FIELDS - 1))]
        return profile(
            tenant=self.tenant,
            id=uuid7(),
            customer_id=uuid7(),
            channel_identities=[identity(0, id=uuid7(), channel_user_id=f"{number} {at}")],
            fields=holding(*(item(0, name, id=uuid7()) for name in names)),
        )

    async def found(self, url: str) -> dict[int, Found]:
        """Return what is stored, read past every store."""
        async with connected(url) as connection:
            sessions, turns, fields, merges, active = [
                await connection.fetch(sql, self.tenant)
                for sql in (
                    f"SELECT session_id, version, (document->>'turn_count')::int AS count FROM {SCHEMA}.sessions"
                    " WHERE tenant_id = $1",
                    f"SELECT id, count(*) FROM {SCHEMA}.turn_records WHERE tenant_id = $1 GROUP BY id",
                    f"SELECT id, count(*) FROM {SCHEMA}.profile_fields WHERE tenant_id = $1 GROUP BY id",
                    f"SELECT p.id, p.merged_into_id IS NOT NULL AS merged, p.deleted_at IS NOT NULL AS deleted,"
                    f" (SELECT count(*) FROM {SCHEMA}.profile_fields f WHERE f.tenant_id = $1 AND f.profile_id = p.id)"
                    f" AS fields, (SELECT count(*) FROM {SCHEMA}.channel_identities c WHERE c.tenant_id = $1"
                    f" AND c.profile_id = p.id) AS accounts, (SELECT count(*) FROM {SCHEMA}.profile_fields f"
                    " WHERE f.tenant_id = $1 AND f.profile_id = p.id AND f.status = 'active') AS active"
                    f" FROM {SCHEMA}.customer_profiles p WHERE p.tenant_id = $1",
                    f"SELECT profile_id, field_name FROM {SCHEMA}.profile_fields WHERE tenant_id = $1"
                    " AND status = 'active' GROUP BY profile_id, field_name HAVING count(*) > 1",
                )
            ]
        assert not active, "two active versions of a field"
        found: dict[int, Found] = {}
        for row in sessions:
            if row["version"] > 1 and (number := self.numbers.get(row["session_id"])) is not None:
                found[number] = Found.WHOLE if (row["version"], row["count"]) == (2, 1) else Found.TWICE
        for row in (*turns, *fields):
            if (number := self.numbers.get(row["id"])) is not None:
                found[number] = Found.WHOLE if row["count"] == 1 else Found.TWICE
        profiles = {row["id"]: row for row in merges}
        for number, ids in self.objects.items():
            if isinstance(ids, tuple) and profiles.keys() >= set(ids):
                source, target = (profiles[id] for id in ids)
                state = tuple(source)[1:], tuple(target)[1:]
                if state == ((True, True, 0, 0, 0), (False, False, 2 * FIELDS, 2, 2 * FIELDS - 1)):
                    found[number] = Found.WHOLE
                elif state != ((False, False, FIELDS, 1, FIELDS),) * 2:
                    found[number] = Found.HALF
        return found


@pytest_asyncio.fixture
async def durable(private_postgres: EmbeddedPostgres) -> AsyncIterator[tuple[EmbeddedPostgres, str]]:
    """Yield a durable server of the test's own and the address of a migrated database on it."""
    url = await private_postgres.create_database()
    await migrate(url)
    yield private_postgres, url


async def killed_under(
    server: EmbeddedPostgres,
    url: str,
    database: Database,
    writes: Writes,
    kills: int,
    seed: int,
    *,
    repeat: bool = True,
) -> CrashReport:
    """Kill the server under writers and return what was told and what was found."""
    await writes.prepare()

    async def found() -> Mapping[int, Found]:
        return await writes.found(url)

    return await crash_run(
        server,
        writes.write,
        found,
        writers=WRITERS,
        kills=kills,
        acknowledgements_per_kill=ACKNOWLEDGED,
        seed=seed,
        repeat=repeat,
    )


async def test_what_was_acknowledged_survives_kill_9_and_nothing_is_half(
    durable: tuple[EmbeddedPostgres, str],
) -> None:
    """P1 and P3: sessions, turns, fields and merges under SIGKILL of the server, batching on."""
    server, url = durable
    began, seed, told = time.monotonic(), 0, [0, 0, 0, 0]
    async with open_database(url, BackendContext(), pool_size=8, deadline=5.0) as database:
        while seed == 0 or time.monotonic() - began < SECONDS:
            report = await killed_under(server, url, database, Writes(database), 2, seed)
            report.assert_kept()
            counts = [len(report.recovery_seconds), *(len(report.numbers(one)) for one in Outcome)]
            told = [sum(pair) for pair in zip(told, counts, strict=True)]
            seed += 1
    figures = "{} kills, {} acknowledged, {} refused, {} in doubt".format(*told)
    LOGGER.info("crash: %s in %.0f s; 0 lost, 0 halves", figures, time.monotonic() - began)


async def test_control_commits_that_do_not_wait_and_merges_without_a_transaction_are_reported(
    durable: tuple[EmbeddedPostgres, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control of P1 and P3: ``synchronous_commit = off`` loses acknowledged writes, and merges come in halves."""
    server, url = durable

    async def without(self: Database, method: str, work: Any, **_: Any) -> Any:
        return await self._run(self.primary, method, work, write=True)

    async with connected(url) as connection:
        await connection.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        await connection.execute("ALTER SYSTEM SET synchronous_commit = 'off'")
        await connection.execute("SELECT pg_reload_conf()")
    lost: list[int] = []
    halves: list[int] = []
    async with open_database(url, BackendContext(), pool_size=8, deadline=5.0) as database:
        monkeypatch.setattr(Database, "transaction", without)
        for seed in range(5):
            writes = Writes(database, ("turn", "merge", "merge"))
            report = await killed_under(server, url, database, writes, 1, seed, repeat=False)
            lost += report.lost
            halves += report.halves
            if lost and halves:
                break
    assert lost, "no acknowledged write was lost"
    assert halves, "no merge came in halves"
