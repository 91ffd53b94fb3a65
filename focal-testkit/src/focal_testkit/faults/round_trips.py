"""How often an operation waits for the network: a performance test that gives the same number on any machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from focal_testkit.faults.proxy import FaultProxy


@dataclass(frozen=True, slots=True)
class AtMost:
    """A budget that may be undercut: equal to every number from 0 to `limit`."""

    limit: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and 0 <= other <= self.limit

    def __hash__(self) -> int:
        return hash(self.limit)


async def round_trips(
    proxy: FaultProxy, operations: Mapping[str, Callable[[], Awaitable[object]]], *, warm: int = 2, runs: int = 20
) -> dict[str, int]:
    """Return for each operation the most round trips that one call of it took.

    What is measured must have one connection, which leads through the proxy, TLS off and no background tasks.
    Compare with a table of budgets; a lower number is a reason to lower the budget:

        assert await round_trips(proxy, {"get": get, "merge": merge}) == {"get": 1, "merge": AtMost(8)}

    Args:
        proxy: before the server.
        operations: by name, each making one call with whatever new arguments it needs.
        warm: calls made first and not counted.
        runs: calls counted.

    Raises:
        AssertionError: a counted call opened a connection, whose login would be counted too.
    """
    most: dict[str, int] = {}
    for name, operation in operations.items():
        for _ in range(warm):
            await operation()
        await _settled(proxy)
        connections = proxy.counters.connections
        counts: list[int] = []
        for _ in range(runs):
            before = proxy.counters.round_trips
            await operation()
            await _settled(proxy)
            counts.append(proxy.counters.round_trips - before)
        opened = proxy.counters.connections - connections
        assert not opened, f"{name} opened {opened} connections while it was counted"
        proxy.journal.note("round trips", f"{name}: {counts}")
        most[name] = max(counts)
    return most


async def _settled(proxy: FaultProxy, quiet_passes: int = 10) -> None:
    """Wait until what a call sent without waiting for an answer has reached the proxy."""
    quiet, seen = 0, (-1, -1)
    while quiet < quiet_passes:
        await asyncio.sleep(0)
        now = (proxy.counters.bytes_up, proxy.counters.bytes_down)
        quiet, seen = (quiet + 1, seen) if now == seen else (0, now)
