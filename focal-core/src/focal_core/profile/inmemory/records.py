"""Profiles as a whole in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.conversation.models import Channel
from focal_core.errors import ConflictError, DuplicateError
from focal_core.gate import admit, identifier, member, moment
from focal_core.inmemory.table import Table
from focal_core.paging import Page, cursor_scope
from focal_core.profile.inmemory.channels import InMemoryProfileChannels
from focal_core.profile.inmemory.tables import Owned
from focal_core.profile.inmemory.versions import InMemoryProfileVersions
from focal_core.profile.lineage import Item
from focal_core.profile.models import (
    ChannelIdentity,
    Consent,
    CustomerProfile,
    SourceType,
    VerificationLevel,
)
from focal_core.profile.versions import id_taken, is_recorded, record_differs

Steps = list[Callable[[], None]]
"""Writes that cannot fail any more."""


class InMemoryProfileRecords(InMemoryProfileVersions, InMemoryProfileChannels):
    """Profiles as a whole in memory."""

    async def get_by_customer_id(
        self, tenant_id: UUID, customer_id: UUID, *, include_history: bool = False
    ) -> CustomerProfile | None:
        row = self._customers.get((tenant_id, customer_id))
        return self.read(None if row is None else self.live(tenant_id, row.id), include_history)

    async def get_by_id(
        self, tenant_id: UUID, profile_id: UUID, *, include_history: bool = False
    ) -> CustomerProfile | None:
        return self.read(self.live(tenant_id, profile_id), include_history)

    async def get_by_channel_identity(
        self, tenant_id: UUID, channel: Channel, channel_user_id: str, *, include_history: bool = False
    ) -> CustomerProfile | None:
        row = self.find_account(tenant_id, channel, channel_user_id)
        return self.read(None if row is None else self.live(tenant_id, row.profile_id), include_history)

    async def get_by_external_id(
        self, tenant_id: UUID, external_id: str, *, include_history: bool = False
    ) -> CustomerProfile | None:
        row = self._external_ids.get((tenant_id, identifier(external_id, "external_id")))
        return self.read(row, include_history)

    async def get_or_create(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> CustomerProfile:
        row = self.find_account(tenant_id, channel, channel_user_id)
        if row is not None:
            return self.assemble(self.require(tenant_id, row.profile_id))
        now, new_id = self.now(), self.context.id_factory
        profile = CustomerProfile(
            id=new_id(), customer_id=new_id(), tenant_id=tenant_id, created_at=now, updated_at=now, row_version=1
        )
        identity = ChannelIdentity(id=new_id(), channel=channel, channel_user_id=channel_user_id, created_at=now)
        self._profiles.put(profile)
        self.put_identities(tenant_id, profile.id, [identity])
        return self.assemble(profile)

    async def save(self, profile: CustomerProfile) -> UUID:
        row = admit(profile, self.context.limits)
        stored = self._profiles.get(row.tenant_id, row.id)
        if stored is not None and stored.merged_into_id is not None:
            raise ConflictError(
                f"profile {row.id} was merged into another one",
                code="merged",
                hint="get_by_id returns the profile that survived; change that one",
            )
        given = validated_copy(row)
        row.set_stored(channel_identities=[], fields={}, field_history={}, assets=[], asset_history=[], consents=[])
        steps: Steps = []

        def check(bare: CustomerProfile) -> None:
            self._check_unique(bare)
            steps.append(
                partial(
                    self.put_identities,
                    row.tenant_id,
                    row.id,
                    self.joining(row.tenant_id, row.id, given.channel_identities),
                )
            )
            steps.extend(self._versions_to_write(profile, given))
            steps.extend(self._consents_to_write(given))

        self.upsert(self._profiles, row, check)
        for step in steps:
            step()
        profile.set_stored(row_version=row.row_version, created_at=row.created_at, updated_at=row.updated_at)
        return row.id

    async def delete(self, tenant_id: UUID, profile_id: UUID) -> bool:
        if not self.soft_delete(self._profiles, tenant_id, profile_id):
            return False
        for row in list(self._identities_of.rows((tenant_id, profile_id))):
            self._identities.remove(tenant_id, row.id)
        return True

    async def erase_profile(self, tenant_id: UUID, profile_id: UUID) -> int:
        survivor = self.survivor(tenant_id, profile_id)
        doomed = [] if survivor is None else [survivor.id]
        for id in doomed:
            doomed.extend(row.id for row in self._merged_into.rows((tenant_id, id)))
        return sum(self._erase(tenant_id, id) for id in doomed)

    async def list_profiles(
        self, tenant_id: UUID, *, updated_since: datetime | None = None, limit: int = 100, after: str | None = None
    ) -> Page[CustomerProfile]:
        since = moment(updated_since, "updated_since")
        return self._profiles_in_order.page(
            tenant_id,
            scope=cursor_scope(tenant_id, "list_profiles", updated_since=since),
            limit=limit,
            cap=self.cap,
            after=after,
            keep=lambda row: since is None or row.updated_at >= since,
            copy=self.assemble,
        )

    async def record_consent(self, tenant_id: UUID, profile_id: UUID, consent: Consent) -> UUID:
        item = admit(consent, self.context.limits)
        profile = self.require(tenant_id, profile_id)
        if self._is_new_consent(tenant_id, profile.id, item):
            self._consents.put(Owned(tenant_id, profile.id, item))
        return item.id

    async def set_verification_level(self, tenant_id: UUID, profile_id: UUID, level: VerificationLevel) -> None:
        wanted = member(VerificationLevel, level, "level")
        profile = self.require(tenant_id, profile_id)
        if profile.verification_level is wanted:
            return
        row = validated_copy(profile)
        row.set_stored(verification_level=wanted, updated_at=self.now(), row_version=profile.row_version + 1)
        self._profiles.put(row)

    def _check_unique(self, row: CustomerProfile) -> None:
        for index, name in ((self._customers, "customer_id"), (self._external_ids, "external_id")):
            if index.owner_other_than(row) is not None:
                raise DuplicateError(
                    f"another profile has the {name} of profile {row.id}",
                    code=f"{name}_taken",
                    hint="merge the two profiles if they are one customer",
                )

    def _versions_to_write(self, profile: CustomerProfile, given: CustomerProfile) -> Steps:
        """Return the writes for the fields and assets of a profile that is saved, after all their checks.

        Args:
            profile: the caller's object; edited versions get their new ids there.
            given: an admitted copy of it.
        """
        place, now, steps = (given.tenant_id, given.id), self.now(), Steps()
        arriving: dict[tuple[SourceType, UUID], Item] = {}
        for original, field in zip(profile.fields.values(), given.fields.values(), strict=True):
            if self.is_news(self._fields, *place, field, now):
                _enter(arriving, SourceType.PROFILE_FIELD, field)
                current = self._active_names.get((*place, field.name))
                steps.append(partial(self.write, self._fields, *place, field, current, now))
                steps.append(partial(original.set_stored, id=field.id))
        for edited, asset in zip(profile.assets, given.assets, strict=True):
            if self.is_news(self._assets, *place, asset, now):
                _enter(arriving, SourceType.PROFILE_ASSET, asset)
                steps.append(
                    partial(self.write, self._assets, *place, asset, self._assets.get(given.tenant_id, edited.id), now)
                )
                steps.append(partial(edited.set_stored, id=asset.id))
        for item in arriving.values():
            self.check_source(*place, item, arriving)
        return steps

    def _consents_to_write(self, given: CustomerProfile) -> Steps:
        return [
            partial(self._consents.put, Owned(given.tenant_id, given.id, consent))
            for consent in given.consents
            if self._is_new_consent(given.tenant_id, given.id, consent)
        ]

    def _is_new_consent(self, tenant_id: UUID, profile_id: UUID, item: Consent) -> bool:
        stored = self._consents.get(tenant_id, item.id)
        if stored is None:
            item.set_stored(created_at=self.now())
            return True
        if stored.profile_id != profile_id:
            raise id_taken(item)
        if not is_recorded(item, stored.item):
            raise record_differs(item)
        return False

    def _erase(self, tenant_id: UUID, profile_id: UUID) -> int:
        place = (tenant_id, profile_id)
        rows: list[tuple[Table[Any], list[Owned[Any]]]] = [
            (self._fields, list(self._fields.of_profile.rows(place))),
            (self._assets, list(self._assets.of_profile.rows(place))),
            (self._identities, list(self._identities_of.rows(place))),
            (self._consents, list(self._consents_of.rows(place))),
        ]
        erased = [table.remove(tenant_id, row.id) for table, found in rows for row in found]
        self._profiles.remove(tenant_id, profile_id)
        return len(erased) + 1


def _enter(arriving: dict[tuple[SourceType, UUID], Item], kind: SourceType, item: Item) -> None:
    if (kind, item.id) in arriving:
        raise id_taken(item)
    arriving[kind, item.id] = item
