"""Anthropic's provider under the rules of language models and under every fault of a server."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from focal_core.providers.llm import LLMProvider
from focal_providers.anthropic.llm import AnthropicProvider
from focal_testkit.contracts.providers import FaultContract, WireLLMContract


class TestAnthropicRules(WireLLMContract):
    dialect: ClassVar[str] = "anthropic"

    def connect(self, base_url: str, **settings: Any) -> AbstractAsyncContextManager[LLMProvider]:
        return AnthropicProvider.connect(base_url=base_url, **settings)


class TestAnthropicFaults(FaultContract):
    dialect: ClassVar[str] = "anthropic"

    def connect(self, base_url: str, **settings: Any) -> AbstractAsyncContextManager[LLMProvider]:
        return AnthropicProvider.connect(base_url=base_url, **settings)
