"""The base of the six store ports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.paging import Page


class Store(ABC):
    """What every store can do, whatever it stores.

    Rules that hold for every method of every store (INTERFACES, section 0): foreign ids are missing ids; writes are
    atomic and visible to the next read; objects are copied in and out; lists have a total order, a limit and a
    cursor; deleted rows are invisible; only focal's errors are raised.

    Attributes:
        port: name of the port, as in ``[stores]``.
        capabilities: what this implementation can do beyond the core of the contract.
        context: the clock, isolation, limits and policies it answers by.
    """

    port: ClassVar[str]
    capabilities: ClassVar[frozenset[str]] = frozenset()
    context: BackendContext

    def for_tenant(self, tenant_id: UUID) -> Any:
        """Return this store bound to one tenant: the same methods without ``tenant_id``.

        A model naming another tenant is refused with ``TenantRequiredError`` (code ``tenant_mismatch``), in both
        isolation modes. The view is cheap and owns nothing.
        """
        from focal_core.tenancy import bind

        return bind(self, tenant_id)

    @abstractmethod
    async def list_tenants(self, *, limit: int = 1000, after: str | None = None) -> Page[UUID]:
        """Return the tenants that have any row here, by id ascending; for maintenance, not on bound views.

        Args:
            limit: rows, 1 to 1,000.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: the limit or the cursor is wrong.
        """

    @abstractmethod
    async def erase_tenant(self, tenant_id: UUID) -> int:
        """Remove every row of a tenant for good, append-only ones included, and return how many.

        Privileged and idempotent: a second call returns 0.
        """
