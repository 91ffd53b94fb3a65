"""Whole profiles, read in one statement."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from focal_core.profile.models import ChannelIdentity, Consent, CustomerProfile, ProfileAsset, ProfileField
from focal_core.profile.status import is_active
from focal_postgres.profile.rows import Rows
from focal_postgres.profile.tables import (
    ASSETS,
    CONSENTS,
    FIELDS,
    IDENTITIES,
    PROFILES,
    PostgresProfileTables,
    judged,
)
from focal_postgres.transaction import Record

V = TypeVar("V", bound=ProfileField | ProfileAsset)

_ROWS = Rows(PROFILES, IDENTITIES, FIELDS, ASSETS, CONSENTS)


class PostgresProfileAssembly(PostgresProfileTables):
    """Reading profiles with all that belongs to them."""

    def live_profile(self, profile: str = "$2") -> str:
        """Return the SELECT of ``PROFILES.select()`` for the live profile a profile id of tenant ``$1`` stands for.

        Args:
            profile: SQL expression of the profile id.
        """
        return (
            f"SELECT {PROFILES.select()} FROM {PROFILES.source(self.schema)}"
            f" WHERE r.tenant_id = $1 AND r.id = {self.live_id(profile=profile)}"
        )

    async def read(
        self, method: str, found: str, *args: object, include_history: bool = False, settles: bool = False
    ) -> CustomerProfile | None:
        """Return the profile a SELECT of ``PROFILES.select()`` finds, with all that belongs to it, or None.

        Args:
            method: the store's method.
            found: the SELECT, as for ``profiles_text``.
            args: its parameters.
            include_history: whether to fill the histories.
            settles: as of ``Database.fetch``.
        """
        rows = await self.database.fetch(method, self.profiles_text(found, include_history), *args, settles=settles)
        return next(iter(self.assembled(rows, include_history)), None)

    def profiles_text(self, found: str, include_history: bool = False) -> str:
        """Return the statement whose rows ``assembled`` takes.

        Args:
            found: a SELECT of ``PROFILES.select()``; its own WITH clause may only be inside parentheses.
            include_history: whether to read versions that are not active too.
        """
        return _profiles_text(self.schema, found, include_history)

    def assembled(self, records: Sequence[Record], include_history: bool = False) -> list[CustomerProfile]:
        """Return the profiles that the rows of ``profiles_text`` make, as of now; by created_at, then id."""
        now = self.now()
        profiles: dict[UUID, CustomerProfile] = {}
        belonging: dict[UUID, tuple[list[Any], ...]] = defaultdict(lambda: ([], [], [], []))
        for part in map(_ROWS.load, records):
            if part.at == 0:
                profiles[part.owner] = part.item
            else:
                belonging[part.owner][part.at - 1].append(part.item)
        for id, profile in profiles.items():
            _fill(profile, *belonging[id], now=now, include_history=include_history)
        return sorted(profiles.values(), key=lambda profile: (profile.created_at, profile.id))


@functools.cache
def _profiles_text(schema: str, found: str, include_history: bool) -> str:
    theirs = "r ON r.tenant_id = p.tenant_id AND r.profile_id = p.id"
    active = "" if include_history else " AND r.status = 'active'"
    parts = (
        _ROWS.select(PROFILES, "p r", "r.id"),
        _ROWS.select(IDENTITIES, f"p JOIN {schema}.{IDENTITIES.table} {theirs}"),
        _ROWS.select(FIELDS, f"p JOIN {schema}.{FIELDS.table} {theirs}{active}"),
        _ROWS.select(ASSETS, f"p JOIN {schema}.{ASSETS.table} {theirs}{active}"),
        # Consents stay with the profile they were given to.
        _ROWS.select(CONSENTS, f"tree p JOIN {schema}.{CONSENTS.table} {theirs}", "p.survivor_id"),
    )
    return (
        f"WITH RECURSIVE p AS ({found}),"
        " tree AS (SELECT p.tenant_id, p.id, p.id AS survivor_id FROM p UNION"
        f" SELECT m.tenant_id, m.id, t.survivor_id FROM tree t JOIN {schema}.{PROFILES.table} m"
        " ON m.tenant_id = t.tenant_id AND m.merged_into_id = t.id)"
        f" {' UNION ALL '.join(parts)}"
    )


def _fill(
    profile: CustomerProfile,
    identities: list[ChannelIdentity],
    fields: list[ProfileField],
    assets: list[ProfileAsset],
    consents: list[Consent],
    *,
    now: datetime,
    include_history: bool,
) -> None:
    profile.set_stored(
        channel_identities=sorted(identities, key=_by_creation),
        fields={field.name: field for field in _present(fields, now)},
        assets=_present(assets, now),
        consents=sorted(consents, key=_by_creation),
    )
    if include_history:
        history: dict[str, list[ProfileField]] = {}
        for field in _past(fields, now):
            history.setdefault(field.name, []).append(field)
        profile.set_stored(field_history=history, asset_history=_past(assets, now))


def _present(items: list[V], now: datetime) -> list[V]:
    """Return the items that count at a moment, oldest first."""
    return sorted((item for item in items if is_active(item, now)), key=_by_age)


def _past(items: list[V], now: datetime) -> list[V]:
    """Return the items that do not count, newest first, each with the status it has at the moment."""
    return sorted((judged(item, now) for item in items if not is_active(item, now)), key=_by_age, reverse=True)


def _by_age(item: ProfileField | ProfileAsset) -> tuple[datetime, UUID]:
    return item.taken_at, item.id


def _by_creation(item: ChannelIdentity | Consent) -> tuple[datetime, UUID]:
    return item.created_at, item.id
