"""Providers bound to one tenant: every call carries it, to cache keys, spans and hooks; it is never sent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from focal_core.errors import TenantRequiredError
from focal_core.providers.embedding import EmbeddingProvider
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    EmbeddingResponse,
    InputKind,
    LLMRequest,
    LLMResponse,
    RerankResponse,
)
from focal_core.providers.rerank import RerankProvider
from focal_core.providers.stream import LLMStream
from focal_core.providers.wrapping import EmbeddingWrapper, LLMWrapper, RerankWrapper


def _bound(options: CallOptions, tenant_id: UUID) -> CallOptions:
    if options.tenant_id not in (None, tenant_id):
        raise TenantRequiredError(
            "the options name another tenant than the view is bound to",
            code="tenant_mismatch",
            hint="leave options.tenant_id out, or use the view of that tenant",
        )
    return options.model_copy(update={"tenant_id": tenant_id})


class TenantLLM(LLMWrapper):
    """A language model as one tenant calls it.

    Args:
        inner: what answers; it is not closed here.
        tenant_id: the tenant.
    """

    def __init__(self, inner: LLMProvider, tenant_id: UUID) -> None:
        super().__init__(inner)
        self.tenant_id = tenant_id

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Return the inner one's answer."""
        return await self._inner.generate(request, options=_bound(options, self.tenant_id))

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Return the inner one's stream."""
        return self._inner.stream(request, options=_bound(options, self.tenant_id))

    async def aclose(self) -> None:
        """Do nothing: other tenants use it too."""


class TenantEmbeddings(EmbeddingWrapper):
    """An embedding model as one tenant calls it.

    Args:
        inner: what embeds; it is not closed here.
        tenant_id: the tenant.
    """

    def __init__(self, inner: EmbeddingProvider, tenant_id: UUID) -> None:
        super().__init__(inner)
        self.tenant_id = tenant_id

    async def embed(
        self,
        texts: Sequence[str],
        *,
        input_kind: InputKind = "document",
        truncate: bool = False,
        options: CallOptions = NO_OPTIONS,
    ) -> EmbeddingResponse:
        """Return the inner one's vectors."""
        bound = _bound(options, self.tenant_id)
        return await self._inner.embed(texts, input_kind=input_kind, truncate=truncate, options=bound)

    async def aclose(self) -> None:
        """Do nothing: other tenants use it too."""


class TenantRerank(RerankWrapper):
    """A reranker as one tenant calls it.

    Args:
        inner: what judges; it is not closed here.
        tenant_id: the tenant.
    """

    def __init__(self, inner: RerankProvider, tenant_id: UUID) -> None:
        super().__init__(inner)
        self.tenant_id = tenant_id

    async def rerank(
        self, query: str, documents: Sequence[str], top_k: int | None = None, *, options: CallOptions = NO_OPTIONS
    ) -> RerankResponse:
        """Return the inner one's results."""
        return await self._inner.rerank(query, documents, top_k, options=_bound(options, self.tenant_id))

    async def aclose(self) -> None:
        """Do nothing: other tenants use it too."""
