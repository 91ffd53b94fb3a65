"""From a completion, whole or put together from a stream, to what focal makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from focal_core.providers.models import FinishReason, Part, TextPart, ThinkingPart
from focal_providers.llm import Read
from focal_providers.openai.parts import tool_call, usage
from focal_providers.openai.settings import PROVIDER

THOUGHTS = ("reasoning_content", "reasoning")
"""What compatible servers call thinking that they show."""

_FINISHES: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


def read_completion(body: Any) -> Read:
    """Return what a completion says: its first choice.

    Args:
        body: JSON of the completion.

    Raises:
        TypeError: it is none; likewise ValueError, LookupError and AttributeError.
    """
    choice = body["choices"][0]
    message, told = choice["message"], choice["finish_reason"]
    if not isinstance(told, str):
        raise TypeError("the finish reason is missing")
    parts = tuple(_parts(message))
    reason = _FINISHES.get(told, "other")
    if message.get("refusal") is not None:
        reason = "refusal"
    elif reason == "stop" and message.get("tool_calls"):
        # Where one tool must be called, its call is no reason of its own.
        reason = "tool_calls"
    detail = told if told not in _FINISHES else None
    return Read(parts, reason, detail, usage(body.get("usage"), "prompt", "completion"), body.get("model") or None)


def thought(message: Mapping[str, Any]) -> str:
    """Return the thinking that a message or a piece of one shows; empty when none."""
    return next((text for name in THOUGHTS if isinstance(text := message.get(name), str) and text), "")


def call_id(told: Any, number: int) -> str:
    """Return the id of a call; some servers give none."""
    return told or f"call_{number}"


def _parts(message: Mapping[str, Any]) -> Iterator[Part]:
    shown = thought(message)
    if shown:
        yield ThinkingPart(text=shown, opaque={}, provider=PROVIDER)
    for text in (message.get("content"), message.get("refusal")):
        if text is not None and text != "":
            yield TextPart(text=text)
    for number, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        yield tool_call(call_id(call.get("id"), number), function["name"], function["arguments"])
