"""The server is killed under writers, at each level of durability: what health declares of it is what it keeps.

``FOCAL_CRASH_SECONDS=30`` kills for so long at each level; by default a few times.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from tests.integration.redis.support import open_client

from focal_core.context import BackendContext
from focal_core.conversation.models import Session
from focal_core.errors import OutcomeUnknownError
from focal_core.ids import uuid7
from focal_redis import frame
from focal_redis.backend import RedisBackend
from focal_redis.conversation import RedisSessionStore
from focal_redis.keys import Keys, agent_index
from focal_redis.settings import RedisOptions
from focal_testkit.data.audit import AGENT
from focal_testkit.data.conversation import placed
from focal_testkit.faults.crash import CrashReport, Found, crash_run
from focal_testkit.faults.outcomes import Outcome, outcome_of
from focal_testkit.servers.redis import DURABLE, LocalRedis
from focal_testkit.servers.redis_fixtures import StartRedis

pytestmark = pytest.mark.asyncio
LOGGER = logging.getLogger("focal_testkit.faults")
SECONDS = float(os.environ.get("FOCAL_CRASH_SECONDS", "2"))
PREFIX = "focal"
WRITERS = 16
ACKNOWLEDGED = 500
"""Writes at least before each kill."""
DELAY = 3.0
"""Seconds: the two that Redis documents, and one for a machine that is busy."""
LEVELS = {
    "always": {**DURABLE, "appendfsync": "always"},
    "everysec": {**DURABLE, "appendfsync": "everysec"},
    "cache": {**DURABLE, "appendonly": "no"},
}


class Writes:
    """Numbered saves: each begins a session, and counts once in it; the second save is the write."""

    def __init__(self, store: RedisSessionStore) -> None:
        self.store = store
        self.tenant = uuid7()
        self.sessions: dict[int, Session] = {}
        self.numbers: dict[UUID, int] = {}
        self.acknowledged: dict[int, float] = {}

    async def write(self, number: int) -> None:
        """Make a write, or make it again."""
        if number not in self.sessions:
            session = placed(0, self.tenant, session_id=uuid7())
            self.numbers[session.session_id] = number
            try:
                self.sessions[number] = await self.store.save(session)
            except OutcomeUnknownError as error:
                # Of the write itself nothing is there, and a beginning is not to be repeated blindly.
                raise _NotBegunError from error
            self.sessions[number].turn_count += 1
        await self.store.save(self.sessions[number])
        self.acknowledged[number] = time.monotonic()

    async def found(self, server: LocalRedis, prefix: str) -> dict[int, Found]:
        """Return what is stored, read past every store: both tiers and the index of each session."""
        return await asyncio.to_thread(self._found, server, Keys(prefix))

    def _found(self, server: LocalRedis, keys: Keys) -> dict[int, Found]:
        found: dict[int, Found] = {}
        with server.client() as redis:
            ids = list(self.numbers)
            own = [keys.session(self.tenant, id) for id in ids]
            if not own:
                return {}
            command: Any = redis.execute_command
            persist = command("MGET", *(one.persist for one in own))
            hot = command("MGET", *(one.hot for one in own))
            known = {
                str(member[0], "ascii") if isinstance(member, tuple) else str(member, "ascii")
                for member in command("ZRANGE", agent_index(own[0].base, AGENT), 0, -1)
            }
        for id, lasting, copy in zip(ids, persist, hot, strict=True):
            if lasting is None:
                if copy is not None or str(id) in known:
                    found[self.numbers[id]] = Found.HALF
                continue
            head = frame.head_of(lasting)
            if copy != lasting or str(id) not in known:
                found[self.numbers[id]] = Found.HALF
            elif head.version > 1:
                counted = b'"turn_count":1,' in lasting
                found[self.numbers[id]] = Found.WHOLE if head.version == 2 and counted else Found.TWICE
        return found


class _NotBegunError(Exception):
    """A session in doubt before its write was made."""


def _outcome(error: BaseException) -> Outcome:
    return Outcome.REFUSED if isinstance(error, _NotBegunError) else outcome_of(error)


@asynccontextmanager
async def opened(server: LocalRedis, prefix: str) -> AsyncIterator[RedisSessionStore]:
    """Yield a store as an application has it, but for its patience."""
    async with open_client(server.url, BackendContext(), key_prefix=prefix, pool_size=8, deadline=5.0) as client:
        yield RedisSessionStore(client, client.context)


class Timed:
    """A server whose kills are remembered.

    Attributes:
        kills: when, by the monotonic clock.
    """

    def __init__(self, server: LocalRedis) -> None:
        self.server = server
        self.kills: list[float] = []

    def kill(self) -> None:
        """Kill it."""
        self.kills.append(time.monotonic())
        self.server.kill()

    def restart(self) -> None:
        """Start it again."""
        self.server.start()

    def just_before(self, moment: float) -> bool:
        """Return whether a moment was so shortly before a kill that everysec may have lost what happened then."""
        return any(moment - 0.1 <= kill <= moment + DELAY for kill in self.kills)


async def killed_under(server: Timed, writes: Writes, kills: int, seed: int, *, repeat: bool) -> CrashReport:
    """Kill the server under writers and return what was told and what was found."""

    async def found() -> Mapping[int, Found]:
        return await writes.found(server.server, PREFIX)

    return await crash_run(
        server,
        writes.write,
        found,
        writers=WRITERS,
        kills=kills,
        acknowledgements_per_kill=ACKNOWLEDGED,
        seed=seed,
        repeat=repeat,
        outcome=_outcome,
    )


async def declared(server: LocalRedis) -> str:
    """Return the level of durability that health reports."""
    backend = RedisBackend(RedisOptions(url=SecretStr(server.url)), BackendContext())
    await backend.open()
    try:
        return str((await backend.health()).checks["durability"].detail)
    finally:
        await backend.close()


@pytest.mark.parametrize("level", ["always", "everysec"])
async def test_what_was_acknowledged_survives_kill_9(start_redis: StartRedis, level: str) -> None:
    """P9 and P4: saves under SIGKILL with the append-only file on: none half, none twice, the level declared.

    ``always`` loses none. ``everysec`` loses none while the disk keeps up, and otherwise what was acknowledged within
    two seconds: as long as it is still writing what came before, Redis answers before it writes.
    """
    server, began, seed, told, lost = start_redis(LEVELS[level]), time.monotonic(), 0, [0, 0, 0, 0], 0
    assert (await declared(server)).startswith(level)
    timed = Timed(server)
    async with opened(server, PREFIX) as store:
        while seed == 0 or time.monotonic() - began < SECONDS:
            writes = Writes(store)
            report = await killed_under(timed, writes, 2, seed, repeat=level == "always")
            if level == "always":
                report.assert_kept()
            assert [*report.halves, *report.doubles, *report.betrayed] == [], report
            assert all(timed.just_before(writes.acknowledged[number]) for number in report.lost), report
            lost += len(report.lost)
            counts = [len(report.recovery_seconds), *(len(report.numbers(one)) for one in Outcome)]
            told = [sum(pair) for pair in zip(told, counts, strict=True)]
            seed += 1
    figures = "{} kills, {} acknowledged, {} refused, {} in doubt".format(*told)
    LOGGER.info("%s: %s in %.0f s; %d lost, 0 halves", level, figures, time.monotonic() - began, lost)


async def test_control_without_the_append_only_file_everything_is_lost(start_redis: StartRedis) -> None:
    """Control of P9: at the level ``cache``, which health declares, the harness finds the acknowledged saves gone."""
    server = start_redis(LEVELS["cache"])
    assert (await declared(server)).startswith("cache")
    async with opened(server, PREFIX) as store:
        report = await killed_under(Timed(server), Writes(store), 1, 0, repeat=False)
    assert len(report.lost) >= ACKNOWLEDGED - 1, report
