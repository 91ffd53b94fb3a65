"""From a message of Anthropic's, whole or put together from a stream, to focal's response."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from focal_core.providers.models import FinishReason, Part, TextPart, ThinkingPart, ToolCallPart
from focal_core.usage import TokenUsage
from focal_providers.anthropic.request import PROVIDER
from focal_providers.llm import Read

RAW_INPUT = "_raw_input"
"""Key of a block under which a stream keeps the text that a tool's arguments were written as."""

_FINISHES: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "refusal",
    "pause_turn": "pause",
}


def read_message(body: Any) -> Read:
    """Return what the JSON of a message says.

    Raises:
        TypeError: it is no message; likewise ValueError, LookupError and AttributeError.
    """
    reason = body["stop_reason"]
    if not isinstance(reason, str):
        raise TypeError("the stop reason is missing")
    return Read(
        parts=tuple(part for block in body["content"] if (part := _part(block)) is not None),
        finish_reason=_FINISHES.get(reason, "other"),
        finish_detail=_detail(body, reason),
        usage=read_usage(body.get("usage")),
        model=body["model"],
    )


def read_usage(told: Any) -> TokenUsage:
    """Return the tokens a message reports, cached ones among the prompt's; whatever is no count was not told."""
    if not isinstance(told, Mapping):
        return TokenUsage(reported=False)
    read, written = _count(told, "cache_read_input_tokens"), _count(told, "cache_creation_input_tokens")
    fresh, completion = _count(told, "input_tokens"), _count(told, "output_tokens")
    if fresh is None and completion is None:
        return TokenUsage(reported=False)
    details = told.get("output_tokens_details")
    return TokenUsage(
        prompt_tokens=(fresh or 0) + (read or 0) + (written or 0),
        completion_tokens=completion or 0,
        cache_read_tokens=read or 0,
        cache_write_tokens=written or 0,
        reasoning_tokens=(_count(details, "thinking_tokens") or 0) if isinstance(details, Mapping) else 0,
    )


def vendor_message(sdk: Any, body: Mapping[str, Any]) -> Any:
    """Return the vendor's own object for a message."""
    return sdk.types.Message.construct(**{**body, "content": [_clean(block) for block in body["content"]]})


def _clean(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != RAW_INPUT}


def _count(told: Mapping[str, Any], name: str) -> int | None:
    count = told.get(name)
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def _part(block: Mapping[str, Any]) -> Part | None:
    """Return a part of the message; None for a text that is empty."""
    kind = block["type"]
    if kind == "text":
        return TextPart(text=block["text"]) if block["text"] != "" else None
    if kind == "tool_use":
        return _call(block)
    if kind == "thinking":
        return ThinkingPart(text=block["thinking"] or "", opaque=dict(block), provider=PROVIDER)
    # Redacted thinking, and what the vendor's own tools did: of use to nobody else, and needed there to go on.
    return ThinkingPart(text="", opaque=_clean(block), provider=PROVIDER)


def _call(block: Mapping[str, Any]) -> ToolCallPart:
    given = block["input"]
    arguments = given if isinstance(given, dict) else None
    raw = block[RAW_INPUT] if RAW_INPUT in block else json.dumps(given, ensure_ascii=False)
    return ToolCallPart(id=block["id"], name=block["name"], arguments=arguments, raw_arguments=raw)


def _detail(body: Mapping[str, Any], reason: str) -> str | None:
    if reason == "stop_sequence":
        return body.get("stop_sequence")
    details = body.get("stop_details")
    if isinstance(details, Mapping):
        said = details.get("explanation") or details.get("category")
        return said if isinstance(said, str) else None
    return reason if reason not in _FINISHES or reason == "model_context_window_exceeded" else None
