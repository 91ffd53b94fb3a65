"""The tables of the in-memory profile store, and what its parts share: finding, assembling, superseding."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.context import BackendContext
from focal_core.errors import NotFoundError
from focal_core.inmemory.store import InMemoryStore
from focal_core.inmemory.table import OrderedIndex, Table, UniqueIndex, micros
from focal_core.profile.identities import account
from focal_core.profile.models import (
    ChannelIdentity,
    Consent,
    CustomerProfile,
    ItemStatus,
    ProfileAsset,
    ProfileField,
    SourceType,
)
from focal_core.profile.status import as_read, is_active

C = TypeVar("C", bound=ProfileField | ProfileAsset | ChannelIdentity | Consent)
V = TypeVar("V", bound=ProfileField | ProfileAsset)


@dataclass(frozen=True, slots=True)
class Owned(Generic[C]):
    """Something that belongs to a profile."""

    tenant_id: UUID
    profile_id: UUID
    item: C

    @property
    def id(self) -> UUID:
        """The id of what belongs to the profile."""
        return self.item.id


def _of_profile(row: Owned[Any]) -> Hashable:
    return row.tenant_id, row.profile_id


def _oldest_first(row: Owned[V]) -> tuple[int, str]:
    return micros(row.item.taken_at), str(row.id)


def _newest_first(row: Owned[V]) -> tuple[int, int]:
    return -micros(row.item.taken_at), -row.id.int


class VersionTable(Table[Owned[V]]):
    """The versions of fields, or of assets.

    Attributes:
        of_profile: all of a profile, newest first.
        of_name: all of a profile and name, newest first.
        active: those of a profile that are stored as active, oldest first.
        of_source: what was derived from an item, oldest first.
        due: those of a tenant that are stored as active and will expire, the first to expire first.
    """

    def __init__(self, *indexes: UniqueIndex[Owned[V]]) -> None:
        self.of_profile = OrderedIndex[Owned[V]](_of_profile, _newest_first)
        self.of_name = OrderedIndex[Owned[V]](lambda row: (row.tenant_id, row.profile_id, row.item.name), _newest_first)
        self.active = OrderedIndex[Owned[V]](
            lambda row: _of_profile(row) if row.item.status is ItemStatus.ACTIVE else None, _oldest_first
        )
        self.of_source = OrderedIndex[Owned[V]](
            lambda row: None if row.item.source_item_id is None else (row.tenant_id, row.item.source_item_id),
            _oldest_first,
        )
        self.due = OrderedIndex[Owned[V]](
            lambda row: row.tenant_id if row.item.status is ItemStatus.ACTIVE and row.item.expires_at else None,
            lambda row: (micros(row.item.expires_at or row.item.taken_at), str(row.id)),
        )
        super().__init__(self.of_profile, self.of_name, self.active, self.of_source, self.due, *indexes)

    def change(self, row: Owned[V], now: datetime, **values: Any) -> None:
        """Replace a stored row by a copy with other values."""
        item = validated_copy(row.item)
        if isinstance(item, ProfileField):
            item.set_stored(updated_at=now)
        item.set_stored(**values)
        self.put(Owned(row.tenant_id, row.profile_id, item))

    def supersede(self, row: Owned[V], by: UUID, now: datetime) -> None:
        """Mark a stored row superseded by another version."""
        self.change(row, now, status=ItemStatus.SUPERSEDED, superseded_by_id=by, superseded_at=now)


class ProfileTables(InMemoryStore):
    """Base of the parts of the in-memory profile store."""

    tables: ClassVar[tuple[str, ...]] = (
        "_profiles",
        "_identities",
        "_fields",
        "_assets",
        "_consents",
        "_definitions",
        "_requirements",
    )

    def __init__(self, context: BackendContext | None = None) -> None:
        super().__init__(context)
        self._profiles_in_order = OrderedIndex[CustomerProfile](
            lambda row: row.tenant_id if row.deleted_at is None else None,
            lambda row: (micros(row.created_at), str(row.id)),
        )
        self._merged_into = OrderedIndex[CustomerProfile](
            lambda row: None if row.merged_into_id is None else (row.tenant_id, row.merged_into_id),
            lambda row: (str(row.id),),
        )
        self._customers = UniqueIndex[CustomerProfile](lambda row: (row.tenant_id, row.customer_id))
        self._external_ids = UniqueIndex[CustomerProfile](
            lambda row: None if row.external_id is None or row.deleted_at else (row.tenant_id, row.external_id)
        )
        self._profiles = Table[CustomerProfile](
            self._profiles_in_order, self._merged_into, self._customers, self._external_ids
        )
        self._identities_of = OrderedIndex[Owned[ChannelIdentity]](_of_profile, _by_creation)
        self._accounts = UniqueIndex[Owned[ChannelIdentity]](lambda row: (row.tenant_id, *account(row.item)))
        self._identities = Table[Owned[ChannelIdentity]](self._identities_of, self._accounts)

        self._consents_of = OrderedIndex[Owned[Consent]](_of_profile, _by_creation)
        self._consents = Table[Owned[Consent]](self._consents_of)

        self._active_names = UniqueIndex[Owned[ProfileField]](
            lambda row: _name_of(row) if row.item.status is ItemStatus.ACTIVE else None
        )
        self._fields = VersionTable[ProfileField](self._active_names)
        self._assets = VersionTable[ProfileAsset]()

    def now(self) -> datetime:
        """Return the store's moment."""
        return self.context.clock.now()

    def survivor(self, tenant_id: UUID, profile_id: UUID) -> CustomerProfile | None:
        """Return the row a profile id stands for after all merges, deleted or not."""
        row = self._profiles.get(tenant_id, profile_id)
        while row is not None and row.merged_into_id is not None:
            row = self._profiles.get(tenant_id, row.merged_into_id)
        return row

    def live(self, tenant_id: UUID, profile_id: UUID) -> CustomerProfile | None:
        """Return the live row a profile id stands for."""
        row = self.survivor(tenant_id, profile_id)
        return None if row is None or row.deleted_at is not None else row

    def require(self, tenant_id: UUID, profile_id: UUID) -> CustomerProfile:
        """Return the live row a profile id stands for.

        Raises:
            NotFoundError: there is none.
        """
        row = self.live(tenant_id, profile_id)
        if row is None:
            raise NotFoundError(f"no profile {profile_id}", hint="create it with get_or_create or save")
        return row

    def is_visible(self, row: Owned[Any]) -> bool:
        """Return whether the profile something belongs to is live."""
        return self.live(row.tenant_id, row.profile_id) is not None

    def table_of(self, kind: SourceType) -> VersionTable[Any]:
        """Return the table of fields or of assets."""
        return self._fields if kind is SourceType.PROFILE_FIELD else self._assets

    @property
    def version_tables(self) -> tuple[VersionTable[Any], VersionTable[Any]]:
        """Fields and assets."""
        return self._fields, self._assets

    def read(self, row: CustomerProfile | None, include_history: bool = False) -> CustomerProfile | None:
        """Return a profile with all that belongs to it; None for no row."""
        return None if row is None else self.assemble(row, include_history)

    def assemble(self, row: CustomerProfile, include_history: bool = False) -> CustomerProfile:
        """Return a copy of a row with all that belongs to it, as of now."""
        now, place = self.now(), (row.tenant_id, row.id)
        fields = [as_read(one.item, now) for one in self._fields.active.rows(place) if is_active(one.item, now)]
        profile = validated_copy(row)
        profile.set_stored(
            channel_identities=[validated_copy(one.item) for one in self._identities_of.rows(place)],
            fields={field.name: field for field in fields},
            assets=[as_read(one.item, now) for one in self._assets.active.rows(place) if is_active(one.item, now)],
            consents=[validated_copy(one.item) for one in self._consents_of.rows(place)],
        )
        if include_history:
            history: dict[str, list[ProfileField]] = {}
            for field in self._past(self._fields, place, now):
                history.setdefault(field.name, []).append(field)
            profile.set_stored(field_history=history, asset_history=list(self._past(self._assets, place, now)))
        return profile

    @staticmethod
    def _past(table: VersionTable[V], place: tuple[UUID, UUID], now: datetime) -> Iterator[V]:
        return (as_read(row.item, now) for row in table.of_profile.rows(place) if not is_active(row.item, now))


def _by_creation(row: Owned[Any]) -> tuple[int, str]:
    return micros(row.item.created_at), str(row.id)


def _name_of(row: Owned[ProfileField]) -> tuple[UUID, UUID, str]:
    return row.tenant_id, row.profile_id, row.item.name
