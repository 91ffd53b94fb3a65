"""Every wrapper under the rules of what it wraps: whoever asks cannot tell that it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from focal_core.providers import hashing
from focal_core.providers.cache import CachedEmbeddings, LRUVectorCache
from focal_core.providers.fallback import FallbackLLM
from focal_core.providers.hashing import HashingEmbeddings, HashingReranker
from focal_core.providers.limits import LimitedLLM
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import LLMRequest, LLMResponse
from focal_core.providers.recording import RecordingLLM
from focal_core.providers.scripted import ScriptedLLM
from focal_core.telemetry.providers import TracedEmbeddings, TracedLLM, TracedRerank
from focal_testkit.contracts.providers import EmbeddingContract, LLMContract, RerankContract, Served
from focal_testkit.contracts.providers.rerank import QUERY
from focal_testkit.contracts.providers.serving import ECHO, mark_in, response_of
from focal_testkit.faults.wire_dialect import Answer


class _Wrapped(LLMContract):
    def wrap(self, inner: ScriptedLLM) -> LLMProvider:
        """Return the wrapper over a model; none, so that what fails here fails without a wrapper too."""
        return inner

    @asynccontextmanager
    async def serving(self, *answers: Answer, delay: float = 0.0) -> AsyncIterator[Served]:
        def as_sent(request: LLMRequest) -> Any:
            return request.model_dump(mode="json", exclude_defaults=True)

        def said(answer: Answer) -> Any:
            def reply(request: LLMRequest) -> LLMResponse:
                text = mark_in(as_sent(request)) if answer is ECHO else None
                return response_of(answer, provider="scripted", text=text)

            return reply

        inner = ScriptedLLM([said(answer) for answer in answers], exhausted="last", latency=delay)
        provider = self.wrap(inner)
        yield Served(provider, lambda: [as_sent(request) for request in inner.calls], provider.aclose)


class TestLimitedLLM(_Wrapped):
    def wrap(self, inner: ScriptedLLM) -> LLMProvider:
        return LimitedLLM(inner, max_concurrency=1_000, tokens_per_minute=10_000_000)


class TestRecordingLLM(_Wrapped):
    def wrap(self, inner: ScriptedLLM) -> LLMProvider:
        lines: list[str] = []
        return RecordingLLM(inner, lines.append)


class TestTracedLLM(_Wrapped):
    def wrap(self, inner: ScriptedLLM) -> LLMProvider:
        return TracedLLM(inner)


class _Chain(FallbackLLM):
    # Answers and errors name the member, which the rules take for another provider.
    name: ClassVar[str] = "scripted"


class TestFallbackLLM(_Wrapped):
    def wrap(self, inner: ScriptedLLM) -> LLMProvider:
        return _Chain([inner])


@asynccontextmanager
async def recorded(provider: Any) -> AsyncIterator[Served]:
    """Serve a provider over hashing; each text that is hashed counts as sent, in a request of its own."""
    sent: list[list[str]] = []
    hashed_vector = hashing.hashed_vector

    def record(text: str, dimensions: int) -> list[float]:
        if text != QUERY:
            sent.append([text])
        return hashed_vector(text, dimensions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "hashed_vector", record)
        yield Served(provider, lambda: sent, provider.aclose)


class TestCachedEmbeddings(EmbeddingContract):
    @asynccontextmanager
    async def serving(self, *answers: Answer, delay: float = 0.0) -> AsyncIterator[Served]:
        # Too small for a single vector: what is cached is not sent, which the rules count.
        async with recorded(CachedEmbeddings(HashingEmbeddings(dimensions=64), LRUVectorCache(1))) as served:
            yield served


class TestTracedEmbeddings(EmbeddingContract):
    @asynccontextmanager
    async def serving(self, *answers: Answer, delay: float = 0.0) -> AsyncIterator[Served]:
        async with recorded(TracedEmbeddings(HashingEmbeddings(dimensions=64))) as served:
            yield served


class TestTracedReranker(RerankContract):
    @asynccontextmanager
    async def serving(self, *answers: Answer, delay: float = 0.0) -> AsyncIterator[Served]:
        async with recorded(TracedRerank(HashingReranker())) as served:
            yield served
