"""The reference for language models: Chat Completions, whole and as a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import httpx2

from focal_core.errors import UnsupportedFeature
from focal_core.providers.llm import LLMProvider, check_request
from focal_core.providers.models import (
    NO_OPTIONS,
    CallOptions,
    Done,
    LLMMessage,
    LLMRequest,
    LLMResponse,
    Part,
    SpecificTool,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    ToolResultPart,
)
from focal_core.providers.retry import CurrentAttempt, run_attempts
from focal_core.providers.stream import LLMStream, attempted_events, opened_stream
from focal_core.usage import TokenUsage
from focal_testkit.mutants.providers.reference import MALFORMED, Client

_FINISHES = ("stop", "length", "tool_calls", "content_filter")


class ReferenceLLM(Client, LLMProvider):
    """Chat Completions, without images, files, effort and caching, which are refused."""

    name: ClassVar[str] = "reference"

    def __init__(self, base_url: str, *, api_key: str, model: str) -> None:
        super().__init__(base_url, api_key)
        self._model = model

    @property
    def model_id(self) -> str:
        """The configured model."""
        return self._model

    async def generate(self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS) -> LLMResponse:
        """Send one request, as often as it takes."""
        payload = self.payload(request)

        async def call(current: CurrentAttempt) -> LLMResponse:
            reply = await self.post("/chat/completions", payload, current)
            try:
                return self.finished(self.read(json.loads(reply.content)), reply, current)
            except MALFORMED:
                raise self.malformed("the reply is no completion") from None

        attempted = await run_attempts(
            call, classify=self.classify, options=options, provider=self.name, model=payload["model"]
        )
        return attempted.settled(attempted.value)

    def stream(
        self, request: LLMRequest, *, options: CallOptions = NO_OPTIONS
    ) -> AbstractAsyncContextManager[LLMStream]:
        """Send one request and hand over what comes."""

        def events() -> AsyncIterator[StreamEvent]:
            payload = self.payload(request) | {"stream": True, "stream_options": {"include_usage": True}}
            return attempted_events(
                lambda current: self.events(payload, current),
                provider=self.name,
                model=payload["model"],
                classify=self.classify,
                options=options,
            )

        return opened_stream(events, self.name)

    async def events(self, payload: Any, current: CurrentAttempt) -> AsyncGenerator[StreamEvent, None]:
        """Yield the events of one attempt."""
        async with self._http.stream("POST", "/chat/completions", json=payload) as reply:
            self.note(reply, current)
            if reply.status_code != 200:
                await reply.aread()
            self.check(reply, current)
            if not reply.headers.get("content-type", "").startswith("text/event-stream"):
                raise self.malformed("the reply is no stream")
            answer = self.accumulated()
            async for data in sent_events(reply):
                if data == b"[DONE]":
                    break
                try:
                    chunk = json.loads(data)
                    found = list(answer.take(chunk))
                except MALFORMED:
                    raise self.malformed("an event is no chunk") from None
                if "error" in chunk:
                    raise self.refusal(chunk, current)
                for event in found:
                    yield event
                if self.complete(answer):
                    break
            if answer.finish is not None:
                yield Done(self.finished(answer.response(), reply, current))

    def complete(self, answer: Accumulated) -> bool:
        """Return whether nothing of interest can follow."""
        return answer.finish is not None and answer.usage is not None

    def payload(self, request: LLMRequest) -> dict[str, Any]:
        """Return a request as the wire has it.

        Raises:
            UnsupportedFeature: it holds what this provider does not send.
        """
        self.check_open()
        check_request(request, self.name)
        for field in ("effort", "end_user"):
            if getattr(request, field) is not None:
                raise UnsupportedFeature(f"{field} is not sent", provider=self.name, model=self._model)
        if len(request.stop) > 4:
            raise UnsupportedFeature("the wire takes 4 stop sequences", provider=self.name, model=self._model)
        system = [] if request.system is None else [{"role": "system", "content": request.system}]
        payload: dict[str, Any] = {
            "model": request.model or self._model,
            "messages": [*system, *(message for said in request.messages for message in self.messages(said))],
            "max_completion_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list(request.stop) or None,
            "tools": [_tool(tool) for tool in request.tools] or None,
            "tool_choice": _choice(request),
        }
        if (schema := request.response_schema) is not None:
            form = {"name": schema.name, "schema": schema.schema, "strict": schema.strict}
            payload["response_format"] = {"type": "json_schema", "json_schema": form}
        kept = {key: value for key, value in payload.items() if value is not None}
        return {**kept, **request.provider_options.get(self.name, {})}

    def messages(self, message: LLMMessage) -> list[dict[str, Any]]:
        """Return one message as the wire has it: each tool result is one of its own.

        Raises:
            UnsupportedFeature: it holds an image or a file.
        """
        results = [part for part in message.parts if isinstance(part, ToolResultPart)]
        for part in message.parts:
            if part.kind in ("image", "file"):
                raise UnsupportedFeature(f"{part.kind} is not sent", provider=self.name, model=self._model)
        if results:
            return [{"role": "tool", "tool_call_id": part.id, "content": _result(part, self.name)} for part in results]
        said: dict[str, Any] = {"role": message.role, "content": message.text}
        if message.tool_calls:
            said["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.raw_arguments}}
                for call in message.tool_calls
            ]
        return [said]

    def read(self, body: Any) -> LLMResponse:
        """Return the answer of a whole reply."""
        answer = self.accumulated()
        choice = body["choices"][0]
        message = choice["message"]
        calls = [{**call, "index": index} for index, call in enumerate(message.get("tool_calls") or ())]
        list(answer.take({**body, "choices": [{**choice, "delta": {**message, "tool_calls": calls}}]}))
        if answer.finish is None:
            raise ValueError("the finish reason is missing")
        return answer.response()

    def accumulated(self) -> Accumulated:
        """Return an empty answer."""
        return Accumulated(self.name)

    def finished(self, response: LLMResponse, reply: httpx2.Response, current: CurrentAttempt) -> LLMResponse:
        """Return an answer with what the headers tell."""
        current.usage = response.usage if response.usage.reported else None
        told = {"request_id": current.request_id, "rate_limit": self.limits_told(reply.headers)}
        return response.model_copy(update=told)


class Accumulated:
    """What a stream has brought so far; a whole reply is a stream of one chunk.

    Args:
        provider: whose answer it is.

    Attributes:
        finish: the finish reason, once told.
        usage: tokens, once told.
    """

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._text: list[str] = []
        self._calls: list[tuple[str, str, list[str]]] = []
        self._at: dict[int, int] = {}
        self._refused = False
        self._model = ""
        self._id: str | None = None
        self.finish: str | None = None
        self.usage: TokenUsage | None = None

    def take(self, chunk: Any) -> Iterator[StreamEvent]:
        """Add a chunk and yield its events."""
        if "error" in chunk:
            return
        self._model = chunk["model"] or self._model
        if chunk.get("usage") is not None:
            self.usage = self.count(chunk["usage"])
        for choice in chunk["choices"][:1]:
            delta = choice["delta"]
            self._refused = self._refused or delta.get("refusal") is not None
            for text in (delta.get("content"), delta.get("refusal")):
                if text:
                    self._text.append(text)
                    yield TextDelta(text)
            for piece in delta.get("tool_calls") or ():
                yield from self._called(piece)
            self.finish = choice.get("finish_reason") or self.finish

    def _called(self, piece: Any) -> Iterator[StreamEvent]:
        index, function = piece["index"], piece["function"]
        at = self._at.get(index)
        # Some servers number every call 0: another id is another call.
        if at is None or piece.get("id") not in (None, self._calls[at][0]):
            at = self._at[index] = len(self._calls)
            self._calls.append((piece["id"], function["name"], []))
            yield ToolCallStart(at, piece["id"], function["name"])
        if function.get("arguments"):
            self._calls[at][2].append(function["arguments"])
            yield ToolCallDelta(at, function["arguments"])

    def count(self, told: Any) -> TokenUsage:
        """Return the tokens of a reply; not reported unless prompt and total are told."""
        names = ("prompt_tokens", "total_tokens")
        if not isinstance(told, Mapping) or not all(isinstance(told.get(name), int) for name in names):
            return TokenUsage(reported=False)
        prompt, completion = told.get("prompt_tokens_details") or {}, told.get("completion_tokens_details") or {}
        return TokenUsage(
            prompt_tokens=told["prompt_tokens"],
            completion_tokens=told.get("completion_tokens") or 0,
            cache_read_tokens=prompt.get("cached_tokens") or 0,
            cache_write_tokens=prompt.get("cache_write_tokens") or 0,
            reasoning_tokens=completion.get("reasoning_tokens") or 0,
        )

    def response(self) -> LLMResponse:
        """Return the whole answer; the finish reason is known."""
        calls = [_call(id, name, "".join(pieces)) for id, name, pieces in self._calls]
        text = "".join(self._text)
        parts: tuple[Part, ...] = (*((TextPart(text=text),) if text else ()), *calls)
        finish = self.finish if self.finish in _FINISHES else "other"
        return LLMResponse.model_validate(
            {
                "message": LLMMessage(role="assistant", parts=parts),
                "finish_reason": "refusal" if self._refused else finish,
                "finish_detail": self.finish,
                "usage": self.usage or TokenUsage(reported=False),
                "model": self._model,
                "provider": self._provider,
            }
        )


def _call(id: str, name: str, raw: str) -> ToolCallPart:
    try:
        arguments = json.loads(raw)
    except ValueError:
        arguments = None
    whole = arguments if isinstance(arguments, dict) else None
    return ToolCallPart(id=id, name=name, arguments=whole, raw_arguments=raw)


async def sent_events(reply: httpx2.Response) -> AsyncIterator[bytes]:
    """Yield the data of each server-sent event; one that the end of the stream cuts is none."""
    data: list[bytes] = []
    async for line in _lines(reply):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data = []


async def _lines(reply: httpx2.Response) -> AsyncIterator[bytes]:
    # Not the client's own: it takes U+2028 in a text for the end of a line.
    buffer, seen = bytearray(), 0
    async for chunk in reply.aiter_bytes():
        buffer += chunk
        start = 0
        while (end := buffer.find(b"\n", max(start, seen))) >= 0:
            yield bytes(buffer[start:end]).removesuffix(b"\r")
            start = end + 1
        del buffer[:start]
        seen = len(buffer)


def _tool(tool: Any) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": {**function, "strict": tool.strict}}


def _choice(request: LLMRequest) -> Any:
    if isinstance(request.tool_choice, SpecificTool):
        return {"type": "function", "function": {"name": request.tool_choice.name}}
    return None if request.tool_choice == "auto" else request.tool_choice


def _result(part: ToolResultPart, provider: str) -> str:
    if not isinstance(part.content, str):
        raise UnsupportedFeature("tool results of parts are not sent", provider=provider)
    return json.dumps({"error": part.content}) if part.is_error else part.content
