"""Anthropic's models behind focal's language-model port."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from time import perf_counter
from typing import Any, ClassVar, Self

from focal_core.errors import ProviderError
from focal_core.health import CheckResult, HealthReport
from focal_core.providers.llm import LLMProvider
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    Done,
    LLMRequest,
    LLMResponse,
    ProviderCapabilities,
    StreamEvent,
    TokenCount,
    UsageUpdate,
)
from focal_core.providers.retry import CurrentAttempt, run_attempts
from focal_core.providers.stream import LLMStream, attempted_events, opened_stream
from focal_core.providers.tokens import estimate_request
from focal_providers.anthropic.request import PROVIDER, arguments, counting_arguments
from focal_providers.anthropic.response import read_message, vendor_message
from focal_providers.anthropic.settings import ANTHROPIC, AnthropicOptions
from focal_providers.anthropic.stream import Accumulated
from focal_providers.client import SDKClient, drain, options_from
from focal_providers.errors import UNREADABLE, Errors, content_type
from focal_providers.request import prepared
from focal_providers.retry import rate_limit_state

_KNOWN = ProviderCapabilities(
    streaming=True, tools=True, images=True, files=True, stop=True, cache=True, count_tokens=True
)


def sdk_client(options: AnthropicOptions) -> SDKClient:
    """Return the client for some settings, not yet open; it makes no spans of its own."""
    return SDKClient(ANTHROPIC, options, open_telemetry=False)


class AnthropicProvider(LLMProvider):
    """Claude, or whatever speaks Messages at ``base_url``.

    A section ``anthropic`` of ``provider_options`` goes into the body, over everything else; its ``headers`` into the
    headers. What the vendor's own tools leave in an answer is kept as ThinkingParts without text, so that a paused
    answer can be sent back and goes on.

    Args:
        client: open; whoever opened it closes it.
        options: the settings.
    """

    name: ClassVar[str] = PROVIDER

    def __init__(self, client: SDKClient, options: AnthropicOptions) -> None:
        self._client = client
        self._options = options
        self._errors = Errors(client)

    @classmethod
    @asynccontextmanager
    async def connect(cls, *, model: str, api_key: str | None = None, **settings: Any) -> AsyncIterator[Self]:
        """Open a provider outside a ``Focal``; leaving the context closes it.

        Args:
            model: asked where a request names none.
            api_key: None = the environment variable ``ANTHROPIC_API_KEY``.
            settings: further ``AnthropicOptions``.

        Raises:
            MissingCredentials: there is no key.
            SDKUnavailable: the SDK is absent or outside the supported range.
            SettingsError: a setting is unknown or wrong.
        """
        options = options_from(AnthropicOptions, PROVIDER, {"model": model, "api_key": api_key, **settings})
        client = sdk_client(options)
        await client.open()
        try:
            yield cls(client, options)
        finally:
            await client.close()

    @property
    def model_id(self) -> str:
        """The model of the settings."""
        return self._options.model or ""

    def capabilities(self, model: str | None = None) -> ProviderCapabilities:
        """Return what Messages can do and the settings say; structured output, effort and sampling differ by model."""
        return self._options.capabilities_of(model or self.model_id, _KNOWN)

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Return the model's answer."""
        sent = self._arguments(request)

        async def call(current: CurrentAttempt) -> LLMResponse:
            with self._errors.unwrapping():
                reply = await self._client.get().messages.with_raw_response.create(**sent)
            self._note(reply.headers, reply.status_code, current)
            self._check_type(reply.headers, "application/json")
            try:
                response = self._read(json.loads(reply.http_response.content), reply.headers)
            except UNREADABLE as error:
                raise self._errors.malformed("the reply is no message") from error
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
            sent = self._arguments(request, stream=True)
            return attempted_events(
                partial(self._events, sent),
                provider=self.name,
                model=sent["model"],
                classify=partial(self._errors.advice, said=sent),
                options=self._options.limits(options),
                prices=self._client.prices,
            )

        return opened_stream(events, self.name)

    async def count_tokens(self, request: LLMRequest) -> TokenCount:
        """Return the vendor's count; an estimate where the settings say that the model's server does not count."""
        if self.capabilities(request.model).count_tokens is False:
            return TokenCount(estimate_request(request), exact=False)
        sent = counting_arguments(self._arguments(request))

        async def call(current: CurrentAttempt) -> int:
            with self._errors.unwrapping():
                reply = await self._client.get().messages.with_raw_response.count_tokens(**sent)
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

    async def _events(self, sent: Mapping[str, Any], current: CurrentAttempt) -> AsyncGenerator[StreamEvent, None]:
        """Yield the events of one attempt."""
        with self._errors.unwrapping():
            stream = await self._client.get().messages.create(**sent, stream=True)
        answer, shown, done = Accumulated(), False, False
        try:
            headers = stream.response.headers
            self._note(headers, stream.response.status_code, current)
            self._check_type(headers, "text/event-stream")
            while not answer.ended:
                try:
                    event = answer.take(await anext(stream))
                except StopAsyncIteration:
                    break
                except UNREADABLE as error:
                    raise self._errors.malformed("an event is not what it should be") from error
                except Exception:
                    if answer.complete:
                        break
                    raise
                if event is None:
                    continue
                yield event
                if not shown:
                    shown = True
                    yield UsageUpdate(answer.usage)
            if not answer.complete:
                return
            try:
                response = self._read(answer.body(), headers)
            except UNREADABLE as error:
                raise self._errors.malformed("the stream is no message") from error
            yield UsageUpdate(response.usage)
            done = True
            yield Done(response)
        finally:
            try:
                if done:
                    await drain(stream)
                elif (spent := answer.usage).reported:
                    current.usage = spent
            finally:
                await stream.close()

    def _arguments(self, request: LLMRequest, *, stream: bool = False) -> dict[str, Any]:
        if self._client.is_closed:
            raise self._client.closed()
        asked = prepared(request, self.name, self._options, self.capabilities, stream=stream)
        return arguments(asked, cache=self.capabilities(asked.model).cache is not False)

    def _note(self, headers: Mapping[str, str], status: int, current: CurrentAttempt) -> None:
        current.status, current.request_id = status, headers.get(ANTHROPIC.request_id)

    def _check_type(self, headers: Mapping[str, str], expected: str) -> None:
        found = content_type(headers)
        if found != expected:
            raise self._errors.malformed(
                f"the reply is {found or 'of no type'}, not {expected}",
                hint="check base_url, and what stands before it",
            )

    def _read(self, body: Any, headers: Mapping[str, str]) -> LLMResponse:
        return read_message(
            body,
            request_id=headers.get(ANTHROPIC.request_id),
            rate_limit=rate_limit_state(headers, ANTHROPIC.rate_limits),
            raw=vendor_message(self._client.sdk, body) if self._options.keep_raw else None,
        )
