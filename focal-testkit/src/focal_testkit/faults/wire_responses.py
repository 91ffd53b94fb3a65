"""OpenAI's own wire: Responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from focal_testkit.faults.wire_chat import OPENAI_RATE_LIMITS, openai_error, openai_model_card
from focal_testkit.faults.wire_dialect import Answer, Event, Finish, Spent, WireDialect, pieces

_STATUS: Mapping[str, tuple[str, str | None]] = {
    "length": ("incomplete", "max_output_tokens"),
    "content_filter": ("incomplete", "content_filter"),
}


class ResponsesDialect(WireDialect):
    """Responses, whole and as a stream."""

    name: ClassVar[str] = "openai-responses"
    provider: ClassVar[str] = "openai"
    path: ClassVar[str] = "/v1/responses"
    finishes: ClassVar[frozenset[Finish]] = frozenset({"stop", "length", "tool_calls", "refusal", "content_filter"})
    thinking: ClassVar[bool] = True
    request_id_header: ClassVar[str] = "x-request-id"
    rate_limits: ClassVar[Mapping[str, str]] = OPENAI_RATE_LIMITS

    def base_url(self, origin: str) -> str:
        """Return the address with the version, as the vendor's own is."""
        return f"{origin}/v1"

    def body(self, answer: Answer) -> dict[str, Any]:
        """Return a response."""
        status, reason = _STATUS.get(answer.finish, ("completed", None))
        whole = _envelope(answer, status)
        whole["output"] = _items(answer)
        whole["incomplete_details"] = None if reason is None else {"reason": reason}
        whole["usage"] = _usage(answer.spent)
        return whole

    def failed(self, code: str) -> dict[str, Any]:
        """Return a response that failed although its status is 200."""
        return {**_envelope(Answer(), "failed"), "error": {"code": code, "message": "The model failed"}}

    def events(self, answer: Answer) -> list[Event]:
        """Return created, in_progress, every item with its parts and deltas, and the terminal event."""
        events = [
            Event(None, {"type": "response.created", "response": _envelope(answer, "in_progress")}),
            Event(None, {"type": "response.in_progress", "response": _envelope(answer, "in_progress")}),
        ]
        for index, item in enumerate(_items(answer)):
            events += _ITEM_EVENTS[item["type"]](index, item)
        whole = self.body(answer)
        kind = "response.incomplete" if whole["status"] == "incomplete" else "response.completed"
        return _numbered([*events, Event(None, {"type": kind, "response": whole}, settles=True)])

    def error(self, kind: str) -> tuple[int, dict[str, Any]]:
        """Return one of the vendor's errors."""
        return openai_error(kind)

    def error_events(self, kind: str) -> list[Event]:
        """Return the ``error`` event."""
        error = openai_error(kind)[1]["error"]
        data = {"type": "error", "code": error["code"] or error["type"], "message": error["message"], "param": None}
        return [Event("error", {**data, "sequence_number": 50})]

    def failed_events(self, code: str) -> list[Event]:
        """Return the terminal event of a response that failed."""
        return [
            Event("response.failed", {"type": "response.failed", "response": self.failed(code), "sequence_number": 51})
        ]

    def request_types(self) -> Mapping[bool, Any]:
        """Return the SDK's parameters of ``responses.create``."""
        from openai.types.responses import response_create_params as types

        return {False: types.ResponseCreateParamsNonStreaming, True: types.ResponseCreateParamsStreaming}

    def model_card(self, model: str) -> dict[str, Any]:
        """Return a model's card."""
        return openai_model_card(model)

    def counting(self) -> Mapping[str, dict[str, Any]]:
        """Return the count."""
        return {"/v1/responses/input_tokens": {"object": "response.input_tokens", "input_tokens": 23}}


def _envelope(answer: Answer, status: str) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000.0,
        "status": status,
        "model": answer.model,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": None,
    }


def _items(answer: Answer) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.thinking is not None:
        summary = [{"type": "summary_text", "text": answer.thinking}]
        items.append({"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": "ZW5jcnlwdGVk"})
    if answer.text:
        part: dict[str, Any] = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
        if answer.finish == "refusal":
            part = {"type": "refusal", "refusal": answer.text}
        whole = "incomplete" if answer.finish in _STATUS else "completed"
        items.append({"id": "msg_1", "type": "message", "role": "assistant", "status": whole, "content": [part]})
    for number, call in enumerate(answer.calls, start=1):
        named = {"id": f"fc_{number}", "type": "function_call", "status": "completed"}
        items.append({**named, "call_id": call.id, "name": call.name, "arguments": call.arguments})
    return items


def _message_events(index: int, item: Mapping[str, Any]) -> list[Event]:
    part = item["content"][0]
    field = "refusal" if part["type"] == "refusal" else "text"
    kind = "response.refusal" if field == "refusal" else "response.output_text"
    extra: dict[str, Any] = {} if field == "refusal" else {"logprobs": []}
    where = {"output_index": index, "item_id": item["id"], "content_index": 0}
    added = {**item, "content": [], "status": "in_progress"}
    return [
        Event(None, {"type": "response.output_item.added", "output_index": index, "item": added}),
        Event(None, {"type": "response.content_part.added", **where, "part": {**part, field: ""}}),
        *(
            Event(None, {"type": f"{kind}.delta", **where, "delta": piece, **extra}, shows=True)
            for piece in pieces(part[field])
        ),
        Event(None, {"type": f"{kind}.done", **where, field: part[field], **extra}),
        Event(None, {"type": "response.content_part.done", **where, "part": part}),
        Event(None, {"type": "response.output_item.done", "output_index": index, "item": item}),
    ]


def _call_events(index: int, item: Mapping[str, Any]) -> list[Event]:
    where = {"output_index": index, "item_id": item["id"]}
    kind = "response.function_call_arguments"
    added = {**item, "arguments": "", "status": "in_progress"}
    done = {**where, "name": item["name"], "arguments": item["arguments"]}
    return [
        Event(None, {"type": "response.output_item.added", "output_index": index, "item": added}, shows=True),
        *(
            Event(None, {"type": f"{kind}.delta", **where, "delta": piece}, shows=True)
            for piece in pieces(item["arguments"])
        ),
        Event(None, {"type": f"{kind}.done", **done}),
        Event(None, {"type": "response.output_item.done", "output_index": index, "item": item}),
    ]


def _reasoning_events(index: int, item: Mapping[str, Any]) -> list[Event]:
    part = item["summary"][0]
    where = {"output_index": index, "item_id": item["id"], "summary_index": 0}
    # Only the item at its end holds the whole of what must be sent back.
    added = {**item, "summary": [], "encrypted_content": "ZW5j"}
    kind = "response.reasoning_summary"
    return [
        Event(None, {"type": "response.output_item.added", "output_index": index, "item": added}),
        Event(None, {"type": f"{kind}_part.added", **where, "part": {**part, "text": ""}}),
        *(
            Event(None, {"type": f"{kind}_text.delta", **where, "delta": piece}, shows=True)
            for piece in pieces(part["text"])
        ),
        Event(None, {"type": f"{kind}_text.done", **where, "text": part["text"]}),
        Event(None, {"type": f"{kind}_part.done", **where, "part": part}),
        Event(None, {"type": "response.output_item.done", "output_index": index, "item": item}),
    ]


_ITEM_EVENTS = {"message": _message_events, "function_call": _call_events, "reasoning": _reasoning_events}


def _numbered(events: list[Event]) -> list[Event]:
    return [
        Event(event.data["type"], {**event.data, "sequence_number": number}, event.settles, event.shows)
        for number, event in enumerate(events)
    ]


def _usage(spent: Spent | None) -> dict[str, Any] | None:
    if spent is None:
        return None
    return {
        "input_tokens": spent.prompt,
        "input_tokens_details": {"cached_tokens": spent.cache_read, "cache_write_tokens": spent.cache_write},
        "output_tokens": spent.completion,
        "output_tokens_details": {"reasoning_tokens": spent.reasoning},
        "total_tokens": spent.prompt + spent.completion,
    }
