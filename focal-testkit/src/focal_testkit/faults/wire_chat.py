"""The Chat Completions wire, which most compatible servers speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from focal_testkit.faults.wire_dialect import Answer, Event, Finish, Spent, WireDialect, pieces

OPENAI_RATE_LIMITS: Mapping[str, str] = {
    "x-ratelimit-limit-requests": "100",
    "x-ratelimit-remaining-requests": "7",
    "x-ratelimit-reset-requests": "1m6s",
    "x-ratelimit-limit-tokens": "9000",
    "x-ratelimit-remaining-tokens": "800",
    "x-ratelimit-reset-tokens": "250ms",
}
_ERRORS: Mapping[str, tuple[int, str, str | None, str]] = {
    "rate_limited": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests"),
    "quota_exceeded": (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
    "overloaded": (503, "server_error", None, "The engine is currently overloaded"),
    "server_error": (500, "server_error", None, "The server had an error"),
    "authentication_failed": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided"),
    "permission_denied": (403, "invalid_request_error", None, "You may not use this"),
    "model_not_found": (404, "invalid_request_error", "model_not_found", "The model `no-such-model` does not exist"),
    "context_too_long": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens",
    ),
    "content_too_large": (413, "invalid_request_error", None, "Request too large"),
    "content_filtered": (400, "invalid_request_error", "content_policy_violation", "Your request was rejected"),
    "invalid_request": (400, "invalid_request_error", None, "Invalid value for 'messages'"),
    "unsupported_feature": (
        400,
        "invalid_request_error",
        "unsupported_value",
        "Unsupported value: 'temperature' does not support 0.5 with this model",
    ),
}
_PARAMETERS = {"unsupported_feature": "temperature", "model_not_found": "model", "context_too_long": "messages"}


def openai_error(kind: str) -> tuple[int, dict[str, Any]]:
    """Return status and body of an error of OpenAI's."""
    status, named, code, message = _ERRORS[kind]
    return status, {"error": {"message": message, "type": named, "param": _PARAMETERS.get(kind), "code": code}}


def openai_model_card(model: str) -> dict[str, Any]:
    """Return what OpenAI tells about a model."""
    return {"id": model, "object": "model", "created": 1_700_000_000, "owned_by": "focal"}


class ChatDialect(WireDialect):
    """Chat Completions, whole and as a stream."""

    name: ClassVar[str] = "openai-chat"
    provider: ClassVar[str] = "openai"
    path: ClassVar[str] = "/v1/chat/completions"
    finishes: ClassVar[frozenset[Finish]] = frozenset({"stop", "length", "tool_calls", "refusal", "content_filter"})
    request_id_header: ClassVar[str] = "x-request-id"
    rate_limits: ClassVar[Mapping[str, str]] = OPENAI_RATE_LIMITS

    def base_url(self, origin: str) -> str:
        """Return the address with the version, as the vendor's own is."""
        return f"{origin}/v1"

    def body(self, answer: Answer) -> dict[str, Any]:
        """Return a completion with one choice."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
        if answer.finish == "refusal":
            message.update(content=None, refusal=answer.text)
        if answer.calls:
            message["content"] = answer.text or None
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in answer.calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": _finish(answer), "logprobs": None}
        whole = {**_envelope(answer, "chat.completion"), "choices": [choice]}
        return whole if answer.spent is None else {**whole, "usage": _usage(answer.spent)}

    def events(self, answer: Answer) -> list[Event]:
        """Return the role, deltas, the finish reason, usage without a choice, and [DONE]."""
        field = "refusal" if answer.finish == "refusal" else "content"
        events = [_chunk(answer, {"role": "assistant", "content": ""})]
        events += [_chunk(answer, {field: piece}, shows=True) for piece in pieces(answer.text)]
        for index, call in enumerate(answer.calls):
            function = {"name": call.name, "arguments": ""}
            begun = {"index": index, "id": call.id, "type": "function", "function": function}
            events.append(_chunk(answer, {"tool_calls": [begun]}, shows=True))
            for piece in pieces(call.arguments):
                more = {"index": index, "function": {"arguments": piece}}
                events.append(_chunk(answer, {"tool_calls": [more]}, shows=True))
        events.append(_chunk(answer, {}, finish=_finish(answer), settles=True))
        if answer.spent is not None:
            usage = {**_envelope(answer, "chat.completion.chunk"), "choices": [], "usage": _usage(answer.spent)}
            events.append(Event(None, usage, settles=True))
        return [*events, Event(None, "[DONE]", settles=True)]

    def unknown_event(self) -> Event:
        """Return a chunk without choices, of a kind that no client knows yet."""
        return Event(None, {"id": "w", "object": "weather", "created": 1, "model": "m", "choices": []})

    def error(self, kind: str) -> tuple[int, dict[str, Any]]:
        """Return one of the vendor's errors."""
        return openai_error(kind)

    def error_events(self, kind: str) -> list[Event]:
        """Return the error in place of a chunk."""
        return [Event(None, openai_error(kind)[1])]

    def request_types(self) -> Mapping[bool, Any]:
        """Return the SDK's parameters of ``chat.completions.create``."""
        from openai.types.chat import completion_create_params as types

        return {False: types.CompletionCreateParamsNonStreaming, True: types.CompletionCreateParamsStreaming}

    def model_card(self, model: str) -> dict[str, Any]:
        """Return a model's card."""
        return openai_model_card(model)


def _envelope(answer: Answer, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": answer.model}


def _finish(answer: Answer) -> str:
    return "stop" if answer.finish == "refusal" else answer.finish


def _chunk(
    answer: Answer, delta: Mapping[str, Any], *, finish: str | None = None, settles: bool = False, shows: bool = False
) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return Event(None, {**_envelope(answer, "chat.completion.chunk"), "choices": [choice]}, settles, shows)


def _usage(spent: Spent) -> dict[str, Any]:
    return {
        "prompt_tokens": spent.prompt,
        "completion_tokens": spent.completion,
        "total_tokens": spent.prompt + spent.completion,
        "prompt_tokens_details": {"cached_tokens": spent.cache_read, "cache_write_tokens": spent.cache_write},
        "completion_tokens_details": {"reasoning_tokens": spent.reasoning},
    }
