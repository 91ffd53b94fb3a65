"""Merging two profiles on PostgreSQL: seven round trips, however many rows move."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from focal_core.errors import ConflictError, InvalidDataError, NotFoundError
from focal_core.gate import member
from focal_core.profile.models import CustomerProfile, ItemStatus, MergePolicy, ProfileField
from focal_core.profile.status import is_active
from focal_core.profile.versions import winner
from focal_postgres.profile.assembly import PostgresProfileAssembly
from focal_postgres.profile.tables import (
    ASSETS,
    FIELDS,
    IDENTITIES,
    PROFILES,
    Owned,
    owned,
    owned_select,
    unknown_profile,
)
from focal_postgres.transaction import Connection


class _Closing(NamedTuple):
    """A field that is no longer active after the merge.

    Attributes:
        id: the field.
        status: what it becomes.
        superseded_by: the field that took its place, if it is superseded.
    """

    id: UUID
    status: ItemStatus
    superseded_by: UUID | None


class PostgresProfileMerging(PostgresProfileAssembly):
    """Merging on PostgreSQL."""

    async def merge_profiles(
        self,
        tenant_id: UUID,
        *,
        source_profile_id: UUID,
        target_profile_id: UUID,
        policy: MergePolicy = MergePolicy.BEST,
    ) -> CustomerProfile:
        choice = member(MergePolicy, policy, "policy")
        if source_profile_id == target_profile_id:
            raise InvalidDataError("a profile cannot be merged into itself", code="merge_self")

        async def work(connection: Connection) -> CustomerProfile:
            rows = await self._both(connection, tenant_id, source_profile_id, target_profile_id)
            source = rows.get(source_profile_id)
            if source is None or source.merged_into_id != target_profile_id:
                source, target = (_mergeable(rows.get(id), id) for id in (source_profile_id, target_profile_id))
                now = self.now()
                closing = _settled(await self._namesakes(connection, source, target), target, choice, now)
                await self._close(connection, source, target, closing, now)
                await self._move(connection, source, target, now)
            records = await connection.fetch(self.profiles_text(self.live_profile()), tenant_id, target_profile_id)
            if not (found := self.assembled(records)):
                raise unknown_profile(target_profile_id)
            return found[0]

        return await self.database.transaction("merge_profiles", work, repeat=True)

    async def _both(
        self, connection: Connection, tenant_id: UUID, source_id: UUID, target_id: UUID
    ) -> dict[UUID, CustomerProfile]:
        # In the order of their ids, so that two merges never wait for each other.
        records = await connection.fetch(
            f"SELECT {PROFILES.select()} FROM {PROFILES.source(self.schema)} WHERE r.tenant_id = $1"
            " AND r.id IN ($2, $3) ORDER BY r.id FOR NO KEY UPDATE",
            tenant_id,
            source_id,
            target_id,
        )
        return {row.id: row for row in map(PROFILES.load, records)}

    async def _namesakes(
        self, connection: Connection, source: CustomerProfile, target: CustomerProfile
    ) -> list[Owned[ProfileField]]:
        """Lock and return the fields stored as active whose name both have, each with its owner."""
        table = f"{self.schema}.{FIELDS.table}"
        records = await connection.fetch(
            f"SELECT {owned_select(FIELDS)} FROM {table} r WHERE r.tenant_id = $1 AND r.profile_id IN ($2, $3)"
            f" AND r.status = 'active' AND r.field_name IN (SELECT a.field_name FROM {table} a"
            f" JOIN {table} b ON b.tenant_id = $1 AND b.profile_id = $3 AND b.field_name = a.field_name"
            " AND b.status = 'active' WHERE a.tenant_id = $1 AND a.profile_id = $2 AND a.status = 'active')"
            " ORDER BY r.id FOR NO KEY UPDATE OF r",
            source.tenant_id,
            source.id,
            target.id,
        )
        return [owned(FIELDS, record) for record in records]

    async def _close(
        self,
        connection: Connection,
        source: CustomerProfile,
        target: CustomerProfile,
        closing: list[_Closing],
        now: datetime,
    ) -> None:
        """Close what is over, so that names and external_id are free when the target takes them."""
        await connection.execute(
            f"WITH closed AS (UPDATE {self.schema}.{FIELDS.table} r SET status = c.status,"
            " superseded_by_id = c.superseded_by, updated_at = $4,"
            " superseded_at = CASE WHEN c.superseded_by IS NOT NULL THEN $4::timestamptz END"
            " FROM unnest($5::uuid[], $6::text[], $7::uuid[]) AS c (id, status, superseded_by)"
            " WHERE r.tenant_id = $1 AND r.id = c.id)"
            f" UPDATE {self.schema}.{PROFILES.table} SET merged_into_id = $3, deleted_at = $4, updated_at = $4,"
            " row_version = row_version + 1 WHERE tenant_id = $1 AND id = $2",
            source.tenant_id,
            source.id,
            target.id,
            now,
            [one.id for one in closing],
            [one.status.value for one in closing],
            [one.superseded_by for one in closing],
        )

    async def _move(
        self, connection: Connection, source: CustomerProfile, target: CustomerProfile, now: datetime
    ) -> None:
        """Give the target what the source has; consents stay and are read through the merge."""
        identities, fields, assets = (f"{self.schema}.{layout.table}" for layout in (IDENTITIES, FIELDS, ASSETS))
        moved = "SET profile_id = $3 WHERE tenant_id = $1 AND profile_id = $2"
        heard = [at for at in (source.last_interaction_at, target.last_interaction_at) if at is not None]
        level = max(target.verification_level, source.verification_level, key=lambda level: level.rank)
        await connection.execute(
            f"WITH f AS (UPDATE {fields} {moved}), a AS (UPDATE {assets} {moved}),"
            f" i AS (UPDATE {identities} r SET profile_id = $3, is_primary = r.is_primary AND NOT EXISTS ("
            f"SELECT FROM {identities} o WHERE o.tenant_id = $1 AND o.profile_id = $3 AND o.channel = r.channel"
            " AND o.is_primary) WHERE r.tenant_id = $1 AND r.profile_id = $2)"
            f" UPDATE {self.schema}.{PROFILES.table} SET external_id = $4, verification_level = $5,"
            " last_interaction_at = $6, updated_at = $7, row_version = row_version + 1"
            " WHERE tenant_id = $1 AND id = $3",
            source.tenant_id,
            source.id,
            target.id,
            target.external_id or source.external_id,
            level.value,
            max(heard, default=None),
            now,
        )


def _mergeable(row: CustomerProfile | None, profile_id: UUID) -> CustomerProfile:
    if row is not None and row.merged_into_id is not None:
        raise ConflictError(
            f"profile {profile_id} was merged already",
            code="merged",
            hint="get_by_id returns the profile that survived; merge that one",
        )
    if row is None or row.deleted_at is not None:
        raise NotFoundError(f"no profile {profile_id}", hint="only live profiles can be merged")
    return row


def _settled(
    namesakes: list[Owned[ProfileField]], target: CustomerProfile, policy: MergePolicy, now: datetime
) -> list[_Closing]:
    """Return which of the fields of each name that both profiles have is closed, and how."""
    theirs = {field.name: field for owner, field in namesakes if owner == target.id}
    closing = []
    for owner, ours in namesakes:
        rival = theirs.get(ours.name)
        if owner == target.id or rival is None:
            continue
        if not is_active(ours, now):
            closing.append(_Closing(ours.id, ItemStatus.EXPIRED, None))
        elif not is_active(rival, now):
            closing.append(_Closing(rival.id, ItemStatus.EXPIRED, None))
        elif winner(rival, ours, policy) is ours:
            closing.append(_Closing(rival.id, ItemStatus.SUPERSEDED, ours.id))
        else:
            closing.append(_Closing(ours.id, ItemStatus.SUPERSEDED, rival.id))
    return closing
