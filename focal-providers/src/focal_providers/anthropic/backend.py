"""The Anthropic backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from pydantic import BaseModel

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError
from focal_core.health import HealthReport
from focal_core.plugins.backend import CONTRACT, Backend
from focal_providers.anthropic.llm import AnthropicProvider
from focal_providers.anthropic.settings import AnthropicClient, AnthropicOptions


class AnthropicBackend(Backend):
    """Claude over Messages."""

    name: ClassVar[str] = "anthropic"
    Options: ClassVar[type[BaseModel]] = AnthropicOptions
    ports: ClassVar[Mapping[str, str]] = {"llm": "focal_providers.anthropic.llm:AnthropicProvider"}
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"streaming", "tools", "structured_output", "images", "files", "stop", "effort", "cache", "count_tokens"}
    )
    contract: ClassVar[str] = CONTRACT

    def __init__(self, options: BaseModel, context: BackendContext) -> None:
        super().__init__(options, context)
        settings = cast("AnthropicOptions", options)
        self._client = AnthropicClient(settings)
        self._llm = AnthropicProvider(self._client, settings)

    async def open(self) -> None:
        """Import the SDK and build its client; nothing is sent.

        Raises:
            MissingCredentials: there is no key.
            SDKUnavailable: the SDK is absent or outside the supported range.
            SettingsError: the options cannot work.
        """
        await self._client.open()

    def port(self, name: str) -> Any:
        """Return the language model."""
        if name not in self.ports:
            raise ConfigurationError(
                f"backend 'anthropic' does not serve port {name!r}", hint=f"it serves: {', '.join(self.ports)}"
            )
        return self._llm

    async def health(self) -> HealthReport:
        """Return whether the client is open; nothing is sent."""
        return await self._llm.health()

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()
