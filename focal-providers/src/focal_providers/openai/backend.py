"""The OpenAI backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from pydantic import BaseModel

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError
from focal_core.plugins.backend import CONTRACT
from focal_providers.backend import SDKBackend
from focal_providers.openai.embedding import OpenAIEmbeddings
from focal_providers.openai.llm import OpenAIProvider
from focal_providers.openai.settings import OpenAIClient, OpenAIOptions


class OpenAIBackend(SDKBackend):
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
        settings = cast("OpenAIOptions", options)
        client = OpenAIClient(settings)
        llm = OpenAIProvider(client, settings)
        super().__init__(options, context, client, llm)
        self._providers: dict[str, Any] = {"llm": llm}
        if settings.embedding_model is not None:
            self._providers["embedding"] = OpenAIEmbeddings(client, settings)

    def port(self, name: str) -> Any:
        """Return the provider of a port."""
        if name not in self._providers:
            hint = "set embedding_model" if name in self.ports else f"it serves: {', '.join(self.ports)}"
            raise ConfigurationError(f"backend 'openai' does not serve port {name!r}", hint=hint)
        return self._providers[name]
