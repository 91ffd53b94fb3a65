"""Anthropic's wire: Messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from focal_testkit.faults.wire_dialect import Answer, Event, Finish, Spent, WireDialect, pieces

_STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "refusal": "refusal",
    "pause": "pause_turn",
}
_ERRORS: Mapping[str, tuple[int, str, str]] = {
    "rate_limited": (429, "rate_limit_error", "This request would exceed your rate limit"),
    "quota_exceeded": (402, "billing_error", "Your credit balance is too low"),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server_error": (500, "api_error", "Internal server error"),
    "authentication_failed": (401, "authentication_error", "invalid bearer token"),
    "permission_denied": (403, "permission_error", "Your key may not use this resource"),
    "model_not_found": (404, "not_found_error", "model: no-such-model"),
    "context_too_long": (400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "content_too_large": (413, "request_too_large", "Request exceeds the maximum size"),
    "invalid_request": (400, "invalid_request_error", "messages: roles must alternate"),
    "unsupported_feature": (400, "invalid_request_error", "`temperature` is not supported by this model"),
}


class AnthropicDialect(WireDialect):
    """Messages, whole and as a stream."""

    name: ClassVar[str] = "anthropic"
    provider: ClassVar[str] = "anthropic"
    path: ClassVar[str] = "/v1/messages"
    finishes: ClassVar[frozenset[Finish]] = frozenset({"stop", "length", "tool_calls", "refusal", "pause"})
    thinking: ClassVar[bool] = True
    request_id_header: ClassVar[str] = "request-id"
    rate_limits: ClassVar[Mapping[str, str]] = {
        "anthropic-ratelimit-requests-limit": "100",
        "anthropic-ratelimit-requests-remaining": "7",
        "anthropic-ratelimit-requests-reset": "2030-01-01T00:00:00Z",
        "anthropic-ratelimit-tokens-limit": "9000",
        "anthropic-ratelimit-tokens-remaining": "800",
        "anthropic-ratelimit-tokens-reset": "2030-01-01T00:00:00Z",
    }
    sampling: ClassVar[frozenset[str]] = frozenset({"temperature", "top_p", "top_k"})

    def body(self, answer: Answer) -> dict[str, Any]:
        """Return a message."""
        content: list[dict[str, Any]] = []
        if answer.thinking is not None:
            content.append({"type": "thinking", "thinking": answer.thinking, "signature": "c2lnbmVk"})
        if answer.text:
            content.append({"type": "text", "text": answer.text, "citations": None})
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
            for call in answer.calls
        ]
        return {
            **_envelope(answer),
            "content": content,
            **_stop(answer),
            "usage": _usage(answer.spent),
        }

    def events(self, answer: Answer) -> list[Event]:
        """Return message_start, a start, deltas and a stop for each block, message_delta, message_stop."""
        start = {**_envelope(answer), "content": [], "stop_reason": None, "stop_sequence": None}
        start["usage"] = {**_usage(answer.spent), "output_tokens": 1} if answer.spent else _usage(None)
        events = [_event("message_start", message=start), _event("ping")]
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if answer.thinking is not None:
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(answer.thinking)]
            deltas.append({"type": "signature_delta", "signature": "c2lnbmVk"})
            blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
        if answer.text:
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(answer.text)]
            blocks.append(({"type": "text", "text": "", "citations": None}, deltas))
        for call in answer.calls:
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(call.arguments)]
            blocks.append(({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, deltas))
        for index, (block, deltas) in enumerate(blocks):
            events.append(_event("content_block_start", index=index, content_block=block))
            for delta in deltas:
                shows = delta["type"] != "signature_delta"
                events.append(_event("content_block_delta", shows=shows, index=index, delta=delta))
            events.append(_event("content_block_stop", index=index))
        usage = _usage(answer.spent)
        events.append(_event("message_delta", settles=True, delta=_stop(answer), usage=usage))
        events.append(_event("message_stop", settles=True))
        return events

    def error(self, kind: str) -> tuple[int, dict[str, Any]]:
        """Return one of the vendor's errors."""
        status, named, message = _ERRORS[kind]
        return status, {"type": "error", "error": {"type": named, "message": message}, "request_id": None}

    def error_events(self, kind: str) -> list[Event]:
        """Return the ``error`` event."""
        return [Event("error", self.error(kind)[1])]

    def request_types(self) -> Mapping[bool, Any]:
        """Return the SDK's parameters of ``messages.create``."""
        from anthropic.types import message_create_params as types

        return {False: types.MessageCreateParamsNonStreaming, True: types.MessageCreateParamsStreaming}

    def model_card(self, model: str) -> dict[str, Any]:
        """Return a model's card."""
        dates = {"created_at": "2026-01-01T00:00:00Z", "deprecated_at": None, "retires_at": None}
        return {"type": "model", "id": model, "display_name": model, "lifecycle": "active", **dates}

    def counting(self) -> Mapping[str, dict[str, Any]]:
        """Return the count."""
        return {"/v1/messages/count_tokens": {"input_tokens": 23}}


def _event(name: str, *, settles: bool = False, shows: bool = False, **data: Any) -> Event:
    return Event(name, {"type": name, **data}, settles, shows)


def _envelope(answer: Answer) -> dict[str, Any]:
    return {"id": "msg_01", "type": "message", "role": "assistant", "model": answer.model}


def _stop(answer: Answer) -> dict[str, Any]:
    stop: dict[str, Any] = {"stop_reason": _STOP_REASONS[answer.finish], "stop_sequence": None}
    if answer.finish == "refusal":
        stop["stop_details"] = {"type": "refusal", "category": "cyber", "explanation": None}
    return stop


def _usage(spent: Spent | None) -> dict[str, Any]:
    if spent is None:
        return {}
    return {
        "input_tokens": spent.prompt - spent.cache_read - spent.cache_write,
        "cache_read_input_tokens": spent.cache_read,
        "cache_creation_input_tokens": spent.cache_write,
        "output_tokens": spent.completion,
        "output_tokens_details": {"thinking_tokens": spent.reasoning},
    }
