"""Embedding and rerank providers that break a rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from focal_core.errors import InvalidRequest
from focal_core.providers.hashing import HashingEmbeddings, HashingReranker
from focal_core.providers.models import EmbeddingResponse, EmbeddingSpec, InputKind, RerankResponse
from focal_testkit.mutants import mutant


@mutant("EMBED-E1")
class EmbedsNothing(HashingEmbeddings):
    """Nothing is embedded as one text."""

    async def embed(self, texts: Sequence[str], **options: Any) -> EmbeddingResponse:
        return await super().embed(texts or ["nothing"], **options)


@mutant("EMBED-E2")
class SkipsEmptyTexts(HashingEmbeddings):
    """An empty text becomes a space."""

    async def embed(self, texts: Sequence[str], **options: Any) -> EmbeddingResponse:
        return await super().embed([text or " " for text in texts], **options)


@mutant("EMBED-E3", "EMBED-E6")
class OrdersByText(HashingEmbeddings):
    """Vectors come in the order of the sorted texts."""

    async def embed(self, texts: Sequence[str], **options: Any) -> EmbeddingResponse:
        return await super().embed(texts if isinstance(texts, str) else sorted(texts), **options)


@mutant("EMBED-E5")
class EmbedsEachTextAlone(HashingEmbeddings):
    """Equal texts are embedded again."""

    async def embed(self, texts: Sequence[str], **options: Any) -> EmbeddingResponse:
        if isinstance(texts, str) or not texts:
            return await super().embed(texts, **options)
        answers = [await super(EmbedsEachTextAlone, self).embed([text], **options) for text in texts]
        return answers[0].model_copy(update={"embeddings": [answer.embeddings[0] for answer in answers]})


@mutant("EMBED-E5")
class SharesVectors(HashingEmbeddings):
    """Equal texts share one list."""

    async def embed(self, texts: Sequence[str], **options: Any) -> EmbeddingResponse:
        response = await super().embed(texts, **options)
        shared = dict(zip(texts, response.embeddings, strict=True))
        return response.model_copy(update={"embeddings": [shared[text] for text in texts]})


@mutant("EMBED-E6b")
class ForgetsTheKind(HashingEmbeddings):
    """One text is embedded with its kind before it."""

    async def embed_one(self, text: str, *, input_kind: InputKind = "query") -> list[float]:
        return await super().embed_one(f"{input_kind}: {text}")


@mutant("EMBED-E7")
class ShortensUnasked(HashingEmbeddings):
    """A long text is cut, and said to be."""

    async def embed(self, texts: Sequence[str], **options: Any) -> EmbeddingResponse:
        response = await super().embed(texts, **options)
        return response.model_copy(update={"truncated": tuple(i for i, text in enumerate(texts) if len(text) > 1000)})


@mutant("EMBED-E8")
class KeepsDoubles(HashingEmbeddings):
    """Values have more digits than any store keeps."""

    async def embed(self, texts: Sequence[str], **options: Any) -> EmbeddingResponse:
        response = await super().embed(texts, **options)
        return response.model_copy(update={"embeddings": [[x / 3.0 for x in row] for row in response.embeddings]})


@mutant("EMBED-E9")
class LearnsItsSpace(HashingEmbeddings):
    """The space is another one after the first call."""

    asked = False

    @property
    def spec(self) -> EmbeddingSpec:
        return super().spec if self.asked else super().spec.model_copy(update={"normalized": False})

    async def embed(self, texts: Sequence[str], **options: Any) -> EmbeddingResponse:
        self.asked = True
        return await super().embed(texts, **options)


@mutant("EMBED-R3")
class SortsItsInput(HashingEmbeddings):
    """The caller's list is sorted."""

    async def embed(self, texts: Sequence[str], **options: Any) -> EmbeddingResponse:
        if isinstance(texts, list):
            texts.sort()
        return await super().embed(texts, **options)


@mutant("EMBED-X4")
class EmbedsWhenClosed(HashingEmbeddings):
    """A closed provider works on."""

    async def aclose(self) -> None:
        pass


@mutant("RERANK-ORDER")
class WorstFirst(HashingReranker):
    """Results come by score ascending."""

    async def rerank(self, query: str, documents: Sequence[str], *rest: Any, **options: Any) -> RerankResponse:
        response = await super().rerank(query, documents, *rest, **options)
        return response.model_copy(update={"results": response.results[::-1]})


@mutant("RERANK-TOP")
class LimitsBeforeRanking(HashingReranker):
    """The first documents are ranked, not all."""

    async def rerank(
        self, query: str, documents: Sequence[str], top_k: int | None = None, **options: Any
    ) -> RerankResponse:
        return await super().rerank(query, documents[:top_k], None, **options)


@mutant("RERANK-EMPTY")
class RanksNothing(HashingReranker):
    """Nothing is ranked as one document."""

    async def rerank(self, query: str, documents: Sequence[str], *rest: Any, **options: Any) -> RerankResponse:
        return await super().rerank(query, documents or ["nothing"], *rest, **options)


@mutant("RERANK-INVALID")
class RanksAtLeastOne(HashingReranker):
    """A limit below 1 is taken for 1."""

    async def rerank(
        self, query: str, documents: Sequence[str], top_k: int | None = None, **options: Any
    ) -> RerankResponse:
        return await super().rerank(query, documents, None if top_k is None else max(1, top_k), **options)


@mutant("RERANK-X4")
class ClosesOnce(HashingReranker):
    """Closing a second time raises."""

    async def aclose(self) -> None:
        if self._closed:
            raise InvalidRequest("closed already")
        await super().aclose()
