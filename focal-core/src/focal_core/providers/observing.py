"""Providers that are watched: each call is told to an observer, which changes nothing about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from focal_core.providers.embedding import EmbeddingProvider
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    Done,
    EmbeddingResponse,
    InputKind,
    LLMRequest,
    LLMResponse,
    RerankResponse,
    StreamEvent,
)
from focal_core.providers.rerank import RerankProvider
from focal_core.providers.stream import LLMStream, opened_stream
from focal_core.providers.wrapping import EmbeddingWrapper, LLMWrapper, RerankWrapper

Response: TypeAlias = LLMResponse | EmbeddingResponse | RerankResponse
R = TypeVar("R", LLMResponse, EmbeddingResponse, RerankResponse)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that begins.

    Attributes:
        port: ``llm``, ``embedding`` or ``rerank``.
        provider: wire family.
        model: the model asked.
        options: limits of the call, and its tenant.
        request: of a language model; None on the other ports.
        stream: whether the answer is streamed.
    """

    port: str
    provider: str
    model: str
    options: CallOptions
    request: LLMRequest | None = None
    stream: bool = False


class Watch(Protocol):
    """One call being watched. Its methods do no I/O and raise nothing."""

    def active(self) -> AbstractContextManager[object]:
        """Return what is entered around a call that is answered whole."""
        ...

    def first_event(self) -> None:
        """Be told that a stream has begun."""

    def ended(self, response: Response | None, error: BaseException | None) -> None:
        """Be told how the call ended, once; with neither, the reader left a stream early."""


class CallObserver(Protocol):
    """Watches calls. It does no I/O and raises nothing."""

    def begin(self, call: Call) -> Watch:
        """Return what watches a call that begins."""
        ...


async def _watched(watch: Watch, do: Callable[[], Awaitable[R]]) -> R:
    with watch.active():
        try:
            response = await do()
        except (Exception, asyncio.CancelledError) as error:
            watch.ended(None, error)
            raise
        watch.ended(response, None)
        return response


class ObservedLLM(LLMWrapper):
    """A language model whose calls are watched.

    Args:
        inner: what answers.
        observer: told of each call.
    """

    def __init__(self, inner: LLMProvider, observer: CallObserver) -> None:
        super().__init__(inner)
        self._observer = observer

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Return the inner one's answer."""
        watch = self._begin(request, options, stream=False)
        return await _watched(watch, lambda: self._inner.generate(request, options=options))

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Return the inner one's stream."""

        async def events() -> AsyncIterator[StreamEvent]:
            watch = self._begin(request, options, stream=True)
            response: LLMResponse | None = None
            failure: BaseException | None = None
            try:
                async with self._inner.stream(request, options=options) as stream:
                    watch.first_event()
                    async for event in stream:
                        if isinstance(event, Done):
                            response = event.response
                        yield event
            except (Exception, asyncio.CancelledError) as error:
                failure = error
                raise
            finally:
                watch.ended(response, failure)

        return opened_stream(events, self.name)

    def _begin(self, request: LLMRequest, options: CallOptions, *, stream: bool) -> Watch:
        # A request that is none is for the inner one to refuse.
        asked = request if isinstance(request, LLMRequest) else None
        model = (asked and asked.model) or self.model_id
        return self._observer.begin(Call("llm", self.name, model, options, asked, stream))


class ObservedEmbeddings(EmbeddingWrapper):
    """An embedding model whose calls are watched.

    Args:
        inner: what embeds.
        observer: told of each call.
    """

    def __init__(self, inner: EmbeddingProvider, observer: CallObserver) -> None:
        super().__init__(inner)
        self._observer = observer

    async def embed(
        self,
        texts: Sequence[str],
        *,
        input_kind: InputKind = "document",
        truncate: bool = False,
        options: CallOptions = NO_OPTIONS,
    ) -> EmbeddingResponse:
        """Return the inner one's vectors."""
        watch = self._observer.begin(Call("embedding", self.name, self.model_id, options))
        return await _watched(
            watch, lambda: self._inner.embed(texts, input_kind=input_kind, truncate=truncate, options=options)
        )


class ObservedRerank(RerankWrapper):
    """A reranker whose calls are watched.

    Args:
        inner: what judges.
        observer: told of each call.
    """

    def __init__(self, inner: RerankProvider, observer: CallObserver) -> None:
        super().__init__(inner)
        self._observer = observer

    async def rerank(
        self, query: str, documents: Sequence[str], top_k: int | None = None, *, options: CallOptions = NO_OPTIONS
    ) -> RerankResponse:
        """Return the inner one's results."""
        watch = self._observer.begin(Call("rerank", self.name, self.model_id, options))
        return await _watched(watch, lambda: self._inner.rerank(query, documents, top_k, options=options))


def observed(
    provider: LLMProvider | EmbeddingProvider | RerankProvider, observer: CallObserver
) -> LLMProvider | EmbeddingProvider | RerankProvider:
    """Return a provider of any port, watched."""
    if isinstance(provider, LLMProvider):
        return ObservedLLM(provider, observer)
    if isinstance(provider, EmbeddingProvider):
        return ObservedEmbeddings(provider, observer)
    return ObservedRerank(provider, observer)
