"""Memory stores that break a rule of adding, updating or deleting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from focal_core.context import BackendContext
from focal_core.errors import DuplicateError, StoreError
from focal_core.gate import admit
from focal_core.inmemory.table import Table
from focal_core.memory.inmemory import InMemoryMemoryStore
from focal_core.memory.models import Entity, Episode, EpisodeType, Relationship
from focal_core.paging import Page
from focal_testkit.mutants import mutant


@mutant("MEMORY-001", "MEMORY-014")
class RefusesRepeats(InMemoryMemoryStore):
    """A row added again is a duplicate, however equal."""

    async def add_episode(self, episode: Episode) -> UUID:
        if self._episodes.get(episode.tenant_id, episode.id) is not None:
            raise DuplicateError("stored already")
        return await super().add_episode(episode)

    def add_versioned(self, table: Table[Any], model: Any, check: Callable[[Any], None]) -> UUID:
        if table.get(model.tenant_id, model.id) is not None:
            raise DuplicateError("stored already")
        return super().add_versioned(table, model, check)


@mutant("MEMORY-002", "MEMORY-010")
class FirstAddWins(InMemoryMemoryStore):
    """Other content under a stored id is dropped in silence."""

    async def add_episode(self, episode: Episode) -> UUID:
        stored = self._episodes.get(episode.tenant_id, episode.id)
        return stored.id if stored is not None else await super().add_episode(episode)

    def add_versioned(self, table: Table[Any], model: Any, check: Callable[[Any], None]) -> UUID:
        stored = table.get(model.tenant_id, model.id)
        return model.id if stored is not None else super().add_versioned(table, model, check)


@mutant("MEMORY-003")
class ComparesDefaultTimes(InMemoryMemoryStore):
    """Times the caller left to their defaults are content."""

    async def add_episode(self, episode: Episode) -> UUID:
        episode.__pydantic_fields_set__.update(Episode.model_fields)
        return await super().add_episode(episode)


@mutant("MEMORY-004", "MEMORY-039", "MEMORY-047", "MEMORY-063", "MEMORY-073", "MEMORY-089")
class AsksTheMachine(InMemoryMemoryStore):
    """The machine's clock is asked instead of the injected one."""

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(BackendContext(isolation=context.isolation) if context else None)


@mutant("MEMORY-005")
class UpdateMerges(InMemoryMemoryStore):
    """An update keeps the old metadata when it brings none."""

    async def update_episode(self, episode: Episode) -> UUID:
        stored = self._episodes.get(episode.tenant_id, episode.id)
        old = stored.metadata if stored is not None else {}
        return await super().update_episode(episode.model_copy(update={"metadata": episode.metadata or old}))


@mutant("MEMORY-006")
class UpdateInserts(InMemoryMemoryStore):
    """An update of a missing row stores it."""

    async def update_entity(self, entity: Entity) -> UUID:
        return self.upsert(self._entities, entity)


@mutant("MEMORY-007", "MEMORY-077")
class UpdateMoves(InMemoryMemoryStore):
    """An update may change the group and the ends of a row."""

    def update_versioned(self, table: Table[Any], model: Any, check: Callable[[Any], None]) -> UUID:
        if table.get(model.tenant_id, model.id) is None:
            return super().update_versioned(table, model, check)
        return self.upsert(table, model)


@mutant("MEMORY-008")
class IgnoresDeletedAt(InMemoryMemoryStore):
    """deleted_at is dropped in silence."""

    async def add_episode(self, episode: Episode) -> UUID:
        return await super().add_episode(episode.model_copy(update={"deleted_at": None}))


@mutant("MEMORY-009")
class DeletesSoftly(InMemoryMemoryStore):
    """A deleted relationship is hidden and keeps its id."""

    async def delete_relationship(self, relationship_id: UUID, *, tenant_id: UUID | None = None) -> bool:
        return tenant_id is not None and self.soft_delete(self._relationships, tenant_id, relationship_id)

    async def get_relationship(self, relationship_id: UUID, *, tenant_id: UUID | None = None) -> Relationship | None:
        found = await super().get_relationship(relationship_id, tenant_id=tenant_id)
        return found if found is not None and found.deleted_at is None else None


@mutant("MEMORY-010")
class LooksThenAdds(InMemoryMemoryStore):
    """A row is looked for, and written after a pause."""

    async def add_episode(self, episode: Episode) -> UUID:
        stored = self._episodes.get(episode.tenant_id, episode.id)
        await asyncio.sleep(0)
        if stored is not None:
            return await super().add_episode(episode)
        return self._put_episode(admit(episode, self.context.limits), None)


@mutant("MEMORY-011", "MEMORY-025")
class ListsItsOwnRows(InMemoryMemoryStore):
    """Episodes are listed as they are stored, by the time they were recorded."""

    async def list_episodes(
        self,
        group_id: str,
        *,
        tenant_id: UUID | None = None,
        episode_type: EpisodeType | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[Episode]:
        found = await super().list_episodes(group_id, tenant_id=tenant_id, limit=limit, after=after)
        rows = {row.id: row for owner in self._episodes.tenants() for row in self._episodes.rows(owner)}
        return Page(sorted((rows[one.id] for one in found), key=lambda row: row.id, reverse=True))


@mutant("MEMORY-012")
class ChecksSpacesOnAddingOnly(InMemoryMemoryStore):
    """An update takes a vector of any space."""

    async def update_entity(self, entity: Entity) -> UUID:
        return self.update_versioned(self._entities, entity, lambda row: None)


@mutant("MEMORY-011")
class KeepsWhatItIsPassed(InMemoryMemoryStore):
    """An update stores the caller's object."""

    async def update_episode(self, episode: Episode) -> UUID:
        updated = await super().update_episode(episode)
        self._episodes.put(episode)
        return updated


@mutant("MEMORY-026")
class TrustsTheModel(InMemoryMemoryStore):
    """Episodes are stored as they are."""

    async def add_episode(self, episode: Episode) -> UUID:
        return self._put_episode(episode, None)


@mutant("MEMORY-013")
class TenantOfTheFirstRow(InMemoryMemoryStore):
    """Without a tenant a group is that of the tenant with episodes in it."""

    def tenants_of_group(self, group: str) -> set[UUID]:
        return self._episodes_of_group.tenants_of(group) or super().tenants_of_group(group)


@mutant("MEMORY-014")
class VersionStaysBehind(InMemoryMemoryStore):
    """The caller's object keeps the version it had."""

    @staticmethod
    def _advance(model: Any, row: Any) -> None:
        return


@mutant("MEMORY-015", "MEMORY-019")
class LastUpdateWins(InMemoryMemoryStore):
    """row_version is not looked at."""

    def update_versioned(self, table: Table[Any], model: Any, check: Callable[[Any], None]) -> UUID:
        return super().update_versioned(table, model.model_copy(update={"row_version": 0}), check)


@mutant("MEMORY-016")
class VersionIsRequired(InMemoryMemoryStore):
    """An update needs the stored version."""

    def update_versioned(self, table: Table[Any], model: Any, check: Callable[[Any], None]) -> UUID:
        stored = table.get(model.tenant_id, model.id)
        if stored is not None and stored.row_version != model.row_version:
            raise StoreError("stale")
        return super().update_versioned(table, model, check)


@mutant("MEMORY-017")
class ForgetsItsOwnWrites(InMemoryMemoryStore):
    """A repeated update is written again."""

    def update_versioned(self, table: Table[Any], model: Any, check: Callable[[Any], None]) -> UUID:
        stored = table.get(model.tenant_id, model.id)
        if stored is not None and stored.row_version == model.row_version + 1:
            model.set_stored(row_version=stored.row_version)
        return super().update_versioned(table, model, check)


@mutant("MEMORY-018")
class AddIgnoresVersion(InMemoryMemoryStore):
    """An add begins at version 1, whatever the caller expects."""

    def add_versioned(self, table: Table[Any], model: Any, check: Callable[[Any], None]) -> UUID:
        model.set_stored(row_version=0)
        return super().add_versioned(table, model, check)


@mutant("MEMORY-019")
class ChecksThenUpdates(InMemoryMemoryStore):
    """The version is checked, and the row written after a pause."""

    async def update_entity(self, entity: Entity) -> UUID:
        stored = self._entities.get(entity.tenant_id, entity.id)
        await asyncio.sleep(0)
        if stored is not None and stored.row_version == entity.row_version:
            entity = entity.model_copy(update={"row_version": 0})
        return await super().update_entity(entity)

    async def update_relationship(self, relationship: Relationship) -> UUID:
        await asyncio.sleep(0)
        return await super().update_relationship(relationship.model_copy(update={"row_version": 0}))
