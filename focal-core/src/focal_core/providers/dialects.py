"""What a wire can carry of a JSON schema, and the schema as it is sent there.

A wire enforces structure. Constraints on values it may not know: where whoever asks validates the answer anyway
(``generate_structured``) these are told to the model as words in place of rules; otherwise they are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from focal_core.providers.models import ResponseSchema
from focal_core.providers.schema import lint, unsupported

NUMBER_CONSTRAINTS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
STRING_CONSTRAINTS = frozenset({"minLength", "maxLength", "pattern", "format"})
ARRAY_CONSTRAINTS = frozenset({"minItems", "maxItems", "uniqueItems"})
_CONSTRAINTS = NUMBER_CONSTRAINTS | STRING_CONSTRAINTS | ARRAY_CONSTRAINTS
# For the reader of a schema, or for OpenAPI; they allow and forbid nothing.
_WORDS = frozenset(
    {"title", "default", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"}
    | {"$schema", "$id", "$comment", "contentEncoding", "contentMediaType"}
)
_STRUCTURE = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs"}
    | {"enum", "const", "description"}
)


@dataclass(frozen=True)
class Dialect:
    """What one wire knows of JSON schema.

    Attributes:
        constraints: of ``minimum``, ``pattern``, ``minItems`` and their like, the ones it enforces.
        formats: values of ``format`` it enforces; None = any, if it enforces ``format``.
        all_of: whether it knows ``allOf``.
        all_required: whether every property must be required; fields with a default are then asked for.
        max_depth: objects within objects; None = no limit.
        max_properties: properties altogether; None = no limit.
        max_enum_values: values of enums altogether; None = no limit.
    """

    constraints: frozenset[str] = frozenset()
    formats: frozenset[str] | None = None
    all_of: bool = False
    all_required: bool = False
    max_depth: int | None = None
    max_properties: int | None = None
    max_enum_values: int | None = None


def wire_schema(schema: ResponseSchema, dialect: Dialect) -> dict[str, Any]:
    """Return a schema as it is sent.

    Args:
        schema: what is asked for; not changed.
        dialect: what the wire knows.

    Raises:
        SchemaUnsupported: it cannot be carried without becoming narrower or wider; ``path`` says where.
    """
    lint(schema.schema)
    sent = _Wire(schema.schema, dialect, may_tell=schema.validated)
    return sent.root()


class _Wire:
    def __init__(self, schema: Mapping[str, Any], dialect: Dialect, *, may_tell: bool) -> None:
        self._schema = schema
        self._dialect = dialect
        self._may_tell = may_tell
        self._properties = self._enum_values = 0

    def root(self) -> dict[str, Any]:
        """Return the whole schema, its definitions behind it."""
        sent = self._carried({key: value for key, value in self._schema.items() if key != "$defs"}, "$", 0)
        definitions = {
            name: self._carried(inner, f"$defs.{name}", 0) for name, inner in self._schema.get("$defs", {}).items()
        }
        if definitions:
            sent["$defs"] = definitions
        for what, count, most in (
            ("properties", self._properties, self._dialect.max_properties),
            ("enum values", self._enum_values, self._dialect.max_enum_values),
        ):
            if most is not None and count > most:
                raise unsupported("$", f"it has {count} {what}, at most {most} can be carried")
        return sent

    def _carried(self, schema: Mapping[str, Any], path: str, depth: int) -> dict[str, Any]:
        unknown = sorted(key for key in schema.keys() - _STRUCTURE - _CONSTRAINTS - _WORDS if not key.startswith("x-"))
        if unknown:
            raise unsupported(path, f"it uses {', '.join(unknown)}")
        if "$ref" in schema:
            beside = sorted(schema.keys() & (_CONSTRAINTS | {"properties", "items", "anyOf", "oneOf", "allOf"}))
            if beside and not self._may_tell:
                raise unsupported(path, f"it has {', '.join(beside)} beside a reference")
            # Wires refuse whatever else stands there.
            return {"$ref": schema["$ref"]}
        sent: dict[str, Any] = {}
        told: dict[str, Any] = {}
        for key, value in schema.items():
            if key in _CONSTRAINTS:
                (sent if self._enforced(key, value) else told)[key] = value
            elif key == "items":
                sent[key] = self._carried(value, f"{path}[]", depth)
            elif key in ("anyOf", "oneOf", "allOf"):
                self._union(sent, key, value, path, depth)
            elif key in _STRUCTURE and key != "properties":
                sent[key] = value
        if told:
            self._tell(sent, told, path)
        if "properties" in schema or "object" in _types(schema):
            self._object(sent, schema, path, depth + 1)
        self._enum_values += len(schema.get("enum", ()))
        return sent

    def _enforced(self, key: str, value: Any) -> bool:
        formats = self._dialect.formats
        return key in self._dialect.constraints and (key != "format" or formats is None or value in formats)

    def _tell(self, sent: dict[str, Any], told: dict[str, Any], path: str) -> None:
        if not self._may_tell:
            raise unsupported(path, f"{', '.join(sorted(told))} cannot be enforced there")
        words = json.dumps(told, ensure_ascii=False, sort_keys=True)
        sent["description"] = " ".join(filter(None, (sent.get("description"), words)))

    def _union(self, sent: dict[str, Any], key: str, members: Any, path: str, depth: int) -> None:
        if key == "allOf" and not self._dialect.all_of:
            raise unsupported(path, "it uses allOf")
        # No wire knows oneOf. Members that exclude each other, as pydantic's do, mean the same either way.
        name = "anyOf" if key == "oneOf" else key
        sent[name] = [*sent.get(name, ()), *(self._carried(one, path, depth) for one in members)]

    def _object(self, sent: dict[str, Any], schema: Mapping[str, Any], path: str, depth: int) -> None:
        most = self._dialect.max_depth
        if most is not None and depth > most:
            raise unsupported(path, f"it has more than {most} objects within each other")
        properties = schema.get("properties", {})
        self._properties += len(properties)
        sent["properties"] = {name: self._carried(inner, f"{path}.{name}", depth) for name, inner in properties.items()}
        sent["additionalProperties"] = False
        if self._dialect.all_required:
            optional = sorted(properties.keys() - set(schema.get("required", ())))
            if optional and not self._may_tell:
                raise unsupported(path, f"{', '.join(optional)} must be required there")
            sent["required"] = list(properties)


def _types(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    kind = schema.get("type")
    return tuple(kind) if isinstance(kind, list) else (kind,)
