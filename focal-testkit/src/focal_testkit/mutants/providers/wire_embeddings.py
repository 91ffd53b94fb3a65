"""Embedding providers that break a rule of the wire."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from typing import Any

from focal_core.errors import ContextTooLong, ProviderError
from focal_core.providers.models import EmbeddingResponse, InputKind
from focal_testkit.mutants import mutant
from focal_testkit.mutants.providers.reference_embeddings import ReferenceEmbeddings


@mutant("FAULT-EMBED[vectors_permuted]", "FAULT-EMBED[vectors_doubled]")
class OrdersByArrival(ReferenceEmbeddings):
    """Vectors belong to texts in the order in which they arrive."""

    def placed(self, rows: Any, count: int) -> list[list[float]]:
        return super().placed([{**row, "index": at} for at, row in enumerate(rows)], count)


@mutant("FAULT-EMBED[vectors_missing]", "FAULT-EMBED[vectors_too_many]")
class CountsNothing(ReferenceEmbeddings):
    """A vector that is missing is the first one again."""

    def placed(self, rows: Any, count: int) -> list[list[float]]:
        by_index = {row["index"]: self.usable(self.decoded(row["embedding"])) for row in rows}
        return [by_index.get(index, by_index[0]) for index in range(count)]


@mutant("FAULT-EMBED[vectors_with_nan]", "FAULT-EMBED[vectors_of_zeros]", "FAULT-EMBED[vectors_too_short]")
class TakesAnyVector(ReferenceEmbeddings):
    """NaN, zeros and any length will do."""

    def usable(self, vector: list[float]) -> list[float]:
        return vector


@mutant("FAULT-EMBED[silence_at_once]", "EMBED-T3")
class LeavesConnectionsOpen(ReferenceEmbeddings):
    """A request goes on when nobody waits for it."""

    async def post(self, path: str, payload: Any, current: Any) -> Any:
        return await asyncio.shield(super().post(path, payload, current))


@mutant("EMBED-E4")
class SendsAllAtOnce(ReferenceEmbeddings):
    """All texts go into one request."""

    def batches(self, texts: Sequence[str]) -> list[list[str]]:
        return [list(dict.fromkeys(texts))] if texts else []


@mutant("EMBED-E4b")
class NeverHalves(ReferenceEmbeddings):
    """A batch that is too large is an error."""

    async def embedded(self, batch: list[str], call: Any) -> dict[str, list[float]]:
        return dict(zip(batch, await self.asked(batch, call), strict=True))


@mutant("EMBED-E7b")
class ShortensInSilence(ReferenceEmbeddings):
    """What was shortened is not told."""

    async def embed(self, texts: Sequence[str], **options: Any) -> EmbeddingResponse:
        return (await super().embed(texts, **options)).model_copy(update={"truncated": ()})


@mutant("EMBED-E6c")
class RunsToTheEnd(ReferenceEmbeddings):
    """A failure waits for all other batches."""

    async def embed_batch(
        self, texts: Sequence[str], batch_size: int = 100, *, concurrency: int = 4, input_kind: InputKind = "document"
    ) -> list[list[float]]:
        found: list[list[float]] = []
        failure: ProviderError | None = None
        for text in texts:
            try:
                found += (await self.embed([text])).embeddings
            except ProviderError as error:
                failure = error
        if failure is not None:
            raise failure
        return found


@mutant("EMBED-T1")
class HasADeadlinePerRequest(ReferenceEmbeddings):
    """Every request of a call has the whole deadline."""

    async def asked(self, sent: list[str], call: Any) -> list[list[float]]:
        call.started = asyncio.get_running_loop().time()
        return await super().asked(sent, call)


@mutant("EMBED-E8", "EMBED-E3")
class RoundsNothing(ReferenceEmbeddings):
    """Values are made unit length once more, in double precision."""

    def usable(self, vector: list[float]) -> list[float]:
        return [component / 1.1 for component in super().usable(array("f", vector).tolist())]


@mutant("EMBED-E7b")
class ShortensUnasked(ReferenceEmbeddings):
    """A text that is too long is cut without leave."""

    async def embed(self, texts: Sequence[str], *, truncate: bool = False, **options: Any) -> EmbeddingResponse:
        try:
            return await super().embed(texts, truncate=truncate, **options)
        except ContextTooLong:
            return await super().embed(texts, truncate=True, **options)
