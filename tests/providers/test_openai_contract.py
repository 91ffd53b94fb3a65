"""OpenAI's providers under the rules and under every fault of a server, over each of its wires."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

from focal_core.providers.embedding import EmbeddingProvider
from focal_core.providers.llm import LLMProvider
from focal_providers.openai.embedding import OpenAIEmbeddings
from focal_providers.openai.llm import OpenAIProvider
from focal_testkit.contracts.providers import (
    EmbeddingFaultContract,
    FaultContract,
    WireContract,
    WireEmbeddingContract,
    WireLLMContract,
)


class _Responses(WireContract):
    dialect: ClassVar[str] = "openai-responses"

    def connect(self, base_url: str, **settings: Any) -> AbstractAsyncContextManager[LLMProvider]:
        return OpenAIProvider.connect(base_url=base_url, **settings)


class TestResponsesRules(_Responses, WireLLMContract):
    pass


class TestResponsesFaults(_Responses, FaultContract):
    pass


class _Chat(WireContract):
    dialect: ClassVar[str] = "openai-chat"

    def connect(self, base_url: str, **settings: Any) -> AbstractAsyncContextManager[LLMProvider]:
        return OpenAIProvider.connect(base_url=base_url, api="chat", **settings)


class TestChatRules(_Chat, WireLLMContract):
    pass


class TestChatFaults(_Chat, FaultContract):
    pass


class _Embeddings(WireContract):
    dialect: ClassVar[str] = "openai-embeddings"

    def connect(self, base_url: str, **settings: Any) -> AbstractAsyncContextManager[EmbeddingProvider]:
        return OpenAIEmbeddings.connect(base_url=base_url, **settings)


class TestEmbeddingRules(_Embeddings, WireEmbeddingContract):
    pass


class TestEmbeddingFaults(_Embeddings, EmbeddingFaultContract):
    pass
