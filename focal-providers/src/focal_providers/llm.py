"""A language model behind a vendor's SDK: calls, streams, counting and health, whatever the wire."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any, ClassVar, Generic, TypeVar

from focal_core.errors import ProviderError
from focal_core.health import CheckResult, HealthReport
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    Done,
    FinishReason,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    Part,
    ProviderCapabilities,
    StreamEvent,
    TokenCount,
    UsageUpdate,
)
from focal_core.providers.options import ProviderOptions
from focal_core.providers.retry import CurrentAttempt, run_attempts
from focal_core.providers.stream import LLMStream, attempted_events, opened_stream
from focal_core.providers.tokens import estimate_request
from focal_core.usage import TokenUsage
from focal_providers.client import SDKClient, drain
from focal_providers.errors import UNREADABLE, Errors, Told
from focal_providers.request import prepared
from focal_providers.retry import rate_limit_state

Options = TypeVar("Options", bound=ProviderOptions)

_PATIENCE = 1.0
"""Seconds that what may follow a complete answer, such as its usage, is waited for."""


class Failed(Exception):
    """A reply or a stream says that the answer failed.

    Attributes:
        told: what it says.
        usage: tokens spent, as far as reported.
    """

    def __init__(self, told: Told, usage: TokenUsage | None = None) -> None:
        super().__init__(told.code or told.kind)
        self.told = told
        self.usage = usage


@dataclass(frozen=True)
class Read:
    """What the JSON of an answer says.

    Attributes:
        parts: of the message.
        finish_reason: why it ended.
        finish_detail: the vendor's further words on that.
        usage: tokens spent.
        model: as answered; None where the server does not say.
    """

    parts: tuple[Part, ...]
    finish_reason: FinishReason
    finish_detail: str | None
    usage: TokenUsage
    model: str | None


class Accumulated(ABC):
    """What a stream has brought so far.

    Attributes:
        complete: the reason to end is known, so nothing of the answer can follow.
        ended: nothing of interest at all can follow.
        usage: tokens spent so far.
    """

    def __init__(self) -> None:
        self.complete = False
        self.ended = False
        self.usage = TokenUsage(reported=False)

    @abstractmethod
    def take(self, event: Any) -> Iterator[StreamEvent]:
        """Add an event of the vendor's, and yield what of it is for the reader.

        Raises:
            Failed: it says that the answer failed.
            TypeError: it is not what it says it is; likewise ValueError, LookupError and AttributeError.
        """

    @abstractmethod
    def body(self) -> dict[str, Any]:
        """Return the answer as the JSON of a whole reply; deltas handed over are what it holds."""


class Wire(ABC):
    """How one API of a vendor is spoken.

    Attributes:
        answer: what the API calls an answer.
        known: what every model behind it can do.
    """

    answer: ClassVar[str]
    known: ClassVar[ProviderCapabilities]

    @abstractmethod
    def arguments(self, request: LLMRequest, *, cache: bool) -> dict[str, Any]:
        """Return the arguments of the SDK's method for a request with model and ``max_tokens`` filled in.

        Args:
            request: what is asked.
            cache: whether advice to cache is passed on.

        Raises:
            UnsupportedFeature: the request holds what the wire cannot carry.
            InvalidRequest: its ``provider_options`` are malformed.
        """

    @abstractmethod
    async def create(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Send a request and return the SDK's raw reply, read."""

    @abstractmethod
    async def open(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Send a request for a stream and return it: the vendor's events as JSON, ``response``, and ``close()``.

        None for an event says that no more will follow.
        """

    @abstractmethod
    def read(self, body: Any) -> Read:
        """Return what the JSON of an answer says.

        Raises:
            Failed: the answer failed.
            TypeError: it is none; likewise ValueError, LookupError and AttributeError.
        """

    @abstractmethod
    def accumulated(self) -> Accumulated:
        """Return the begin of a streamed answer."""

    @abstractmethod
    def raw(self, sdk: Any, body: Mapping[str, Any]) -> Any:
        """Return an answer as the vendor's own object."""

    async def count(self, client: Any, sent: Mapping[str, Any]) -> Any:
        """Send a request to count tokens and return the SDK's raw reply; asked only of wires that count."""
        raise AssertionError(f"{self.answer}s are not counted")


class SDKProvider(LLMProvider, Generic[Options]):
    """A language model over a vendor's client.

    Args:
        client: open; whoever opened it closes it.
        options: the settings.
        wire: which of the vendor's APIs.
    """

    def __init__(self, client: SDKClient, options: Options, wire: Wire) -> None:
        self._client = client
        self._options = options
        self._wire = wire
        self._errors = Errors(client)

    @property
    def model_id(self) -> str:
        """The model of the settings."""
        return self._options.model or ""

    def capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what the wire can do and the settings say; what differs by model is unknown."""
        return self._options.capabilities_of(model or self.model_id, self._wire.known)

    def deadline_of(self, options: CallOptions) -> float | None:
        """Return the seconds a call may take, the settings considered."""
        return self._options.limits(options).deadline

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Return the model's answer."""
        sent = self._arguments(request)

        async def call(current: CurrentAttempt) -> LLMResponse:
            with self._errors.unwrapping():
                reply = await self._wire.create(self._client.get(), sent)
            self._note(reply.headers, reply.status_code, current)
            self._errors.check_type(reply.headers, "application/json")
            response = self._reading(lambda: json.loads(reply.http_response.content), reply.headers, sent, current)
            current.usage = response.usage if response.usage.reported else None
            return response

        attempted = await run_attempts(
            call,
            classify=partial(self._errors.advice, said=sent),
            options=self._options.limits(options),
            provider=self.name,
            model=sent["model"],
        )
        return attempted.settled(attempted.value, self._client.prices)

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Return the answer as a stream."""

        def events() -> AsyncIterator[StreamEvent]:
            sent, limits = self._arguments(request, stream=True), self._options.limits(options)
            # Shorter than the idle timeout, which would take a complete answer for a broken one.
            patience = min(_PATIENCE, (limits.idle_timeout or _PATIENCE) / 2)
            return attempted_events(
                partial(self._events, sent, patience),
                provider=self.name,
                model=sent["model"],
                classify=partial(self._errors.advice, said=sent),
                options=limits,
                prices=self._client.prices,
            )

        return opened_stream(events, self.name)

    async def count_tokens(self, request: LLMRequest) -> TokenCount:
        """Return the vendor's count; an estimate where its server does not count, or not for this model."""
        if not self.capabilities(request.model).count_tokens:
            return TokenCount(estimate_request(request), exact=False)
        sent = self._arguments(request)

        async def call(current: CurrentAttempt) -> int:
            with self._errors.unwrapping():
                reply = await self._wire.count(self._client.get(), sent)
            self._note(reply.headers, reply.status_code, current)
            try:
                return int(json.loads(reply.http_response.content)["input_tokens"])
            except UNREADABLE as error:
                raise self._errors.malformed("the reply is no count of tokens") from error

        attempted = await run_attempts(
            call,
            classify=partial(self._errors.advice, said=sent),
            options=self._options.limits(NO_OPTIONS),
            provider=self.name,
            model=sent["model"],
        )
        return TokenCount(attempted.value, exact=True)

    async def health(self, *, probe: bool = False) -> HealthReport:
        """Return whether the client is open; with ``probe``, whether the server knows the model."""
        started = perf_counter()
        check = CheckResult(ok=not self._client.is_closed, detail="closed" if self._client.is_closed else self.model_id)
        if probe and check.ok:
            check = await self._probe()
        return HealthReport(
            status="ok" if check.ok else "down",
            checks={"model": check},
            latency_ms=(perf_counter() - started) * 1000,
            backend=self.name,
        )

    async def _probe(self) -> CheckResult:
        async def call(current: CurrentAttempt) -> None:
            with self._errors.unwrapping():
                await self._client.get().models.with_raw_response.retrieve(self.model_id)

        started = perf_counter()
        try:
            await run_attempts(
                call,
                classify=partial(self._errors.advice, said=()),
                options=self._options.limits(CallOptions(max_attempts=1)),
                provider=self.name,
                model=self.model_id,
            )
        except ProviderError as error:
            detail = f"{error.code}: {error}" if error.hint is None else f"{error.code}: {error} ({error.hint})"
            return CheckResult(ok=False, detail=detail)
        return CheckResult(ok=True, detail=self.model_id, latency_ms=(perf_counter() - started) * 1000)

    async def _events(
        self, sent: Mapping[str, Any], patience: float, current: CurrentAttempt
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield the events of one attempt."""
        with self._errors.unwrapping():
            stream = await self._wire.open(self._client.get(), sent)
        answer, done = self._wire.accumulated(), False
        try:
            headers = stream.response.headers
            self._note(headers, stream.response.status_code, current)
            self._errors.check_type(headers, "text/event-stream")
            while not answer.ended:
                try:
                    event = await (_soon(stream, patience) if answer.complete else anext(stream))
                    if event is None:
                        break
                    shown = list(answer.take(event))
                except StopAsyncIteration:
                    break
                except Exception as error:
                    if answer.complete:
                        break
                    if isinstance(error, Failed):
                        raise self._failure(error, sent, current) from None
                    if isinstance(error, UNREADABLE):
                        raise self._errors.malformed("an event is not what it should be") from error
                    raise
                for one in shown:
                    yield one
            if not answer.complete:
                return
            response = self._reading(answer.body, headers, sent, current)
            if response.usage.reported:
                yield UsageUpdate(response.usage)
            done = True
            yield Done(response)
        finally:
            try:
                if done:
                    await drain(stream)
                elif answer.usage.reported:
                    current.usage = answer.usage
            finally:
                await stream.close()

    def _reading(
        self, body: Callable[[], Any], headers: Mapping[str, str], sent: Mapping[str, Any], current: CurrentAttempt
    ) -> LLMResponse:
        try:
            found = body()
            read = self._wire.read(found)
            return LLMResponse(
                message=LLMMessage(role="assistant", parts=read.parts),
                finish_reason=read.finish_reason,
                finish_detail=read.finish_detail,
                usage=read.usage,
                model=read.model or sent["model"],
                provider=self.name,
                request_id=current.request_id,
                rate_limit=rate_limit_state(headers, self._client.vendor.rate_limits),
                raw=self._wire.raw(self._client.sdk, found) if self._options.keep_raw else None,
            )
        except Failed as failure:
            raise self._failure(failure, sent, current) from None
        except UNREADABLE as error:
            raise self._errors.malformed(f"the reply is no {self._wire.answer}") from error

    def _failure(self, failure: Failed, sent: Mapping[str, Any], current: CurrentAttempt) -> ProviderError:
        if failure.usage is not None and failure.usage.reported:
            current.usage = failure.usage
        return self._errors.refusal(replace(failure.told, request_id=current.request_id), sent)

    def _arguments(self, request: LLMRequest, *, stream: bool = False) -> dict[str, Any]:
        if self._client.is_closed:
            raise self._client.closed()
        asked = prepared(request, self.name, self._options, self.capabilities, stream=stream)
        return self._wire.arguments(asked, cache=self.capabilities(asked.model).cache is not False)

    def _note(self, headers: Mapping[str, str], status: int, current: CurrentAttempt) -> None:
        current.status, current.request_id = status, headers.get(self._client.vendor.request_id)


async def _soon(events: AsyncIterator[Any], patience: float) -> Any:
    async with asyncio.timeout(patience):
        return await anext(events)
