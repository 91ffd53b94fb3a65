"""Names of what is measured about profiles, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

CACHE_HITS = "profile_cache_hits_total"
CACHE_MISSES = "profile_cache_misses_total"
"""Label ``kind``: profile, field_definitions, scenario_requirements."""
CACHE_INVALIDATIONS = "profile_cache_invalidations_total"
"""Label ``reason``: the method that wrote."""
CACHE_ERRORS = "profile_cache_errors_total"
"""Label ``step``: what the cache could not do."""


class MetricsSink(Protocol):
    """Who is told what happened, once each time."""

    def increment(self, name: str, labels: Mapping[str, str]) -> None:
        """Count one event; must not block or raise."""
        ...


class Counters:
    """Counts events in the process, and hands each on.

    Args:
        sink: who is told as well.

    Attributes:
        counts: name with its labels, as ``profile_cache_misses_total{kind="profile"}`` -> how often.
    """

    def __init__(self, sink: MetricsSink | None = None) -> None:
        self._sink = sink
        self.counts: dict[str, int] = {}

    def increment(self, name: str, **labels: str) -> None:
        """Count one event."""
        text = ",".join(f'{label}="{value}"' for label, value in labels.items())
        key = f"{name}{{{text}}}" if text else name
        self.counts[key] = self.counts.get(key, 0) + 1
        if self._sink is not None:
            self._sink.increment(name, labels)

    def total(self, name: str) -> int:
        """Return how often an event was counted, over all labels."""
        return sum(count for key, count in self.counts.items() if key.partition("{")[0] == name)
