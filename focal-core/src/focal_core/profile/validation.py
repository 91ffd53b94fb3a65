"""Fields held against their definitions: the service that judges, and the store that refuses."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from focal_core.errors import SchemaValidationError
from focal_core.gate import admit
from focal_core.profile.conformance import violations
from focal_core.profile.delegation import DelegatingProfileStore
from focal_core.profile.models import CustomerProfile, ProfileField, ProfileFieldDefinition, ValidationMode
from focal_core.profile.policy import ProfilePolicy
from focal_core.profile.store import ProfileStore
from focal_core.values import canonical_json

logger = logging.getLogger("focal.profile")

Key = tuple[UUID, UUID | None, str | UUID]
"""(tenant, agent, field name), or (tenant, None, definition id)."""


@dataclass(frozen=True)
class _Entry:
    definition: ProfileFieldDefinition | None
    expires_at: datetime


class SchemaValidationService:
    """Judges fields by their definitions, which it remembers for a while, absent ones too.

    Args:
        profile_store: where the definitions are; its clock is the service's.
        ttl: how long a definition is believed without another look.
        max_entries: definitions remembered at most; the one that came first goes first.

    Attributes:
        violation_counts: kind of violation (``type``, ``regex``, ``allowed_values``, ``verification``) -> how often
            it was found.
    """

    def __init__(
        self, profile_store: ProfileStore, *, ttl: timedelta = timedelta(seconds=60), max_entries: int = 10_000
    ) -> None:
        self._store = profile_store
        self._ttl = ttl
        self._max_entries = max_entries
        self._entries: dict[Key, _Entry] = {}
        self.violation_counts: dict[str, int] = {}

    async def get_definition(self, tenant_id: UUID, agent_id: UUID, field_name: str) -> ProfileFieldDefinition | None:
        """Return an agent's definition of a field, enabled or not, or None; not to be changed.

        Raises:
            StoreUnavailableError: it is not remembered and the store does not answer; safe to retry.
        """
        return await self._look_up(
            (tenant_id, agent_id, field_name),
            lambda: self._store.get_field_definition(tenant_id, agent_id, field_name),
        )

    async def get_definition_by_id(self, tenant_id: UUID, definition_id: UUID) -> ProfileFieldDefinition | None:
        """Return a definition, enabled or not, or None; not to be changed.

        Raises:
            StoreUnavailableError: it is not remembered and the store does not answer; safe to retry.
        """
        return await self._look_up(
            (tenant_id, None, definition_id),
            lambda: self._store.get_field_definition_by_id(tenant_id, definition_id),
        )

    async def find_definition(
        self, tenant_id: UUID, field: ProfileField, agent_id: UUID | None = None
    ) -> ProfileFieldDefinition | None:
        """Return the enabled definition a field follows: the one it names, else the agent's, else None."""
        if field.field_definition_id is not None:
            named = await self.get_definition_by_id(tenant_id, field.field_definition_id)
            if named is not None and named.enabled and named.name == field.name:
                return named
        if agent_id is None:
            return None
        found = await self.get_definition(tenant_id, agent_id, field.name)
        return found if found is not None and found.enabled else None

    def validate_field(self, field: ProfileField, definition: ProfileFieldDefinition) -> list[str]:
        """Return what a field violates of its definition, one sentence each without the value; empty when disabled.

        The value has the definition's type. A text of at most 4,096 characters matches the whole of
        ``validation_regex``. The value is one of ``allowed_values``, types included. It is verified, if it has to be.
        """
        if definition.validation_mode is ValidationMode.DISABLED:
            return []
        found = violations(field, definition)
        for kind in found:
            self.violation_counts[kind] = self.violation_counts.get(kind, 0) + 1
        return list(found.values())

    async def validate_and_raise(self, tenant_id: UUID, agent_id: UUID, field: ProfileField) -> None:
        """Refuse a field that violates its definition; without a definition every field passes.

        Raises:
            SchemaValidationError: it does, and the definition is strict; in mode warn it is logged instead.
            StoreUnavailableError: the store does not answer; safe to retry.
        """
        definition = await self.find_definition(tenant_id, field, agent_id)
        if definition is not None:
            self.enforce(field, definition)

    def enforce(self, field: ProfileField, definition: ProfileFieldDefinition) -> None:
        """Refuse a field that violates a strict definition, and log one that violates a definition in mode warn.

        Raises:
            SchemaValidationError: the definition is strict.
        """
        errors = self.validate_field(field, definition)
        if errors and definition.validation_mode is ValidationMode.STRICT:
            raise SchemaValidationError(
                field.name, errors, hint=f"change the value, or the definition {definition.id} of the field"
            )
        if errors:
            logger.warning("field %s violates definition %s: %s", field.id, definition.id, "; ".join(errors))

    def invalidate(self, tenant_id: UUID, agent_id: UUID, field_name: str | None = None) -> None:
        """Forget what is remembered of an agent's field, or of all its fields."""

        def concerns(key: Key) -> bool:
            # Which ids are the agent's is not known of absent ones, so all of the tenant's are forgotten.
            return key[0] == tenant_id and (key[1] is None or (key[1] == agent_id and field_name in (None, key[2])))

        self._entries = {key: entry for key, entry in self._entries.items() if not concerns(key)}

    async def _look_up(
        self, key: Key, fetch: Callable[[], Awaitable[ProfileFieldDefinition | None]]
    ) -> ProfileFieldDefinition | None:
        # What is fetched while `invalidate` replaces the dict goes into the old one, and is forgotten with it.
        entries, now = self._entries, self._store.context.clock.now()
        entry = entries.get(key)
        if entry is None or entry.expires_at <= now:
            entry = _Entry(await fetch(), now + self._ttl)
            entries[key] = entry
            while len(entries) > self._max_entries:
                del entries[next(iter(entries))]
        return entry.definition


class ValidatingProfileStore(DelegatingProfileStore):
    """A profile store that holds fields against their definitions before it lets another store write them.

    A field follows the definition it names, else that of the agent given to ``update_field``. One without a
    definition is accepted, or refused under ``ProfilePolicy.validation_strict``.

    Args:
        backend: the store that writes.
        service: judges; should read from the same store.
        policy: tells ``validation_strict``; the backend's own when None.
    """

    def __init__(
        self, backend: ProfileStore, service: SchemaValidationService | None = None, policy: ProfilePolicy | None = None
    ) -> None:
        super().__init__(backend)
        self._service = service or SchemaValidationService(backend)
        self._policy = policy or backend.context.profile_policy

    async def update_field(
        self,
        tenant_id: UUID,
        profile_id: UUID,
        field: ProfileField,
        *,
        supersede_existing: bool = True,
        agent_id: UUID | None = None,
    ) -> UUID:
        """Store a new version of a field after holding it against its definition."""
        await self._check(tenant_id, field, agent_id)
        return await self.backend.update_field(
            tenant_id, profile_id, field, supersede_existing=supersede_existing, agent_id=agent_id
        )

    async def save(self, profile: CustomerProfile) -> UUID:
        """Save a profile after holding the fields that it adds or edits against their definitions."""
        changed = await self._changed_fields(profile) if profile.fields else []
        for field in changed:
            await self._check(profile.tenant_id, field, None)
        return await self.backend.save(profile)

    async def save_field_definition(self, definition: ProfileFieldDefinition) -> UUID:
        """Save a definition, which holds from the next write on."""
        saved = await self.backend.save_field_definition(definition)
        self._service.invalidate(definition.tenant_id, definition.agent_id)
        return saved

    async def delete_field_definition(self, tenant_id: UUID, agent_id: UUID, field_name: str) -> bool:
        """Remove a definition, which holds no more from the next write on."""
        deleted = await self.backend.delete_field_definition(tenant_id, agent_id, field_name)
        self._service.invalidate(tenant_id, agent_id)
        return deleted

    async def _changed_fields(self, profile: CustomerProfile) -> list[ProfileField]:
        """Return the fields that a save would write: not those that are stored like that, nor superseded ones."""
        stored = await self.backend.get_by_id(profile.tenant_id, profile.id)
        known = {} if stored is None else stored.fields
        changed = [field for name, field in profile.fields.items() if not _is_kept(field, known.get(name))]
        if stored is None or not changed:
            return changed
        full = await self.backend.get_by_id(profile.tenant_id, profile.id, include_history=True)
        versions = [] if full is None else full.field_history.values()
        past = {version.id for history in versions for version in history}
        return [field for field in changed if field.id not in past]

    async def _check(self, tenant_id: UUID, field: ProfileField, agent_id: UUID | None) -> None:
        field = admit(field, self.context.limits)
        definition = await self._service.find_definition(tenant_id, field, agent_id)
        if definition is not None:
            self._service.enforce(field, definition)
        elif self._policy.validation_strict:
            raise SchemaValidationError(
                field.name,
                ["the field has no definition, and [profile] validation_strict is set"],
                hint="pass agent_id=..., set field_definition_id, or save a definition",
            )


def _is_kept(field: ProfileField, stored: ProfileField | None) -> bool:
    """Return whether a field conforms exactly as much as the stored one does."""
    return (
        stored is not None
        and field.id == stored.id
        and field.verified == stored.verified
        and field.field_definition_id == stored.field_definition_id
        and canonical_json(field.value) == canonical_json(stored.value)
    )
