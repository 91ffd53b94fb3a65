"""Columns of a table, made from the fields of its model: one column for each field, so that none can be forgotten."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.networks import IPvAnyAddress
from pydantic_core import PydanticUndefined
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Constraint,
    Double,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Text,
    text,
)
from sqlalchemy import types as sqltypes
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.types import TypeEngine, UserDefinedType

from focal_core import values
from focal_core.conversation.models import Channel

FREE_TEXTS = (values.Text, values.RequiredText, values.RequiredText1024)
"""The types of text that is encoded before it is stored."""

metadata = MetaData()
"""All tables, in no schema; ``focal_postgres.schema.metadata_for`` puts a copy of them into one."""


class VectorType(UserDefinedType[bytes]):
    """pgvector's ``vector`` without dimensions, so that vectors of every length fit."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name."""
        return "vector"


def text_type() -> Text:
    """Return text that is ordered by code points."""
    return Text(collation="C")


def moment_type() -> TIMESTAMP:
    """Return timestamptz."""
    return TIMESTAMP(timezone=True)


def uuid_type() -> PG_UUID[UUID]:
    """Return uuid."""
    return PG_UUID(as_uuid=True)


_SCALARS: Mapping[Any, Callable[[], TypeEngine[Any]]] = {
    UUID: uuid_type,
    datetime: moment_type,
    bool: Boolean,
    int: BigInteger,
    float: Double,
    str: text_type,
    bytes: BYTEA,
    IPvAnyAddress: text_type,
}


def columns_of(
    model: type[BaseModel], *, without: tuple[str, ...] = (), renamed: Mapping[str, str] | None = None
) -> list[Column[Any]]:
    """Return a column for each field of a model, in its order, the key first.

    Args:
        model: the model.
        without: fields that are stored elsewhere.
        renamed: field -> column, where the names differ.
    """
    fields = [name for name in model.model_fields if name not in without]
    fields.sort(key=lambda name: (name != "tenant_id", name != "id"))
    return [_column((renamed or {}).get(name, name), name, model.model_fields[name]) for name in fields]


def _column(name: str, field: str, declared: FieldInfo) -> Column[Any]:
    annotation, optional = _without_none(declared.annotation)
    return Column(
        name,
        _type_of(annotation),
        nullable=optional,
        server_default=None if optional else _default_of(declared, annotation),
        info={"field": field},
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        left = [one for one in get_args(annotation) if one is not type(None)]
        return (left[0] if len(left) == 1 else Any), len(left) < len(get_args(annotation))
    return annotation, False


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _type_of(annotation: Any) -> TypeEngine[Any]:
    bare = _bare(annotation)
    if isinstance(bare, type) and issubclass(bare, Enum):
        return text_type()
    if bare is not Any and bare in _SCALARS:
        return _SCALARS[bare]()
    if _is_datetime(bare):
        return moment_type()
    if get_origin(bare) in (list, set, frozenset, tuple):
        item = get_args(bare)[0]
        if _bare(item) is UUID:
            return ARRAY(uuid_type())
        if _bare(item) is str and item not in FREE_TEXTS:
            return ARRAY(text_type())
    return JSONB(none_as_null=True)


def _is_datetime(bare: Any) -> bool:
    # pydantic's AwareDatetime is a class of its own, which stands for datetime.
    return getattr(bare, "__name__", "") == "AwareDatetime"


def _default_of(declared: FieldInfo, annotation: Any) -> Any:
    """Return the default for rows that are inserted by hand: that of the model, and now() for its times."""
    kind = _type_of(annotation)
    if isinstance(kind, sqltypes.TIMESTAMP):
        return text("now()")
    value = declared.default
    if declared.default_factory is not None:
        value = {list: [], dict: {}}.get(declared.default_factory, PydanticUndefined)  # type: ignore[call-overload]
    if value is PydanticUndefined:
        return None
    if isinstance(kind, ARRAY):
        return text("'{}'")
    if isinstance(kind, JSONB):
        return text(f"'{json.dumps(value)}'")
    if isinstance(value, bool):
        return text(str(value).lower())
    if isinstance(value, int | float):
        return text(repr(value))
    return text(f"'{value.value if isinstance(value, Enum) else value}'")


def enum_checks(table: str, model: type[BaseModel], renamed: Mapping[str, str] | None = None) -> list[Constraint]:
    """Return a check for each field of a closed enum; ``Channel`` is open."""
    checks: list[Constraint] = []
    for field, declared in model.model_fields.items():
        kind = _bare(_without_none(declared.annotation)[0])
        if isinstance(kind, type) and issubclass(kind, Enum) and kind is not Channel:
            column = (renamed or {}).get(field, field)
            checks.append(check(table, column, f"{column} IN ({', '.join(repr(one.value) for one in kind)})"))
    return checks


def check(table: str, name: str, condition: str) -> CheckConstraint:
    """Return a named check."""
    return CheckConstraint(text(condition), name=f"ck_{table}_{name}")


def primary_key(table: str, *columns: str) -> PrimaryKeyConstraint:
    """Return the primary key (tenant_id, id), or the one given."""
    return PrimaryKeyConstraint(*(columns or ("tenant_id", "id")), name=f"pk_{table}")


def foreign_key(
    table: str, columns: tuple[str, ...], target: str, target_columns: tuple[str, ...], *, cascade: bool = False
) -> ForeignKeyConstraint:
    """Return a named foreign key; ``cascade`` removes the row with its target."""
    return ForeignKeyConstraint(
        columns,
        [f"{target}.{column}" for column in target_columns],
        name=f"fk_{table}_{columns[-1]}",
        ondelete="CASCADE" if cascade else None,
    )


def index(table: str, name: str, *keys: Any, where: str | None = None, include: tuple[str, ...] = ()) -> Index:
    """Return an index led by the tenant; ``where`` makes it partial, ``include`` adds columns that are only read."""
    return _index(f"ix_{table}_{name}", keys, where, include=include)


def unique(table: str, name: str, *keys: Any, where: str | None = None) -> Index:
    """Return a unique index led by the tenant; ``where`` makes it partial."""
    return _index(f"uq_{table}_{name}", keys, where, unique=True)


def inverted(table: str, column: str) -> Index:
    """Return a GIN index; it holds no tenant, since that takes an extension PostgreSQL does not bring."""
    return Index(f"ix_{table}_{column}", column, postgresql_using="gin")


def _index(
    name: str, keys: tuple[Any, ...], where: str | None, *, unique: bool = False, include: tuple[str, ...] = ()
) -> Index:
    condition = None if where is None else text(where)
    return Index(
        name, "tenant_id", *keys, unique=unique, postgresql_where=condition, postgresql_include=include or None
    )
