"""The language-model reference: answers from a script, for tests and demos."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from copy import copy
from time import perf_counter
from typing import Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from focal_core.context import BackendContext
from focal_core.errors import (
    ConfigurationError,
    DeadlineExceeded,
    InvalidRequest,
    ProviderError,
    ServerError,
    StreamInterrupted,
    Unavailable,
)
from focal_core.health import HealthReport
from focal_core.plugins.backend import CONTRACT, Backend
from focal_core.providers.llm import LLMProvider, check_request
from focal_core.providers.models import (
    NO_OPTIONS,
    Attempt,
    CallOptions,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    ProviderCapabilities,
    StreamEvent,
    TextDelta,
    TextPart,
)
from focal_core.providers.stream import LLMStream, events_of, opened_stream
from focal_core.providers.tokens import estimate_request, estimate_text
from focal_core.usage import TokenUsage

MODEL = "focal-scripted-1"

Reply: TypeAlias = str | LLMResponse | ProviderError
ScriptItem: TypeAlias = Reply | Callable[[LLMRequest], Reply]
Exhausted: TypeAlias = Literal["raise", "cycle", "last"]


class ScriptedLLM(LLMProvider):
    """Answers each call with the next item of a script.

    An item is a text, a whole response (tool calls, refusals), an error to raise, or a function of the request that
    returns one of these. A ``StreamInterrupted`` whose ``partial`` is a str breaks a stream behind that text.

    Args:
        script: the items, in order.
        when: regular expression -> item: taken, without using up the script, when the expression is found in the
            text of the last message; the first that fits wins.
        exhausted: behind the last item: an error, the first item again, or the last one again and again.
        latency: seconds before the answer.
        chunk_size: characters of one text delta of a stream.
        fail_after_n: calls that succeed at most; later ones are server errors.
        error_rate: share of calls, 0.0 to 1.0, that are server errors instead.
        seed: makes those the same ones each time.
        model: name of the model.

    Attributes:
        calls: every request so far, failed ones included, in order.
    """

    name: ClassVar[str] = "scripted"

    def __init__(
        self,
        script: Sequence[ScriptItem] = (),
        *,
        when: Mapping[str, ScriptItem] | None = None,
        exhausted: Exhausted = "raise",
        latency: float = 0.0,
        chunk_size: int = 16,
        fail_after_n: int | None = None,
        error_rate: float = 0.0,
        seed: int = 0,
        model: str = MODEL,
    ) -> None:
        self._script = tuple(script)
        self._when = [(re.compile(pattern), item) for pattern, item in (when or {}).items()]
        self._exhausted = exhausted
        self._latency = latency
        self._chunk_size = chunk_size
        self._fail_after_n = fail_after_n
        self._error_rate = error_rate
        self._seed = seed
        self._model = model
        self._closed = False
        self.reset()

    @classmethod
    def from_recording(
        cls, source: str | os.PathLike[str] | Iterable[str], *, in_order: bool = False, **settings: Any
    ) -> Self:
        """Return a model that says again what a ``RecordingLLM`` wrote down, errors and broken streams included.

        Args:
            source: the file, or its lines.
            in_order: answer the calls as they come. Otherwise each gets what was answered to the same request, the
                first time first; a request that was not recorded, or not so often, is InvalidRequest.
            settings: of the construction, but for the script.

        Raises:
            InvalidDataError: code ``recording_invalid``: a line is not one of a recording.
        """
        from focal_core.providers.recording import read_recording

        calls = read_recording(source)
        if in_order:
            return cls([outcome for _, outcome in calls], **settings)

        def answer(request: LLMRequest) -> Reply:
            answers = [outcome for recorded, outcome in calls if recorded == request]
            times = sum(earlier == request for earlier in model.calls)
            if times > len(answers):
                raise InvalidRequest(
                    f"this request was recorded {len(answers)} times, and is asked for the {times}. time",
                    code="request_not_recorded",
                    hint="record again, or replay with in_order=True",
                    provider=cls.name,
                    model=model.model_id,
                )
            return answers[times - 1]

        model = cls([answer], exhausted="last", **settings)
        return model

    def reset(self) -> None:
        """Start over: the script from its first item, no calls, the same random errors again."""
        self.calls: list[LLMRequest] = []
        self._next = 0
        self._random = random.Random(self._seed)

    @property
    def model_id(self) -> str:
        """The name given at construction."""
        return self._model

    def capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return everything but token counting, which is an estimate."""
        able = dict.fromkeys(ProviderCapabilities.model_fields, True)
        return ProviderCapabilities(**{**able, "count_tokens": False})

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Return the next item of the script."""
        reply = self._take(request)
        started = perf_counter()
        await self._wait(options)
        if isinstance(reply, ProviderError):
            raise reply
        return reply.model_copy(update={"latency_ms": (perf_counter() - started) * 1000})

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Return the next item of the script in deltas of ``chunk_size`` characters."""

        async def events() -> AsyncIterator[StreamEvent]:
            reply = self._take(request)
            started = perf_counter()
            await self._wait(options)
            if isinstance(reply, ProviderError):
                partial = reply.partial if isinstance(reply, StreamInterrupted) else None
                if isinstance(partial, str):
                    for start in range(0, len(partial), self._chunk_size):
                        yield TextDelta(partial[start : start + self._chunk_size])
                raise reply
            response = reply.model_copy(update={"latency_ms": (perf_counter() - started) * 1000})
            for event in events_of(response, self._chunk_size):
                yield event

        return opened_stream(events, self.name)

    async def aclose(self) -> None:
        """Refuse calls from now on."""
        self._closed = True

    async def _wait(self, options: CallOptions) -> None:
        deadline = options.deadline
        if deadline is not None and deadline < self._latency:
            await asyncio.sleep(deadline)
            raise DeadlineExceeded(f"no answer within {deadline} s", provider=self.name, model=self._model)
        await asyncio.sleep(self._latency)

    def _take(self, request: LLMRequest) -> LLMResponse | ProviderError:
        if self._closed:
            raise Unavailable(
                "the provider is closed", provider=self.name, model=self._model, code="closed", retryable=False
            )
        check_request(request, self.name)
        self.calls.append(request)
        number = len(self.calls)
        if self._fail_after_n is not None and number > self._fail_after_n:
            return self._failure(f"call {number} fails: fail_after_n is {self._fail_after_n}")
        if self._error_rate and self._random.random() < self._error_rate:
            return self._failure(f"call {number} fails: error_rate is {self._error_rate}")
        item = self._item(request)
        reply = item if isinstance(item, str | LLMResponse | ProviderError) else item(request)
        if isinstance(reply, str):
            return self._respond(request, reply)
        # One exception object raised by several calls would gather all their tracebacks.
        return copy(reply) if isinstance(reply, ProviderError) else reply

    def _failure(self, message: str) -> ServerError:
        attempt = Attempt(n=1, outcome="scripted_failure", status=500)
        return ServerError(
            message, provider=self.name, model=self._model, status=500, code="scripted_failure", attempts=(attempt,)
        )

    def _item(self, request: LLMRequest) -> ScriptItem:
        said = request.messages[-1].text
        for pattern, item in self._when:
            if pattern.search(said):
                return item
        position = self._next
        if position >= len(self._script):
            if self._exhausted == "raise" or not self._script:
                raise InvalidRequest(
                    f"the script has {len(self._script)} items, and all are used",
                    code="script_exhausted",
                    hint='add items, or set exhausted="cycle" or "last"',
                    provider=self.name,
                    model=self._model,
                )
            position = position % len(self._script) if self._exhausted == "cycle" else -1
        self._next += 1
        return self._script[position]

    def _respond(self, request: LLMRequest, text: str) -> LLMResponse:
        number = len(self.calls)
        usage = TokenUsage(prompt_tokens=estimate_request(request), completion_tokens=estimate_text(text))
        request_id = f"scripted-{number}"
        return LLMResponse(
            message=LLMMessage(role="assistant", parts=(TextPart(text=text),)),
            usage=usage,
            model=request.model or self._model,
            provider=self.name,
            request_id=request_id,
            attempts=(Attempt(n=1, outcome="ok", request_id=request_id, usage=usage),),
        )


class ScriptedOptions(BaseModel):
    """Settings of the scripted backend; see ``ScriptedLLM``.

    Attributes:
        model: name of the model.
        script: texts to answer with, in order.
        when: regular expression -> text to answer with where it is found.
        exhausted: what follows the last text.
        latency: seconds before the answer.
        chunk_size: characters of one text delta.
        fail_after_n: calls that succeed at most.
        error_rate: share of calls that fail.
        seed: of the failing ones.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    model: str = Field(default=MODEL, min_length=1)
    script: list[str] = []
    when: dict[str, str] = {}
    exhausted: Exhausted = "raise"
    latency: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    chunk_size: int = Field(default=16, ge=1)
    fail_after_n: int | None = Field(default=None, ge=0)
    error_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    seed: int = 0

    @field_validator("when")
    @classmethod
    def _patterns(cls, when: dict[str, str]) -> dict[str, str]:
        for pattern in when:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return when


class ScriptedBackend(Backend):
    """A language model without a network or a key."""

    name: ClassVar[str] = "scripted"
    Options: ClassVar[type[BaseModel]] = ScriptedOptions
    ports: ClassVar[Mapping[str, str]] = {"llm": "focal_core.providers.scripted:ScriptedLLM"}
    capabilities: ClassVar[frozenset[str]] = frozenset(ProviderCapabilities.model_fields) - {"count_tokens"}
    contract: ClassVar[str] = CONTRACT

    def __init__(self, options: ScriptedOptions, context: BackendContext) -> None:
        super().__init__(options, context)
        self._llm = ScriptedLLM(**options.model_dump())

    async def open(self) -> None:
        """Do nothing: there is nothing to connect to."""

    def port(self, name: str) -> Any:
        """Return the language model."""
        if name not in self.ports:
            raise ConfigurationError(
                f"backend 'scripted' does not serve port {name!r}", hint=f"it serves: {', '.join(self.ports)}"
            )
        return self._llm

    async def health(self) -> HealthReport:
        """Return ok."""
        return await self._llm.health()

    async def close(self) -> None:
        """Close the language model."""
        await self._llm.aclose()
