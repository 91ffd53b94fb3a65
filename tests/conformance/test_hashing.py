"""The hashing providers under the rules of embeddings and of reranking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from focal_core.providers import hashing
from focal_core.providers.hashing import HashingEmbeddings, HashingReranker
from focal_testkit.contracts.providers import EmbeddingContract, RerankContract, Served
from focal_testkit.contracts.providers.rerank import QUERY
from focal_testkit.faults.wire_dialect import Answer


@asynccontextmanager
async def recorded(provider: HashingEmbeddings | HashingReranker) -> AsyncIterator[Served]:
    """Serve a provider; each text that is hashed counts as sent, in a request of its own, but not the query."""
    sent: list[list[str]] = []
    hashed_vector = hashing.hashed_vector

    def record(text: str, dimensions: int) -> list[float]:
        if text != QUERY:
            sent.append([text])
        return hashed_vector(text, dimensions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "hashed_vector", record)
        yield Served(provider, lambda: sent, provider.aclose)


class TestHashingEmbeddings(EmbeddingContract):
    @asynccontextmanager
    async def serving(self, *answers: Answer, delay: float = 0.0) -> AsyncIterator[Served]:
        async with recorded(HashingEmbeddings(dimensions=64)) as served:
            yield served


class TestHashingReranker(RerankContract):
    @asynccontextmanager
    async def serving(self, *answers: Answer, delay: float = 0.0) -> AsyncIterator[Served]:
        async with recorded(HashingReranker()) as served:
            yield served
