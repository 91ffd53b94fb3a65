"""The in-memory backend: every store port, in this process, for tests, demos and as the meaning of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError
from focal_core.health import CheckResult, HealthReport
from focal_core.imports import resolve
from focal_core.plugins.backend import CONTRACT, Backend


class InMemoryOptions(BaseModel):
    """The in-memory backend has no settings."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class InMemoryBackend(Backend):
    """Stores whose rows live as long as the backend object."""

    name: ClassVar[str] = "inmemory"
    Options: ClassVar[type[BaseModel]] = InMemoryOptions
    ports: ClassVar[Mapping[str, str]] = {
        "config": "focal_core.config.inmemory:InMemoryConfigStore",
        "memory": "focal_core.memory.inmemory:InMemoryMemoryStore",
        "sessions": "focal_core.conversation.inmemory:InMemorySessionStore",
        "audit": "focal_core.audit.inmemory:InMemoryAuditStore",
        "profiles": "focal_core.profile.inmemory:InMemoryProfileStore",
        "runtime": "focal_core.runtime.inmemory:InMemoryStorageBackend",
    }
    capabilities: ClassVar[frozenset[str]] = frozenset({"two_tier", "session_copies", "purge", "archive"})
    contract: ClassVar[str] = CONTRACT

    def __init__(self, options: BaseModel, context: BackendContext) -> None:
        super().__init__(options, context)
        self._stores: dict[str, Any] = {}

    async def open(self) -> None:
        """Do nothing: there is nothing to connect to."""

    def port(self, name: str) -> Any:
        """Return the store of a port, made at its first use."""
        if name not in self.ports:
            raise ConfigurationError(
                f"backend 'inmemory' does not serve port {name!r}", hint=f"it serves: {', '.join(self.ports)}"
            )
        if name not in self._stores:
            self._stores[name] = resolve(self.ports[name])(self.context)
        return self._stores[name]

    async def health(self) -> HealthReport:
        """Return ok."""
        started = perf_counter()
        checks = {"memory": CheckResult(ok=True, detail=f"{len(self._stores)} stores in use")}
        return HealthReport(status="ok", checks=checks, latency_ms=(perf_counter() - started) * 1000, backend=self.name)

    async def close(self) -> None:
        """Let go of the stores."""
        self._stores.clear()
