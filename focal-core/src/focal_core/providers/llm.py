"""The language-model port: one question, one answer, whole or as a stream."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from time import perf_counter
from typing import ClassVar, TypeVar, final

from pydantic import ValidationError

from focal_core.errors import (
    ContentFiltered,
    DeadlineExceeded,
    InvalidRequest,
    OutputError,
    OutputInvalid,
    OutputTruncated,
    Refused,
)
from focal_core.health import CheckResult, HealthReport
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    ProviderCapabilities,
    StreamEvent,
    StructuredResult,
    TextPart,
    TokenCount,
)
from focal_core.providers.schema import OutputType, output_type
from focal_core.providers.stream import LLMStream, events_of, opened_stream
from focal_core.providers.tokens import estimate_request

T = TypeVar("T")

MAX_REPAIRS = 2
_OUTPUT_ERRORS: dict[str, tuple[type[OutputError], str]] = {
    "length": (OutputTruncated, "the output was cut at the token limit"),
    "refusal": (Refused, "the model refused"),
    "content_filter": (ContentFiltered, "a content filter stopped the answer"),
}


class LLMProvider(ABC):
    """Answers requests with a language model.

    Attributes:
        name: wire family, such as ``"anthropic"``.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def model_id(self) -> str:
        """The configured model, asked where a request names none."""

    @abstractmethod
    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Return the model's answer.

        A refusal or a filtered answer is an answer: see its ``finish_reason``. The request is not changed, and
        concurrent calls share nothing.

        Args:
            request: everything set in it is sent, or the call is refused before anything is sent.
            options: limits of this call.

        Raises:
            InvalidRequest: a str in place of a request; options for another provider.
            UnsupportedFeature: the model or the wire cannot do what is asked; nothing was sent.
            ProviderError: whatever the provider did.
        """

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Return a context manager that opens the answer as a stream of events.

        Nothing is sent before it is entered; it is entered when the first event is there; leaving it early closes
        the connection. Nothing is retried once an event was handed over. The deltas joined are the final response.

        Args:
            request: as ``generate``.
            options: as ``generate``.

        Raises:
            ProviderError: as ``generate`` on entering; StreamInterrupted while reading.
        """

        async def events() -> AsyncIterator[StreamEvent]:
            for event in events_of(await self.generate(request, options=options)):
                yield event

        return opened_stream(events, self.name)

    @final
    async def generate_text(
        self,
        prompt: str,
        *,
        system_prompt: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        stop_sequences: Sequence[str] | None = None,
        options: CallOptions = NO_OPTIONS,
    ) -> LLMResponse:
        """Return the answer to one user message; as ``generate``.

        Args:
            prompt: the message.
            system_prompt: instructions.
            max_tokens: tokens of the answer at most.
            temperature: 0.0 to 2.0.
            stop_sequences: texts that end the answer.
            options: as ``generate``.
        """
        request = self._request(
            messages=(_user(prompt),),
            system=system_prompt,
            max_tokens=max_tokens,
            temperature=temperature,
            stop=tuple(stop_sequences or ()),
        )
        return await self.generate(request, options=options)

    async def generate_structured(
        self,
        request: LLMRequest | str,
        schema: type[T],
        *,
        system_prompt: str | None = None,
        max_repairs: int = 0,
        options: CallOptions = NO_OPTIONS,
    ) -> StructuredResult[T]:
        """Return an answer validated as a value of a type.

        Args:
            request: without a response schema; a str = one user message.
            schema: a pydantic model, dataclass, TypedDict or any type pydantic knows.
            system_prompt: instructions, where the request has none.
            max_repairs: how often an invalid answer is asked for again with what is wrong with it, 0 to 2.
            options: as ``generate``; the deadline holds for the repairs too.

        Raises:
            SchemaUnsupported: the type cannot be asked for without narrowing it; nothing was sent.
            OutputTruncated: the answer was cut at the token limit.
            Refused: the model refused.
            ContentFiltered: a filter stopped the answer.
            OutputInvalid: the last answer does not validate. All four hold the response.
            ProviderError: as ``generate``.
        """
        if not 0 <= max_repairs <= MAX_REPAIRS:
            raise InvalidRequest(f"max_repairs must be from 0 to {MAX_REPAIRS}, not {max_repairs}", provider=self.name)
        wanted: OutputType[T] = output_type(schema)
        asked = self._structured_request(request, system_prompt, wanted)
        loop = asyncio.get_running_loop()
        deadline = self.deadline_of(options)
        ends = None if deadline is None else loop.time() + deadline
        responses: list[LLMResponse] = []
        while True:
            response = await self.generate(asked, options=options)
            responses.append(response)
            usage = response.usage
            for earlier in responses[:-1]:
                usage = earlier.usage + usage
            if response.finish_reason in _OUTPUT_ERRORS:
                error, message = _OUTPUT_ERRORS[response.finish_reason]
                raise error(message, response=response, usage=usage, provider=self.name, model=response.model)
            try:
                value = wanted.read(response.text)
            except ValidationError as error:
                problems, kinds = _problems(error), ", ".join(sorted({one["type"] for one in error.errors()}))
            else:
                return StructuredResult(value, response, tuple(responses), usage)
            if len(responses) > max_repairs:
                raise OutputInvalid(
                    f"the output does not validate ({kinds})",
                    response=response,
                    usage=usage,
                    provider=self.name,
                    model=response.model,
                )
            complaint = f"That does not validate against the schema: {problems}. Answer again, with the JSON only."
            asked = asked.model_copy(update={"messages": (*asked.messages, response.message, _user(complaint))})
            if ends is not None:
                left = ends - loop.time()
                if left <= 0:
                    raise DeadlineExceeded(
                        "the deadline passed before the output validated",
                        partial=response,
                        usage=usage,
                        provider=self.name,
                        model=response.model,
                    )
                options = options.model_copy(update={"deadline": left})

    async def count_tokens(self, request: LLMRequest) -> TokenCount:
        """Return how many prompt tokens a request has; an estimate unless the provider counts."""
        return TokenCount(estimate_request(request), exact=False)

    def deadline_of(self, options: CallOptions) -> float | None:
        """Return the seconds a call with these options may take: its own deadline, or the provider's configured one."""
        return options.deadline

    def capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what a model can do, the configured one when None; everything unknown by default."""
        return ProviderCapabilities()

    async def health(self, *, probe: bool = False) -> HealthReport:
        """Return how the provider is; never raises.

        Args:
            probe: ask the server whether it knows the model; without it no I/O is done. Never a paid call.
        """
        started = perf_counter()
        checks = {"model": CheckResult(ok=True, detail=self.model_id)}
        return HealthReport(status="ok", checks=checks, latency_ms=(perf_counter() - started) * 1000, backend=self.name)

    async def aclose(self) -> None:  # noqa: B027 - nothing to release is an implementation
        """Do nothing here: the backend owns the client. A second call does nothing either."""

    def _structured_request(
        self, request: LLMRequest | str, system_prompt: str | None, wanted: OutputType[T]
    ) -> LLMRequest:
        if isinstance(request, str):
            return self._request(messages=(_user(request),), system=system_prompt, response_schema=wanted.schema)
        # Whose options the request may hold is for ``generate`` to say.
        check_request(request, self.name, served=None)
        if request.response_schema is not None:
            raise InvalidRequest("response_schema and schema exclude each other", provider=self.name)
        if request.system is not None and system_prompt is not None:
            raise InvalidRequest("system_prompt is given, and the request has a system text", provider=self.name)
        return request.model_copy(update={"system": request.system or system_prompt, "response_schema": wanted.schema})

    def _request(self, **fields: object) -> LLMRequest:
        try:
            return LLMRequest.model_validate(fields)
        except ValidationError as error:
            raise InvalidRequest(f"invalid request: {_problems(error)}", provider=self.name) from None


def check_request(request: object, provider: str, *, served: Collection[str] | None = ()) -> None:
    """Refuse what no provider takes, before anything is sent.

    Args:
        request: what was given as a request.
        provider: whose options it may hold.
        served: further providers whose options it may hold; None = anybody's.

    Raises:
        InvalidRequest: it is no LLMRequest (code ``request_not_a_request``), or has options for another provider
            (code ``provider_options_foreign``).
    """
    if not isinstance(request, LLMRequest):
        raise InvalidRequest(
            f"an LLMRequest is needed, not a {type(request).__name__}",
            code="request_not_a_request",
            hint="use generate_text(prompt)" if isinstance(request, str) else None,
            provider=provider,
        )
    foreign = [] if served is None else sorted(request.provider_options.keys() - {provider, *served})
    if foreign:
        raise InvalidRequest(
            f"provider_options are for {', '.join(foreign)}, but this provider is {provider}",
            code="provider_options_foreign",
            provider=provider,
        )


def _user(text: str) -> LLMMessage:
    return LLMMessage(role="user", parts=(TextPart(text=text),))


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'output'}: {one['msg']}" for one in found)
