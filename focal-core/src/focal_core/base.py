"""The bases of all models: strictness, aliases, tolerant enums, tenant, version and embedding mix-ins."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Generic, Self, TypeVar, cast, overload
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from focal_core.clock import utc_now
from focal_core.revalidation import plain_validator
from focal_core.values import UTCDateTime

T = TypeVar("T")

DEFAULT_EMBEDDING_MODEL = "default"
"""The model name of vectors stored without one."""


class Alias(Generic[T]):
    """A second name of a field: accepted on construction, readable afterwards, never written out.

    Declared in the class body without annotation: ``embedding = Alias[Vector | None]("condition_embedding")``.
    """

    def __init__(self, field: str) -> None:
        self.field = field

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        return self if instance is None else cast("T", getattr(instance, self.field))


class FocalModel(BaseModel):
    """Base of every model: unknown keys are errors, assignments are validated, numbers are finite.

    Validating an instance copies it deeply (``validated_copy``). A refused assignment leaves the model as it was.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_assignment=True,
        revalidate_instances="always",
        allow_inf_nan=False,
        hide_input_in_errors=True,
        ignored_types=(Alias,),
    )

    field_aliases: ClassVar[Mapping[str, str]] = {}
    """Alias -> field, collected from the ``Alias`` declarations of the class and its bases."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        cls.field_aliases = {
            name: alias.field
            for base in reversed(cls.__mro__)
            for name, alias in vars(base).items()
            if isinstance(alias, Alias)
        }

    @model_validator(mode="before")
    @classmethod
    def _fold_aliases(cls, data: Any) -> Any:
        if not cls.field_aliases or not isinstance(data, dict) or cls.field_aliases.keys().isdisjoint(data):
            return data
        folded = dict(data)
        for alias, field in cls.field_aliases.items():
            if alias not in folded:
                continue
            value = folded.pop(alias)
            if field in folded and folded[field] != value:
                raise PydanticCustomError("focal.alias_conflict", f"{alias!r} and {field!r} are one field, given twice")
            folded[field] = value
        return folded

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.field_aliases:
            raise AttributeError(f"{name!r} is a read-only alias of {self.field_aliases[name]!r}")
        before = self.__dict__.copy()
        try:
            super().__setattr__(name, value)
        except ValidationError:
            # A failing whole-model validator runs after pydantic has assigned.
            object.__setattr__(self, "__dict__", before)
            raise

    def _clear_private(self, context: Any) -> None:
        """Give every private attribute the value None; ``focal_core.revalidation`` knows when that is its default."""
        object.__setattr__(self, "__pydantic_private__", dict.fromkeys(self.__private_attributes__))

    def set_stored(self, **values: Any) -> None:
        """Set fields to values the store has decided, without validation; for stores only."""
        self.__dict__.update(values)
        if not self.__pydantic_fields_set__.issuperset(values):
            # A new set: pydantic lets the copies of a nested model share one with the original.
            object.__setattr__(self, "__pydantic_fields_set__", {*self.__pydantic_fields_set__, *values})


class FrozenModel(FocalModel):
    """A part of other models that never changes: it is validated when it is made, and their copies share it.

    Nothing makes an invalid one: what ``model_copy`` changes and what ``model_construct`` is given are validated too.
    Its fields hold values, tuples, frozen JSON and other models of this kind.
    """

    model_config = ConfigDict(frozen=True, revalidate_instances="subclass-instances")

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Return what the constructor returns, which alone decides what counts as set.

        Raises:
            pydantic.ValidationError: a value is not valid.
        """
        return cls.model_validate(values)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return the model with some fields changed; without changes the model itself, ``deep`` or not.

        Raises:
            pydantic.ValidationError: a value is not valid.
        """
        if not update:
            return self
        copied = self.model_validate({**self.__dict__, **update})
        object.__setattr__(copied, "__pydantic_fields_set__", {*self.__pydantic_fields_set__, *update})
        return copied


M = TypeVar("M", bound=FocalModel)


def validated_copy(model: M) -> M:
    """Return a validated deep copy: nothing that can change is shared with the original.

    Raises:
        pydantic.ValidationError: a nested container was changed into something the model does not allow.
    """
    try:
        copied: M = plain_validator(type(model)).validate_python(model)
    except ValidationError:
        copied = type(model).model_validate(model)
    # pydantic hands the very set of the original on; ``set_stored`` on one of the two would reach the other.
    object.__setattr__(copied, "__pydantic_fields_set__", set(model.__pydantic_fields_set__))
    return copied


class TolerantEnum(StrEnum):
    """A lower-case string enum that reads any letter case and its aliases, and writes the canonical value."""

    @classmethod
    def alias_map(cls) -> Mapping[str, str]:
        """Return alias -> value, in lower case; none by default."""
        return {}

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        lowered = value.lower()
        lowered = cls.alias_map().get(lowered, lowered)
        return next((member for member in cls if member.value == lowered), None)


class TenantScoped(FocalModel):
    """A model that belongs to one tenant.

    Attributes:
        tenant_id: the owner; part of every key.
        created_at: when it was first saved; kept from then on. A value given at construction survives the first save.
        updated_at: when it was last saved; always the store's clock.
        deleted_at: when it was deleted; set by stores only.
    """

    tenant_id: UUID
    created_at: UTCDateTime = Field(default_factory=utc_now)
    updated_at: UTCDateTime = Field(default_factory=utc_now)
    deleted_at: UTCDateTime | None = None


class AgentScoped(TenantScoped):
    """A model that belongs to one agent of a tenant."""

    agent_id: UUID


class Versioned(FocalModel):
    """Mix-in for optimistic locking.

    Attributes:
        row_version: 0 = no expectation, a plain upsert; n > 0 = write only if the stored row has n. Advanced in
            place by a successful save.
    """

    row_version: int = Field(default=0, ge=0)


class Embedded(FocalModel):
    """Mix-in for models with one vector: ``<prefix>embedding`` and ``<prefix>embedding_model``.

    A model name without a vector is refused; a vector without a model name is of the model "default".
    """

    embedding_prefix: ClassVar[str] = ""

    @model_validator(mode="after")
    def _pair_embedding(self) -> Self:
        vector_field, model_field = f"{self.embedding_prefix}embedding", f"{self.embedding_prefix}embedding_model"
        values = self.__dict__
        if values[vector_field] is None and values[model_field] is not None:
            raise PydanticCustomError("focal.embedding_pair", f"{model_field!r} is given without {vector_field!r}")
        if values[vector_field] is not None and values[model_field] is None:
            values[model_field] = DEFAULT_EMBEDDING_MODEL
        return self
