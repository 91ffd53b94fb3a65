"""Memory stores that break a rule about groups."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.errors import InvalidDataError
from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_testkit.mutants import mutant


@mutant("MEMORY-100", "MEMORY-101")
class LeavesRelationships(InMemoryMemoryStore):
    """Relationships survive their group."""

    async def delete_by_group(self, group_id: str, *, tenant_id: UUID | None = None) -> int:
        edges = list(self._relationships_of_group.rows(self.partition(tenant_id, group_id, "delete_by_group")))
        removed = await super().delete_by_group(group_id, tenant_id=tenant_id)
        for edge in edges:
            self._relationships.put(edge)
        return removed - len(edges)


@mutant("MEMORY-101")
class DeletesWhatIsValid(InMemoryMemoryStore):
    """Episodes that are valid no more survive their group."""

    async def delete_by_group(self, group_id: str, *, tenant_id: UUID | None = None) -> int:
        partition, now = self.partition(tenant_id, group_id, "delete_by_group"), self.context.clock.now()
        past = [row for row in self._episodes_of_group.rows(partition) if not row.is_valid(now)]
        removed = await super().delete_by_group(group_id, tenant_id=tenant_id)
        for row in past:
            self._episodes.put(row)
        return removed - len(past)


@mutant("MEMORY-102")
class DeletesForEveryTenant(InMemoryMemoryStore):
    """A group is deleted whoever has it."""

    async def delete_by_group(self, group_id: str, *, tenant_id: UUID | None = None) -> int:
        removed = 0
        for owner in self._episodes.tenants():
            removed += await super().delete_by_group(group_id, tenant_id=owner)
        return removed


@mutant("MEMORY-103")
class FoldsLabels(InMemoryMemoryStore):
    """Labels are compared without regard to case and outer white space."""

    def partition(self, tenant_id: UUID | None, group_id: str, what: str) -> Any:
        tenant, group = super().partition(tenant_id, group_id, what)
        return tenant, group.strip().lower()


@mutant("MEMORY-104")
class AnyLabel(InMemoryMemoryStore):
    """What cannot be a label is a group with nothing in it."""

    def partition(self, tenant_id: UUID | None, group_id: str, what: str) -> Any:
        try:
            return super().partition(tenant_id, group_id, what)
        except InvalidDataError:
            return tenant_id, group_id
