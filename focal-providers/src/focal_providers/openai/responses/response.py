"""From a response of OpenAI's, whole or put together from a stream, to what focal makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from focal_core.providers.models import FinishReason, Part, TextPart, ThinkingPart
from focal_providers.errors import Told
from focal_providers.llm import Failed, Read
from focal_providers.openai.parts import tool_call, usage
from focal_providers.openai.responses.request import PHASE
from focal_providers.openai.settings import PROVIDER

SHOWN = "_shown"
"""Key of an item under which a stream keeps the text it handed over, where the item itself says otherwise."""

_TEXTS: Mapping[str, str] = {"output_text": "text", "refusal": "refusal"}
_CUT: Mapping[Any, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


def read_response(body: Any) -> Read:
    """Return what a response says.

    Args:
        body: JSON of the response.

    Raises:
        Failed: its status is ``failed``.
        TypeError: it is no response that has ended; likewise ValueError, LookupError and AttributeError.
    """
    status, spent = body["status"], usage(body.get("usage"), "input", "output")
    if status == "failed":
        raise Failed(Told.of({"error": body.get("error")}), spent)
    if status not in ("completed", "incomplete"):
        raise ValueError("the response has not ended")
    items = body["output"]
    reason: FinishReason = "stop"
    detail = None
    if status == "incomplete":
        cause = (body.get("incomplete_details") or {}).get("reason")
        reason = _CUT.get(cause, "other")
        detail = cause if reason == "other" and isinstance(cause, str) else None
    elif any(_refuses(item) for item in items):
        reason = "refusal"
    elif any(item["type"] == "function_call" for item in items):
        reason = "tool_calls"
    parts = tuple(part for item in items for part in _parts(item))
    return Read(parts, reason, detail, spent, body.get("model"))


def text_of(item: Mapping[str, Any]) -> str:
    """Return the text of an item that is handed over as it is written: what is said, thought, or a tool's arguments."""
    if item["type"] == "message":
        return "".join(_said(content) for content in item["content"])
    if item["type"] == "function_call":
        return item.get("arguments") or ""
    if item["type"] == "reasoning":
        return "\n\n".join(piece["text"] for piece in item.get("summary") or item.get("content") or ())
    return ""


def _parts(item: Mapping[str, Any]) -> Iterator[Part]:
    kind = item["type"]
    if kind == "message":
        if isinstance(item.get(PHASE), str):
            yield ThinkingPart(text="", opaque={PHASE: item[PHASE]}, provider=PROVIDER)
        said = [item[SHOWN]] if SHOWN in item else [_said(content) for content in item["content"]]
        yield from (TextPart(text=text) for text in said if text != "")
    elif kind == "function_call":
        yield tool_call(item["call_id"], item["name"], item.get(SHOWN, item["arguments"]))
    else:
        # What the vendor's own tools did is of use to nobody else, and needed there to go on.
        opaque = {key: value for key, value in item.items() if key != SHOWN and value is not None}
        yield ThinkingPart(text=item.get(SHOWN, text_of(item)), opaque=opaque, provider=PROVIDER)


def _said(content: Mapping[str, Any]) -> str:
    name = _TEXTS.get(content["type"])
    text = "" if name is None else content[name]
    if not isinstance(text, str):
        raise TypeError("a text is none")
    return text


def _refuses(item: Mapping[str, Any]) -> bool:
    return item["type"] == "message" and any(content["type"] == "refusal" for content in item["content"])
