"""What a look at a Redis server tells: version, role, persistence, eviction, memory, connections."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from redis.exceptions import ResponseError

from focal_core.errors import FocalError
from focal_core.health import CheckResult
from focal_redis.client import RedisClient
from focal_redis.connection import pack
from focal_redis.endpoint import Endpoint

OLDEST_REDIS = (6, 2)
"""The first with GETEX."""

_INFO = pack("INFO", "everything")
_EVICTING_IS_LOSS = "eviction loses sessions that were acknowledged; set maxmemory-policy noeviction"


async def look(client: RedisClient, embedded: str = "") -> dict[str, CheckResult]:
    """Return what was seen, by name; one command to each server that is written to.

    Args:
        client: an open client.
        embedded: where the embedded server lives, as it is shown; empty for any other.

    Raises:
        StoreUnavailableError: a server did not answer.
    """
    started = perf_counter()
    seen = [await _info(endpoint) for endpoint in client.endpoints]
    latency = (perf_counter() - started) * 1000
    one = seen[0]
    versions = sorted({info.get("redis_version", "?") for info in seen})
    levels = sorted({durability(info) for info in seen})
    policies = sorted({info.get("maxmemory_policy", "unknown") for info in seen})
    members = f", {len(seen)} primaries" if len(seen) > 1 else ""
    return {
        "connection": CheckResult(
            ok=all(info.get("role", "master") == "master" for info in seen),
            detail=f"{one.get('server_name', 'redis').capitalize()} {', '.join(versions)}{members}{embedded}",
            latency_ms=latency,
        ),
        "version": CheckResult(
            ok=all(_version(info.get("redis_version", "0")) >= OLDEST_REDIS for info in seen),
            detail=f"{', '.join(versions)}; needs {'.'.join(map(str, OLDEST_REDIS))}",
        ),
        # What cannot be seen is not called good.
        "eviction": CheckResult(
            ok=policies == ["noeviction"],
            detail=", ".join(policies) + ("" if policies == ["noeviction"] else f": {_EVICTING_IS_LOSS}"),
        ),
        "durability": CheckResult(ok=True, detail=", ".join(levels)),
        "memory": CheckResult(ok=True, detail=", ".join(info.get("used_memory_human", "?") for info in seen)),
        "pool": CheckResult(ok=True, detail=", ".join(f"{count} {name}" for name, count in client.counts.items())),
    }


def durability(info: dict[str, str]) -> str:
    """Return what a crash may cost, from the answer to INFO and CONFIG.

    Args:
        info: names and values, with ``appendfsync`` where CONFIG is allowed.
    """
    if info.get("aof_enabled") != "1":
        return "cache (appendonly no): a crash may lose everything since the last snapshot"
    fsync = info.get("appendfsync")
    if fsync == "always":
        return "always: a crash loses nothing that was acknowledged"
    if fsync == "everysec":
        # Redis answers before it writes while the disk is busy with what came before, so a crash can lose that too.
        return "everysec: a power cut, or a crash while the disk is slow, may lose two seconds of acknowledged writes"
    return f"appendonly yes, appendfsync {fsync or 'unknown'}"


async def _info(endpoint: Endpoint) -> dict[str, str]:
    answer = await endpoint.submit(_INFO, writes=False)
    if isinstance(answer, ResponseError):
        answer = await endpoint.submit(pack("INFO"), writes=False)
    found: dict[str, str] = {}
    if isinstance(answer, bytes):
        lines = answer.decode(errors="replace").splitlines()
        found = dict(line.split(":", 1) for line in lines if ":" in line)
    found.update(await _config(endpoint))
    return found


async def _config(endpoint: Endpoint) -> dict[str, str]:
    """Return settings, where the server lets us see them; managed ones often do not."""
    try:
        answer: Any = await endpoint.submit(pack("CONFIG", "GET", "append*"), writes=False)
    except FocalError:
        return {}
    if isinstance(answer, ResponseError):
        return {}
    texts = [part.decode(errors="replace") for part in answer]
    return dict(zip(texts[::2], texts[1::2], strict=False))


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())
