"""Language models that break a rule, with or without a wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from focal_core.errors import AttemptTimeout, OutputError, OutputInvalid, SchemaUnsupported
from focal_core.health import HealthReport
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    Done,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    ProviderCapabilities,
    StreamEvent,
    StructuredResult,
    TextDelta,
    TextPart,
    TokenCount,
)
from focal_core.providers.scripted import ScriptedLLM
from focal_core.providers.stream import LLMStream, opened_stream
from focal_testkit.mutants import mutant

Entered = AbstractAsyncContextManager[LLMStream]


def _without(request: Any, **fields: Any) -> Any:
    return request.model_copy(update=fields) if isinstance(request, LLMRequest) else request


@mutant("LLM-R1")
class DropsTemperature(ScriptedLLM):
    """The temperature is left out in silence."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        return await super().generate(_without(request, temperature=None), options=options)


@mutant("LLM-R1", "LLM-R5b")
class DropsSystem(ScriptedLLM):
    """The system text is left out in silence."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        return await super().generate(_without(request, system=None), options=options)


@mutant("LLM-R1b")
class SendsWhatItCannotDo(ScriptedLLM):
    """The model is said to know no tools, and is sent them all the same."""

    def capabilities(self, model: str | None = None) -> ProviderCapabilities:
        return ProviderCapabilities(tools=False)


@mutant("LLM-R2")
class SendsDefaults(ScriptedLLM):
    """A temperature is sent that nobody asked for."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        fields = {} if getattr(request, "temperature", 1.0) is not None else {"temperature": 1.0}
        return await super().generate(_without(request, **fields), options=options)


@mutant("LLM-R2b")
class SendsMetadata(ScriptedLLM):
    """The trace id becomes the end user's."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        trace = getattr(request, "metadata", {}).get("trace")
        return await super().generate(_without(request, end_user=trace) if trace else request, options=options)


@mutant("LLM-R3")
class ChangesTheRequest(ScriptedLLM):
    """A default is written into the caller's request."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        request.__dict__["max_tokens"] = 4096
        return await super().generate(request, options=options)


@mutant("LLM-R3b")
class RemembersOneRequest(ScriptedLLM):
    """The request under way is kept on the provider."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        self.request = request
        await asyncio.sleep(0)
        return await super().generate(self.request, options=options)


@mutant("LLM-R4")
class IgnoresForeignOptions(ScriptedLLM):
    """Options for another provider are dropped in silence."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        return await super().generate(_without(request, provider_options={}), options=options)


@mutant("LLM-R5")
class TakesText(ScriptedLLM):
    """A str is taken for a request."""

    async def generate(self, request: Any, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        if isinstance(request, str):
            request = LLMRequest(messages=(LLMMessage(role="user", content=request),))
        return await super().generate(request, options=options)


@mutant("LLM-R8")
class SortsToolCalls(ScriptedLLM):
    """Tool calls are put in the order of their ids."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        response = await super().generate(request, options=options)
        parts = sorted(response.message.parts, key=lambda part: getattr(part, "id", ""))
        return response.model_copy(update={"message": LLMMessage(role="assistant", parts=parts)})


@mutant("LLM-R9")
class LeavesCacheOut(ScriptedLLM):
    """Prompt tokens are told without the cached ones."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        response = await super().generate(request, options=options)
        fresh = response.usage.prompt_tokens - response.usage.cache_read_tokens
        return response.model_copy(update={"usage": response.usage.model_copy(update={"prompt_tokens": fresh})})


@mutant("LLM-R10")
class NamesTheModelAsked(ScriptedLLM):
    """The model that was asked stands for the one that answered."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        return (await super().generate(request, options=options)).model_copy(update={"model": self.model_id})


@mutant("LLM-S1")
class SendsBeforeEntering(ScriptedLLM):
    """A stream is sent when it is made."""

    def stream(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> Entered:
        self.calls.append(request)
        return super().stream(request, options=options)


@mutant("LLM-S1b")
class ReadsOnAfterwards(ScriptedLLM):
    """A stream that was left can be read on."""

    @asynccontextmanager
    async def _open(self, request: LLMRequest, options: CallOptions) -> AsyncIterator[LLMStream]:
        async with super().stream(request, options=options) as stream:
            stream.aclose = stream.ready  # type: ignore[method-assign]
            yield stream

    def stream(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> Entered:
        return self._open(request, options)


@mutant("LLM-S3")
class LosesTheLastDelta(ScriptedLLM):
    """The last delta before the end is not handed over."""

    def stream(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> Entered:
        async def events() -> AsyncIterator[StreamEvent]:
            async with super(LosesTheLastDelta, self).stream(request, options=options) as stream:
                held: StreamEvent | None = None
                async for event in stream:
                    if held is not None and not isinstance(event, Done):
                        yield held
                    held = event
                assert held is not None
                yield held

        return opened_stream(events, self.name)


@mutant("LLM-S5")
class CountsTheReadersTime(ScriptedLLM):
    """The idle timeout runs while the reader is busy."""

    def stream(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> Entered:
        async def events() -> AsyncIterator[StreamEvent]:
            loop = asyncio.get_running_loop()
            async with super(CountsTheReadersTime, self).stream(request, options=options) as stream:
                last = loop.time()
                async for event in stream:
                    if loop.time() - last > (options.idle_timeout or 30.0):
                        raise AttemptTimeout("idle")
                    last = loop.time()
                    yield event

        return opened_stream(events, self.name)


@mutant("LLM-T1")
class IgnoresTheDeadline(ScriptedLLM):
    """A deadline is not looked at."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        return await super().generate(request, options=NO_OPTIONS)


@mutant("LLM-T3")
class CleansUpSlowly(ScriptedLLM):
    """A cancelled call takes its time to end."""

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        try:
            return await super().generate(request, options=options)
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)
            raise


@mutant("LLM-J1")
class NarrowsSchemas(ScriptedLLM):
    """What no wire carries is asked for as text."""

    async def generate_structured(self, request: Any, schema: Any, **options: Any) -> StructuredResult[Any]:
        try:
            return await super().generate_structured(request, schema, **options)
        except SchemaUnsupported:
            response = await self.generate_text(request)
            return StructuredResult(response.text, response, (response,), response.usage)


@mutant("LLM-J2")
class BelievesTheModel(ScriptedLLM):
    """An answer that does not validate is returned as it is."""

    async def generate_structured(self, request: Any, schema: Any, **options: Any) -> StructuredResult[Any]:
        try:
            return await super().generate_structured(request, schema, **options)
        except OutputInvalid as error:
            return StructuredResult(error.response.text, error.response, (error.response,), error.usage)


@mutant("LLM-J3")
class ReturnsTheWrapping(ScriptedLLM):
    """A wrapped value is not unwrapped."""

    async def generate_structured(self, request: Any, schema: Any, **options: Any) -> StructuredResult[Any]:
        result: StructuredResult[Any] = await super().generate_structured(request, schema, **options)
        value = {"value": result.value} if isinstance(result.value, list) else result.value
        return StructuredResult(value, result.response, result.responses, result.usage)


@mutant("LLM-J4")
class ForgetsThePaidAnswer(ScriptedLLM):
    """An error of output has no response."""

    async def generate_structured(self, request: Any, schema: Any, **options: Any) -> StructuredResult[Any]:
        try:
            return await super().generate_structured(request, schema, **options)
        except OutputError as error:
            raise type(error)("invalid output", provider=self.name) from None


@mutant("LLM-J5", "LLM-J5b")
class AsksTheSameAgain(ScriptedLLM):
    """A repair is the same question, with a deadline of its own."""

    async def generate_structured(
        self, request: Any, schema: Any, *, max_repairs: int = 0, **options: Any
    ) -> StructuredResult[Any]:
        for _ in range(max_repairs):
            try:
                return await super().generate_structured(request, schema, **options)
            except OutputInvalid:
                continue
        return await super().generate_structured(request, schema, **options)


@mutant("LLM-X4")
class NeverCloses(ScriptedLLM):
    """A closed provider works on."""

    async def aclose(self) -> None:
        pass


@mutant("LLM-HEALTH")
class PaysForHealth(ScriptedLLM):
    """A probe is a paid call, which fails when closed."""

    async def health(self, *, probe: bool = False) -> HealthReport:
        await self.generate_text("Are you there?")
        return await super().health()


@mutant("LLM-COUNT")
class CountsMessages(ScriptedLLM):
    """Every message is one token."""

    async def count_tokens(self, request: LLMRequest) -> TokenCount:
        return TokenCount(len(request.messages), exact=False)


@mutant("LLM-S3")
class TellsTheEndTwice(ScriptedLLM):
    """A delta repeats the whole text before the end."""

    def stream(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> Entered:
        async def events() -> AsyncIterator[StreamEvent]:
            async with super(TellsTheEndTwice, self).stream(request, options=options) as stream:
                async for event in stream:
                    if isinstance(event, Done):
                        said = [part.text for part in event.response.message.parts if isinstance(part, TextPart)]
                        yield TextDelta("".join(said))
                    yield event

        return opened_stream(events, self.name)
