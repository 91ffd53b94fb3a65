"""The one gate before every store: what is checked of arguments and models before a backend sees them.

Left to the drivers, ugly values behave differently in every backend; so they are judged here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from focal_core.base import FocalModel, TenantScoped, TolerantEnum, validated_copy
from focal_core.context import BackendContext, Isolation, Limits
from focal_core.errors import InvalidDataError, TenantRequiredError
from focal_core.values import Float32Vector, canonical_json, check_identifier, thaw_json

M = TypeVar("M", bound=FocalModel)
S = TypeVar("S", bound=TenantScoped)
_CLOCK_FIELDS = {"created_at", "updated_at", "recorded_at", "row_version", "deleted_at"}
_UNSIZED = frozenset({bool, int, float, UUID, datetime, type(None), Float32Vector})
E = TypeVar("E", bound=TolerantEnum)


def admit(model: M, limits: Limits) -> M:
    """Return a validated deep copy of a model that is about to be stored.

    Raises:
        InvalidDataError: the model was changed into something invalid, or a part of it exceeds a limit
            (codes ``text_too_long``, ``document_too_large``, ``metadata_too_large``, ``too_many_items``).
    """
    copied = revalidated(model)
    check_sizes(copied, limits)
    return copied


def revalidated(model: M) -> M:
    """Return a validated deep copy of a model, whatever its size.

    Raises:
        InvalidDataError: the model was changed into something invalid.
    """
    try:
        return validated_copy(model)
    except ValidationError as error:
        raise InvalidDataError.from_validation(error, type(model).__name__) from None


def check_sizes(model: FocalModel, limits: Limits) -> None:
    """Refuse a model any part of which exceeds a limit; a vector has a bound of its own.

    Raises:
        InvalidDataError: codes ``text_too_long``, ``document_too_large``, ``metadata_too_large``, ``too_many_items``.
    """
    _check_sizes(model, limits, type(model).__name__)


def within_limits(length: int, limits: Limits) -> bool:
    """Return whether no model whose JSON text has so many characters can exceed a limit, so that nobody need look."""
    # A character has at most twelve bytes in canonical JSON, an item of a list at least two characters.
    smallest = min(limits.text_chars, limits.document_bytes, limits.metadata_bytes)
    return 12 * length <= smallest and length <= 2 * limits.list_items


def _check_sizes(model: FocalModel, limits: Limits, path: str) -> None:
    for name, value in model.__dict__.items():
        kind = type(value)
        if kind in _UNSIZED:
            continue
        if isinstance(value, str):
            if len(value) > limits.text_chars:
                raise InvalidDataError(f"{path}.{name} exceeds {limits.text_chars} characters", code="text_too_long")
        elif kind is list or kind is tuple:
            # Vectors have a bound of their own (focal_core.values.MAX_DIMENSIONS).
            if len(value) > limits.list_items and not name.endswith("embedding"):
                raise InvalidDataError(f"{path}.{name} exceeds {limits.list_items} items", code="too_many_items")
            if value and isinstance(value[0], FocalModel):
                for index, item in enumerate(value):
                    _check_sizes(item, limits, f"{path}.{name}[{index}]")
            elif value and isinstance(value[0], dict | list):
                _check_document(value, limits, f"{path}.{name}", name)
        elif isinstance(value, FocalModel):
            _check_sizes(value, limits, f"{path}.{name}")
        elif isinstance(value, dict | Mapping) and value:
            if isinstance(next(iter(value.values())), FocalModel):
                for key, item in value.items():
                    _check_sizes(item, limits, f"{path}.{name}[{key}]")
            else:
                _check_document(value, limits, f"{path}.{name}", name)


def _check_document(value: Any, limits: Limits, path: str, name: str) -> None:
    limit, code = limits.document_bytes, "document_too_large"
    if name == "metadata":
        limit, code = limits.metadata_bytes, "metadata_too_large"
    plain = value if type(value) in (dict, list) else thaw_json(value)
    try:
        size = len(canonical_json(plain))
    except TypeError:
        # Mappings of datetimes or UUIDs, bounded by the number of their items.
        size = len(value) * 64
    if size > limit:
        raise InvalidDataError(f"{path} exceeds {limit} bytes", code=code)


def identifier(value: str, name: str) -> str:
    """Return an identifier argument in NFC.

    Raises:
        InvalidDataError: code ``identifier_invalid``.
    """
    try:
        checked = check_identifier(value)
    except PydanticCustomError as error:
        raise InvalidDataError(f"{name}: {error.message()}", code="identifier_invalid") from None
    if len(checked) > 255:
        raise InvalidDataError(f"{name} exceeds 255 characters", code="identifier_invalid")
    return checked


def member(kind: type[E], value: str, name: str) -> E:
    """Return an enum argument as its member, whatever letter case or alias it was given in.

    Raises:
        InvalidDataError: code ``enum_invalid``.
    """
    try:
        return kind(value)
    except ValueError:
        raise InvalidDataError(f"{name}: {value!r} is no {kind.__name__}", code="enum_invalid") from None


def moment(value: datetime | None, name: str) -> datetime | None:
    """Return a time argument; a naive one is refused.

    Raises:
        InvalidDataError: code ``datetime_naive``.
    """
    if value is not None and value.utcoffset() is None:
        raise InvalidDataError(
            f"{name} has no time zone", code="datetime_naive", hint="use datetime.now(UTC) or add tzinfo"
        )
    return value


def require_tenant(tenant_id: UUID | None, context: BackendContext, what: str) -> None:
    """Refuse an omitted tenant under strict isolation, before anything is looked up.

    Raises:
        TenantRequiredError: code ``tenant_required``.
    """
    if tenant_id is None and context.isolation is Isolation.STRICT:
        raise TenantRequiredError(
            f"{what} needs tenant_id", hint='pass tenant_id=..., use focal.tenant(id), or set isolation = "trusting"'
        )


def ambiguous_tenant(what: str) -> TenantRequiredError:
    """Return the error for a tenant-less call that could mean several tenants."""
    return TenantRequiredError(
        f"{what} without tenant_id is ambiguous: several tenants have it", hint="pass tenant_id=..."
    )


def stamp(model: S, stored: S | None, now: datetime) -> None:
    """Set ``created_at`` and ``updated_at`` of a model about to be stored.

    The first save keeps a ``created_at`` given at construction and takes the clock otherwise; later saves keep the
    stored one. ``updated_at`` is always the clock.

    Raises:
        InvalidDataError: ``deleted_at`` is set, which only a store's delete method does.
    """
    if model.deleted_at is not None:
        raise InvalidDataError(
            "deleted_at is set by the store", code="deleted_at_set", hint="call the delete method instead"
        )
    if stored is not None:
        model.set_stored(created_at=stored.created_at, updated_at=now)
    elif "created_at" in model.model_fields_set:
        model.set_stored(updated_at=now)
    else:
        model.set_stored(created_at=now, updated_at=now)


def same_content(left: TenantScoped, right: TenantScoped) -> bool:
    """Return whether two rows agree in everything but times and version."""
    return content(left) == content(right)


def content(row: TenantScoped) -> bytes:
    """Return everything of a row but times and version, as canonical JSON."""
    # Compared as text, since to Python True equals 1 and 1 equals 1.0.
    return canonical_json(row.model_dump(mode="json", exclude=_CLOCK_FIELDS))
