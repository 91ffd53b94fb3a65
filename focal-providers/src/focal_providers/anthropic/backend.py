"""The Anthropic backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from pydantic import BaseModel

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError
from focal_core.plugins.backend import CONTRACT
from focal_providers.anthropic.llm import AnthropicProvider
from focal_providers.anthropic.settings import AnthropicClient, AnthropicOptions
from focal_providers.backend import SDKBackend


class AnthropicBackend(SDKBackend):
    """Claude over Messages."""

    name: ClassVar[str] = "anthropic"
    Options: ClassVar[type[BaseModel]] = AnthropicOptions
    ports: ClassVar[Mapping[str, str]] = {"llm": "focal_providers.anthropic.llm:AnthropicProvider"}
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"streaming", "tools", "structured_output", "images", "files", "stop", "effort", "cache", "count_tokens"}
    )
    contract: ClassVar[str] = CONTRACT

    def __init__(self, options: BaseModel, context: BackendContext) -> None:
        settings = cast("AnthropicOptions", options)
        client = AnthropicClient(settings)
        super().__init__(options, context, client, AnthropicProvider(client, settings))

    def port(self, name: str) -> Any:
        """Return the language model."""
        if name not in self.ports:
            raise ConfigurationError(
                f"backend 'anthropic' does not serve port {name!r}", hint=f"it serves: {', '.join(self.ports)}"
            )
        return self._llm
