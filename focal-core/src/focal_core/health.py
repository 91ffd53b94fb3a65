"""Health reports: one per backend, one over all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from time import perf_counter
from typing import Any, Literal

from focal_core.base import FocalModel
from focal_core.errors import FocalError


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


async def examined(backend: str, look: Callable[[], Awaitable[dict[str, CheckResult]]]) -> HealthReport:
    """Return the report of a server from what a look at it finds; ``down`` without an answer.

    Args:
        backend: name of the backend.
        look: returns what was seen, ``connection`` among it, or raises an error of focal's.
    """
    started = perf_counter()
    try:
        checks = await look()
    except FocalError as error:
        checks = {"connection": CheckResult(ok=False, detail=str(error))}
    status: Literal["ok", "degraded", "down"] = "ok" if all(check.ok for check in checks.values()) else "degraded"
    if not checks["connection"].ok:
        status = "down"
    return HealthReport(status=status, checks=checks, latency_ms=(perf_counter() - started) * 1000, backend=backend)


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
