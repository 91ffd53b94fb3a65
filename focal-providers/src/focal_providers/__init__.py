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

_PUBLIC = {
    "AnthropicBackend": "focal_providers.anthropic.backend:AnthropicBackend",
    "AnthropicOptions": "focal_providers.anthropic.settings:AnthropicOptions",
    "AnthropicProvider": "focal_providers.anthropic.llm:AnthropicProvider",
}

__all__ = ["AnthropicBackend", "AnthropicOptions", "AnthropicProvider"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return resolve(_PUBLIC[name])
