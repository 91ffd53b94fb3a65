"""A stream of Anthropic's events: each becomes focal's at once, and all of them together the message."""

from __future__ import annotations

import json
from typing import Any

from focal_core.providers.models import StreamEvent, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallStart
from focal_core.usage import TokenUsage
from focal_providers.anthropic.response import RAW_INPUT, read_usage

_WRITTEN = frozenset({"text", "thinking"})
"""Kinds of blocks whose text stands under the name of the kind; of all others the input grows."""


class Accumulated:
    """What a stream has brought so far.

    The SDK builds what it does not know as the first class it knows, so kinds are told by ``type`` alone.

    Attributes:
        complete: the stop reason is known, so nothing of the answer can follow.
        ended: the terminal event is here, so nothing at all can.
    """

    def __init__(self) -> None:
        self.complete = False
        self.ended = False
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._calls: dict[int, int] = {}

    def take(self, event: Any) -> StreamEvent | None:
        """Add an event of the SDK's and return what it is for the reader, if anything.

        Raises:
            AttributeError: it is not what its type says; likewise TypeError, ValueError and LookupError.
        """
        kind = event.type
        if kind == "content_block_delta":
            return self._delta(event.index, event.delta)
        if kind == "content_block_start":
            return self._start(event.index, event.content_block)
        if kind == "content_block_stop":
            return self._stop(event.index)
        if kind == "message_start":
            self._message = event.message.to_dict()
            self._count(self._message.get("usage"))
        elif kind == "message_delta":
            told = event.delta.to_dict()
            self._message.update(told)
            usage = getattr(event, "usage", None)
            self._count(None if usage is None else usage.to_dict())
            self.complete = isinstance(told.get("stop_reason"), str)
        elif kind == "message_stop":
            self.complete = self.ended = True
        return None

    @property
    def usage(self) -> TokenUsage:
        """Tokens spent so far."""
        return read_usage(self._usage)

    def body(self) -> dict[str, Any]:
        """Return the message, as a whole reply would have told it."""
        for index, pieces in self._pieces.items():
            block = self._blocks[index]
            written = "".join(pieces)
            if block["type"] in _WRITTEN:
                block[block["type"]] = written
            else:
                block[RAW_INPUT], block["input"] = written, _json(written)
        reason = self._message.get("stop_reason") or "unknown"
        content = list(self._blocks.values())
        return {**self._message, "stop_reason": reason, "content": content, "usage": self._usage}

    def _count(self, usage: Any) -> None:
        # Cumulative: each value goes over the one before, and null says nothing new.
        self._usage.update({name: count for name, count in (usage or {}).items() if count is not None})

    def _start(self, index: int, content: Any) -> StreamEvent | None:
        block = self._blocks[index] = content.to_dict()
        kind = block["type"]
        if kind == "text":
            return self._grow(index, block["text"], TextDelta)
        if kind == "thinking":
            return self._grow(index, block["thinking"], ThinkingDelta)
        if kind == "tool_use":
            self._pieces[index] = []
            number = self._calls[index] = len(self._calls)
            return ToolCallStart(number, block["id"], block["name"])
        return None

    def _delta(self, index: int, delta: Any) -> StreamEvent | None:
        kind = delta.type
        if kind == "text_delta":
            return self._grow(index, delta.text, TextDelta)
        if kind == "input_json_delta":
            self._pieces.setdefault(index, []).append(delta.partial_json)
            number = self._calls.get(index)
            return ToolCallDelta(number, delta.partial_json) if number is not None and delta.partial_json else None
        if kind == "thinking_delta":
            return self._grow(index, delta.thinking, ThinkingDelta)
        if kind == "signature_delta":
            self._blocks[index]["signature"] = delta.signature
        return None

    def _grow(self, index: int, text: str, kind: type[TextDelta | ThinkingDelta]) -> StreamEvent | None:
        self._pieces.setdefault(index, []).append(text)
        return kind(text) if text else None

    def _stop(self, index: int) -> StreamEvent | None:
        number = self._calls.get(index)
        if number is None or any(self._pieces[index]):
            return None
        # A call without arguments is streamed without any; servers that do not stream them say them at the start.
        raw = json.dumps(self._blocks[index].get("input") or {}, ensure_ascii=False)
        self._pieces[index].append(raw)
        return ToolCallDelta(number, raw)


def _json(text: str) -> Any:
    """Return what a JSON text says; None when it was cut, or is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None
