"""JSON schemas of Python types for structured output: built once for each type, and checked before anything is sent.

What a schema cannot say on a wire is refused, never narrowed in silence; what it can say but a vendor does not
enforce (bounds, patterns) is still checked when the answer arrives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, create_model

from focal_core.errors import SchemaUnsupported
from focal_core.providers.models import ResponseSchema

T = TypeVar("T")

_ANNOTATIONS = {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}
_UNIONS = ("anyOf", "oneOf", "allOf")


@dataclass(frozen=True)
class OutputType(Generic[T]):
    """A type that can be asked for.

    Attributes:
        schema: what goes into the request.
        adapter: validates the answer.
        wrapped: whether the value travels as ``{"value": ...}``, since wires carry objects only.
    """

    schema: ResponseSchema
    adapter: TypeAdapter[Any]
    wrapped: bool

    def read(self, text: str) -> T:
        """Return the value a JSON text stands for.

        Raises:
            pydantic.ValidationError: it is no JSON, or not of the type.
        """
        value = self.adapter.validate_json(text.encode("utf-8", "surrogatepass"))
        return value.value if self.wrapped else value  # type: ignore[no-any-return]


def output_type(kind: type[T]) -> OutputType[T]:
    """Return schema and validator of a type; built once.

    Raises:
        SchemaUnsupported: an open object, an empty schema, recursion or a positional tuple; ``path`` says where.
    """
    return _build(cast("Any", kind))


@lru_cache(maxsize=512)
def _build(kind: Any) -> OutputType[Any]:
    adapter, schema = _schema(kind)
    lint(schema)
    wrapped = schema.get("type") != "object"
    if wrapped:
        model = create_model("Value", __config__=ConfigDict(extra="forbid"), value=(kind, ...))
        adapter, schema = _schema(model)
    name = "".join(char if char.isascii() and char.isalnum() else "_" for char in schema.get("title", "Value"))
    return OutputType(ResponseSchema(name=name[:64], schema=schema, validated=True), adapter, wrapped)


def _schema(kind: Any) -> tuple[TypeAdapter[Any], dict[str, Any]]:
    try:
        adapter = TypeAdapter[Any](kind)
        return adapter, adapter.json_schema()
    except PydanticUserError as error:
        raise unsupported("$", f"it has no JSON schema ({error.code})") from error


def lint(schema: Mapping[str, Any]) -> None:
    """Refuse what no wire carries faithfully.

    Raises:
        SchemaUnsupported: see ``output_type``.
    """
    _lint(schema, schema.get("$defs", {}), "$", ())


def _lint(schema: Any, definitions: Mapping[str, Any], path: str, inside: tuple[str, ...]) -> None:
    if schema is True or (isinstance(schema, Mapping) and not schema.keys() - _ANNOTATIONS - {"$defs"}):
        raise unsupported(path, "it allows anything (Any, object, list without an item type)")
    if not isinstance(schema, Mapping):
        raise unsupported(path, "it allows nothing, or is no schema")
    if "$ref" in schema:
        target = str(schema["$ref"]).removeprefix("#/$defs/")
        if target not in definitions:
            raise unsupported(path, f"it refers to {target}, which is not in $defs")
        if target in inside:
            raise unsupported(path, f"{target} contains itself")
        _lint(definitions[target], definitions, path, (*inside, target))
        return
    if "prefixItems" in schema:
        raise unsupported(path, "it is a tuple whose items have types of their own")
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if "object" in kinds:
        if schema.get("additionalProperties", "properties" not in schema) is not False:
            raise unsupported(path, "it is an object with arbitrary keys (dict, extra='allow')")
        for name, field in schema.get("properties", {}).items():
            _lint(field, definitions, f"{path}.{name}", inside)
    if "array" in kinds:
        _lint(schema.get("items", {}), definitions, f"{path}[]", inside)
    for union in _UNIONS:
        for member in schema.get(union, ()):
            _lint(member, definitions, path, inside)


def unsupported(path: str, reason: str) -> SchemaUnsupported:
    """Return the error for a part of a schema that cannot be asked for."""
    return SchemaUnsupported(
        f"the schema cannot be asked for: {path}: {reason}",
        path=path,
        reason=reason,
        hint="use models with named fields; a list of pairs in place of a dict",
    )
