"""Profiles as a whole on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.context import BackendContext
from focal_core.conversation.models import Channel
from focal_core.errors import InvalidDataError
from focal_core.gate import identifier, member, moment
from focal_core.paging import Page, check_paging, cursor_scope, decode_cursor
from focal_core.profile.models import ChannelIdentity, CustomerProfile, VerificationLevel
from focal_postgres.database import Database
from focal_postgres.keyset import Key, beyond, parsed
from focal_postgres.profile.assembly import PostgresProfileAssembly
from focal_postgres.profile.sharing import SharedCalls
from focal_postgres.profile.tables import (
    ASSETS,
    ATTEMPTS,
    FIELDS,
    IDENTITIES,
    PROFILES,
    kept_colliding,
    owned_values,
    unknown_profile,
)
from focal_postgres.transaction import Connection

_ORDER = [Key("r.created_at", "timestamptz"), Key("r.id", "uuid")]


class PostgresProfileRecords(PostgresProfileAssembly):
    """Profiles as a whole on PostgreSQL, but for ``save`` and ``record_consent``."""

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        self._creations = SharedCalls[CustomerProfile](validated_copy, database.options.deadline)
        profiles, identities = (f"{self.schema}.{layout.table}" for layout in (PROFILES, IDENTITIES))
        self._by_id = self.live_profile()
        self._by_customer = self.live_profile(
            f"(SELECT k.id FROM {profiles} k WHERE k.tenant_id = $1 AND k.customer_id = $2)"
        )
        self._by_account = self.live_profile(
            f"(SELECT k.profile_id FROM {identities} k WHERE k.tenant_id = $1 AND k.channel = $2"
            " AND k.channel_user_id = $3)"
        )
        self._by_external = (
            f"SELECT {PROFILES.select()} FROM {PROFILES.source(self.schema)}"
            " WHERE r.tenant_id = $1 AND r.external_id = $2 AND r.deleted_at IS NULL"
        )
        # The loser of a race for the account inserts neither, so that it leaves no profile behind.
        names, parameters = ", ".join(PROFILES.names), PROFILES.parameters(3 + len(IDENTITIES.names))
        self._creation = (
            f"WITH linked AS ({self.insert_text(IDENTITIES)}"
            " ON CONFLICT (tenant_id, channel, channel_user_id) DO NOTHING RETURNING profile_id)"
            f" INSERT INTO {profiles} ({names}) SELECT {parameters} FROM linked RETURNING id"
        )

    async def get_by_customer_id(
        self, tenant_id: UUID, customer_id: UUID, *, include_history: bool = False
    ) -> CustomerProfile | None:
        return await self.read(
            "get_by_customer_id", self._by_customer, tenant_id, customer_id, include_history=include_history
        )

    async def get_by_id(
        self, tenant_id: UUID, profile_id: UUID, *, include_history: bool = False
    ) -> CustomerProfile | None:
        return await self.read("get_by_id", self._by_id, tenant_id, profile_id, include_history=include_history)

    async def get_by_channel_identity(
        self, tenant_id: UUID, channel: Channel, channel_user_id: str, *, include_history: bool = False
    ) -> CustomerProfile | None:
        account = member(Channel, channel, "channel"), identifier(channel_user_id, "channel_user_id")
        return await self.read(
            "get_by_channel_identity", self._by_account, tenant_id, *account, include_history=include_history
        )

    async def get_by_external_id(
        self, tenant_id: UUID, external_id: str, *, include_history: bool = False
    ) -> CustomerProfile | None:
        wanted = identifier(external_id, "external_id")
        return await self.read(
            "get_by_external_id", self._by_external, tenant_id, wanted, include_history=include_history
        )

    async def get_or_create(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> CustomerProfile:
        account = member(Channel, channel, "channel"), identifier(channel_user_id, "channel_user_id")

        async def work(take_along: Callable[[], None]) -> CustomerProfile:
            for attempt in range(ATTEMPTS):
                take_along()
                # A creation that found the account linked may have been its own, sent twice.
                found = await self.read("get_or_create", self._by_account, tenant_id, *account, settles=attempt > 0)
                if found is not None:
                    return found
                take_along()
                created = await self._created(tenant_id, *account)
                if created is not None:
                    return created
                # Somebody else linked the account after we had looked: look again.
            raise kept_colliding("get_or_create")

        return await self._creations.run((tenant_id, *account), work)

    async def _created(self, tenant_id: UUID, channel: Channel, user_id: str) -> CustomerProfile | None:
        """Create a profile with an account and return it; None when the account is linked already."""
        now, new_id = self.now(), self.context.id_factory
        profile = CustomerProfile(
            id=new_id(), customer_id=new_id(), tenant_id=tenant_id, created_at=now, updated_at=now, row_version=1
        )
        identity = ChannelIdentity(id=new_id(), channel=channel, channel_user_id=user_id, created_at=now)
        created = await self.database.write(
            "get_or_create",
            self._creation,
            *owned_values(IDENTITIES, tenant_id, profile.id, identity),
            *PROFILES.values(profile),
            # Run again it finds the account linked, and then it is looked for again.
            repeat=True,
        )
        profile.set_stored(channel_identities=[identity])
        return profile if created else None

    async def delete(self, tenant_id: UUID, profile_id: UUID) -> bool:
        profiles, tenant, id = f"{self.schema}.{PROFILES.table}", _literal(tenant_id), _literal(profile_id)
        live = f"tenant_id = {tenant} AND id = {id} AND deleted_at IS NULL"
        # Not one statement: its view would be older than an account that was linked while it waited for the lock.
        status = await self.database.script(
            "delete",
            f"SELECT FROM {profiles} WHERE {live} FOR NO KEY UPDATE;"
            f" DELETE FROM {self.schema}.{IDENTITIES.table} WHERE tenant_id = {tenant} AND profile_id = {id}"
            f" AND EXISTS (SELECT FROM {profiles} WHERE {live});"
            f" UPDATE {profiles} SET deleted_at = '{self.now().isoformat()}' WHERE {live}",
        )
        return status == "UPDATE 1"

    async def erase_profile(self, tenant_id: UUID, profile_id: UUID) -> int:
        profiles = f"{self.schema}.{PROFILES.table}"
        tree = (
            f"WITH RECURSIVE tree AS (SELECT id FROM {profiles} WHERE tenant_id = $1 AND id = $2 UNION"
            f" SELECT m.id FROM tree t JOIN {profiles} m ON m.tenant_id = $1 AND m.merged_into_id = t.id)"
            f" SELECT id FROM {profiles} WHERE tenant_id = $1 AND id IN (SELECT id FROM tree) ORDER BY id FOR UPDATE"
        )
        children = [f"{self.schema}.{layout.table}" for layout in (IDENTITIES, FIELDS, ASSETS)]
        removals = ", ".join(
            f"gone_{at} AS (DELETE FROM {table} WHERE tenant_id = $1 AND profile_id = ANY($2::uuid[]) RETURNING 1)"
            for at, table in enumerate(children)
        )
        counts = " + ".join(f"(SELECT count(*) FROM gone_{at})" for at in range(len(children)))
        erasure = (
            f"WITH {removals} SELECT {counts} + (SELECT sum({self.schema}.erase_consents($1, doomed))"
            " FROM unnest($2::uuid[]) doomed)"
        )

        async def work(connection: Connection) -> int:
            survivor = await self.lock(connection, tenant_id, profile_id, for_removal=True)
            if survivor is None:
                return 0
            doomed = [row[0] for row in await connection.fetch(tree, tenant_id, survivor.id)]
            erased = int(await connection.fetchval(erasure, tenant_id, doomed))
            await connection.execute(
                f"DELETE FROM {profiles} WHERE tenant_id = $1 AND id = ANY($2::uuid[])", tenant_id, doomed
            )
            return erased + len(doomed)

        return await self.database.transaction("erase_profile", work, bulk=True, maintenance=True)

    async def list_profiles(
        self, tenant_id: UUID, *, updated_since: datetime | None = None, limit: int = 100, after: str | None = None
    ) -> Page[CustomerProfile]:
        since = moment(updated_since, "updated_since")
        check_paging(limit, 0, after)
        scope = cursor_scope(tenant_id, "list_profiles", updated_since=since)
        wanted = self.cap if limit is None else limit
        parameters: list[object] = [tenant_id, since, wanted + 1]
        behind = ""
        if after is not None:
            behind = f" AND {beyond(_ORDER, len(parameters) + 1)}"
            parameters += parsed(decode_cursor(after, scope), _ORDER)
        found = (
            f"SELECT {PROFILES.select()} FROM {PROFILES.source(self.schema)} WHERE r.tenant_id = $1"
            " AND r.deleted_at IS NULL AND ($2::timestamptz IS NULL OR r.updated_at >= $2)"
            f"{behind} ORDER BY r.created_at, r.id LIMIT $3"
        )
        rows = await self.database.fetch("list_profiles", self.profiles_text(found), *parameters, replica=True)
        listed = [(profile, profile.created_at, profile.id) for profile in self.assembled(rows)]
        return self.as_page(listed, wanted, limit, scope, len(_ORDER), lambda row: row[0])

    async def set_verification_level(self, tenant_id: UUID, profile_id: UUID, level: VerificationLevel) -> None:
        wanted = member(VerificationLevel, level, "level")
        profiles = f"{self.schema}.{PROFILES.table}"
        change = (
            f"WITH before AS MATERIALIZED ({self._by_id}), changed AS (UPDATE {profiles} r"
            " SET verification_level = $3, updated_at = $4, row_version = r.row_version + 1 FROM before"
            " WHERE r.tenant_id = $1 AND r.id = before.id AND r.deleted_at IS NULL AND r.verification_level <> $3"
            " RETURNING 1) SELECT before.verification_level = $3 OR EXISTS (SELECT FROM changed) FROM before"
        )
        for _ in range(ATTEMPTS):
            rows = await self.database.write(
                "set_verification_level", change, tenant_id, profile_id, wanted.value, self.now(), repeat=True
            )
            if not rows:
                raise unknown_profile(profile_id)
            if rows[0][0]:
                return
            # It was deleted, merged or set by somebody else after we had looked.
        raise kept_colliding("set_verification_level")


def _literal(id: UUID) -> str:
    """Return an id as it may stand in SQL text."""
    try:
        return f"'{UUID(str(id))}'::uuid"
    except ValueError:
        raise InvalidDataError("an id is no UUID") from None
