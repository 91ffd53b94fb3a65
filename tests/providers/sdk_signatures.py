"""The names of the vendors' SDKs that focal relies on; ``sdk_signatures.json`` keeps all there are at those places.

``python -m tests.providers.sdk_signatures`` writes the file anew from the installed versions.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import reduce
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("sdk_signatures.json")

_CLIENT = {"api_key", "base_url", "timeout", "max_retries", "default_headers", "http_client"}
_ERROR = {"message", "request", "body"}
_STATUS = {*_ERROR, "response", "status_code"}
_RAW = {"headers", "status_code", "http_response"}
_EXTRA = {"extra_headers", "extra_body"}

USED: Mapping[str, Mapping[str, set[str]]] = {
    "anthropic": {
        "AsyncAnthropic": {*_CLIENT, "open_telemetry"},
        "DefaultAsyncHttpxClient": set(),
        "DefaultAioHttpClient": set(),
        "AsyncAnthropic.messages.create": {
            *("model", "max_tokens", "messages", "system", "stop_sequences", "tools", "tool_choice", "thinking"),
            *("output_config", "cache_control", "metadata", "stream"),
            *_EXTRA,
        },
        "AsyncAnthropic.messages.count_tokens": {
            *("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"),
            "extra_headers",
        },
        "AsyncAnthropic.models.retrieve": {"model_id"},
        "APIError": _ERROR,
        "APIConnectionError": _ERROR,
        "APITimeoutError": _ERROR,
        "APIStatusError": _STATUS,
        "AsyncAPIResponse": {*_RAW, "parse"},
        "AsyncStream": {"response", "close"},
    },
    "openai": {
        "AsyncOpenAI": {*_CLIENT, "organization", "project"},
        "DefaultAsyncHttpxClient": set(),
        "DefaultAioHttpClient": set(),
        "AsyncOpenAI.responses.create": {
            *("model", "input", "instructions", "max_output_tokens", "temperature", "top_p", "tools", "tool_choice"),
            *("text", "reasoning", "include", "store", "prompt_cache_key", "prompt_cache_options"),
            *("safety_identifier", "stream"),
            *_EXTRA,
        },
        "AsyncOpenAI.responses.input_tokens.count": {
            *("model", "input", "instructions", "tools", "tool_choice", "text", "reasoning"),
            "extra_headers",
        },
        "AsyncOpenAI.chat.completions.create": {
            *("model", "messages", "max_completion_tokens", "max_tokens", "temperature", "top_p", "stop", "tools"),
            *("tool_choice", "response_format", "reasoning_effort", "prompt_cache_key", "prompt_cache_options"),
            *("safety_identifier", "stream", "stream_options"),
            *_EXTRA,
        },
        "AsyncOpenAI.embeddings.create": {"model", "input", "dimensions", "encoding_format"},
        "AsyncOpenAI.models.retrieve": {"model"},
        "APIError": _ERROR,
        "APIConnectionError": _ERROR,
        "APITimeoutError": _ERROR,
        "APIStatusError": _STATUS,
        "_legacy_response.LegacyAPIResponse": _RAW,
    },
}
"""SDK -> place -> names that focal passes or reads there."""


def installed(sdk: str) -> dict[str, list[str]]:
    """Return the names at each place of an installed SDK: parameters, or attributes of errors and replies.

    Raises:
        AttributeError: a place is gone.
    """
    return {place: names_at(sdk, place) for place in USED[sdk]}


def names_at(sdk: str, place: str) -> list[str]:
    """Return the names at one place."""
    first, *rest = place.split(".")
    module = import_module(sdk)
    if not first.startswith("Async") or not rest:
        found = reduce(getattr, [first, *rest], module)
        return sorted(_attributes(found) if _is_read(found) else _parameters(found.__init__))
    client = getattr(module, first)(api_key="none")
    return sorted(_parameters(reduce(getattr, rest, client)))


def _is_read(found: Any) -> bool:
    return issubclass(found, Exception) or found.__name__ in ("AsyncAPIResponse", "LegacyAPIResponse", "AsyncStream")


def _parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self"}


def _attributes(found: type) -> set[str]:
    names = {name for one in found.__mro__ for name in [*vars(one), *getattr(one, "__annotations__", {})]}
    return {name for name in names if not name.startswith("_")} - set(dir(Exception))


if __name__ == "__main__":
    kept = {sdk: {"version": version(sdk), "names": installed(sdk)} for sdk in USED}
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
