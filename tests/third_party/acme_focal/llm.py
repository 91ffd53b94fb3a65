"""A third party's language model over a wire like OpenAI's: text in, text out, whole or streamed."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, ClassVar

import httpx2

from focal_core.errors import (
    AttemptTimeout,
    ConnectionFailed,
    MalformedResponse,
    ProviderError,
    Unavailable,
    UnsupportedFeature,
)
from focal_core.providers import models as m
from focal_core.providers.llm import LLMProvider, check_request
from focal_core.providers.retry import Advice, CurrentAttempt
from focal_core.providers.stream import attempted_events, opened_stream
from focal_core.usage import TokenUsage
from focal_providers.errors import UNREADABLE, Told
from focal_providers.retry import advised, rate_limit_state

FIELDS = {"max_completion_tokens": "max_tokens", "temperature": "temperature", "top_p": "top_p", "stop": "stop"}
FINISHES = {"stop", "length", "content_filter", "refusal"}
LIMITS = "x-ratelimit-{what}-{kind}"


class AcmeLLM(LLMProvider):
    name: ClassVar[str] = "acme"
    model_id = ""

    def __init__(self, base_url: str, *, api_key: str, model: str) -> None:
        self.model_id, headers = model, {"authorization": f"Bearer {api_key}"}
        self._http = httpx2.AsyncClient(base_url=base_url, headers=headers, timeout=None)

    def capabilities(self, model: str | None = None) -> m.ProviderCapabilities:
        return m.ProviderCapabilities(tools=False, images=False, files=False, effort=False)

    async def generate(self, request: m.LLMRequest, *, options: m.CallOptions = m.NO_OPTIONS) -> m.LLMResponse:
        async with opened_stream(lambda: self._events(request, options, False), self.name) as stream:
            return await stream.response()

    def stream(self, request: m.LLMRequest, *, options: m.CallOptions = m.NO_OPTIONS) -> Any:
        return opened_stream(lambda: self._events(request, options, True), self.name)

    async def aclose(self) -> None:
        await self._http.aclose()

    def _events(self, request: m.LLMRequest, options: m.CallOptions, streamed: bool) -> Any:
        if self._http.is_closed:
            raise Unavailable("closed", provider=self.name, code="closed", retryable=False)
        check_request(request, self.name)
        body = request.provider_options.get(self.name, {})
        body = {**self._body(request), **({"stream": True} if streamed else {}), **body}
        about = {"provider": self.name, "model": body["model"], "classify": _classify, "options": options}
        return attempted_events(lambda current: self._attempt(body, streamed, current), **about)

    def _body(self, request: m.LLMRequest) -> dict[str, Any]:
        parts = [part for one in request.messages for part in one.parts if not isinstance(part, m.ThinkingPart)]
        if request.tools or request.effort or request.end_user or not all(isinstance(p, m.TextPart) for p in parts):
            raise UnsupportedFeature("only text is sent", provider=self.name, model=self.model_id)
        system = [] if request.system is None else [{"role": "system", "content": request.system}]
        said = system + [{"role": one.role, "content": one.text} for one in request.messages]
        fields = {name: getattr(request, field) for name, field in FIELDS.items()}
        if (asked := request.response_schema) is not None:
            schema = {"name": asked.name, "schema": asked.schema, "strict": asked.strict}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        sent = {name: value for name, value in fields.items() if value not in (None, ())}
        return {"model": request.model or self.model_id, "messages": said, **sent}

    async def _attempt(self, body: Any, streamed: bool, now: CurrentAttempt) -> AsyncGenerator[m.StreamEvent, None]:
        async with self._http.stream("POST", "/chat/completions", json=body) as reply:
            now.status, now.request_id = reply.status_code, reply.headers.get("x-request-id")
            if reply.status_code != 200:
                raise _refusal(await reply.aread(), reply, now)
            if streamed != reply.headers.get("content-type", "").startswith("text/event-stream"):
                raise MalformedResponse("another kind of reply")
            said: dict[str, Any] = {"usage": TokenUsage(reported=False), "text": ""}
            async for data in _sent(reply, streamed):
                try:
                    if "error" in (chunk := json.loads(data)) and streamed:
                        raise _refusal(data.encode(), reply, now, inside=True)
                    delta = _read(chunk, said)
                except UNREADABLE:
                    raise MalformedResponse("no completion") from None
                if delta and streamed:
                    yield m.TextDelta(delta)
            if said.get("finish"):
                now.usage = said["usage"] if said["usage"].reported else None
                yield m.Done(_response(said, reply, now))
            elif not streamed:
                raise MalformedResponse("no finish reason")


def _read(chunk: Any, said: dict[str, Any]) -> str:
    said["model"] = chunk["model"]
    if isinstance(told := chunk.get("usage"), dict) and isinstance(told.get("total_tokens"), int):
        prompt, completion = told.get("prompt_tokens_details") or {}, told.get("completion_tokens_details") or {}
        said["usage"] = TokenUsage(
            prompt_tokens=told["prompt_tokens"],
            completion_tokens=told["completion_tokens"],
            cache_read_tokens=prompt.get("cached_tokens") or 0,
            cache_write_tokens=prompt.get("cache_write_tokens") or 0,
            reasoning_tokens=completion.get("reasoning_tokens") or 0,
        )
    if not chunk["choices"]:
        return ""
    choice = chunk["choices"][0]
    delta = choice["delta"] if "delta" in choice else choice["message"]
    said["finish"] = "refusal" if delta.get("refusal") else said.get("finish") or choice["finish_reason"]
    said["text"] += (text := delta.get("content") or delta.get("refusal") or "")
    return str(text)


def _response(said: dict[str, Any], reply: httpx2.Response, now: CurrentAttempt) -> m.LLMResponse:
    return m.LLMResponse(
        message=m.LLMMessage(role="assistant", content=said["text"]),
        finish_reason=said["finish"] if said["finish"] in FINISHES else "other",
        usage=said["usage"],
        model=said["model"],
        provider=AcmeLLM.name,
        request_id=now.request_id,
        rate_limit=rate_limit_state(reply.headers, LIMITS),
    )


async def _sent(reply: httpx2.Response, streamed: bool) -> AsyncIterator[str]:
    if not streamed:
        yield (await reply.aread()).decode(errors="replace")
        return
    async for event in httpx2.EventSource(reply, max_event_size=None):
        if event.data == "[DONE]":
            return
        if event.data:
            yield event.data


def _refusal(body: bytes, reply: httpx2.Response, now: CurrentAttempt, *, inside: bool = False) -> ProviderError:
    try:
        told = Told.of(json.loads(body), None if inside else now.status, now.request_id)
    except ValueError:
        told = Told(now.status, request_id=now.request_id)
    error = told.meaning()(f"acme answered {now.status}", hint="check base_url", provider=AcmeLLM.name)
    error.status, error.vendor_message, error.request_id = told.status, told.message or None, told.request_id
    advice = advised(error, reply.headers)
    error.retryable, error.retry_after = advice.retryable, advice.retry_after
    return error


def _classify(error: Exception) -> Advice | None:
    if isinstance(error, httpx2.TimeoutException):
        return Advice(AttemptTimeout("no answer in time"), retryable=True)
    if isinstance(error, httpx2.DecodingError):
        return Advice(MalformedResponse("the reply cannot be decoded"), retryable=False)
    return (
        Advice(ConnectionFailed("no connection"), retryable=True) if isinstance(error, httpx2.TransportError) else None
    )
