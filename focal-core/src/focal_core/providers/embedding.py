"""The embedding port: texts in, vectors of one space out."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from focal_core.errors import InvalidRequest, ProviderError
from focal_core.providers.models import NO_OPTIONS, CallOptions, EmbeddingResponse, EmbeddingSpec, InputKind


class EmbeddingProvider(ABC):
    """Turns texts into vectors of one embedding space.

    Attributes:
        name: wire family, such as ``"openai"``.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def spec(self) -> EmbeddingSpec:
        """The space of the vectors; known before any call. Stores record its model and check its dimensions."""

    @property
    def model_id(self) -> str:
        """The model, as stores record it."""
        return self.spec.model

    @property
    def dimensions(self) -> int:
        """Length of every vector."""
        return self.spec.dimensions

    @abstractmethod
    async def embed(
        self,
        texts: Sequence[str],
        *,
        input_kind: InputKind = "document",
        truncate: bool = False,
        options: CallOptions = NO_OPTIONS,
    ) -> EmbeddingResponse:
        """Return one vector for each text, in the order of the texts.

        Equal texts are sent once; no text at all sends nothing.

        Args:
            texts: not empty, each of them.
            input_kind: what the texts are for; matters to asymmetric models only.
            truncate: shorten a text that is too long, and say so in ``truncated``, instead of refusing it.
            options: time limits of this call.

        Returns:
            (len(texts), dimensions) floats of float32 precision, finite, no vector zero.

        Raises:
            InvalidRequest: a text is empty, or a single str was given; before anything is sent.
            ContextTooLong: a text is longer than the model reads and ``truncate`` is False.
            MalformedResponse: the answer has not exactly one usable vector for each text.
            ProviderError: whatever else the provider did.
        """

    async def embed_one(self, text: str, *, input_kind: InputKind = "query") -> list[float]:
        """Return the vector of one text; as ``embed``."""
        return (await self.embed([text], input_kind=input_kind)).embeddings[0]

    async def embed_batch(
        self,
        texts: Sequence[str],
        batch_size: int = 100,
        *,
        concurrency: int = 4,
        input_kind: InputKind = "document",
    ) -> list[list[float]]:
        """Return one vector for each text, in order, sent in batches.

        Args:
            texts: any number of them.
            batch_size: texts of one call of ``embed``.
            concurrency: calls under way at a time.
            input_kind: as ``embed``.

        Raises:
            ProviderError: the first failure; it cancels the other calls, and its ``usage`` is what the finished ones
                and it have spent.
        """
        check_texts(texts, self.name, self.model_id)
        if batch_size < 1 or concurrency < 1:
            raise InvalidRequest("batch_size and concurrency must be at least 1", provider=self.name)
        starts = iter(range(0, len(texts), batch_size))
        answers: dict[int, EmbeddingResponse] = {}

        async def work() -> None:
            for start in starts:
                answers[start] = await self.embed(texts[start : start + batch_size], input_kind=input_kind)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, -(-len(texts) // batch_size))):
                    group.create_task(work())
        except* ProviderError as failures:
            error = _first(failures)
            for answer in answers.values():
                error.usage = answer.usage if error.usage is None else error.usage + answer.usage
        else:
            return [vector for start in sorted(answers) for vector in answers[start].embeddings]
        raise error

    async def aclose(self) -> None:  # noqa: B027 - nothing to release is an implementation
        """Do nothing here: the backend owns the client. A second call does nothing either."""


def _first(failures: BaseExceptionGroup[ProviderError]) -> ProviderError:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def check_texts(texts: Sequence[str], provider: str, model: str) -> None:
    """Refuse a single str and empty texts, before anything is sent.

    Raises:
        InvalidRequest: codes ``texts_invalid`` and ``text_empty``.
    """
    if isinstance(texts, str):
        raise InvalidRequest(
            "texts must be a sequence of str, not one str",
            code="texts_invalid",
            hint="pass [text], or use embed_one(text)",
            provider=provider,
            model=model,
        )
    for index, text in enumerate(texts):
        if not text:
            raise InvalidRequest(f"text {index} is empty", code="text_empty", provider=provider, model=model)
