"""The reference for embeddings, over OpenAI's wire."""

from __future__ import annotations

import asyncio
import base64
import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum, isfinite
from typing import Any, ClassVar

from focal_core.errors import ContextTooLong, DeadlineExceeded, ProviderError
from focal_core.providers.embedding import EmbeddingProvider, check_texts
from focal_core.providers.models import NO_OPTIONS, Attempt, CallOptions, EmbeddingResponse, EmbeddingSpec, InputKind
from focal_core.providers.retry import CurrentAttempt, run_attempts, spent
from focal_core.usage import TokenUsage
from focal_testkit.mutants.providers.reference import MALFORMED, Client

MAX_BATCH = 4


@dataclass
class _Call:
    """What the requests of one call share."""

    options: CallOptions
    truncate: bool
    started: float
    attempts: list[Attempt] = field(default_factory=list)
    shortened: set[str] = field(default_factory=set)

    def limits(self) -> CallOptions:
        """Return the limits of the next request: what is left of the deadline.

        Raises:
            DeadlineExceeded: nothing is.
        """
        if self.options.deadline is None:
            return self.options
        left = self.options.deadline - (asyncio.get_running_loop().time() - self.started)
        if left <= 0.0:
            raise DeadlineExceeded("the deadline passed between two requests", provider="reference")
        return self.options.model_copy(update={"deadline": left})

    def numbered(self) -> tuple[Attempt, ...]:
        """Return every attempt, counted over all requests."""
        return tuple(one.model_copy(update={"n": n}) for n, one in enumerate(self.attempts, start=1))


class ReferenceEmbeddings(Client, EmbeddingProvider):
    """Batches one after the other; equal texts are sent once; a batch refused as too long is halved."""

    name: ClassVar[str] = "reference"

    def __init__(self, base_url: str, *, api_key: str, embedding_model: str, dimensions: int) -> None:
        super().__init__(base_url, api_key)
        self._spec = EmbeddingSpec(
            model=embedding_model, dimensions=dimensions, normalized=True, max_batch=MAX_BATCH, max_input_tokens=None
        )

    @property
    def spec(self) -> EmbeddingSpec:
        """The space, as configured."""
        return self._spec

    async def embed(
        self,
        texts: Sequence[str],
        *,
        input_kind: InputKind = "document",
        truncate: bool = False,
        options: CallOptions = NO_OPTIONS,
    ) -> EmbeddingResponse:
        """Send the texts in batches."""
        self.check_open()
        check_texts(texts, self.name, self._spec.model)
        call = _Call(options, truncate, asyncio.get_running_loop().time())
        vectors: dict[str, list[float]] = {}
        try:
            for batch in self.batches(texts):
                vectors.update(await self.embedded(batch, call))
        except ProviderError as error:
            error.attempts, error.usage = call.numbered(), spent(call.attempts)
            raise
        return EmbeddingResponse(
            embeddings=[vectors[text].copy() for text in texts],
            spec=self._spec,
            usage=spent(call.attempts) or TokenUsage(requests=len(call.attempts), reported=False),
            attempts=call.numbered(),
            truncated=tuple(index for index, text in enumerate(texts) if text in call.shortened),
        )

    def batches(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the texts, equal ones once, in batches."""
        once = list(dict.fromkeys(texts))
        return [once[start : start + MAX_BATCH] for start in range(0, len(once), MAX_BATCH)]

    async def embedded(self, batch: list[str], call: _Call) -> dict[str, list[float]]:
        """Return the vectors of a batch, by halves when it is too long for the server."""
        sent = list(batch)
        while True:
            try:
                return dict(zip(batch, await self.asked(sent, call), strict=True))
            except ContextTooLong:
                if len(batch) > 1:
                    half = len(batch) // 2
                    return await self.embedded(batch[:half], call) | await self.embedded(batch[half:], call)
                if not call.truncate or len(sent[0]) < 2:
                    raise
                sent = [sent[0][: len(sent[0]) // 2]]
                call.shortened.add(batch[0])

    async def asked(self, sent: list[str], call: _Call) -> list[list[float]]:
        """Send one request, as often as it takes."""
        payload = {"model": self._spec.model, "input": sent, "encoding_format": "base64"}

        async def attempt(current: CurrentAttempt) -> list[list[float]]:
            reply = await self.post("/embeddings", payload, current)
            try:
                body = json.loads(reply.content)
                vectors = self.placed(body["data"], len(sent))
                current.usage = self.count(body.get("usage"))
            except MALFORMED:
                raise self.malformed("the reply is no list of vectors") from None
            return vectors

        attempted = await run_attempts(
            attempt,
            classify=self.classify,
            options=call.limits(),
            observe=call.attempts.append,
            provider=self.name,
            model=self._spec.model,
        )
        return attempted.value

    def placed(self, rows: Any, count: int) -> list[list[float]]:
        """Return the vectors by index.

        Raises:
            ValueError: there is not exactly one usable vector for each.
        """
        by_index = {row["index"]: self.usable(self.decoded(row["embedding"])) for row in rows}
        if len(rows) != count or sorted(by_index) != list(range(count)):
            raise ValueError("not one vector for each text")
        return [by_index[index] for index in range(count)]

    def decoded(self, embedding: Any) -> list[float]:
        """Return a vector as float32."""
        if isinstance(embedding, str):
            return array("f", base64.b64decode(embedding, validate=True)).tolist()
        return array("f", embedding).tolist()

    def usable(self, vector: list[float]) -> list[float]:
        """Return a vector that can be compared with others.

        Raises:
            ValueError: wrong length, not finite, or zero.
        """
        if len(vector) != self._spec.dimensions or not isfinite(fsum(vector)) or not any(vector):
            raise ValueError("the vector is of no use")
        return vector

    def count(self, told: Any) -> TokenUsage | None:
        """Return the tokens of a reply; None when it does not tell."""
        if not isinstance(told, dict) or not isinstance(told.get("prompt_tokens"), int):
            return None
        return TokenUsage(prompt_tokens=told["prompt_tokens"])
