"""A replay of real conversations on real servers stores exactly what it stores in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from focal_core.app import Focal
from focal_core.audit.models import TurnRecord
from focal_core.demo.agent_file import read_agent_file
from focal_core.demo.conversations import ConversationFile
from focal_core.demo.replay import ReplayOptions, replay

ROOT = Path(__file__).resolve().parents[2]
SGD = ROOT.parent / "shared" / "data" / "sgd"
TENANT = UUID("018f0000-0000-7000-8000-0000000000a1")
CONVERSATIONS = int(os.environ.get("FOCAL_REPLAY_CONVERSATIONS", "120"))
"""How many conversations are replayed; the whole set has 2,098."""
UNLIKE = {"recorded_at", "created_at", "timestamp", "latency_ms"}
"""What differs between two runs of anything."""


async def pages(fetch: Callable[[str | None], Any]) -> AsyncIterator[Any]:
    after = None
    while True:
        page = await fetch(after)
        for row in page:
            yield row
        after = page.next_cursor
        if after is None:
            return


def told(turn: TurnRecord) -> dict[str, Any]:
    return turn.model_dump(mode="json", exclude=UNLIKE)


async def stored(settings: dict[str, Any], folder: Path, lines: Iterable[Any]) -> tuple[Any, ...]:
    """Return what a replay reported, and what is in the stores afterwards."""
    async with Focal.open({"providers": {"embedding": "hashing"}, **settings}) as focal:
        agent = read_agent_file(folder / "agent.toml", TENANT)
        report = (await replay(focal, agent, lines, ReplayOptions(concurrency=16))).as_dict()
        speed = report["turns_per_second"]
        for timed in ("seconds", "turns_per_second", "stores"):
            del report[timed]
        ours = focal.tenant(TENANT)
        turns = [
            told(turn) async for turn in pages(lambda after: ours.audit.list_turns_by_tenant(limit=1000, after=after))
        ]
        profiles = [
            {name: field.value for name, field in profile.fields.items()}
            async for profile in pages(lambda after: ours.profiles.list_profiles(limit=1000, after=after))
        ]
        print(f"{settings['stores']}: {speed} turns a second")
        return report, sorted(turns, key=str), sorted(profiles, key=str)


def on_postgres(postgres: str, redis: str, prefix: str) -> dict[str, Any]:
    """Everything on PostgreSQL."""
    return {"stores": {"default": "main"}, "backends": {"main": {"use": "postgres", "url": postgres}}}


def sessions_on_redis(postgres: str, redis: str, prefix: str) -> dict[str, Any]:
    """Sessions on Redis alone, the rest on PostgreSQL, profiles behind the cache."""
    settings = on_postgres(postgres, redis, prefix)
    settings["stores"]["sessions"] = "fast"
    settings["backends"]["fast"] = {"use": "redis", "url": redis, "key_prefix": prefix}
    settings["profile"] = {"cache_enabled": True}
    return settings


def sessions_in_two_tiers(postgres: str, redis: str, prefix: str) -> dict[str, Any]:
    """Sessions on Redis before PostgreSQL, the rest on PostgreSQL."""
    settings = on_postgres(postgres, redis, prefix)
    settings["session"] = {"hot_tier": "fast"}
    settings["backends"]["fast"] = {"use": "redis", "url": redis, "key_prefix": prefix}
    return settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SGD dev set as agent and conversations."""
    out = tmp_path_factory.mktemp("sgd")
    command = [sys.executable, ROOT / "examples" / "convert_sgd.py", SGD / "dev_dialogues.jsonl.gz"]
    subprocess.run([*command, "--schema", SGD / "dev_schema.json", "--out", out], check=True, capture_output=True)
    return out


@pytest.mark.skipif(not SGD.is_dir(), reason="the data sets are not beside the project (../shared/data)")
@pytest.mark.parametrize("backends", [on_postgres, sessions_on_redis, sessions_in_two_tiers])
@pytest.mark.asyncio
async def test_replay_stores_what_it_stores_in_memory(
    backends: Callable[[str, str, str], dict[str, Any]],
    postgres_database: str,
    redis_server: Any,
    redis_prefix: str,
    folder: Path,
) -> None:
    """Same counts, same matched rules, same fields, same turns, in every conversation."""

    def lines() -> Iterable[Any]:
        return islice(ConversationFile(folder / "conversations.jsonl"), CONVERSATIONS)

    expected = await stored({"stores": {"default": "inmemory"}}, folder, lines())
    found = await stored(backends(postgres_database, redis_server.url, redis_prefix), folder, lines())

    assert expected[0]["sessions"] == min(CONVERSATIONS, 2098)
    assert expected[0]["rules_matched"] > 0
    for before, after in zip(expected, found, strict=True):
        assert after == before
