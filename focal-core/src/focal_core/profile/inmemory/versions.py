"""Writing versions of fields and assets in memory."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar
from uuid import UUID

from focal_core.gate import member
from focal_core.profile.inmemory.lineage import InMemoryProfileLineage
from focal_core.profile.inmemory.schema import InMemoryFieldSchema
from focal_core.profile.inmemory.tables import Owned, VersionTable
from focal_core.profile.models import ItemStatus, ProfileAsset, ProfileField
from focal_core.profile.status import as_read, effective_status, is_active
from focal_core.profile.versions import id_taken, is_repeat, prepare, record_differs

V = TypeVar("V", bound=ProfileField | ProfileAsset)


class InMemoryProfileVersions(InMemoryFieldSchema, InMemoryProfileLineage):
    """Base of the parts that write fields and assets."""

    def is_written(
        self, table: VersionTable[V], tenant_id: UUID, profile_id: UUID, item: V, agent_id: UUID | None = None
    ) -> bool:
        """Prepare an admitted item, and return whether it is stored already.

        Raises:
            DuplicateError: its id is stored with other content, or for another profile.
            InvalidDataError: its id is stored with another lineage.
        """
        stored = self._prepared(table, tenant_id, profile_id, item, agent_id)
        if stored is not None and not is_repeat(item, stored, self.context.profile_policy):
            raise record_differs(item)
        return stored is not None

    def is_news(self, table: VersionTable[V], tenant_id: UUID, profile_id: UUID, item: V, now: datetime) -> bool:
        """Prepare an item of a profile that is saved, and return whether it has to be written.

        An edited active version gets a new id.

        Raises:
            DuplicateError: its id is stored for another profile, or for another field.
            InvalidDataError: its id is stored with another lineage.
        """
        stored = self._prepared(table, tenant_id, profile_id, item, None)
        if stored is None:
            return True
        if not is_active(stored, now) or is_repeat(item, stored, self.context.profile_policy):
            return False
        if isinstance(item, ProfileField) and item.name != stored.name:
            raise id_taken(item)
        item.set_stored(id=self.context.id_factory())
        return True

    def _prepared(
        self, table: VersionTable[V], tenant_id: UUID, profile_id: UUID, item: V, agent_id: UUID | None
    ) -> V | None:
        row = table.get(tenant_id, item.id)
        if row is not None and row.profile_id != profile_id:
            raise id_taken(item)
        stored = None if row is None else row.item
        definition = self.definition_for(tenant_id, item, agent_id) if isinstance(item, ProfileField) else None
        prepare(item, stored, self.context.profile_policy, definition)
        return stored

    def write(
        self,
        table: VersionTable[V],
        tenant_id: UUID,
        profile_id: UUID,
        item: V,
        superseded: Owned[V] | None,
        now: datetime,
    ) -> None:
        """Put a checked version, in the place of another one if there is one."""
        if superseded is not None:
            table.supersede(superseded, item.id, now)
        if isinstance(item, ProfileField):
            item.set_stored(updated_at=now)
        table.put(Owned(tenant_id, profile_id, item))

    def newest(
        self, table: VersionTable[V], tenant_id: UUID, profile_id: UUID, name: str, status: ItemStatus | None
    ) -> V | None:
        """Return the newest version of a name that has a status now, or None."""
        wanted = None if status is None else member(ItemStatus, status, "status")
        profile, now = self.live(tenant_id, profile_id), self.now()
        if profile is None:
            return None
        for row in table.of_name.rows((tenant_id, profile.id, name)):
            if wanted in (None, effective_status(row.item, now)):
                return as_read(row.item, now)
        return None
