"""Validators for what was valid before: models that are copied, and documents and rows made of them.

pydantic asks Python about every identifier, text, JSON value and time of a model. Nearly all of them are plain, which
pydantic-core can tell by itself: here the schemas of models are rewritten, and Python is asked about the others only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import CoreSchema, SchemaValidator, core_schema

from focal_core.values import PLAIN, STORED, first_of, in_utc

FOLD_ALIASES = "_fold_aliases"
"""Name of the validator of aliases, of which neither a model nor what was made of one has any."""

CLEAR_PRIVATE = "_clear_private"
"""Name of the method that sets the private attributes of a new instance to None, as pydantic does with more ado."""


@cache
def plain_validator(cls: type[BaseModel]) -> SchemaValidator:
    """Return a validator that makes of valid input what the model's own makes of it, only faster.

    Aliases are unknown to it, and so what it refuses may be valid: the model's own validator has the last word.
    """
    return _validator(_rewritten(cls.__pydantic_core_schema__, PLAIN))


def document_reader(
    cls: type[BaseModel], besides: Mapping[str, CoreSchema], without: Mapping[str, Any]
) -> SchemaValidator:
    """Return a validator of JSON that was made of valid instances of a model.

    Args:
        cls: the model.
        besides: key -> schema of what else the JSON must hold; the instance has it among its fields.
        without: fields that the JSON does not hold -> their values.
    """
    schema = _rewritten(cls.__pydantic_core_schema__, STORED)
    fields = _fields(schema)
    for name, kind in besides.items():
        fields[name] = core_schema.model_field(kind)
    for name, value in without.items():
        fields[name] = core_schema.model_field(core_schema.with_default_schema(core_schema.any_schema(), default=value))
    return _validator(schema)


def _validator(schema: CoreSchema) -> SchemaValidator:
    try:
        # Otherwise a nested model is validated by its class, whatever the schema says of it.
        return SchemaValidator(schema, _use_prebuilt=False)
    except TypeError:
        return SchemaValidator(schema)


def _rewritten(schema: Any, key: str) -> Any:
    """Return a core schema, or a part of one, with what its metadata has under a key in place of parts."""
    if isinstance(schema, list):
        return [_rewritten(part, key) for part in schema]
    if not isinstance(schema, dict):
        return schema
    metadata = (schema.get("metadata") if isinstance(schema.get("type"), str) else None) or {}
    if key in metadata:
        return metadata[key]
    if schema.get("type") == "function-before" and _function(schema).__name__ == FOLD_ALIASES:
        return _rewritten(schema["schema"], key)
    if schema.get("type") == "function-after" and _function(schema) is in_utc:
        return first_of(_TIMES[key], schema)
    if schema.get("type") == "model" and _has_empty_private(schema["cls"]):
        schema = {**schema, "post_init": CLEAR_PRIVATE}
    return {name: part if _is_metadata(schema, name) else _rewritten(part, key) for name, part in schema.items()}


def _has_empty_private(cls: Any) -> bool:
    """Return whether all that a new instance needs is None in each of its private attributes."""
    private = cls.__private_attributes__.values()
    return (
        hasattr(cls, CLEAR_PRIVATE)
        and len(private) > 0
        and getattr(cls.model_post_init, "__name__", "") == "init_private_attributes"
        and all(one.default is None and one.default_factory is None for one in private)
    )


def _is_metadata(schema: Mapping[str, Any], name: str) -> bool:
    # What has no type is no schema: fields by their names, of which "metadata" may be one.
    return name == "metadata" and isinstance(schema.get("type"), str)


def _function(schema: Mapping[str, Any]) -> Callable[..., Any]:
    function: Callable[..., Any] = schema["function"]["function"]
    return function


def _fields(schema: Any) -> dict[str, Any]:
    """Return the fields of the model that a schema is of."""
    while schema["type"] != "model-fields":
        schema = schema["schema"]
    fields: dict[str, Any] = schema["fields"]
    return fields


def _utc(moment: Any) -> datetime:
    if type(moment) is datetime and moment.tzinfo is UTC:
        return moment
    raise ValueError


_TIMES = {
    PLAIN: core_schema.no_info_plain_validator_function(_utc),
    # pydantic's own reader gives times a zone of its own, which would have to be changed again.
    STORED: core_schema.chain_schema(
        [
            core_schema.str_schema(strict=True, pattern="Z$"),
            core_schema.no_info_plain_validator_function(datetime.fromisoformat),
        ]
    ),
}
