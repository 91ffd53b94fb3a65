"""From focal's request to the arguments of ``responses.create``; what has no place there is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from focal_core.providers.models import (
    FilePart,
    ImagePart,
    LLMMessage,
    LLMRequest,
    SpecificTool,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from focal_providers.openai.parts import data_url, failure, file_name, format_of, shared
from focal_providers.openai.settings import PROVIDER
from focal_providers.request import unsupported

PHASE = "phase"
"""The one key of thinking that holds no item but the vendor's mark on the text behind it."""

_ENCRYPTED = "reasoning.encrypted_content"
_COUNTED = frozenset({"input", "instructions", "model", "reasoning", "text", "tool_choice", "tools", "extra_headers"})
_CARRIED = ("encrypted_content", "content")


def arguments(request: LLMRequest, *, cache: bool = True) -> dict[str, Any]:
    """Return the arguments of ``responses.create``.

    Args:
        request: with model and ``max_tokens`` filled in.
        cache: whether advice to cache is passed on.

    Raises:
        UnsupportedFeature: the request holds what Responses cannot carry.
        SchemaUnsupported: likewise, in its schema.
        InvalidRequest: its ``provider_options`` are malformed.
    """
    if request.stop:
        raise unsupported("Responses has no stop sequences", PROVIDER, request.model, 'use api = "chat"')
    sent = shared(request, cache=cache)
    # The vendor keeps what it is sent unless told not to.
    sent.update(input=_input(request), max_output_tokens=request.max_tokens, store=False)
    if request.system is not None:
        sent["instructions"] = request.system
    if request.tools:
        sent["tools"] = [_tool(tool) for tool in request.tools]
    if isinstance(request.tool_choice, SpecificTool):
        sent["tool_choice"] = {"type": "function", "name": request.tool_choice.name}
    elif request.tool_choice != "auto":
        sent["tool_choice"] = request.tool_choice
    if request.effort is not None:
        sent["reasoning"] = {"effort": request.effort}
    if request.effort is not None or any(item.get("type") == "reasoning" for item in sent["input"]):
        sent["include"] = [_ENCRYPTED]
    if request.response_schema is not None:
        sent["text"] = {"format": {"type": "json_schema", **format_of(request.response_schema)}}
    if cache and request.cache is not None and request.cache.ttl == "long":
        sent["prompt_cache_options"] = {"ttl": "12h"}
    return sent


def counting_arguments(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``responses.input_tokens.count`` for those of ``responses.create``."""
    return {name: value for name, value in sent.items() if name in _COUNTED}


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.input_schema,
        "strict": tool.strict,
    }


def _input(request: LLMRequest) -> list[dict[str, Any]]:
    return [item for message in request.messages for item in _items(message, request.model)]


def _items(message: LLMMessage, model: str | None) -> list[dict[str, Any]]:
    """Return a message as items: what is said together stays one, calls, results and thinking are their own."""
    items: list[dict[str, Any]] = []
    said: list[TextPart | ImagePart | FilePart] = []
    phase: str | None = None

    def speak() -> None:
        nonlocal phase
        if said:
            items.append(_spoken(message, said, phase, model))
            said.clear()
            phase = None

    for part in message.parts:
        if isinstance(part, TextPart | ImagePart | FilePart):
            said.append(part)
            continue
        speak()
        if isinstance(part, ToolCallPart):
            named = {"call_id": part.id, "name": part.name, "arguments": part.raw_arguments}
            items.append({"type": "function_call", **named})
        elif isinstance(part, ToolResultPart):
            items.append({"type": "function_call_output", "call_id": part.id, "output": _output(part)})
        elif part.provider == PROVIDER:
            phase = part.opaque.get(PHASE)
            items += _thought(part)
    speak()
    return items


def _spoken(
    message: LLMMessage, said: Sequence[TextPart | ImagePart | FilePart], phase: str | None, model: str | None
) -> dict[str, Any]:
    if message.role != "assistant":
        return {"role": "user", "content": [_content(part) for part in said]}
    if not all(isinstance(part, TextPart) for part in said):
        raise unsupported("Responses takes no images or files of the assistant", PROVIDER, model)
    text = "".join(part.text for part in said if isinstance(part, TextPart))
    marked = {} if phase is None else {PHASE: phase}
    return {"role": "assistant", "content": text, **marked}


def _content(part: TextPart | ImagePart | FilePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, ImagePart):
        image = {"type": "input_image", "detail": "auto"}
        if part.file_id is not None:
            return {**image, "file_id": part.file_id}
        return {**image, "image_url": part.url or data_url(part)}
    named = {} if part.name is None else {"filename": part.name}
    if part.data is not None:
        return {"type": "input_file", "filename": file_name(part), "file_data": data_url(part)}
    if part.url is not None:
        return {"type": "input_file", **named, "file_url": part.url}
    return {"type": "input_file", **named, "file_id": part.file_id}


def _output(part: ToolResultPart) -> str | list[dict[str, Any]]:
    if isinstance(part.content, str):
        return failure(part.content) if part.is_error else part.content
    if not part.is_error:
        return [_content(piece) for piece in part.content]
    text = "".join(piece.text for piece in part.content if isinstance(piece, TextPart))
    images = [_content(piece) for piece in part.content if isinstance(piece, ImagePart)]
    return [{"type": "input_text", "text": failure(text)}, *images]


def _thought(part: ThinkingPart) -> list[dict[str, Any]]:
    """Return an item as the vendor made it; none for one that is an id only, since nothing is kept there."""
    item = dict(part.opaque)
    if "type" not in item or (item["type"] == "reasoning" and not any(item.get(name) for name in _CARRIED)):
        return []
    return [item]
