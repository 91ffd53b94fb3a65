"""Bases of wrappers around providers: the same port, everything handed through; a wrapper overrides what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from focal_core.health import HealthReport
from focal_core.providers.embedding import EmbeddingProvider
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    EmbeddingResponse,
    EmbeddingSpec,
    InputKind,
    LLMRequest,
    LLMResponse,
    ProviderCapabilities,
    RerankResponse,
    TokenCount,
)
from focal_core.providers.rerank import RerankProvider
from focal_core.providers.stream import LLMStream


class LLMWrapper(LLMProvider):
    """A language model behind something.

    Args:
        inner: what answers; its wire family is the wrapper's.
    """

    def __init__(self, inner: LLMProvider) -> None:
        self._inner = inner

    @property
    def name(self) -> str:  # type: ignore[override]
        """The wire family of the inner one."""
        return self._inner.name

    @property
    def model_id(self) -> str:
        """The inner one's."""
        return self._inner.model_id

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Return the inner one's answer."""
        return await self._inner.generate(request, options=options)

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Return the inner one's stream."""
        return self._inner.stream(request, options=options)

    def deadline_of(self, options: CallOptions) -> float | None:
        """Return the inner one's."""
        return self._inner.deadline_of(options)

    async def count_tokens(self, request: LLMRequest) -> TokenCount:
        """Return the inner one's count."""
        return await self._inner.count_tokens(request)

    def capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return the inner one's."""
        return self._inner.capabilities(model)

    async def health(self, *, probe: bool = False) -> HealthReport:
        """Return the inner one's."""
        return await self._inner.health(probe=probe)

    async def aclose(self) -> None:
        """Close the inner one."""
        await self._inner.aclose()


class EmbeddingWrapper(EmbeddingProvider):
    """An embedding model behind something.

    Args:
        inner: what embeds; its wire family is the wrapper's.
    """

    def __init__(self, inner: EmbeddingProvider) -> None:
        self._inner = inner

    @property
    def name(self) -> str:  # type: ignore[override]
        """The wire family of the inner one."""
        return self._inner.name

    @property
    def spec(self) -> EmbeddingSpec:
        """The inner one's."""
        return self._inner.spec

    async def embed(
        self,
        texts: Sequence[str],
        *,
        input_kind: InputKind = "document",
        truncate: bool = False,
        options: CallOptions = NO_OPTIONS,
    ) -> EmbeddingResponse:
        """Return the inner one's vectors."""
        return await self._inner.embed(texts, input_kind=input_kind, truncate=truncate, options=options)

    async def aclose(self) -> None:
        """Close the inner one."""
        await self._inner.aclose()


class RerankWrapper(RerankProvider):
    """A reranker behind something.

    Args:
        inner: what judges; its wire family is the wrapper's.
    """

    def __init__(self, inner: RerankProvider) -> None:
        self._inner = inner

    @property
    def name(self) -> str:  # type: ignore[override]
        """The wire family of the inner one."""
        return self._inner.name

    @property
    def model_id(self) -> str:
        """The inner one's."""
        return self._inner.model_id

    async def rerank(
        self, query: str, documents: Sequence[str], top_k: int | None = None, *, options: CallOptions = NO_OPTIONS
    ) -> RerankResponse:
        """Return the inner one's results."""
        return await self._inner.rerank(query, documents, top_k, options=options)

    async def aclose(self) -> None:
        """Close the inner one."""
        await self._inner.aclose()
