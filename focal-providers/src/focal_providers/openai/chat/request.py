"""From focal's request to the arguments of ``chat.completions.create``; what has no place there is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from focal_core.providers.models import (
    FilePart,
    ImagePart,
    LLMMessage,
    LLMRequest,
    SpecificTool,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from focal_providers.openai.parts import data_url, failure, file_name, format_of, shared
from focal_providers.openai.settings import PROVIDER
from focal_providers.request import unsupported

_MOST_STOPS = 4


def arguments(
    request: LLMRequest, *, cache: bool = True, max_tokens_field: str = "max_completion_tokens"
) -> dict[str, Any]:
    """Return the arguments of ``chat.completions.create``.

    Args:
        request: with model and ``max_tokens`` filled in.
        cache: whether advice to cache is passed on; only its key has a place here.
        max_tokens_field: what the server calls the limit of tokens.

    Raises:
        UnsupportedFeature: the request holds what Chat Completions cannot carry.
        SchemaUnsupported: likewise, in its schema.
        InvalidRequest: its ``provider_options`` are malformed.
    """
    if len(request.stop) > _MOST_STOPS:
        raise unsupported(f"Chat Completions takes {_MOST_STOPS} stop sequences at most", PROVIDER, request.model)
    sent = shared(request, cache=cache)
    system = [] if request.system is None else [{"role": "system", "content": request.system}]
    said = (one for message in request.messages for one in _messages(message, request.model))
    sent.update({"messages": [*system, *said], max_tokens_field: request.max_tokens})
    if request.stop:
        sent["stop"] = list(request.stop)
    if request.tools:
        sent["tools"] = [_tool(tool) for tool in request.tools]
    if isinstance(request.tool_choice, SpecificTool):
        sent["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice.name}}
    elif request.tool_choice != "auto":
        sent["tool_choice"] = request.tool_choice
    if request.effort is not None:
        sent["reasoning_effort"] = request.effort
    if request.response_schema is not None:
        sent["response_format"] = {"type": "json_schema", "json_schema": format_of(request.response_schema)}
    return sent


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": {**function, "strict": tool.strict}}


def _messages(message: LLMMessage, model: str | None) -> list[dict[str, Any]]:
    """Return a message as the wire has it: each tool result is one of its own, before what is said beside it."""
    results = [_result(part, model) for part in message.parts if isinstance(part, ToolResultPart)]
    said = [part for part in message.parts if isinstance(part, TextPart | ImagePart | FilePart)]
    calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
    if message.role == "assistant":
        return [*results, *_answered(said, calls, model)]
    if calls:
        raise unsupported("Chat Completions takes tool calls of the assistant only", PROVIDER, model)
    return [*results, {"role": "user", "content": _content(said, model)}] if said else results


def _answered(
    said: Sequence[TextPart | ImagePart | FilePart], calls: Sequence[ToolCallPart], model: str | None
) -> list[dict[str, Any]]:
    if not all(isinstance(part, TextPart) for part in said):
        raise unsupported("Chat Completions takes no images or files of the assistant", PROVIDER, model)
    answer: dict[str, Any] = {}
    if said:
        answer["content"] = "".join(part.text for part in said if isinstance(part, TextPart))
    if calls:
        answer["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.raw_arguments}}
            for call in calls
        ]
    return [{"role": "assistant", **answer}] if answer else []


def _content(said: Sequence[TextPart | ImagePart | FilePart], model: str | None) -> str | list[dict[str, Any]]:
    # The plain form is understood everywhere.
    if len(said) == 1 and isinstance(said[0], TextPart):
        return said[0].text
    return [_piece(part, model) for part in said]


def _piece(part: TextPart | ImagePart | FilePart, model: str | None) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        if part.file_id is not None:
            raise unsupported("Chat Completions takes no images by id", PROVIDER, model, "send its bytes or its URL")
        return {"type": "image_url", "image_url": {"url": part.url or data_url(part)}}
    if part.url is not None:
        raise unsupported("Chat Completions takes no files by URL", PROVIDER, model, "send its bytes")
    if part.data is not None:
        return {"type": "file", "file": {"filename": file_name(part), "file_data": data_url(part)}}
    named = {} if part.name is None else {"filename": part.name}
    return {"type": "file", "file": {**named, "file_id": part.file_id}}


def _result(part: ToolResultPart, model: str | None) -> dict[str, Any]:
    content: Any = part.content
    if not isinstance(content, str):
        if not all(isinstance(piece, TextPart) for piece in content):
            raise unsupported("Chat Completions takes no images as results of tools", PROVIDER, model)
        content = "".join(piece.text for piece in content)
    return {
        "role": "tool",
        "tool_call_id": part.id,
        "content": failure(content) if part.is_error else content,
    }
