"""The OpenAI backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from pydantic import BaseModel

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError
from focal_core.health import HealthReport
from focal_core.plugins.backend import CONTRACT, Backend
from focal_providers.openai.embedding import OpenAIEmbeddings
from focal_providers.openai.llm import OpenAIProvider
from focal_providers.openai.settings import OpenAIClient, OpenAIOptions


class OpenAIBackend(Backend):
    """OpenAI's language and embedding models, and those of compatible servers, over one client."""

    name: ClassVar[str] = "openai"
    Options: ClassVar[type[BaseModel]] = OpenAIOptions
    ports: ClassVar[Mapping[str, str]] = {
        "llm": "focal_providers.openai.llm:OpenAIProvider",
        "embedding": "focal_providers.openai.embedding:OpenAIEmbeddings",
    }
    capabilities: ClassVar[frozenset[str]] = frozenset(
        {"streaming", "tools", "structured_output", "images", "files", "temperature", "top_p", "effort", "cache"}
        | {"count_tokens"}
    )
    contract: ClassVar[str] = CONTRACT

    def __init__(self, options: BaseModel, context: BackendContext) -> None:
        super().__init__(options, context)
        settings = cast("OpenAIOptions", options)
        self._client = OpenAIClient(settings)
        self._llm = OpenAIProvider(self._client, settings)
        self._providers: dict[str, Any] = {"llm": self._llm}
        if settings.embedding_model is not None:
            self._providers["embedding"] = OpenAIEmbeddings(self._client, settings)

    async def open(self) -> None:
        """Import the SDK and build its client; nothing is sent.

        Raises:
            MissingCredentials: there is no key.
            SDKUnavailable: the SDK is absent or outside the supported range.
            SettingsError: the options cannot work.
        """
        await self._client.open()

    def port(self, name: str) -> Any:
        """Return the provider of a port."""
        if name not in self._providers:
            hint = "set embedding_model" if name in self.ports else f"it serves: {', '.join(self.ports)}"
            raise ConfigurationError(f"backend 'openai' does not serve port {name!r}", hint=hint)
        return self._providers[name]

    async def health(self) -> HealthReport:
        """Return whether the client is open; nothing is sent."""
        return await self._llm.health()

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()
