"""Which profiles may lie in the cache as they are: those without a field that some agent calls personal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from focal_core.clock import Clock
from focal_core.profile.models import CustomerProfile
from focal_core.profile.store import ProfileStore

_TENANTS = 1000


class _Known(NamedTuple):
    names: frozenset[str] | None
    token: bytes
    until: datetime


class Privacy:
    """Judges profiles by the definitions of their tenant.

    Args:
        backend: has the definitions.
        clock: tells how old what is remembered is.
        life: how long names are remembered.
    """

    def __init__(self, backend: ProfileStore, clock: Clock, life: timedelta) -> None:
        self._backend = backend
        self._clock = clock
        self._life = life
        self._known: dict[UUID, _Known] = {}

    async def is_plain(self, profile: CustomerProfile, token: bytes) -> bool:
        """Return whether nothing of a profile is defined as personal; False where that cannot be told.

        Args:
            profile: the profile.
            token: of the generation of the tenant's profiles, which ends when a personal field is defined.
        """
        if not profile.fields:
            return True
        names = await self._names(profile.tenant_id, token)
        if names is not None:
            return names.isdisjoint(profile.fields)
        for field in profile.fields.values():
            if field.field_definition_id is None:
                return False
            found = await self._backend.get_field_definition_by_id(profile.tenant_id, field.field_definition_id)
            if found is None or found.is_pii or found.name != field.name:
                return False
        return True

    async def _names(self, tenant_id: UUID, token: bytes) -> frozenset[str] | None:
        known, now = self._known.pop(tenant_id, None), self._clock.now()
        if known is None or known.token != token or known.until <= now:
            known = _Known(await self._backend.list_pii_fields(tenant_id), token, now + self._life)
        self._known[tenant_id] = known
        while len(self._known) > _TENANTS:
            del self._known[next(iter(self._known))]
        return known.names
