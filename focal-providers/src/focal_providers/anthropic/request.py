"""From focal's request to the arguments of ``messages.create``; what has no place there is refused."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from focal_core.providers.models import (
    FilePart,
    ImagePart,
    LLMMessage,
    LLMRequest,
    Part,
    SpecificTool,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
)
from focal_providers.anthropic.schema import output_schema
from focal_providers.request import extras, unsupported

PROVIDER = "anthropic"

_PDF, _PLAIN = "application/pdf", "text/plain"
_TTL = {"short": "5m", "long": "1h"}
_CHOICES = {"none": {"type": "none"}, "required": {"type": "any"}}
_SAMPLING = ("temperature", "top_p")
_COUNTED = frozenset(
    {"messages", "model", "cache_control", "output_config", "system", "thinking", "tool_choice", "tools"}
    | {"extra_headers"}
)


def arguments(request: LLMRequest, *, cache: bool = True) -> dict[str, Any]:
    """Return the arguments of ``messages.create``.

    Args:
        request: with model and ``max_tokens`` filled in.
        cache: whether advice to cache is passed on.

    Raises:
        UnsupportedFeature: the request holds what Messages cannot carry.
        SchemaUnsupported: likewise, in its schema.
        InvalidRequest: its ``provider_options`` are malformed.
    """
    sent: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": _messages(request.messages, request.model),
    }
    if request.system is not None:
        sent["system"] = request.system
    if request.stop:
        sent["stop_sequences"] = list(request.stop)
    if request.tools:
        sent["tools"] = [_tool(tool) for tool in request.tools]
    if isinstance(request.tool_choice, SpecificTool):
        sent["tool_choice"] = {"type": "tool", "name": request.tool_choice.name}
    elif request.tool_choice != "auto":
        sent["tool_choice"] = _CHOICES[request.tool_choice]
    sent.update(_effort_and_schema(request))
    if request.cache is not None and cache:
        sent["cache_control"] = {"type": "ephemeral", "ttl": _TTL[request.cache.ttl]}
    if request.end_user is not None:
        sent["metadata"] = {"user_id": request.end_user}
    headers, body = extras(request, PROVIDER)
    sampling = {name: value for name in _SAMPLING if (value := getattr(request, name)) is not None}
    # The SDK's methods have no parameters for sampling any more, and newer models none either.
    if sampling or body:
        sent["extra_body"] = {**sampling, **body}
    if headers:
        sent["extra_headers"] = headers
    return sent


def counting_arguments(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``messages.count_tokens`` for those of ``messages.create``."""
    return {name: value for name, value in sent.items() if name in _COUNTED}


def _effort_and_schema(request: LLMRequest) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    output: dict[str, Any] = {}
    if request.effort == "minimal":
        raise unsupported("Anthropic has no effort 'minimal'", PROVIDER, request.model, "use 'none' or 'low'")
    if request.effort == "none":
        sent["thinking"] = {"type": "disabled"}
    elif request.effort is not None:
        sent["thinking"] = {"type": "adaptive"}
        output["effort"] = request.effort
    if request.response_schema is not None:
        output["format"] = {"type": "json_schema", "schema": output_schema(request.response_schema.schema)}
    if output:
        sent["output_config"] = output
    return sent


def _tool(tool: ToolSpec) -> dict[str, Any]:
    sent: dict[str, Any] = {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
    return {**sent, "strict": True} if tool.strict else sent


def _messages(messages: Sequence[LLMMessage], model: str | None) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    behind_tool = False
    for message in messages:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [block for part in message.parts if (block := _block(part, model)) is not None]
        if behind_tool and message.role == "tool":
            # All results of one turn stand in one message, or the API misses some.
            sent[-1]["content"] += blocks
        else:
            sent.append({"role": role, "content": blocks})
        behind_tool = message.role == "tool"
    return sent


def _block(part: Part, model: str | None) -> dict[str, Any] | None:
    """Return a content block; None for the thinking of another provider."""
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {"type": "image", "source": _image(part)}
        case FilePart():
            titled = {} if part.name is None else {"title": part.name}
            return {"type": "document", "source": _document(part, model), **titled}
        case ToolCallPart():
            if part.arguments is None:
                raise unsupported(
                    f"the arguments of tool call {part.id} are no JSON object, and Messages carries nothing else",
                    PROVIDER,
                    model,
                    "leave the call and its result out",
                )
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.arguments}
        case ToolResultPart():
            return _result(part)
        case ThinkingPart():
            return dict(part.opaque) if part.provider == PROVIDER else None


def _result(part: ToolResultPart) -> dict[str, Any]:
    content: Any = part.content
    if not isinstance(part.content, str):
        content = [
            {"type": "text", "text": piece.text}
            if isinstance(piece, TextPart)
            else {"type": "image", "source": _image(piece)}
            for piece in part.content
        ]
    failed = {"is_error": True} if part.is_error else {}
    return {"type": "tool_result", "tool_use_id": part.id, "content": content, **failed}


def _image(part: ImagePart) -> dict[str, Any]:
    if part.data is not None:
        return {"type": "base64", "media_type": part.media_type, "data": b64encode(part.data).decode("ascii")}
    return _elsewhere(part)


def _document(part: FilePart, model: str | None) -> dict[str, Any]:
    if part.data is not None and part.media_type == _PDF:
        return {"type": "base64", "media_type": _PDF, "data": b64encode(part.data).decode("ascii")}
    if part.data is not None and part.media_type == _PLAIN:
        try:
            return {"type": "text", "media_type": _PLAIN, "data": part.data.decode("utf-8")}
        except UnicodeDecodeError:
            raise unsupported("a text file is not UTF-8", PROVIDER, model) from None
    if part.data is not None or (part.url is not None and part.media_type not in (None, _PDF)):
        raise unsupported(
            f"Messages takes no files of type {part.media_type}",
            PROVIDER,
            model,
            f"send {_PDF} or {_PLAIN}, or the text itself",
        )
    return _elsewhere(part)


def _elsewhere(part: ImagePart | FilePart) -> dict[str, Any]:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {"type": "file", "file_id": part.file_id}
