"""Accounts and merging on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.context import BackendContext
from focal_core.conversation.models import Channel
from focal_core.gate import admit, identifier, member
from focal_core.profile.identities import account, identity_taken, joined
from focal_core.profile.models import ChannelIdentity
from focal_core.profile.versions import id_taken
from focal_postgres.database import Database
from focal_postgres.profile.merge import PostgresProfileMerging
from focal_postgres.profile.tables import (
    ATTEMPTS,
    IDENTITIES,
    PROFILES,
    Owned,
    kept_colliding,
    owned,
    owned_select,
    owned_values,
)
from focal_postgres.transaction import Connection


class PostgresProfileChannels(PostgresProfileMerging):
    """Accounts and merging on PostgreSQL."""

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        identities, names = f"{self.schema}.{IDENTITIES.table}", ("tenant_id", "profile_id", *IDENTITIES.names)
        taken_over = ", ".join(f"{name} = EXCLUDED.{name}" for name in ("verified", "verified_at", "is_primary"))
        self._link_text = (
            f"WITH target AS MATERIALIZED (SELECT p.id FROM {self.schema}.{PROFILES.table} p"
            f" WHERE p.tenant_id = $1::uuid AND p.id = {self.live_id(profile='$2::uuid')} AND p.deleted_at IS NULL"
            " FOR NO KEY UPDATE)"
            f" INSERT INTO {identities} AS r ({', '.join(names)})"
            f" SELECT $1, t.id, {IDENTITIES.parameters(3)} FROM target t"
            f" ON CONFLICT (tenant_id, channel, channel_user_id) DO UPDATE SET {taken_over}"
            " WHERE r.profile_id = EXCLUDED.profile_id AND (r.id = EXCLUDED.id OR NOT EXISTS ("
            f"SELECT FROM {identities} x WHERE x.tenant_id = r.tenant_id AND x.id = EXCLUDED.id))"
            # A row that was inserted, not updated, carries no lock of ours.
            " RETURNING r.xmax = 0 AS is_new"
        )

    async def link_channel(self, tenant_id: UUID, profile_id: UUID, identity: ChannelIdentity) -> bool:
        admitted = admit(identity, self.context.limits)
        if not admitted.primary:
            item = validated_copy(admitted)
            item.set_stored(created_at=self.now())
            linked = await self.database.write(
                "link_channel", self._link_text, *owned_values(IDENTITIES, tenant_id, profile_id, item)
            )
            if linked:
                return bool(linked[0]["is_new"])

        # A primary account takes the place of another one; and what was refused is told why.
        async def work(connection: Connection) -> bool:
            item = validated_copy(admitted)
            profile = await self.lock_live(connection, tenant_id, profile_id)
            records = await connection.fetch(
                f"SELECT {owned_select(IDENTITIES)} FROM {self.related_identities_source()}",
                *self.related_identities_arguments(tenant_id, profile.id, [item]),
            )
            known = [owned(IDENTITIES, record) for record in records]
            linked = any(account(one.item) == account(item) for one in known)
            if any(one.item.id == item.id and account(one.item) != account(item) for one in known):
                raise id_taken(item)
            await self.join(connection, tenant_id, profile.id, [item], known)
            return not linked

        return await self.database.transaction("link_channel", work)

    async def unlink_channel(self, tenant_id: UUID, profile_id: UUID, channel: Channel, channel_user_id: str) -> bool:
        wanted = member(Channel, channel, "channel"), identifier(channel_user_id, "channel_user_id")
        identities = f"{self.schema}.{IDENTITIES.table}"
        theirs = f"tenant_id = $1 AND profile_id = {self.live_id()} AND channel = $3 AND channel_user_id = $4"
        removal = (
            f"WITH gone AS (DELETE FROM {identities} WHERE {theirs} RETURNING 1)"
            f" SELECT EXISTS (SELECT FROM gone), EXISTS (SELECT FROM {identities} WHERE {theirs})"
        )
        for _ in range(ATTEMPTS):
            rows = await self.database.write("unlink_channel", removal, tenant_id, profile_id, *wanted)
            removed, had = rows[0]
            if removed or not had:
                return bool(removed)
            # It was removed or moved by a merge after we had looked.
        raise kept_colliding("unlink_channel")

    def related_identities_source(self) -> str:
        """Return the FROM item, alias ``r``, of the identities that can collide when others join a profile.

        They are the profile's, and those of others that have an id or account of incoming ones.
        """
        identities = f"{self.schema}.{IDENTITIES.table}"
        return (
            f"{identities} r WHERE r.tenant_id = $1 AND r.id IN ("
            f"SELECT a.id FROM {identities} a WHERE a.tenant_id = $1 AND a.profile_id = $2"
            f" UNION SELECT b.id FROM {identities} b WHERE b.tenant_id = $1 AND b.id = ANY($3::uuid[])"
            f" UNION SELECT c.id FROM unnest($4::text[], $5::text[]) AS g (channel, channel_user_id)"
            f" JOIN {identities} c ON c.tenant_id = $1 AND c.channel = g.channel"
            " AND c.channel_user_id = g.channel_user_id)"
        )

    @staticmethod
    def related_identities_arguments(
        tenant_id: UUID, profile_id: UUID, incoming: Sequence[ChannelIdentity]
    ) -> list[object]:
        """Return the parameters ``$1`` to ``$5`` of ``related_identities_source``."""
        return [
            tenant_id,
            profile_id,
            [one.id for one in incoming],
            [str(one.channel) for one in incoming],
            [one.channel_user_id for one in incoming],
        ]

    async def join(
        self,
        connection: Connection,
        tenant_id: UUID,
        profile_id: UUID,
        incoming: Sequence[ChannelIdentity],
        known: Sequence[Owned[ChannelIdentity]],
    ) -> None:
        """Write the identities of a locked profile that change when admitted ones join it.

        Args:
            connection: in a transaction that has locked the profile.
            tenant_id: the owner.
            profile_id: the profile.
            incoming: admitted copies; changed in place.
            known: what ``related_identities_source`` gives for them.

        Raises:
            ConflictError: an account is another profile's.
            DuplicateError: an id is that of another profile's account.
        """
        current = sorted((one.item for one in known if one.profile_id == profile_id), key=lambda one: one.id)
        owners = {account(one.item): one.profile_id for one in known}
        ids = {one.item.id: one.profile_id for one in known}
        changed = joined(current, incoming, self.now())
        for item in changed:
            if (owner := owners.get(account(item), profile_id)) != profile_id:
                raise identity_taken(owner)
            if ids.get(item.id, profile_id) != profile_id:
                raise id_taken(item)
        if replaced := [item.id for item in changed if item.id in ids]:
            # All out before any goes in: two of them may have swapped their accounts.
            await connection.execute(
                f"DELETE FROM {self.schema}.{IDENTITIES.table} WHERE tenant_id = $1 AND id = ANY($2::uuid[])",
                tenant_id,
                replaced,
            )
        await self.insert(connection, IDENTITIES, tenant_id, profile_id, changed)
