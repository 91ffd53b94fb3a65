"""What both of OpenAI's wires have in common: attachments, failures, schemas, options, tool calls, counts."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from mimetypes import guess_extension
from typing import Any

from focal_core.providers.dialects import NUMBER_CONSTRAINTS, Dialect, wire_schema
from focal_core.providers.models import FilePart, ImagePart, LLMRequest, ResponseSchema, ToolCallPart
from focal_core.usage import TokenUsage
from focal_providers.openai.settings import PROVIDER
from focal_providers.request import extras

STRICT = Dialect(
    constraints=NUMBER_CONSTRAINTS | {"pattern", "format", "minItems", "maxItems"},
    formats=frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}),
    all_required=True,
    max_depth=10,
    max_properties=5000,
    max_enum_values=1000,
)
"""What OpenAI enforces of a schema."""


def data_url(part: ImagePart | FilePart) -> str:
    """Return the bytes of an attachment as a URL; it has some."""
    return f"data:{part.media_type};base64,{b64encode(part.data or b'').decode('ascii')}"


def file_name(part: FilePart) -> str:
    """Return what a file is called; the wires want a name, and read the kind of the file from it."""
    return part.name or f"file{guess_extension(part.media_type or '') or ''}"


def failure(text: str) -> str:
    """Return a tool's failure as the text of its result: these wires have no other place to say so."""
    return json.dumps({"error": text}, ensure_ascii=False)


def format_of(schema: ResponseSchema) -> dict[str, Any]:
    """Return name, schema and strictness of a response format; a schema that is not enforced goes as it is.

    Raises:
        SchemaUnsupported: it is to be enforced, and cannot be; ``path`` says where.
    """
    sent = wire_schema(schema, STRICT) if schema.strict else schema.schema
    return {"name": schema.name, "schema": sent, "strict": schema.strict}


def shared(request: LLMRequest, *, cache: bool) -> dict[str, Any]:
    """Return the arguments that both wires call the same; ``provider_options`` go into ``extra_body``, over the others.

    Raises:
        InvalidRequest: ``provider_options`` are malformed.
    """
    sent: dict[str, Any] = {"model": request.model}
    for name in ("temperature", "top_p"):
        if getattr(request, name) is not None:
            sent[name] = getattr(request, name)
    if cache and request.cache is not None and request.cache.key is not None:
        sent["prompt_cache_key"] = request.cache.key
    if request.end_user is not None:
        sent["safety_identifier"] = request.end_user
    headers, body = extras(request, PROVIDER)
    if headers:
        sent["extra_headers"] = headers
    if body:
        sent["extra_body"] = body
    return sent


def tool_call(id: str, name: str, raw: str) -> ToolCallPart:
    """Return a call with its arguments read, where they are an object."""
    try:
        given = json.loads(raw)
    except ValueError:
        given = None
    return ToolCallPart(id=id, name=name, arguments=given if isinstance(given, dict) else None, raw_arguments=raw)


def usage(told: Any, prompt: str, completion: str) -> TokenUsage:
    """Return the tokens a reply reports; whatever is no count was not told.

    Args:
        told: the JSON.
        prompt: what the wire calls the prompt's side: ``input`` or ``prompt``.
        completion: and the answer's.
    """
    if not isinstance(told, Mapping):
        return TokenUsage(reported=False)
    spent, written = _count(told, f"{prompt}_tokens"), _count(told, f"{completion}_tokens")
    if spent is None and written is None:
        return TokenUsage(reported=False)
    read, made = told.get(f"{prompt}_tokens_details"), told.get(f"{completion}_tokens_details")
    return TokenUsage(
        prompt_tokens=spent or 0,
        completion_tokens=written or 0,
        cache_read_tokens=_count(read, "cached_tokens") or 0,
        cache_write_tokens=_count(read, "cache_write_tokens") or 0,
        reasoning_tokens=_count(made, "reasoning_tokens") or 0,
    )


def _count(told: Any, name: str) -> int | None:
    count = told.get(name) if isinstance(told, Mapping) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None
