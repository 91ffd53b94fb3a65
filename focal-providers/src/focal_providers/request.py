"""What happens to a request before it is spelled for a wire: defaults filled in, what cannot be done refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from focal_core.errors import InvalidRequest, UnsupportedFeature
from focal_core.providers.llm import check_request
from focal_core.providers.models import FilePart, ImagePart, LLMRequest, ProviderCapabilities, ToolResultPart
from focal_core.providers.options import ProviderOptions

HEADERS = "headers"
"""The key of a section of ``provider_options`` whose values are sent as headers; all others go into the body."""


def prepared(
    request: LLMRequest,
    provider: str,
    options: ProviderOptions,
    capabilities: Callable[[str], ProviderCapabilities],
    *,
    stream: bool = False,
) -> LLMRequest:
    """Return a request with the settings for what it leaves open: model, tokens at most, temperature.

    Args:
        request: as the caller gave it.
        provider: wire family.
        options: the settings.
        capabilities: model -> what it can do.
        stream: whether the answer is to be streamed.

    Raises:
        InvalidRequest: it is no request, is meant for another provider, or names no model where none is configured.
        UnsupportedFeature: the model cannot do what is asked.
    """
    check_request(request, provider)
    model = request.model or options.model
    if model is None:
        raise InvalidRequest("the request names no model, and none is configured", provider=provider)
    filled = request.model_copy(
        update={
            "model": model,
            "max_tokens": options.max_tokens if request.max_tokens is None else request.max_tokens,
            "temperature": options.temperature if request.temperature is None else request.temperature,
        }
    )
    able = capabilities(model)
    for capability, wanted in _wanted(filled, stream).items():
        if wanted and getattr(able, capability) is False:
            raise unsupported(f"{model} has no {capability.replace('_', ' ')}", provider, model)
    return filled


def extras(request: LLMRequest, provider: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the headers and the fields of the body that ``provider_options`` add, over everything else.

    Raises:
        InvalidRequest: ``headers`` is no object of texts.
    """
    body = dict(request.provider_options.get(provider, {}))
    headers = body.pop(HEADERS, {})
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise InvalidRequest(f"provider_options.{provider}.{HEADERS} must hold texts by name", provider=provider)
    return headers, body


def unsupported(message: str, provider: str, model: str | None, hint: str | None = None) -> UnsupportedFeature:
    """Return the error for a request that has no place on the wire, or that the model cannot do."""
    return UnsupportedFeature(message, provider=provider, model=model, hint=hint)


def _wanted(request: LLMRequest, stream: bool) -> dict[str, bool]:
    parts = [part for message in request.messages for part in message.parts]
    results = [part.content for part in parts if isinstance(part, ToolResultPart)]
    shown = [piece for content in results if not isinstance(content, str) for piece in content]
    return {
        "streaming": stream,
        "tools": bool(request.tools),
        "structured_output": request.response_schema is not None,
        "images": any(isinstance(part, ImagePart) for part in (*parts, *shown)),
        "files": any(isinstance(part, FilePart) for part in parts),
        "temperature": request.temperature is not None,
        "top_p": request.top_p is not None,
        "stop": bool(request.stop),
        "effort": request.effort is not None,
    }
