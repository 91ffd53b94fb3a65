"""The contract of a backend plugin."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from focal_core.context import BackendContext
from focal_core.health import HealthReport

CONTRACT = "1.0"
"""The contract version this release of focal-core defines."""

STORE_PORTS = ("config", "memory", "sessions", "audit", "profiles", "runtime")
PROVIDER_PORTS = ("llm", "embedding", "rerank")
PORTS = STORE_PORTS + PROVIDER_PORTS
"""Every port a backend may serve."""


class Backend(ABC):
    """One resource (a pool, a client) and the ports served over it.

    Registered by one entry point in the group ``focal.backends`` and imported only when its name is chosen.

    Attributes:
        name: the name it is registered under.
        Options: a pydantic model of its settings; unknown keys are refused.
        ports: port -> ``"module:Class"`` of the implementation, so that listing imports nothing heavy.
        capabilities: what it can do beyond the contract's core.
        contract: the contract version it was written against.
    """

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]
    ports: ClassVar[Mapping[str, str]]
    capabilities: ClassVar[frozenset[str]] = frozenset()
    contract: ClassVar[str]

    def __init__(self, options: BaseModel, context: BackendContext) -> None:
        self.options = options
        self.context = context

    @abstractmethod
    async def open(self) -> None:
        """Connect and check; called once per configured name.

        Raises:
            StoreUnavailableError: no answer.
            SettingsError: the options cannot work.
            SchemaOutdatedError: the schema is behind or ahead.
        """

    @abstractmethod
    def port(self, name: str) -> Any:
        """Return the implementation of a port; the same object each time.

        Raises:
            ConfigurationError: this backend does not serve the port.
        """

    @abstractmethod
    async def health(self) -> HealthReport:
        """Return how the resource is; never raises."""

    @abstractmethod
    async def close(self) -> None:
        """Release the resource; a second call does nothing. A client passed in from outside stays open."""
