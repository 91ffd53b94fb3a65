"""Groups as a whole, in PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from focal_core.memory.store.groups import GroupStore
from focal_postgres.memory.tables import MemoryTables


class PostgresGroups(MemoryTables, GroupStore):
    """What is done to a group with everything in it."""

    async def delete_by_group(self, group_id: str, *, tenant_id: UUID | None = None) -> int:
        tenant, group = await self.partition(tenant_id, group_id, "delete_by_group")
        removed = ", ".join(
            f"{table}_gone AS (DELETE FROM {self.schema}.{table} WHERE tenant_id = $1 AND group_id = $2 RETURNING 1)"
            for table in self._tables()
        )
        counts = " + ".join(f"(SELECT count(*) FROM {table}_gone)" for table in self._tables())
        rows = await self.database.write("delete_by_group", f"WITH {removed} SELECT {counts}", tenant, group, bulk=True)
        return int(rows[0][0])
