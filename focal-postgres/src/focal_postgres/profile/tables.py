"""The tables of the profile store, and what its parts share: who a profile id stands for, locks, rows of children."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID

from focal_core.base import FocalModel
from focal_core.context import BackendContext
from focal_core.errors import NotFoundError, StoreUnavailableError
from focal_core.profile.models import (
    ChannelIdentity,
    Consent,
    CustomerProfile,
    ProfileAsset,
    ProfileField,
    ProfileFieldDefinition,
    ScenarioFieldRequirement,
)
from focal_core.profile.status import effective_status
from focal_postgres.database import Database
from focal_postgres.errors import register_constraints
from focal_postgres.layout import Layout
from focal_postgres.names import ASSET_COLUMNS, FIELD_COLUMNS, IDENTITY_COLUMNS, PROFILE_PARTS
from focal_postgres.store import PostgresStore
from focal_postgres.transaction import Connection, Record

C = TypeVar("C", bound=FocalModel)
V = TypeVar("V", bound=ProfileField | ProfileAsset)

PROFILES = Layout(
    CustomerProfile,
    "customer_profiles",
    without=PROFILE_PARTS,
)
IDENTITIES = Layout(ChannelIdentity, "channel_identities", renamed=IDENTITY_COLUMNS)
FIELDS = Layout(ProfileField, "profile_fields", renamed=FIELD_COLUMNS)
ASSETS = Layout(ProfileAsset, "profile_assets", renamed=ASSET_COLUMNS)
CONSENTS = Layout(Consent, "consents")
DEFINITIONS = Layout(ProfileFieldDefinition, "profile_field_definitions")
REQUIREMENTS = Layout(ScenarioFieldRequirement, "scenario_field_requirements")

ATTEMPTS = 10
"""Races with others that a call may lose before it gives up."""

_ID_TAKEN = ("the id is stored for another profile, field or account", "id_taken")
register_constraints(
    {
        "uq_customer_profiles_customer_id": ("another profile has the customer_id", "customer_id_taken"),
        "uq_customer_profiles_external_id": ("another profile has the external_id", "external_id_taken"),
        "uq_channel_identities_account": ("the account is linked to a profile already", "identity_taken"),
        **{f"pk_{layout.table}": _ID_TAKEN for layout in (IDENTITIES, FIELDS, ASSETS, CONSENTS)},
    }
)


class Owned(NamedTuple, Generic[C]):
    """Something that belongs to a profile."""

    profile_id: UUID
    item: C


class PostgresProfileTables(PostgresStore):
    """Base of the parts of the PostgreSQL profile store.

    Whoever writes what belongs to a profile holds the lock of the profile's row (``lock``), except where one statement
    alone decides. So fields, assets and identities are always those of a profile that was not merged; consents, which
    never change, stay with the profile they were given to and are read through its merges.
    """

    tables: ClassVar[tuple[str, ...]] = tuple(
        layout.table for layout in (IDENTITIES, FIELDS, ASSETS, CONSENTS, PROFILES, DEFINITIONS, REQUIREMENTS)
    )

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        self._lock_profile_text = (
            f"SELECT {PROFILES.select()} FROM {PROFILES.source(self.schema)}"
            f" WHERE r.tenant_id = $1 AND r.id = {self.survivor_id()}"
        )

    def now(self) -> datetime:
        """Return the store's moment."""
        return self.context.clock.now()

    def survivor_id(self, tenant: str = "$1", profile: str = "$2") -> str:
        """Return a scalar subquery: the id of the row a profile id stands for after all merges, deleted or not.

        Args:
            tenant: SQL expression of the owner.
            profile: SQL expression of the profile id.
        """
        return self._chain_end(tenant, profile, "")

    def live_id(self, tenant: str = "$1", profile: str = "$2") -> str:
        """Return a scalar subquery: the id of the live profile a profile id stands for, or NULL; as survivor_id."""
        return self._chain_end(tenant, profile, " AND chain.deleted_at IS NULL")

    def _chain_end(self, tenant: str, profile: str, condition: str) -> str:
        profiles = f"{self.schema}.{PROFILES.table}"
        # UNION, not UNION ALL: ends even if somebody made a circle by hand.
        return (
            "(WITH RECURSIVE chain AS ("
            f"SELECT s.id, s.merged_into_id, s.deleted_at FROM {profiles} s WHERE s.tenant_id = {tenant}"
            f" AND s.id = {profile} UNION SELECT n.id, n.merged_into_id, n.deleted_at FROM chain c"
            f" JOIN {profiles} n ON n.tenant_id = {tenant} AND n.id = c.merged_into_id)"
            f" SELECT chain.id FROM chain WHERE chain.merged_into_id IS NULL{condition})"
        )

    def visible(self, row: str = "r") -> str:
        """Return the condition that the profile a field, asset or identity belongs to is live.

        Args:
            row: alias of the table of the field, asset or identity.
        """
        return (
            f"EXISTS (SELECT FROM {self.schema}.{PROFILES.table} o WHERE o.tenant_id = {row}.tenant_id"
            f" AND o.id = {row}.profile_id AND o.deleted_at IS NULL)"
        )

    async def lock(
        self, connection: Connection, tenant_id: UUID, profile_id: UUID, *, for_removal: bool = False
    ) -> CustomerProfile | None:
        """Lock and return the row a profile id stands for, deleted or not, without what belongs to it; None = no row.

        Statements that follow in the transaction see all that was written for the profile before, and nothing is
        written for it until the transaction ends.

        Args:
            connection: in a transaction.
            tenant_id: the owner.
            profile_id: the profile, or one that was merged into it.
            for_removal: whether rows that refer to the profile without a lock of it (consents) are waited for too.
        """
        mode = "UPDATE" if for_removal else "NO KEY UPDATE"
        wanted = profile_id
        while True:
            record = await connection.fetchrow(f"{self._lock_profile_text} FOR {mode} OF r", tenant_id, wanted)
            row = None if record is None else PROFILES.load(record)
            if row is None or row.merged_into_id is None:
                return row
            # It was merged while the lock was waited for.
            wanted = row.merged_into_id

    async def lock_live(self, connection: Connection, tenant_id: UUID, profile_id: UUID) -> CustomerProfile:
        """Lock and return the live row a profile id stands for; as ``lock``.

        Raises:
            NotFoundError: there is none.
        """
        row = await self.lock(connection, tenant_id, profile_id)
        if row is None or row.deleted_at is not None:
            raise unknown_profile(profile_id)
        return row

    def insert_text(self, layout: Layout[Any]) -> str:
        """Return the INSERT of one child; its parameters are those of ``owned_values``."""
        names = ", ".join(("tenant_id", "profile_id", *layout.names))
        return f"INSERT INTO {self.schema}.{layout.table} ({names}) VALUES ($1::uuid, $2::uuid, {layout.parameters(3)})"

    async def insert(
        self, connection: Connection, layout: Layout[C], tenant_id: UUID, profile_id: UUID, items: Sequence[C]
    ) -> None:
        """Insert children of a profile, in one round trip; none for none.

        Args:
            connection: in a transaction.
            layout: theirs.
            tenant_id: the owner.
            profile_id: the profile.
            items: what to insert.

        Raises:
            asyncpg.UniqueViolationError: told by ``register_constraints`` at the edge.
        """
        if items:
            rows = [owned_values(layout, tenant_id, profile_id, item) for item in items]
            await connection.executemany(self.insert_text(layout), rows)

    async def erase_tenant(self, tenant_id: UUID) -> int:
        """Remove every row of the tenant by the function that may remove consents."""
        rows = await self.database.write(
            "erase_tenant",
            f"SELECT {self.schema}.erase_tenant_profiles($1::uuid)",
            tenant_id,
            bulk=True,
            maintenance=True,
        )
        removed: int = rows[0][0]
        return removed


def owned_select(layout: Layout[Any], row: str = "r") -> str:
    """Return the select list that ``owned`` reads: the owner, then the columns."""
    return f"{row}.profile_id, {layout.select(row)}"


def owned(layout: Layout[C], record: Record, first: int = 0) -> Owned[C]:
    """Return the child and its owner that ``owned_select`` selected, as stored; ``first`` as of ``Layout.load``."""
    return Owned(record[first], layout.load(record, first + 1))


def owned_values(layout: Layout[C], tenant_id: UUID, profile_id: UUID, item: C) -> list[Any]:
    """Return the parameters of a child: the owner, then ``layout.values``."""
    return [tenant_id, profile_id, *layout.values(item)]


def judged(item: V, now: datetime) -> V:
    """Give an item that was just loaded the status it has at a moment, and return it."""
    item.set_stored(status=effective_status(item, now))
    return item


def unknown_profile(profile_id: UUID) -> NotFoundError:
    """Return the error for a profile id that stands for no live profile."""
    return NotFoundError(f"no profile {profile_id}", hint="create it with get_or_create or save")


def kept_colliding(method: str) -> StoreUnavailableError:
    """Return the error for a call that lost its races ``ATTEMPTS`` times."""
    return StoreUnavailableError(f"{method} kept colliding with others", code="contention")
