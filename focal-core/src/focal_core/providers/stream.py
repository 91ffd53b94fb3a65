"""Streams of a model's answer: events in order, an end that is never mistaken for success."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Self

from focal_core.errors import DeadlineExceeded, MalformedResponse, ProviderError, StreamInterrupted
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
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
    UsageUpdate,
)
from focal_core.providers.prices import PriceBook
from focal_core.providers.retry import (
    IDLE_TIMEOUT,
    AttemptObserver,
    Classify,
    CurrentAttempt,
    Random,
    Sleep,
    advised,
    run_attempts,
)
from focal_core.providers.watchdog import Watchdog


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
            if isinstance(error, StreamInterrupted | DeadlineExceeded) and error.partial is None:
                error.partial = "".join(self._text)
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


async def attempted_events(
    connect: Callable[[CurrentAttempt], AsyncGenerator[StreamEvent, None]],
    *,
    provider: str,
    model: str,
    classify: Classify,
    options: CallOptions = NO_OPTIONS,
    prices: PriceBook | None = None,
    observe: AttemptObserver | None = None,
    sleep: Sleep = asyncio.sleep,
    rng: Random = random.random,
) -> AsyncGenerator[StreamEvent, None]:
    """Yield the events of a stream: attempts until the first one is there, the limits of a stream from then on.

    Args:
        connect: one attempt: sends the request, yields the events of its answer, ends behind ``Done``, whose response
            has the usage of this attempt; its ``finally`` closes the connection.
        provider: wire family.
        model: the model asked.
        classify: what an exception of ``connect`` means; None = a bug, which is raised as it is.
        options: limits; see ``run_attempts``.
        prices: for the cost.
        observe: told of each attempt as it ends.
        sleep: waits between attempts.
        rng: jitter.

    Raises:
        MalformedResponse: the stream ended before its first event.
        DeadlineExceeded: the deadline passed.
        StreamInterrupted: anything else behind the first event, with focal's error for it as cause.
        ProviderError: as ``run_attempts``.
    """

    async def first(current: CurrentAttempt) -> tuple[AsyncGenerator[StreamEvent, None], StreamEvent]:
        events = connect(current)
        try:
            return events, await anext(events)
        except StopAsyncIteration:
            raise MalformedResponse("the stream ended before its first event") from None

    until_first = options.first_event_timeout or options.attempt_timeout
    attempted = await run_attempts(
        first,
        classify=classify,
        options=options.model_copy(update={"attempt_timeout": until_first}),
        observe=observe,
        sleep=sleep,
        rng=rng,
        provider=provider,
        model=model,
        complete=False,
    )
    source, event = attempted.value
    before, usage = attempted.usage, None
    watchdog = Watchdog(options.idle_timeout or IDLE_TIMEOUT, attempted.ends)
    try:
        async with aclosing(source), aclosing(watchdog.watch(source)) as events:
            while not isinstance(event, Done):
                if isinstance(event, UsageUpdate):
                    usage = event.usage
                    event = event if before is None else UsageUpdate(before + usage)
                yield event
                event = await anext(events)
    except StopAsyncIteration:
        interrupted = _interrupted(MalformedResponse("its terminal event is missing"), provider, model)
    except Exception as error:
        advice = advised(error, classify)
        if advice is None:
            raise
        if advice.error is not error:
            advice.error.__cause__ = error
        interrupted = _interrupted(advice.error, provider, model)
    else:
        attempted.end(usage=event.response.usage)
        yield Done(attempted.settled(event.response, prices))
        return
    attempted.end(interrupted, usage=usage)
    raise interrupted


def _interrupted(error: ProviderError, provider: str, model: str) -> ProviderError:
    if isinstance(error, DeadlineExceeded | StreamInterrupted):
        error.provider, error.model = error.provider or provider, error.model or model
        return error
    interrupted = StreamInterrupted(
        f"the stream broke off: {error}",
        provider=provider,
        model=model,
        status=error.status,
        vendor_code=error.vendor_code,
        vendor_message=error.vendor_message,
        request_id=error.request_id,
        retry_after=error.retry_after,
        usage=error.usage,
    )
    interrupted.__cause__ = error
    return interrupted


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
