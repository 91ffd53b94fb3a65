"""Language models that break a rule of the wire, or mistake a fault for something else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx2

from focal_core.errors import ConnectionFailed, OutputTruncated, ProviderError, StreamInterrupted
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    Done,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    StreamEvent,
    StructuredResult,
    TextPart,
)
from focal_core.providers.retry import Advice, CurrentAttempt
from focal_core.providers.stream import LLMStream, opened_stream
from focal_core.usage import TokenUsage
from focal_testkit.mutants import mutant
from focal_testkit.mutants.providers import reference_llm
from focal_testkit.mutants.providers.reference_llm import Accumulated, ReferenceLLM

Entered = AbstractAsyncContextManager[LLMStream]


@mutant("LLM-R1c")
class StreamsWithoutTemperature(ReferenceLLM):
    """A stream is asked for without what is optional."""

    def stream(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> Entered:
        return super().stream(request.model_copy(update={"temperature": None}), options=options)


@mutant("LLM-R4b")
class OverridesItsOptions(ReferenceLLM):
    """The configured model goes over the one of the options."""

    def payload(self, request: LLMRequest) -> dict[str, Any]:
        return super().payload(request) | {"model": request.model or self._model}


@mutant("LLM-R6")
class ShowsForeignThinking(ReferenceLLM):
    """Thinking is sent as text, whoever thought it."""

    def messages(self, message: LLMMessage) -> list[dict[str, Any]]:
        thoughts = [{"role": message.role, "content": part.text} for part in message.parts if part.kind == "thinking"]
        return [*thoughts, *super().messages(message)]


@mutant("LLM-R8b")
class UserFirst(ReferenceLLM):
    """Messages are sorted by role."""

    def payload(self, request: LLMRequest) -> dict[str, Any]:
        payload = super().payload(request)
        return payload | {"messages": sorted(payload["messages"], key=lambda message: message["role"], reverse=True)}


@mutant("LLM-R9b", "FAULT-GENERATE[rate_limited_then_good]")
class TellsTheLastAttempt(ReferenceLLM):
    """An answer has one attempt, however many were made."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        response = await super().generate(request, options=options)
        return response.model_copy(update={"attempts": response.attempts[-1:]})


@mutant("LLM-R10b", "FAULT-GENERATE[rate_limit_state]")
class ReadsNoHeaders(ReferenceLLM):
    """Limits are not read."""

    def limits_told(self, headers: Mapping[str, str]) -> None:
        return None


@mutant("LLM-S1c", "LLM-T3b")
class ReadsOnInTheBackground(ReferenceLLM):
    """What a reader leaves is read by a task, to its end."""

    def stream(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> Entered:
        async def events() -> AsyncIterator[StreamEvent]:
            queue: asyncio.Queue[StreamEvent | Exception] = asyncio.Queue()

            async def read() -> None:
                async with super(ReadsOnInTheBackground, self).stream(request, options=options) as stream:
                    async for event in stream:
                        queue.put_nowait(event)

            self.reading = asyncio.create_task(read())
            while not isinstance(event := await queue.get(), Done | Exception):
                yield event
            yield event  # type: ignore[misc]

        return opened_stream(events, self.name)


@mutant("LLM-S4")
class WaitsForTheWhole(ReferenceLLM):
    """A stream hands nothing over before its end."""

    async def events(self, payload: Any, current: CurrentAttempt) -> AsyncGenerator[StreamEvent, None]:
        for event in [event async for event in super().events(payload, current)]:
            yield event


@mutant("LLM-A5", "FAULT-GENERATE[server_error]")
class RetriesTwice(ReferenceLLM):
    """A second loop retries below the first, as an SDK does unless told not to."""

    async def post(self, path: str, payload: Any, current: CurrentAttempt) -> httpx2.Response:
        reply = await self._http.post(path, json=payload)
        if reply.status_code < 500:
            self.note(reply, current)
            self.check(reply, current)
            return reply
        return await super().post(path, payload, current)


@mutant(
    "FAULT-STREAM[stream_ended_in_order_midway]",
    "FAULT-STREAM[stream_ended_without_its_terminal_event]",
    "FAULT-STREAM[stream_without_an_event]",
)
class TakesTheEndForSuccess(ReferenceLLM):
    """A stream that just ends is complete."""

    async def events(self, payload: Any, current: CurrentAttempt) -> AsyncGenerator[StreamEvent, None]:
        done, said = False, ""
        async for event in super().events(payload, current):
            done = isinstance(event, Done)
            said += getattr(event, "text", "")
            yield event
        if not done:
            message = LLMMessage(role="assistant", parts=(TextPart(text=said),))
            yield Done(LLMResponse(message=message, model=self._model, provider=self.name))


@mutant("FAULT-STREAM[stream_closed_midway]", "FAULT-STREAM[stream_error_midway]")
class StartsOver(ReferenceLLM):
    """A stream that breaks is begun again behind what was shown."""

    def stream(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> Entered:
        async def events() -> AsyncIterator[StreamEvent]:
            try:
                async with super(StartsOver, self).stream(request, options=options) as stream:
                    async for event in stream:
                        yield event
            except StreamInterrupted:
                async with super(StartsOver, self).stream(request, options=options) as stream:
                    async for event in stream:
                        yield event

        return opened_stream(events, self.name)


@mutant("FAULT-STREAM[stream_held_open_behind_its_end]")
class WaitsForTheConnectionToEnd(ReferenceLLM):
    """Reading goes on behind the terminal event."""

    async def events(self, payload: Any, current: CurrentAttempt) -> AsyncGenerator[StreamEvent, None]:
        last: StreamEvent | None = None
        async for event in super().events(payload, current):
            last = event
            if isinstance(event, Done):
                await asyncio.sleep(2.0)
            yield event
        assert last is not None


@mutant("FAULT-STREAM[stream_with_line_separators_of_unicode]")
class SplitsLinesByUnicode(ReferenceLLM):
    """The HTTP client's own notion of a line cuts events in two."""

    async def events(self, payload: Any, current: CurrentAttempt) -> AsyncGenerator[StreamEvent, None]:
        lines = reference_llm._lines

        async def split(reply: httpx2.Response) -> AsyncIterator[bytes]:
            async for line in reply.aiter_lines():
                yield line.encode()

        reference_llm._lines = split
        try:
            async for event in super().events(payload, current):
                yield event
        finally:
            reference_llm._lines = lines


class _AddingUp(Accumulated):
    """Usage is added up."""

    def count(self, told: Any) -> TokenUsage:
        counted = super().count(told)
        return counted.model_copy(update={"prompt_tokens": counted.prompt_tokens + counted.cache_read_tokens})


@mutant("FAULT-GENERATE[good]", "FAULT-STREAM[good]", "FAULT-STRUCTURED[good]")
class CountsTheCacheTwice(ReferenceLLM):
    """Cached tokens are added to those that hold them already."""

    def accumulated(self) -> Accumulated:
        return _AddingUp(self.name)


class _Merging(Accumulated):
    """Pieces of all tool calls go to the first."""

    def take(self, chunk: Any) -> Any:
        for choice in chunk.get("choices") or ():
            for piece in choice["delta"].get("tool_calls") or ():
                piece["index"] = 0
                piece.pop("id", None) if self._calls else None
        return super().take(chunk)


@mutant("FAULT-STREAM[tool_calls_interleaved]", "FAULT-STREAM[tool_calls_of_one_index]")
class MergesToolCalls(ReferenceLLM):
    """Two tool calls become one."""

    def accumulated(self) -> Accumulated:
        return _Merging(self.name)


@mutant("FAULT-GENERATE[retry_after_an_hour]", "FAULT-GENERATE[retry_after_beyond_the_callers_cap]")
class WaitsAsLongAsAsked(ReferenceLLM):
    """Retry-After is obeyed without a cap."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        return await super().generate(request, options=options.model_copy(update={"max_retry_after": 1e9}))


@mutant(
    "FAULT-GENERATE[retry_after_milliseconds]",
    "FAULT-STREAM[retry_after_fraction]",
    "FAULT-STRUCTURED[retry_after_an_hour]",
)
class NeverWaitsAsAsked(ReferenceLLM):
    """Retry-After is not read."""

    def retry_after(self, headers: Mapping[str, str]) -> None:
        return None


@mutant("FAULT-GENERATE[retry_after_nan]", "FAULT-GENERATE[retry_after_negative]")
class TakesNaNForSeconds(ReferenceLLM):
    """Whatever ``float`` reads is a time to wait."""

    def retry_after(self, headers: Mapping[str, str]) -> float | None:
        text = headers.get("retry-after", "")
        return float(text) if text in ("nan", "-30") else super().retry_after(headers)


@mutant("FAULT-GENERATE[should_not_retry]", "FAULT-GENERATE[invalid_that_should_be_retried]")
class IgnoresShouldRetry(ReferenceLLM):
    """What the server says of retrying is not read."""

    def retryable(self, error: ProviderError, should: str | None) -> bool:
        return error.retryable


@mutant("FAULT-GENERATE[quota]", "FAULT-STREAM[authentication]", "FAULT-STRUCTURED[should_not_retry]")
class RetriesWhatFails(ReferenceLLM):
    """Every refusal is retried, that of the quota too."""

    def retryable(self, error: ProviderError, should: str | None) -> bool:
        return True


@mutant("FAULT-GENERATE[server_error]", "FAULT-STREAM[quota]", "FAULT-STRUCTURED[invalid]")
class NamesItsKey(ReferenceLLM):
    """An error tells the key."""

    def error(self, *given: Any, **more: Any) -> ProviderError:
        error = super().error(*given, **more)
        error.args = (f"{error.args[0]} for {self._key}",)
        return error


@mutant("FAULT-GENERATE[error_that_echoes_key_and_prompt]", "FAULT-STREAM[error_that_echoes_key_and_prompt]")
class QuotesTheVendor(ReferenceLLM):
    """An error repeats the vendor's words, which repeat the prompt."""

    def error(self, *given: Any, **more: Any) -> ProviderError:
        error = super().error(*given, **more)
        error.message = f"{error.message}: {error.vendor_message}"
        return error


@mutant("FAULT-GENERATE[reset_before_the_reply]", "FAULT-STREAM[stream_closed_midway]", "FAULT-STRUCTURED[refused]")
class LetsTheClientsErrorsOut(ReferenceLLM):
    """The HTTP client's exceptions leave as they are."""

    def classify(self, error: Exception) -> Advice | None:
        return None


@mutant("FAULT-GENERATE[reset_then_good]", "FAULT-STREAM[stream_closed_before_its_first_event_then_good]")
class GivesUpOnConnections(ReferenceLLM):
    """A broken connection is not tried again."""

    def classify(self, error: Exception) -> Advice | None:
        advice = super().classify(error)
        return advice and Advice(ConnectionFailed("broken"), retryable=False)


@mutant("FAULT-GENERATE[redirect_to_another_host]", "FAULT-STREAM[redirect_to_itself]")
class FollowsRedirects(ReferenceLLM):
    """A redirect takes request and key along."""

    def __init__(self, base_url: str, **settings: Any) -> None:
        super().__init__(base_url, **settings)
        self._http.follow_redirects = True


@mutant("FAULT-GENERATE[deadline_in_silence]", "FAULT-GENERATE[deadline_over_all_attempts]")
class HasADeadlinePerAttempt(ReferenceLLM):
    """A deadline holds for each attempt, not for all."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        each = {"deadline": None, "attempt_timeout": options.deadline or options.attempt_timeout}
        return await super().generate(request, options=options.model_copy(update=each))


@mutant("FAULT-GENERATE[wrong_shape]", "FAULT-GENERATE[choices_empty]", "FAULT-STRUCTURED[null]")
class AcceptsAnything(ReferenceLLM):
    """Whatever JSON comes with status 200 is an answer."""

    def read(self, body: Any) -> LLMResponse:
        try:
            return super().read(body)
        except (LookupError, TypeError, AttributeError, ValueError):
            message = LLMMessage(role="assistant", parts=(TextPart(text=json.dumps(body)),))
            return LLMResponse(message=message, model=self._model, provider=self.name)


@mutant("FAULT-STRUCTURED[output_truncated]", "FAULT-STRUCTURED[output_valid_and_truncated]")
class AcceptsCutOutput(ReferenceLLM):
    """Output that was cut and happens to validate is valid."""

    async def generate_structured(self, request: Any, schema: Any, **options: Any) -> StructuredResult[Any]:
        try:
            return await super().generate_structured(request, schema, **options)
        except OutputTruncated as error:
            return StructuredResult(None, error.response, (error.response,), error.usage)


@mutant("FAULT-GENERATE[good]", "FAULT-STREAM[server_error]")
class KeepsItsConnections(ReferenceLLM):
    """Closing leaves the connections open."""

    async def aclose(self) -> None:
        KeepsItsConnections.kept.append(self._http)

    kept: list[Any] = []
