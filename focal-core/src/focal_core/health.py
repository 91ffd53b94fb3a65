"""Health reports: one per backend, one over all."""

from __future__ import annotations

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
