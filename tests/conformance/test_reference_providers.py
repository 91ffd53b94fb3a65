"""The kit's reference providers under the rules and faults of a wire: every fault can be made, every check passed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, ClassVar

from focal_testkit.contracts.providers import (
    EmbeddingFaultContract,
    FaultContract,
    WireContract,
    WireEmbeddingContract,
    WireLLMContract,
)
from focal_testkit.mutants.providers.reference_embeddings import ReferenceEmbeddings
from focal_testkit.mutants.providers.reference_llm import ReferenceLLM


class _Chat(WireContract):
    dialect: ClassVar[str] = "openai-chat"

    @asynccontextmanager
    async def connect(self, base_url: str, **settings: Any) -> AsyncIterator[ReferenceLLM]:
        async with aclosing(ReferenceLLM(base_url, **settings)) as llm:
            yield llm


class TestReferenceFaults(_Chat, FaultContract):
    pass


class TestReferenceLLM(_Chat, WireLLMContract):
    pass


class _Embeddings(WireContract):
    @asynccontextmanager
    async def connect(self, base_url: str, **settings: Any) -> AsyncIterator[ReferenceEmbeddings]:
        async with aclosing(ReferenceEmbeddings(base_url, **settings)) as embeddings:
            yield embeddings


class TestReferenceEmbeddingFaults(_Embeddings, EmbeddingFaultContract):
    pass


class TestReferenceEmbeddings(_Embeddings, WireEmbeddingContract):
    pass
