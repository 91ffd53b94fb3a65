"""Groups as a whole."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.store import Store


class GroupStore(Store):
    """What is done to a group with everything in it."""

    @abstractmethod
    async def delete_by_group(self, group_id: str, *, tenant_id: UUID | None = None) -> int:
        """Remove every row of a group for good, in one step, and return how many there were.

        Counts episodes, entities and relationships, valid now or not. Other groups, and the same label of other
        tenants, stay as they are. A second call returns 0.

        Raises:
            InvalidDataError: the group is no identifier.
            TenantRequiredError: tenant omitted under strict isolation, or ambiguous; nothing is removed.
        """
