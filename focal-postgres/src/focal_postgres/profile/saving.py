"""Saving a profile with what it holds on PostgreSQL, and recording consents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.context import BackendContext
from focal_core.errors import ConflictError, InvalidDataError
from focal_core.gate import admit, stamp
from focal_core.profile.lineage import Item
from focal_core.profile.models import (
    ChannelIdentity,
    Consent,
    CustomerProfile,
    ItemStatus,
    ProfileAsset,
    ProfileField,
    ProfileFieldDefinition,
    SourceType,
)
from focal_core.profile.status import is_active
from focal_core.profile.versions import id_taken, is_recorded, is_repeat, prepare, record_differs
from focal_postgres.database import Database
from focal_postgres.layout import Layout
from focal_postgres.profile.channels import PostgresProfileChannels
from focal_postgres.profile.lineage import PostgresProfileLineage
from focal_postgres.profile.rows import Part, Rows
from focal_postgres.profile.tables import (
    ASSETS,
    CONSENTS,
    DEFINITIONS,
    FIELDS,
    IDENTITIES,
    PROFILES,
    Owned,
    owned_values,
    unknown_profile,
)
from focal_postgres.transaction import Connection
from focal_postgres.upsert import upsert_text

V = TypeVar("V", bound=ProfileField | ProfileAsset)

_ROWS = Rows(IDENTITIES, FIELDS, ASSETS, CONSENTS, DEFINITIONS)


class _Stored:
    """What is stored that the parts of a profile can collide with, by id."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self.identities: list[Owned[ChannelIdentity]] = []
        self.fields: dict[UUID, Owned[ProfileField]] = {}
        self.assets: dict[UUID, Owned[ProfileAsset]] = {}
        self.consents: dict[UUID, Owned[Consent]] = {}
        self.definitions: dict[UUID, ProfileFieldDefinition] = {}
        kept: list[Any] = [None, self.fields, self.assets, self.consents]
        for part in parts:
            if part.at == 0:
                self.identities.append(Owned(part.owner, part.item))
            elif part.at == len(kept):
                self.definitions[part.item.id] = part.item
            else:
                kept[part.at][part.item.id] = Owned(part.owner, part.item)


class _News(NamedTuple):
    """A version that is to be written.

    Attributes:
        original: the caller's object.
        item: what is written.
        superseded: the stored version whose place it takes.
    """

    original: Item
    item: Item
    superseded: UUID | None


class PostgresProfileSaving(PostgresProfileLineage, PostgresProfileChannels):
    """Saving on PostgreSQL: the upsert of the profile's row locks it, then everything is looked at, then written."""

    def __init__(self, database: Database, context: BackendContext | None = None) -> None:
        super().__init__(database, context)
        fields, assets, consents, definitions = (
            f"{self.schema}.{layout.table} r WHERE r.tenant_id = $1 AND"
            for layout in (FIELDS, ASSETS, CONSENTS, DEFINITIONS)
        )
        self._consent_owner = self.survivor_id(profile="r.profile_id")
        parts = (
            _ROWS.select(IDENTITIES, self.related_identities_source()),
            _ROWS.select(
                FIELDS,
                f"{fields} (r.id = ANY($6::uuid[]) OR r.profile_id = $2 AND r.status = 'active'"
                " AND r.field_name = ANY($7::text[]))",
            ),
            _ROWS.select(ASSETS, f"{assets} r.id = ANY($8::uuid[])"),
            _ROWS.select(CONSENTS, f"{consents} r.id = ANY($9::uuid[])", self._consent_owner),
            _ROWS.select(DEFINITIONS, f"{definitions} r.id = ANY($10::uuid[])", "$2"),
        )
        self._profile_text = upsert_text(PROFILES, self.schema, " AND t.merged_into_id IS NULL")
        self._stored_parts_text = " UNION ALL ".join(parts)
        names = ", ".join(("tenant_id", "profile_id", *CONSENTS.names))
        self._consent_text = (
            f"INSERT INTO {self.schema}.{CONSENTS.table} ({names}) SELECT $1::uuid, l.id, {CONSENTS.parameters(3)}"
            f" FROM (SELECT {self.live_id()} AS id) l WHERE l.id IS NOT NULL"
            " ON CONFLICT (tenant_id, id) DO NOTHING RETURNING 1"
        )
        self._known_consent_text = (
            f"SELECT l.id AS live_id, {self._consent_owner} AS owner, {CONSENTS.select()}"
            f" FROM (SELECT {self.live_id()} AS id) l"
            f" LEFT JOIN {self.schema}.{CONSENTS.table} r ON r.tenant_id = $1 AND r.id = $3"
        )

    async def save(self, profile: CustomerProfile) -> UUID:
        admitted = admit(profile, self.context.limits)
        bare, now = validated_copy(admitted), self.now()
        bare.set_stored(channel_identities=[], fields={}, field_history={}, assets=[], asset_history=[], consents=[])
        stamp(bare, None, now)
        expected, revival = bare.row_version, "deleted_at" in bare.model_fields_set
        values = PROFILES.values(bare)
        values[PROFILES.names.index("row_version")] = 1
        parameters = [*values, expected, revival]
        originals: tuple[list[ProfileField], list[ProfileAsset]] = [*profile.fields.values()], [*profile.assets]
        news: list[_News] = []

        async def work(connection: Connection) -> list[Any]:
            saved: list[Any] = await connection.fetch(self._profile_text, *parameters)
            if saved:
                news[:] = await self._save_parts(connection, originals, validated_copy(admitted), now)
            return saved

        if admitted.channel_identities or admitted.fields or admitted.assets or admitted.consents:
            saved = await self.database.transaction("save", work)
        else:
            saved = await self.database.write("save", self._profile_text, *parameters, repeat=expected > 0)
        if not saved:
            stored = await self.get_row("save", PROFILES, bare.tenant_id, bare.id, settles=True)
            if stored is not None and stored.merged_into_id is not None:
                raise ConflictError(
                    f"profile {bare.id} was merged into another one",
                    code="merged",
                    hint="get_by_id returns the profile that survived; change that one",
                )
            self.advance(profile, await self._refused("save", PROFILES, bare, expected, revival, saved))
            return bare.id
        for one in news:
            one.original.set_stored(id=one.item.id)
        profile.set_stored(row_version=saved[0]["row_version"], created_at=saved[0]["created_at"], updated_at=now)
        return bare.id

    async def _save_parts(
        self,
        connection: Connection,
        originals: tuple[Sequence[ProfileField], Sequence[ProfileAsset]],
        given: CustomerProfile,
        now: datetime,
    ) -> list[_News]:
        """Write what a profile holds whose row is locked, after all checks, and return the versions written.

        Args:
            connection: in the transaction.
            originals: the caller's fields and assets.
            given: an admitted copy of the profile.
            now: the moment.
        """
        tenant_id, id = given.tenant_id, given.id
        stored = _Stored(map(_ROWS.load, await connection.fetch(self._stored_parts_text, *self._asked(given))))
        active = {
            owned.item.name: owned.item.id
            for owned in stored.fields.values()
            if owned.profile_id == id and owned.item.status is ItemStatus.ACTIVE
        }
        fields = [
            _News(original, field, active.get(field.name))
            for original, field in zip(originals[0], given.fields.values(), strict=True)
            if self._is_news(field, stored.fields.get(field.id), id, now, _definition_for(field, stored.definitions))
        ]
        assets = [
            _News(original, asset, original.id if original.id in stored.assets else None)
            for original, asset in zip(originals[1], given.assets, strict=True)
            if self._is_news(asset, stored.assets.get(asset.id), id, now)
        ]
        consents = [one for one in given.consents if self._is_new_consent(one, stored.consents.get(one.id), id)]
        await self.join(connection, tenant_id, id, given.channel_identities, stored.identities)
        arriving: dict[tuple[SourceType, UUID], Item] = {}
        for kind, news in ((SourceType.PROFILE_FIELD, fields), (SourceType.PROFILE_ASSET, assets)):
            for one in news:
                if (kind, one.item.id) in arriving:
                    raise id_taken(one.item)
                arriving[kind, one.item.id] = one.item
        await self.check_sources(connection.fetch, tenant_id, id, arriving.values(), arriving, lock=True)
        await self._write_versions(connection, FIELDS, tenant_id, id, fields, now)
        await self._write_versions(connection, ASSETS, tenant_id, id, assets, now)
        await self.insert(connection, CONSENTS, tenant_id, id, consents)
        return fields + assets

    def _asked(self, given: CustomerProfile) -> list[Any]:
        definitions = [one.field_definition_id for one in given.fields.values() if one.field_definition_id is not None]
        return [
            *self.related_identities_arguments(given.tenant_id, given.id, given.channel_identities),
            [one.id for one in given.fields.values()],
            list(given.fields),
            [one.id for one in given.assets],
            [one.id for one in given.consents],
            definitions,
        ]

    def _is_news(
        self,
        item: V,
        known: Owned[V] | None,
        profile_id: UUID,
        now: datetime,
        definition: ProfileFieldDefinition | None = None,
    ) -> bool:
        """Prepare an item, and return whether it has to be written; an edited active version gets a new id."""
        if known is not None and known.profile_id != profile_id:
            raise id_taken(item)
        stored = None if known is None else known.item
        prepare(item, stored, self.context.profile_policy, definition)
        if stored is None:
            return True
        if not is_active(stored, now) or is_repeat(item, stored, self.context.profile_policy):
            return False
        if isinstance(item, ProfileField) and item.name != stored.name:
            raise id_taken(item)
        item.set_stored(id=self.context.id_factory())
        return True

    async def _write_versions(
        self,
        connection: Connection,
        layout: Layout[Any],
        tenant_id: UUID,
        profile_id: UUID,
        news: Sequence[_News],
        now: datetime,
    ) -> None:
        touched = ", updated_at = $2" if layout is FIELDS else ""
        if closing := [(one.superseded, one.item.id) for one in news if one.superseded is not None]:
            await connection.execute(
                f"UPDATE {self.schema}.{layout.table} r SET status = 'superseded', superseded_by_id = c.superseded_by,"
                f" superseded_at = $2{touched} FROM unnest($3::uuid[], $4::uuid[]) AS c (id, superseded_by)"
                " WHERE r.tenant_id = $1 AND r.id = c.id",
                tenant_id,
                now,
                [closed for closed, _ in closing],
                [by for _, by in closing],
            )
        for one in news:
            if isinstance(one.item, ProfileField):
                one.item.set_stored(updated_at=now)
        await self.insert(connection, layout, tenant_id, profile_id, [one.item for one in news])

    async def record_consent(self, tenant_id: UUID, profile_id: UUID, consent: Consent) -> UUID:
        item = admit(consent, self.context.limits)
        given = validated_copy(item)
        given.set_stored(created_at=self.now())
        values = owned_values(CONSENTS, tenant_id, profile_id, given)
        try:
            recorded = await self.database.write("record_consent", self._consent_text, *values, repeat=True)
        except InvalidDataError as error:
            if error.details.get("sqlstate") == "23503":
                # The profile was erased after it had been looked up.
                raise unknown_profile(profile_id) from None
            raise
        if not recorded:
            row = await self.database.fetchrow(
                "record_consent", self._known_consent_text, tenant_id, profile_id, item.id, settles=True
            )
            if row is None or row["live_id"] is None:
                raise unknown_profile(profile_id)
            self._is_new_consent(item, Owned(row["owner"], CONSENTS.load(row, 2)), row["live_id"])
        return item.id

    def _is_new_consent(self, item: Consent, known: Owned[Consent] | None, profile_id: UUID) -> bool:
        """Return whether a consent has to be recorded, after dating it.

        Raises:
            DuplicateError: its id is stored for another profile, or with other content.
        """
        if known is None:
            item.set_stored(created_at=self.now())
            return True
        if known.profile_id != profile_id:
            raise id_taken(item)
        if not is_recorded(item, known.item):
            raise record_differs(item)
        return False


def _definition_for(
    field: ProfileField, definitions: dict[UUID, ProfileFieldDefinition]
) -> ProfileFieldDefinition | None:
    """Return the enabled definition a field names, if it is one of its name."""
    found = None if field.field_definition_id is None else definitions.get(field.field_definition_id)
    return found if found is not None and found.enabled and found.name == field.name else None
