"""A stream of Chat Completions: each chunk becomes focal's events at once, and all of them together the completion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from focal_core.providers.models import StreamEvent, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallStart
from focal_providers.errors import Told
from focal_providers.llm import Accumulated, Failed
from focal_providers.openai.chat.response import THOUGHTS, call_id, thought
from focal_providers.openai.parts import usage


@dataclass
class _Call:
    id: str
    name: str
    pieces: list[str] = field(default_factory=list)


class AccumulatedCompletion(Accumulated):
    """What a stream of chunks has brought so far."""

    def __init__(self) -> None:
        super().__init__()
        self._model: str | None = None
        self._told: Any = None
        self._finish: str | None = None
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._refused = False
        self._calls: list[_Call] = []
        self._at: dict[Any, int] = {}

    def take(self, event: Any) -> Iterator[StreamEvent]:
        """Add a chunk, a JSON object."""
        if event.get("error"):
            raise Failed(Told.of(event))
        self._model = event.get("model") or self._model
        for choice in event.get("choices") or ():
            # More than one is none of focal's asking.
            if not choice.get("index"):
                yield from self._grow(choice.get("delta") or {})
                self._finish = choice.get("finish_reason") or self._finish
        self.complete = self._finish is not None
        if event.get("usage") is not None:
            self._told = event["usage"]
            self.usage = usage(self._told, "prompt", "completion")
            # Some servers tell it with every chunk, so that only the last one counts.
            self.ended = self.complete

    def body(self) -> dict[str, Any]:
        """Return the completion, as a whole reply would have told it."""
        text = "".join(self._text)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if self._refused else text,
            "refusal": text if self._refused else None,
            THOUGHTS[0]: "".join(self._thoughts),
        }
        if self._calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "".join(call.pieces)}}
                for call in self._calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": self._finish}
        return {"object": "chat.completion", "model": self._model, "choices": [choice], "usage": self._told}

    def _grow(self, delta: Mapping[str, Any]) -> Iterator[StreamEvent]:
        shown = thought(delta)
        if shown:
            self._thoughts.append(shown)
            yield ThinkingDelta(shown)
        self._refused = self._refused or delta.get("refusal") is not None
        for text in (delta.get("content"), delta.get("refusal")):
            if text:
                self._text.append(text)
                yield TextDelta(text)
        for piece in delta.get("tool_calls") or ():
            yield from self._called(piece)

    def _called(self, piece: Mapping[str, Any]) -> Iterator[StreamEvent]:
        index, id, function = piece.get("index"), piece.get("id"), piece.get("function") or {}
        at = self._at.get(index)
        # Some servers number every call 0: another id is another call.
        if at is None or (id and id != self._calls[at].id):
            at = self._at[index] = len(self._calls)
            self._calls.append(_Call(call_id(id, at), function["name"]))
            yield ToolCallStart(at, self._calls[at].id, self._calls[at].name)
        if function.get("arguments"):
            self._calls[at].pieces.append(function["arguments"])
            yield ToolCallDelta(at, function["arguments"])
