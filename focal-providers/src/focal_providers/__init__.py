"""focal-providers: Anthropic and OpenAI behind the provider ports of focal, with one error tree and one retry loop.

Neither SDK is imported before a provider is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from focal_core.imports import resolve

if TYPE_CHECKING:
    from focal_providers.anthropic.backend import AnthropicBackend
    from focal_providers.anthropic.llm import AnthropicProvider
    from focal_providers.anthropic.settings import AnthropicOptions
    from focal_providers.openai.backend import OpenAIBackend
    from focal_providers.openai.embedding import OpenAIEmbeddings
    from focal_providers.openai.llm import OpenAIProvider
    from focal_providers.openai.settings import OpenAIOptions

_PUBLIC = {
    "AnthropicBackend": "focal_providers.anthropic.backend:AnthropicBackend",
    "AnthropicOptions": "focal_providers.anthropic.settings:AnthropicOptions",
    "AnthropicProvider": "focal_providers.anthropic.llm:AnthropicProvider",
    "OpenAIBackend": "focal_providers.openai.backend:OpenAIBackend",
    "OpenAIEmbeddings": "focal_providers.openai.embedding:OpenAIEmbeddings",
    "OpenAIOptions": "focal_providers.openai.settings:OpenAIOptions",
    "OpenAIProvider": "focal_providers.openai.llm:OpenAIProvider",
}

__all__ = [
    "AnthropicBackend",
    "AnthropicOptions",
    "AnthropicProvider",
    "OpenAIBackend",
    "OpenAIEmbeddings",
    "OpenAIOptions",
    "OpenAIProvider",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return resolve(_PUBLIC[name])
