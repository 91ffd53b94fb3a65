"""The embedding and rerank references: lexical vectors by feature hashing, with the standard library alone.

Texts that share words, or pieces of words, lie close to each other; texts that mean the same in other words do not.
Good for tests, demos and misspelt lookups, never a substitute for a trained model.
"""

from __future__ import annotations

import asyncio
import math
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from operator import mul, sub
from time import perf_counter
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from focal_core.context import BackendContext
from focal_core.errors import ConfigurationError, InvalidRequest, Unavailable
from focal_core.health import CheckResult, HealthReport
from focal_core.plugins.backend import CONTRACT, Backend
from focal_core.providers.embedding import EmbeddingProvider, check_texts
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    EmbeddingResponse,
    EmbeddingSpec,
    InputKind,
    RerankResponse,
    RerankResult,
)
from focal_core.providers.rerank import RerankProvider
from focal_core.usage import TokenUsage
from focal_core.values import MAX_DIMENSIONS

MODEL = "focal-hashing-1"
"""Name of the algorithm: another algorithm is another name, since its vectors are not comparable."""

_WORD = re.compile(r"\w+")
_GRAM_WEIGHT = 0.3
_CACHED_WORD_CHARS = 40
_TEXTS_PER_TURN = 64


def _feature(text: str) -> int:
    """Return the 64 bits that place a feature: the lowest is its sign, the others its bucket."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _hash_word(word: str) -> tuple[int, tuple[int, ...]]:
    # "=" keeps the word "ing" apart from the piece "ing" of another word; no mark is a word character.
    marked = f"<{word}>"
    pieces = (marked[start : start + size] for size in (3, 4, 5) for start in range(len(marked) - size + 1))
    return _feature(f"={word}"), tuple(map(_feature, pieces))


_hash_common_word = lru_cache(maxsize=32_768)(_hash_word)


def _features(word: str) -> tuple[int, tuple[int, ...]]:
    # Long words are rare and large; cached, they would make the bound of the cache meaningless.
    return _hash_common_word(word) if len(word) <= _CACHED_WORD_CHARS else _hash_word(word)


def hashed_vector(text: str, dimensions: int) -> list[float]:
    """Return the unit vector of a text, rounded to float32; the same on every machine and in every process.

    Args:
        text: any text, empty included.
        dimensions: length of the vector.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    hashed = list(map(_features, _WORD.findall(folded)))
    # Slot 2b collects what counts for bucket b, slot 2b + 1 what counts against it.
    slots = [0.0] * (2 * dimensions)
    width = 2 * dimensions
    for feature, count in Counter([word for word, _ in hashed]).items():
        slots[feature % width] += math.sqrt(count)
    for feature, count in Counter(chain.from_iterable([pieces for _, pieces in hashed])).items():
        slots[feature % width] += _GRAM_WEIGHT if count == 1 else _GRAM_WEIGHT * math.sqrt(count)
    vector = list(map(sub, slots[::2], slots[1::2]))
    # fsum and sqrt are exact to the last bit everywhere, sum() is not.
    norm = math.sqrt(math.fsum(map(mul, vector, vector)))
    if norm == 0.0:
        # No word at all, or words that cancel each other.
        vector[_feature(folded) % dimensions] = norm = 1.0
    return array("f", [component / norm for component in vector]).tolist()


class HashingEmbeddings(EmbeddingProvider):
    """Vectors of words and of their 3 to 5 letter pieces, hashed into a fixed number of buckets.

    Lexical, not semantic; deterministic; no limit on the length of a text, so nothing is ever truncated.

    Args:
        dimensions: length of the vectors.
    """

    name: ClassVar[str] = "hashing"

    def __init__(self, dimensions: int = 384) -> None:
        self._spec = EmbeddingSpec(model=MODEL, dimensions=dimensions, normalized=True)
        self._closed = False

    @property
    def spec(self) -> EmbeddingSpec:
        """The space of this algorithm at these dimensions."""
        return self._spec

    async def embed(
        self,
        texts: Sequence[str],
        *,
        input_kind: InputKind = "document",
        truncate: bool = False,
        options: CallOptions = NO_OPTIONS,
    ) -> EmbeddingResponse:
        """Return the hashed vectors; lets other tasks run now and then, since all of it is computing."""
        _check_open(self._closed)
        check_texts(texts, self.name, MODEL)
        vectors: dict[str, list[float]] = {}
        for text in texts:
            if text not in vectors:
                vectors[text] = hashed_vector(text, self._spec.dimensions)
                if len(vectors) % _TEXTS_PER_TURN == 0:
                    await asyncio.sleep(0)
        usage = TokenUsage(requests=1 if texts else 0, reported=False)
        return EmbeddingResponse(embeddings=[vectors[text].copy() for text in texts], spec=self._spec, usage=usage)

    async def aclose(self) -> None:
        """Refuse calls from now on."""
        self._closed = True


class HashingReranker(RerankProvider):
    """Documents by the cosine of their hashed vectors with the query's."""

    name: ClassVar[str] = "hashing"

    def __init__(self, dimensions: int = 384) -> None:
        self._dimensions = dimensions
        self._closed = False

    @property
    def model_id(self) -> str:
        """The name of the algorithm."""
        return MODEL

    async def rerank(
        self, query: str, documents: Sequence[str], top_k: int | None = None, *, options: CallOptions = NO_OPTIONS
    ) -> RerankResponse:
        """Return the documents by cosine, from -1.0 to 1.0."""
        _check_open(self._closed)
        check_texts([query], self.name, MODEL)
        check_texts(documents, self.name, MODEL)
        if top_k is not None and top_k < 1:
            raise InvalidRequest(f"top_k must be at least 1, not {top_k}", provider=self.name, model=MODEL)
        wanted = hashed_vector(query, self._dimensions)
        results = [
            RerankResult(index=index, score=_cosine(wanted, hashed_vector(text, self._dimensions)), document=text)
            for index, text in enumerate(documents)
        ]
        results.sort(key=lambda result: (-result.score, result.index))
        return RerankResponse(
            results=tuple(results[:top_k]),
            model=MODEL,
            usage=TokenUsage(requests=1 if documents else 0, reported=False),
        )

    async def aclose(self) -> None:
        """Refuse calls from now on."""
        self._closed = True


def _cosine(left: Iterable[float], right: Iterable[float]) -> float:
    return max(-1.0, min(1.0, math.fsum(map(mul, left, right))))


def _check_open(closed: bool) -> None:
    if closed:
        raise Unavailable("the provider is closed", provider="hashing", model=MODEL, code="closed", retryable=False)


class HashingOptions(BaseModel):
    """Settings of the hashing backend.

    Attributes:
        dimensions: length of the vectors; fewer are smaller and less exact.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    dimensions: int = Field(default=384, ge=1, le=MAX_DIMENSIONS)


class HashingBackend(Backend):
    """Embeddings and reranking without a model, a network or a key."""

    name: ClassVar[str] = "hashing"
    Options: ClassVar[type[BaseModel]] = HashingOptions
    ports: ClassVar[Mapping[str, str]] = {
        "embedding": "focal_core.providers.hashing:HashingEmbeddings",
        "rerank": "focal_core.providers.hashing:HashingReranker",
    }
    contract: ClassVar[str] = CONTRACT

    def __init__(self, options: HashingOptions, context: BackendContext) -> None:
        super().__init__(options, context)
        self._providers: Mapping[str, HashingEmbeddings | HashingReranker] = {
            "embedding": HashingEmbeddings(options.dimensions),
            "rerank": HashingReranker(options.dimensions),
        }

    async def open(self) -> None:
        """Do nothing: there is nothing to connect to."""

    def port(self, name: str) -> Any:
        """Return the provider of a port."""
        if name not in self._providers:
            raise ConfigurationError(
                f"backend 'hashing' does not serve port {name!r}", hint=f"it serves: {', '.join(self.ports)}"
            )
        return self._providers[name]

    async def health(self) -> HealthReport:
        """Return ok."""
        started = perf_counter()
        checks = {"vectors": CheckResult(ok=True, detail=f"{MODEL}, {self._providers['embedding'].model_id}")}
        return HealthReport(status="ok", checks=checks, latency_ms=(perf_counter() - started) * 1000, backend=self.name)

    async def close(self) -> None:
        """Close the providers."""
        for provider in self._providers.values():
            await provider.aclose()
