"""JSON schemas as Messages takes them: every object closed, and what it does not enforce told in words.

What is moved into a description is still checked when the answer arrives; nothing that a schema allows is lost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from focal_core.errors import SchemaUnsupported

_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_KEPT = frozenset({"$ref", "type", "enum", "const", "required", "title"})
_UNSAID = frozenset({"additionalProperties", "default", "deprecated", "description", "discriminator", "examples"})


def output_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema as Messages enforces it.

    Raises:
        SchemaUnsupported: an object is open; ``path`` says where.
    """
    return _closed(schema, "$")


def _closed(schema: Any, path: str) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        raise _unsupported(path, "it allows anything")
    sent: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _KEPT or (key == "format" and value in _FORMATS) or (key == "minItems" and value in (0, 1)):
            sent[key] = value
        elif key in ("properties", "$defs"):
            inside = "" if key == "properties" else "$defs."
            sent[key] = {name: _closed(one, f"{path}.{inside}{name}") for name, one in value.items()}
        elif key == "items":
            sent[key] = _closed(value, f"{path}[]")
        elif key in ("anyOf", "oneOf", "allOf"):
            # Alternatives exclude each other only in the check of the answer.
            sent["anyOf" if key == "oneOf" else key] = [_closed(one, path) for one in value]
        elif key not in _UNSAID:
            told[key] = value
    if schema.get("type") == "object":
        if schema.get("additionalProperties", "properties" not in schema) is not False:
            raise _unsupported(path, "it is an object with arbitrary keys")
        sent["additionalProperties"] = False
    description = schema.get("description")
    if told:
        rest = json.dumps(told, ensure_ascii=False)
        description = f"{description}\n\n{rest}" if description else rest
    if description:
        sent["description"] = description
    return sent


def _unsupported(path: str, reason: str) -> SchemaUnsupported:
    return SchemaUnsupported(
        f"the schema cannot be asked for: {path}: {reason}",
        path=path,
        reason=reason,
        hint="use models with named fields; a list of pairs in place of a dict",
        provider="anthropic",
    )
