"""Streams of a model's answer: events in order, an end that is never mistaken for success."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Self

from focal_core.errors import StreamInterrupted
from focal_core.providers.models import (
    Done,
    LLMResponse,
    StreamEvent,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
)


class LLMStream:
    """The events of one answer, in order, ending with ``Done``.

    An end before ``Done`` is never silent: it is ``StreamInterrupted``, with the text so far as ``partial``.

    Args:
        events: what the provider sends; nothing is read from it behind ``Done``.
        provider: wire family, for errors.
    """

    def __init__(self, events: AsyncIterator[StreamEvent], provider: str) -> None:
        self._events = events
        self._provider = provider
        self._pending: StreamEvent | None = None
        self._text: list[str] = []
        self._response: LLMResponse | None = None
        self._error: BaseException | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        if self._pending is not None:
            event, self._pending = self._pending, None
            return event
        if self._response is not None:
            raise StopAsyncIteration
        if self._error is not None:
            raise self._error
        return await self._pull()

    async def response(self) -> LLMResponse:
        """Return the complete answer, reading what is left.

        Raises:
            ProviderError: whatever ended the stream before ``Done``.
        """
        async for _ in self:
            pass
        assert self._response is not None
        return self._response

    async def ready(self) -> None:
        """Wait for the first event, which the next read then returns; called once, by whoever opens the stream."""
        self._pending = await self._pull()

    async def aclose(self) -> None:
        """Stop reading; a second call does nothing."""
        if self._response is None and self._error is None:
            self._error = self._interrupted("the stream was closed before its end")

    async def _pull(self) -> StreamEvent:
        try:
            event = await anext(self._events)
        except StopAsyncIteration:
            self._error = self._interrupted("the stream ended without its terminal event")
            raise self._error from None
        except BaseException as error:
            self._error = error
            raise
        if isinstance(event, TextDelta):
            self._text.append(event.text)
        elif isinstance(event, Done):
            self._response = event.response
        return event

    def _interrupted(self, message: str) -> StreamInterrupted:
        return StreamInterrupted(message, provider=self._provider, partial="".join(self._text))


@asynccontextmanager
async def opened_stream(events: Callable[[], AsyncIterator[StreamEvent]], provider: str) -> AsyncIterator[LLMStream]:
    """Open a stream over an async generator function: entered when the first event is there, closed on leaving.

    Args:
        events: called at entry, so that a stream never entered sends nothing.
        provider: wire family, for errors.
    """
    iterator = events()
    stream = LLMStream(iterator, provider)
    try:
        await stream.ready()
        yield stream
    finally:
        await stream.aclose()
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


def events_of(response: LLMResponse, chunk_size: int | None = None) -> Iterator[StreamEvent]:
    """Yield the events a finished answer would have been streamed as.

    Args:
        response: the answer.
        chunk_size: characters of one delta; None = each part in one.
    """
    calls = 0
    for part in response.message.parts:
        if isinstance(part, TextPart):
            yield from map(TextDelta, _chunks(part.text, chunk_size))
        elif isinstance(part, ThinkingPart):
            yield from map(ThinkingDelta, _chunks(part.text, chunk_size))
        elif isinstance(part, ToolCallPart):
            yield ToolCallStart(calls, part.id, part.name)
            for chunk in _chunks(part.raw_arguments, chunk_size):
                yield ToolCallDelta(calls, chunk)
            calls += 1
    yield Done(response)


def _chunks(text: str, size: int | None) -> Iterator[str]:
    step = size or len(text) or 1
    return (text[start : start + step] for start in range(0, len(text), step))
