"""A stream of Responses: each event becomes focal's at once, and all of them together the response."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from focal_core.providers.models import StreamEvent, TextDelta, ThinkingDelta, ToolCallDelta, ToolCallStart
from focal_providers.errors import Told
from focal_providers.llm import Accumulated, Failed
from focal_providers.openai.parts import usage
from focal_providers.openai.responses.response import SHOWN, text_of

_WRITTEN = frozenset(
    {"response.output_text.delta", "response.refusal.delta", "response.function_call_arguments.delta"}
    | {"response.reasoning_summary_text.delta", "response.reasoning_text.delta"}
)
_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})


@dataclass
class _Item:
    """An item of the output.

    Attributes:
        json: as the vendor last told it.
        number: of the call, where it is one that was handed over.
        pieces: of its text, as handed over.
        done: whether the vendor told the whole of it.
    """

    json: dict[str, Any]
    number: int | None = None
    pieces: list[str] = field(default_factory=list)
    done: bool = False


class AccumulatedResponse(Accumulated):
    """What a stream of Responses has brought so far."""

    def __init__(self) -> None:
        super().__init__()
        self._response: dict[str, Any] = {}
        self._items: dict[int, _Item] = {}
        self._calls = 0

    def take(self, event: Any) -> Iterator[StreamEvent]:
        """Add an event, a JSON object; only ``type`` tells its kind."""
        kind = event["type"]
        if kind in _WRITTEN:
            yield from self._grow(event["output_index"], event["delta"])
        elif kind == "response.output_item.added":
            yield from self._begin(event["output_index"], event["item"])
        elif kind == "response.output_item.done":
            yield from self._finish(event["output_index"], event["item"])
        elif kind == "response.reasoning_summary_part.added" and event.get("summary_index"):
            yield from self._grow(event["output_index"], "\n\n")
        elif kind in _TERMINAL:
            yield from self._end(event["response"])
        elif kind == "error":
            raise Failed(Told.of(event))

    def body(self) -> dict[str, Any]:
        """Return the response, as a whole reply would have told it."""
        output = []
        for _, item in sorted(self._items.items()):
            shown = "".join(item.pieces)
            if item.json["type"] == "message" and not item.done:
                output.append({**item.json, "content": [{"type": "output_text", "text": shown}]})
            else:
                output.append(item.json if shown == text_of(item.json) else {**item.json, SHOWN: shown})
        return {**self._response, "output": output}

    def _begin(self, index: int, json: dict[str, Any]) -> Iterator[StreamEvent]:
        item = self._items[index] = _Item(json)
        if json["type"] == "function_call":
            item.number, self._calls = self._calls, self._calls + 1
            yield ToolCallStart(item.number, json["call_id"], json["name"])

    def _grow(self, index: int, text: str) -> Iterator[StreamEvent]:
        item = self._items[index]
        # What is told behind the end of an item was handed over with it.
        if text and not item.done:
            item.pieces.append(text)
            if item.number is not None:
                yield ToolCallDelta(item.number, text)
            elif item.json["type"] == "reasoning":
                yield ThinkingDelta(text)
            else:
                yield TextDelta(text)

    def _finish(self, index: int, json: dict[str, Any]) -> Iterator[StreamEvent]:
        """Take an item as it is at its end, and hand over what of it was not written piece by piece."""
        if index not in self._items:
            yield from self._begin(index, json)
        item = self._items[index]
        whole, shown = text_of(json), "".join(item.pieces)
        item.json = json
        if whole.startswith(shown):
            yield from self._grow(index, whole[len(shown) :])
        item.done = True

    def _end(self, response: dict[str, Any]) -> Iterator[StreamEvent]:
        self._response = response
        self.usage = usage(response.get("usage"), "input", "output")
        for index, json in enumerate(response.get("output") or ()):
            known = self._items.get(index)
            if known is None or (not known.done and known.json["type"] == json["type"]):
                yield from self._finish(index, json)
        self.complete = self.ended = True
