"""A stream of Anthropic's events: each becomes focal's at once, and all of them together the message."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from focal_core.providers.models import (
    StreamEvent,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageUpdate,
)
from focal_providers.anthropic.response import RAW_INPUT, read_usage
from focal_providers.llm import Accumulated

_WRITTEN: Mapping[str, type[TextDelta | ThinkingDelta]] = {"text": TextDelta, "thinking": ThinkingDelta}
"""Kind of a block whose text has the kind for its key -> what it is shown as; of all others the input grows."""


class AccumulatedMessage(Accumulated):
    """What a stream of events has brought so far; ``usage`` is told once behind the first thing shown."""

    def __init__(self) -> None:
        super().__init__()
        self._message: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._calls: dict[int, int] = {}
        self._shown = False

    def take(self, event: Any) -> Iterator[StreamEvent]:
        """Add an event, a JSON object."""
        shown = self._taken(event)
        if shown is None:
            return
        yield shown
        if not self._shown:
            self._shown = True
            if self.usage.reported:
                yield UsageUpdate(self.usage)

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
        return {**self._message, "stop_reason": reason, "content": content, "usage": self._told}

    def _taken(self, event: Any) -> StreamEvent | None:
        kind = event["type"]
        if kind == "content_block_delta":
            return self._delta(event["index"], event["delta"])
        if kind == "content_block_start":
            return self._start(event["index"], dict(event["content_block"]))
        if kind == "content_block_stop":
            return self._stop(event["index"])
        if kind == "message_start":
            self._message = dict(event["message"])
            self._count(self._message.get("usage"))
        elif kind == "message_delta":
            self._message.update(event["delta"])
            self._count(event.get("usage"))
            self.complete = isinstance(self._message.get("stop_reason"), str)
        elif kind == "message_stop":
            self.complete = self.ended = True
        return None

    def _count(self, usage: Any) -> None:
        # Cumulative: each value goes over the one before, and null says nothing new.
        self._told.update({name: count for name, count in (usage or {}).items() if count is not None})
        self.usage = read_usage(self._told)

    def _start(self, index: int, block: dict[str, Any]) -> StreamEvent | None:
        self._blocks[index] = block
        kind = block["type"]
        if kind in _WRITTEN:
            return self._grow(index, block[kind], _WRITTEN[kind])
        if kind == "tool_use":
            self._pieces[index] = []
            number = self._calls[index] = len(self._calls)
            return ToolCallStart(number, block["id"], block["name"])
        return None

    def _delta(self, index: int, delta: Mapping[str, Any]) -> StreamEvent | None:
        kind = delta["type"]
        if kind == "text_delta":
            return self._grow(index, delta["text"], TextDelta)
        if kind == "input_json_delta":
            piece = delta["partial_json"]
            self._pieces.setdefault(index, []).append(piece)
            number = self._calls.get(index)
            return ToolCallDelta(number, piece) if number is not None and piece else None
        if kind == "thinking_delta":
            return self._grow(index, delta["thinking"], ThinkingDelta)
        if kind == "signature_delta":
            self._blocks[index]["signature"] = delta["signature"]
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
