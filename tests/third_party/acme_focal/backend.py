"""The plugin of the sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from acme_focal.audit import AcmeAuditStore
from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError
from focal_core.health import HealthReport
from focal_core.plugins.backend import CONTRACT, Backend


class AcmeOptions(BaseModel):
    """One option, required."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    shelf: str


class AcmeBackend(Backend):
    """Serves the audit port only."""

    name: ClassVar[str] = "acme"
    Options: ClassVar[type[BaseModel]] = AcmeOptions
    ports: ClassVar[Mapping[str, str]] = {"audit": "acme_focal.audit:AcmeAuditStore"}
    contract: ClassVar[str] = CONTRACT

    def __init__(self, options: BaseModel, context: BackendContext) -> None:
        super().__init__(options, context)
        self._audit = AcmeAuditStore(context)

    async def open(self) -> None:
        """Nothing to connect to."""

    def port(self, name: str) -> Any:
        if name != "audit":
            raise ConfigurationError(f"acme does not serve {name!r}", hint="it serves: audit")
        return self._audit

    async def health(self) -> HealthReport:
        return HealthReport(status="ok", latency_ms=0.0, backend=self.name)

    async def close(self) -> None:
        """Nothing to release."""
