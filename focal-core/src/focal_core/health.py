"""Health reports: one per backend, one over all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Literal

from focal_core.base import FocalModel


class CheckResult(FocalModel):
    """One thing that was looked at.

    Attributes:
        ok: whether it is as it should be.
        detail: what was seen, in one sentence; no secret.
        latency_ms: how long the look took.
    """

    ok: bool
    detail: str | None = None
    latency_ms: float | None = None


class HealthReport(FocalModel):
    """What a backend says of itself.

    Attributes:
        status: ``ok``, ``degraded`` (works, but see the checks) or ``down``.
        checks: what was looked at, by name.
        latency_ms: how long the whole report took.
        backend: name of the backend.
    """

    status: Literal["ok", "degraded", "down"]
    checks: dict[str, CheckResult] = {}
    latency_ms: float
    backend: str

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return self.model_dump(mode="json")


def combined(
    reports: Mapping[str, HealthReport],
    checks: Mapping[str, CheckResult],
    latency_ms: float,
    dispensable: Collection[str] = (),
) -> HealthReport:
    """Return one report over all: ``down`` when any backend is, else ``degraded`` when anything is not as it should be.

    Args:
        reports: of each backend, by configured name; its checks appear as ``<name>.<check>``.
        checks: further checks, by name.
        latency_ms: how long the whole took.
        dispensable: the backends without which everything is served all the same, if more slowly.
    """
    every = dict(checks)
    for name, report in reports.items():
        every[name] = CheckResult(ok=report.status == "ok", detail=report.status, latency_ms=report.latency_ms)
        every.update({f"{name}.{check}": result for check, result in report.checks.items()})
    status: Literal["ok", "degraded", "down"] = "ok" if all(one.ok for one in every.values()) else "degraded"
    if any(report.status == "down" for name, report in reports.items() if name not in dispensable):
        status = "down"
    return HealthReport(status=status, checks=every, latency_ms=latency_ms, backend="focal")
