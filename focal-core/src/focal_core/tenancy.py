"""Stores bound to one tenant: the same methods without ``tenant_id``, filled in and checked both ways.

The views themselves stand beside the ports (``<domain>/bound.py``) and are generated from the ABCs by
``focal_core.tenancy_generator``; here is what they share, and the view over all ports.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel

from focal_core.errors import ConfigurationError, TenantRequiredError
from focal_core.imports import resolve

if TYPE_CHECKING:
    from focal_core.app import Focal
    from focal_core.audit.bound import BoundAuditStore
    from focal_core.config.bound import BoundConfigStore
    from focal_core.conversation.bound import BoundSessionStore
    from focal_core.memory.bound import BoundMemoryStore
    from focal_core.profile.bound import BoundProfileStore
    from focal_core.providers.embedding import EmbeddingProvider
    from focal_core.providers.llm import LLMProvider
    from focal_core.providers.rerank import RerankProvider
    from focal_core.runtime.bound import BoundRuntimeStore

S = TypeVar("S")
T = TypeVar("T")

BOUND_VIEWS: Mapping[str, str] = {
    "config": "focal_core.config.bound:BoundConfigStore",
    "memory": "focal_core.memory.bound:BoundMemoryStore",
    "sessions": "focal_core.conversation.bound:BoundSessionStore",
    "audit": "focal_core.audit.bound:BoundAuditStore",
    "profiles": "focal_core.profile.bound:BoundProfileStore",
    "runtime": "focal_core.runtime.bound:BoundRuntimeStore",
}
"""Port -> its generated view."""


class BoundStore(Generic[S]):
    """Base of the generated views: a store and the tenant it is bound to.

    Attributes:
        tenant_id: the tenant.
    """

    __slots__ = ("_store", "tenant_id")

    port: ClassVar[str]

    def __init__(self, store: S, tenant_id: UUID) -> None:
        self._store = store
        self.tenant_id = tenant_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.tenant_id})"

    def _own(self, value: T) -> T:
        """Return an argument or a result after checking that all models in it belong to the tenant.

        Raises:
            TenantRequiredError: code ``tenant_mismatch``.
        """
        _check(value, self.tenant_id)
        return value


def _check(value: Any, tenant_id: UUID) -> None:
    kind = _kind(value.__class__)
    if kind is None:
        return
    if kind == "owned":
        if value.tenant_id != tenant_id:
            raise TenantRequiredError(
                f"{type(value).__name__} belongs to another tenant than the view is bound to",
                code="tenant_mismatch",
                hint="use the view of the model's own tenant: focal.tenant(model.tenant_id)",
            )
        return
    for item in _PARTS[kind](value):
        _check(item, tenant_id)


_PARTS: Mapping[str, Callable[[Any], Iterable[Any]]] = {
    "items": iter,
    "mapping": lambda value: value.values(),
    "model": lambda value: vars(value).values(),
    "dataclass": lambda value: (getattr(value, field.name) for field in fields(value)),
}


@functools.cache
def _kind(cls: type) -> str | None:
    if issubclass(cls, BaseModel):
        return "owned" if "tenant_id" in cls.model_fields else "model"
    if issubclass(cls, list | tuple | Set):
        return "items"
    if issubclass(cls, Mapping):
        return "mapping"
    return "dataclass" if is_dataclass(cls) else None


@functools.cache
def _view_class(port: str) -> type[BoundStore[Any]]:
    return resolve(BOUND_VIEWS[port])  # type: ignore[no-any-return]


def bind(store: Any, tenant_id: UUID) -> Any:
    """Return a store bound to one tenant.

    Raises:
        TenantRequiredError: the tenant is not a UUID.
        ConfigurationError: the store names no store port.
    """
    port = getattr(store, "port", None)
    if port not in BOUND_VIEWS:
        raise ConfigurationError(
            f"{type(store).__name__} is of no store port", hint=f"its `port` must be one of {', '.join(BOUND_VIEWS)}"
        )
    return _view_class(port)(store, checked_tenant(tenant_id))


def checked_tenant(tenant_id: UUID) -> UUID:
    """Return a tenant that is a UUID.

    Raises:
        TenantRequiredError: it is None or of another type.
    """
    if not isinstance(tenant_id, UUID):
        raise TenantRequiredError(
            f"a tenant is a UUID, not {type(tenant_id).__name__}", hint="pass uuid.UUID(...) of the tenant"
        )
    return tenant_id


class TenantView:
    """Every port of an open ``Focal`` bound to one tenant.

    Attributes:
        tenant_id: the tenant.
    """

    __slots__ = ("_focal", "tenant_id")

    def __init__(self, focal: Focal, tenant_id: UUID) -> None:
        self._focal = focal
        self.tenant_id = checked_tenant(tenant_id)

    def __repr__(self) -> str:
        return f"TenantView({self.tenant_id})"

    @property
    def config(self) -> BoundConfigStore:
        """Agents, rules, scenarios, templates, variables, tools, migration plans."""
        return self._focal.config.for_tenant(self.tenant_id)  # type: ignore[no-any-return]

    @property
    def memory(self) -> BoundMemoryStore:
        """Episodes, entities, relationships."""
        return self._focal.memory.for_tenant(self.tenant_id)  # type: ignore[no-any-return]

    @property
    def sessions(self) -> BoundSessionStore:
        """Sessions."""
        return self._focal.sessions.for_tenant(self.tenant_id)  # type: ignore[no-any-return]

    @property
    def audit(self) -> BoundAuditStore:
        """Turns and events."""
        return self._focal.audit.for_tenant(self.tenant_id)  # type: ignore[no-any-return]

    @property
    def profiles(self) -> BoundProfileStore:
        """Customer profiles."""
        return self._focal.profiles.for_tenant(self.tenant_id)  # type: ignore[no-any-return]

    @property
    def runtime(self) -> BoundRuntimeStore:
        """Runtime sessions, conversations, checkpoints, task context."""
        return self._focal.runtime.for_tenant(self.tenant_id)  # type: ignore[no-any-return]

    @property
    def llm(self) -> LLMProvider:
        """The language model; its calls carry the tenant."""
        from focal_core.providers.tenant import TenantLLM

        return TenantLLM(self._focal.llm, self.tenant_id)

    @property
    def embedding(self) -> EmbeddingProvider:
        """The embedding model; its calls carry the tenant."""
        from focal_core.providers.tenant import TenantEmbeddings

        return TenantEmbeddings(self._focal.embedding, self.tenant_id)

    @property
    def rerank(self) -> RerankProvider:
        """The reranker; its calls carry the tenant."""
        from focal_core.providers.tenant import TenantRerank

        return TenantRerank(self._focal.rerank, self.tenant_id)
