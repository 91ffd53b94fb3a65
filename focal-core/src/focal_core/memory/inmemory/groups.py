"""Groups as a whole, in memory."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from focal_core.inmemory.table import OrderedIndex, Table
from focal_core.memory.inmemory.tables import MemoryTables
from focal_core.memory.store.groups import GroupStore


class InMemoryGroups(MemoryTables, GroupStore):
    """What is done to a group with everything in it."""

    async def delete_by_group(self, group_id: str, *, tenant_id: UUID | None = None) -> int:
        partition = self.partition(tenant_id, group_id, "delete_by_group")
        pairs: list[tuple[OrderedIndex[Any], Table[Any]]] = [
            (self._relationships_of_group, self._relationships),
            (self._episodes_of_group, self._episodes),
            (self._entities_of_group, self._entities),
        ]
        doomed = [(table, row) for index, table in pairs for row in index.rows(partition)]
        for table, row in doomed:
            table.remove(row.tenant_id, row.id)
        return len(doomed)
