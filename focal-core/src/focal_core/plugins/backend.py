"""The contract of a backend plugin."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from focal_core.context import BackendContext
from focal_core.errors import UnsupportedOperationError
from focal_core.health import HealthReport
from focal_core.imports import resolve as resolve

CONTRACT = "1.1"
"""The contract version this release of focal-core defines."""

STORE_PORTS = ("config", "memory", "sessions", "audit", "profiles", "runtime")
PROVIDER_PORTS = ("llm", "embedding", "rerank")
PORTS = STORE_PORTS + PROVIDER_PORTS
"""Every port a backend may serve."""

PORT_TYPES: Mapping[str, tuple[str, ...]] = {
    "config": ("focal_core.config.store:ConfigStore",),
    "memory": ("focal_core.memory.store:MemoryStore",),
    "sessions": ("focal_core.conversation.store:SessionStore",),
    "audit": ("focal_core.audit.store:AuditStore",),
    "profiles": ("focal_core.profile.store:ProfileStore",),
    "runtime": ("focal_core.runtime.store:RuntimeStore",),
    "llm": ("focal_core.providers.llm:LLMProvider",),
    "embedding": ("focal_core.providers.embedding:EmbeddingProvider",),
    "rerank": ("focal_core.providers.rerank:RerankProvider",),
}
"""Port -> the ABCs its implementation must be instances of, by name."""

CAPABILITIES = frozenset(
    {"two_tier", "session_copies", "vector_index", "durable", "archive", "row_level_security", "purge"}
    | {"streaming", "tools", "structured_output", "images", "files", "temperature", "top_p", "stop", "effort"}
    | {"cache", "count_tokens"}
)
"""What a backend may declare beyond the core of the contract: stores first, then providers."""


def port_types(port: str) -> tuple[type, ...]:
    """Return the ABCs of a port."""
    return tuple(resolve(target) for target in PORT_TYPES[port])


class Backend(ABC):
    """One resource (a pool, a client) and the ports served over it.

    Registered by one entry point in the group ``focal.backends`` and imported only when its name is chosen.

    Attributes:
        name: the name it is registered under.
        Options: a pydantic model of its settings; unknown keys are refused.
        ports: port -> ``"module:Class"`` of the implementation, so that listing imports nothing heavy.
        capabilities: what it can do beyond the contract's core.
        caches: ports of *other* backends it can keep a cache for (``cached``).
        contract: the contract version it was written against.
    """

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]
    ports: ClassVar[Mapping[str, str]]
    capabilities: ClassVar[frozenset[str]] = frozenset()
    caches: ClassVar[frozenset[str]] = frozenset()
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

    async def embedding_spaces(self) -> Collection[tuple[str, int]]:
        """Return the (model, dims) pairs of the vectors its stores hold; none by default.

        ``Focal.open`` compares them with the embedding provider.

        Raises:
            StoreUnavailableError: no answer.
        """
        return ()

    def cached(self, port: str, store: Any, ttl_seconds: Mapping[str, int]) -> Any:
        """Return another backend's store behind a cache kept here: the same ABC, the same answers.

        Args:
            port: the port of the store; one of ``caches``.
            store: what answers when the cache cannot.
            ttl_seconds: how long entries live, by kind; for profiles ``profile``, ``field_definitions`` and
                ``scenario_requirements``.

        Raises:
            UnsupportedOperationError: the port is not in ``caches``.
        """
        raise UnsupportedOperationError(
            f"backend {self.name!r} keeps no cache for port {port!r}",
            hint=f"it can cache: {', '.join(sorted(self.caches)) or 'nothing'}",
        )
