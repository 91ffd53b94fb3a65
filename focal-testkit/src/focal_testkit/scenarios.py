"""What a port tells the kit about itself, so that checks can be generated for every method and model of it."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from focal_core.store import Store
from focal_testkit.data.generate import instance

OURS = UUID("0190a000-0000-7000-8000-0000000000a1")
"""The tenant whose data a test is about."""
THEIRS = UUID("0190a000-0000-7000-8000-0000000000b2")
"""A neighbour with data of its own; also the stranger who tries our ids."""


@dataclass(frozen=True)
class Stored:
    """A model that a port stores: how it gets in and out.

    Attributes:
        model: the class.
        save: ``(store, instance) -> id``, the port's way to store it.
        get: ``(store, instance) -> instance | None``, the port's way to read it back.
        unset: fields the store manages or that a generated instance must leave at their default.
        clock: fields the store's clock fills; not compared.
        clock_within: the same for models within the model: container field -> fields of what it holds.
        prepare: ``(store, instance)``: stores what the instance depends on, such as its profile.
        overrides: field values that a generated instance must have.
        repeatable: whether saving the same object twice is a no-op success.
    """

    model: type[Any]
    save: Callable[[Any, Any], Awaitable[Any]]
    get: Callable[[Any, Any], Awaitable[Any]]
    unset: frozenset[str] = frozenset()
    clock: frozenset[str] = frozenset({"created_at", "updated_at", "recorded_at"})
    clock_within: Mapping[str, frozenset[str]] = field(default_factory=dict)
    prepare: Callable[[Any, Any], Awaitable[Any]] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    repeatable: bool = True

    def __str__(self) -> str:
        return self.model.__name__

    def make(self, tenant_id: UUID, *, full: bool = True, seed: int = 0, **values: Any) -> Any:
        """Return a generated instance that this port can store for a tenant."""
        given = {**self.overrides, **values, "tenant_id": tenant_id}
        return instance(self.model, full=full, seed=seed, unset=self.unset, **given)

    async def ready(self, store: Any, made: Any) -> None:
        """Store what an instance depends on."""
        if self.prepare is not None:
            await self.prepare(store, made)


@dataclass(frozen=True)
class Listing:
    """A paged list of a port.

    Attributes:
        name: the method.
        add: ``(store, tenant_id, n) -> key``: stores the n-th row and returns its key. Rows are listed in the order of
            n unless ``reverse``, in whatever order they are added.
        fetch: ``(store, tenant_id, **paging) -> Page``; paging is limit, offset, after.
        key: what tells one row from another.
        reverse: later rows come first.
        has_offset: whether ``offset`` is offered.
        optional_limit: whether ``limit=None`` means everything up to the cap.
        other: ``(store, tenant_id, **paging) -> Page``: the same method with another filter, or another method; a
            cursor of ``fetch`` must be refused by it.
        remove: ``(store, tenant_id, row)``: removes a listed row, where the port can.
    """

    name: str
    add: Callable[[Any, UUID, int], Awaitable[Any]]
    fetch: Callable[..., Awaitable[Any]]
    key: Callable[[Any], Any] = lambda row: row.id
    reverse: bool = False
    has_offset: bool = False
    optional_limit: bool = False
    other: Callable[..., Awaitable[Any]] | None = None
    remove: Callable[[Any, UUID, Any], Awaitable[Any]] | None = None

    def __str__(self) -> str:
        return self.name


class Scenarios(ABC):
    """One runnable example of every method of a port.

    A subclass has, for every abstract method of the port, an async method of the same name
    ``(store, tenant_id, world)`` that calls it on what ``seed`` stored. For the owner it must come to something; for
    a stranger with the same ids it must come to nothing (None, False, 0, empty, NotFoundError). Where the port's
    method takes ``tenant_id=None``, the scenario passes its own ``tenant_id`` on as it is, None included.
    """

    store_class: ClassVar[type[Store]]
    """The port's ABC."""
    stored: ClassVar[Sequence[Stored]]
    """Every model the port stores."""
    listings: ClassVar[Sequence[Listing]] = ()
    """Every paged list of the port."""
    creates: ClassVar[frozenset[str]] = frozenset()
    """Methods by which a stranger creates rows of its own instead of finding nothing (``save_*``, ``add_*``)."""
    maintenance: ClassVar[frozenset[str]] = frozenset({"list_tenants", "erase_tenant"})
    """Methods without a tenant of their own, checked elsewhere and left out here."""
    all_tenants_when_omitted: ClassVar[frozenset[str]] = frozenset()
    """Methods for which an omitted tenant means every tenant, in both isolation modes."""
    nil_tenant_when_omitted: ClassVar[bool] = False
    """Whether an omitted tenant means the nil tenant under trusting isolation (the runtime family)."""
    capability_calls: ClassVar[Mapping[str, Collection[str]]] = {}
    """Capability -> the methods that need it."""

    @abstractmethod
    async def seed(self, store: Any, tenant_id: UUID) -> Any:
        """Store one tenant's world with fixed ids, the same for every tenant, and return it."""

    @abstractmethod
    async def snapshot(self, store: Any, tenant_id: UUID) -> Any:
        """Return everything a tenant can read, in a form that compares by ``==``."""

    @classmethod
    def methods(cls) -> list[str]:
        """Return the abstract methods of the port, maintenance ones left out."""
        return sorted(set(cls.store_class.__abstractmethods__) - cls.maintenance)

    @classmethod
    def tenantless_methods(cls) -> list[str]:
        """Return the methods whose tenant may be left out."""
        return [
            name
            for name in cls.methods()
            if "tenant_id" in (parameters := inspect.signature(getattr(cls.store_class, name)).parameters)
            and parameters["tenant_id"].default is None
            and name not in cls.all_tenants_when_omitted
        ]

    async def run(self, method: str, store: Any, tenant_id: UUID | None, world: Any) -> Any:
        """Run the scenario of a method.

        Raises:
            AssertionError: there is none: a method without a scenario is a hole in the kit.
        """
        scenario = getattr(self, method, None)
        assert scenario is not None, f"{type(self).__name__} has no scenario for {self.store_class.__name__}.{method}"
        return await scenario(store, tenant_id, world)


def comes_to_nothing(result: Any) -> bool:
    """Return whether a result is what a stranger may get: None, False, 0, or nothing in it."""
    if isinstance(result, Mapping):
        return not any(result.values())
    return not result
