"""How a model lies in a table: a column for each field, in SQL text, in parameters and back."""

from __future__ import annotations

import struct
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic.networks import IPvAnyAddress

from focal_core import values
from focal_core.base import Embedded, FocalModel
from focal_core.errors import StoreError
from focal_core.revalidation import plain_validator
from focal_core.textcodec import decode_text, encode_text
from focal_core.values import Float32Vector
from focal_postgres import jsonb

M = TypeVar("M", bound=FocalModel)

_IDENTIFIERS = (
    values.Identifier,
    values.Identifier50,
    values.Identifier100,
    values.Identifier500,
    values.Identifier1024,
)
_IDENTIFIER_CHECKS = {get_args(kind)[1] for kind in _IDENTIFIERS}
_PLAIN_JSON = {get_args(kind)[1] for kind in (values.JSONValue, values.JSONObject)}
_SCALARS: Mapping[Any, str] = {
    UUID: "uuid",
    bool: "boolean",
    int: "bigint",
    float: "double precision",
    bytes: "bytea",
    datetime: "timestamptz",
}


class Column(NamedTuple):
    """One column.

    Attributes:
        name: of the column.
        field: of the model.
        type: SQL type of the parameter.
        encode: field value -> parameter; None = as it is.
        decode: column value -> field value; None = as it is. Neither sees None.
        null: the parameter for None: NULL, or JSON's null where the field is any JSON value.
    """

    name: str
    field: str
    type: str
    encode: Callable[[Any], Any] | None
    decode: Callable[[Any], Any] | None
    null: str | None = None


class Layout(Generic[M]):
    """The columns of a model.

    Args:
        model: the class.
        table: its table, without schema.
        renamed: field -> column, where the names differ.
        without: fields that are stored elsewhere.
        vectors: the side table that holds its vectors, if it has any.

    Attributes:
        columns: every column that is a field, in the order of the fields.
    """

    def __init__(
        self,
        model: type[M],
        table: str,
        *,
        renamed: Mapping[str, str] | None = None,
        without: Collection[str] = (),
        vectors: str | None = None,
    ) -> None:
        self.model = model
        self.table = table
        self.vectors = vectors
        prefix = model.embedding_prefix if issubclass(model, Embedded) else ""
        self.vector_field = f"{prefix}embedding" if vectors else None
        self.space_column = f"{prefix}embedding_space_id" if vectors else None
        names = renamed or {}
        self.columns = [
            _column(names.get(field, field), field, info)
            for field, info in model.model_fields.items()
            if field not in without and field != self.vector_field
        ]
        self._selects: dict[tuple[str, str], str] = {}
        self._decoders = [(at, one.field, one.decode) for at, one in enumerate(self.columns)]

    @cached_property
    def names(self) -> list[str]:
        """Names of all columns, that of the embedding space last."""
        return [*(one.name for one in self.columns), *filter(None, [self.space_column])]

    @cached_property
    def types(self) -> list[str]:
        """SQL types of all columns, as ``names``."""
        return [*(one.type for one in self.columns), *(["integer"] if self.space_column else [])]

    def column_of(self, field: str) -> str:
        """Return the column of a field."""
        return next(one.name for one in self.columns if one.field == field)

    def parameters(self, first: int = 1) -> str:
        """Return ``$1::type, $2::type, ...`` for all columns."""
        return ", ".join(f"${first + at}::{kind}" for at, kind in enumerate(self.types))

    def values(self, row: M, space_id: int | None = None) -> list[Any]:
        """Return the parameters of a row, in the order of ``names``."""
        held = row.__dict__
        found: list[Any] = []
        for one in self.columns:
            value = held[one.field]
            if value is None:
                found.append(one.null)
            else:
                found.append(value if one.encode is None else one.encode(value))
        if self.space_column is not None:
            found.append(space_id)
        return found

    def select(self, row: str = "r", vector: str = "v") -> str:
        """Return the select list that ``load`` reads.

        Args:
            row: alias of the table.
            vector: alias of the side table (``source``), where there is one.
        """
        if (row, vector) not in self._selects:
            names = [f"{row}.{one.name}" for one in self.columns]
            if self.vectors is not None:
                names.append(f"vector_send({vector}.embedding) AS vector_bytes")
            self._selects[row, vector] = ", ".join(names)
        return self._selects[row, vector]

    def source(self, schema: str, row: str = "r", vector: str = "v") -> str:
        """Return the FROM item that ``select`` reads from, with the vector of the row's own space beside it."""
        own = f"{schema}.{self.table} {row}"
        if self.vectors is None:
            return own
        return (
            f"{own} LEFT JOIN {schema}.{self.vectors} {vector} ON {vector}.tenant_id = {row}.tenant_id"
            f" AND {vector}.id = {row}.id AND {vector}.space_id = {row}.{self.space_column}"
        )

    def load(self, record: asyncpg.Record, first: int = 0) -> M:
        """Return the model of a record.

        Args:
            record: what ``select`` selected, possibly among other columns.
            first: position of the first column of ``select`` in it.

        Raises:
            StoreError: code ``corrupt_record``: the columns make no valid model.
        """
        found: dict[str, Any] = {}
        for at, field, decode in self._decoders:
            value = record[first + at]
            if value is not None:
                found[field] = value if decode is None else decode(value)
            # Not given: a row that was read is no explicit revival of itself.
            elif field != "deleted_at":
                found[field] = None
        if self.vector_field is not None and (data := record[first + len(self.columns)]) is not None:
            found[self.vector_field] = vector_of(data)
        try:
            return self._model_of(found)
        except ValidationError as error:
            raise StoreError(
                f"a stored {self.model.__name__} is not valid: {error.error_count()} error(s)", code="corrupt_record"
            ) from None

    def _model_of(self, found: dict[str, Any]) -> M:
        try:
            row: M = plain_validator(self.model).validate_python(found)
        except ValidationError:
            return self.model.model_validate(found)
        return row

    def vector(self, row: M) -> Sequence[float] | None:
        """Return the vector of a row, (dim,) floats, or None."""
        return None if self.vector_field is None else row.__dict__[self.vector_field]


def vector_of(data: bytes) -> Float32Vector:
    """Return the vector that ``vector_send`` gave: two bytes of dimensions, two of padding, big-endian float32."""
    return Float32Vector(struct.unpack_from(f"!{(len(data) - 4) // 4}f", data, 4), data[4:])


def _column(name: str, field: str, info: FieldInfo) -> Column:
    annotation, inner = _without_none(info.annotation)
    checks = [*info.metadata, *inner]
    if annotation in _SCALARS or getattr(annotation, "__name__", "") == "AwareDatetime":
        kind = _SCALARS.get(annotation, "timestamptz")
        return Column(name, field, kind, None, aware if kind == "timestamptz" else None)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return Column(name, field, "text", str, None)
    if annotation is IPvAnyAddress:
        return Column(name, field, "text", str, None)
    if annotation is str:
        if any(check in _IDENTIFIER_CHECKS for check in checks):
            return Column(name, field, "text", None, None)
        return Column(name, field, "text", encode_text, decode_text)
    if get_origin(annotation) in (list, set, frozenset, tuple):
        item, item_checks = _bare(get_args(annotation)[0])
        if item is UUID:
            return Column(name, field, "uuid[]", list, None)
        if item is str and any(check in _IDENTIFIER_CHECKS for check in item_checks):
            return Column(name, field, "text[]", list, None)
    if any(check in _PLAIN_JSON for check in checks):
        return Column(name, field, "jsonb", jsonb.dumps, jsonb.loads, "null" if info.annotation is Any else None)
    adapter: TypeAdapter[Any] = TypeAdapter(info.annotation or Any)

    def encode(value: Any) -> str:
        return jsonb.dumps(adapter.dump_python(value, mode="json"))

    return Column(name, field, "jsonb", encode, jsonb.loads)


def aware(moment: datetime) -> datetime:
    """Return a timestamptz as it was read, in UTC."""
    # The end of time comes back without its zone.
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _without_none(annotation: Any) -> tuple[Any, list[Any]]:
    """Return the type behind ``| None`` and the checks it is annotated with."""
    if get_origin(annotation) in (Union, types.UnionType):
        left = [one for one in get_args(annotation) if one is not type(None)]
        return _bare(left[0]) if len(left) == 1 else (Any, [])
    return _bare(annotation)


def _bare(annotation: Any) -> tuple[Any, list[Any]]:
    if get_origin(annotation) is Annotated:
        bare, *checks = get_args(annotation)
        return bare, checks
    return annotation, []
