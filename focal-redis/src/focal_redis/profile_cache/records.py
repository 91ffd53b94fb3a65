"""Profiles read through the cache: one body each, found by its id or by a pointer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

from focal_core.conversation.models import Channel
from focal_core.gate import identifier, member
from focal_core.profile.metrics import CACHE_MISSES
from focal_core.profile.models import CustomerProfile
from focal_core.profile.status import is_active
from focal_redis.profile_cache.answers import Tokens
from focal_redis.profile_cache.base import CachedProfileBase
from focal_redis.profile_cache.frame import TOKEN
from focal_redis.profile_cache.keys import Entry

_ID = 16
_HINT = bytes(TOKEN)
"""The token of a pointer to a profile that itself tells whether the look-up leads to it."""

Ask = Callable[[], Awaitable[CustomerProfile | None]]


class CachedProfileRecords(CachedProfileBase):
    """Profiles read through the cache."""

    async def get_by_id(
        self, tenant_id: UUID, profile_id: UUID, *, include_history: bool = False
    ) -> CustomerProfile | None:
        """Return a profile; from the cache unless the histories are asked for."""
        if include_history:
            return await self.backend.get_by_id(tenant_id, profile_id, include_history=True)
        return await self._by_id("get_by_id", tenant_id, profile_id)

    async def get_by_customer_id(
        self, tenant_id: UUID, customer_id: UUID, *, include_history: bool = False
    ) -> CustomerProfile | None:
        """Return the profile of a customer; from the cache unless the histories are asked for."""
        if include_history:
            return await self.backend.get_by_customer_id(tenant_id, customer_id, include_history=True)
        return await self._by_pointer(
            "get_by_customer_id",
            tenant_id,
            self._keys.by_customer(tenant_id, customer_id),
            lambda profile: profile.customer_id == customer_id,
            lambda: self.backend.get_by_customer_id(tenant_id, customer_id),
            merges=True,
        )

    async def get_by_channel_identity(
        self, tenant_id: UUID, channel: Channel, channel_user_id: str, *, include_history: bool = False
    ) -> CustomerProfile | None:
        """Return the profile an account is linked to; from the cache unless the histories are asked for."""
        if include_history:
            return await self.backend.get_by_channel_identity(tenant_id, channel, channel_user_id, include_history=True)
        return await self._by_account(
            "get_by_channel_identity",
            tenant_id,
            channel,
            channel_user_id,
            lambda: self.backend.get_by_channel_identity(tenant_id, channel, channel_user_id),
        )

    async def get_by_external_id(
        self, tenant_id: UUID, external_id: str, *, include_history: bool = False
    ) -> CustomerProfile | None:
        """Return the profile with an external id; from the cache unless the histories are asked for."""
        if include_history:
            return await self.backend.get_by_external_id(tenant_id, external_id, include_history=True)
        wanted = identifier(external_id, "external_id")
        return await self._by_pointer(
            "get_by_external_id",
            tenant_id,
            self._keys.by_external(tenant_id, wanted),
            lambda profile: profile.external_id == wanted,
            lambda: self.backend.get_by_external_id(tenant_id, external_id),
        )

    async def get_or_create(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> CustomerProfile:
        """Return the profile an account is linked to, from the cache if it is there, or have one created."""
        found = await self._by_account(
            "get_or_create",
            tenant_id,
            channel,
            channel_user_id,
            lambda: self.backend.get_or_create(tenant_id, channel, channel_user_id),
        )
        assert found is not None, "get_or_create returns a profile"
        return found

    async def _by_account(
        self, method: str, tenant_id: UUID, channel: Channel, channel_user_id: str, ask: Ask
    ) -> CustomerProfile | None:
        kind, user = member(Channel, channel, "channel"), identifier(channel_user_id, "channel_user_id")
        return await self._by_pointer(
            method,
            tenant_id,
            self._keys.by_channel(tenant_id, kind, user),
            lambda profile: any(
                one.channel is kind and one.channel_user_id == user for one in profile.channel_identities
            ),
            ask,
        )

    async def _by_pointer(
        self,
        method: str,
        tenant_id: UUID,
        pointer: bytes,
        is_meant: Callable[[CustomerProfile], bool],
        ask: Ask,
        *,
        merges: bool = False,
    ) -> CustomerProfile | None:
        """Return the profile a look-up leads to.

        Args:
            method: the store's method.
            tenant_id: the owner.
            pointer: the key of the pointer.
            is_meant: whether a profile says itself that the look-up leads to it.
            ask: asks the store.
            merges: whether the look-up may also lead to a profile that does not say so, and does for good: the customer
                of a profile that was merged into it.
        """
        looked = await self._server.look(method, Entry(pointer, (self._keys.profiles(tenant_id),)))
        if looked is not None and looked.data is not None and len(looked.data) == _ID + TOKEN:
            target, token = UUID(bytes=looked.data[:_ID]), looked.data[_ID:]
            profile = await self._by_id(method, tenant_id, target)
            if profile is not None and (is_meant(profile) or token == looked.tokens[0]):
                return profile
        self._counters.increment(CACHE_MISSES, kind=self._profiles.name)
        profile = await ask()
        if profile is not None and looked is not None:
            lasting = _HINT if is_meant(profile) else looked.tokens[0] if merges else None
            if lasting is not None:
                await self._server.point(method, pointer, profile.id, lasting)
        return profile

    async def _by_id(
        self, method: str, tenant_id: UUID, profile_id: UUID, follow: bool = True
    ) -> CustomerProfile | None:
        entry, source = self._keys.body(tenant_id, profile_id), self._keys.by_source(tenant_id, profile_id)
        looked = await self._server.look(method, entry, [source])
        rows = await self._answers.found(method, self._profiles, entry, looked)
        if rows is None and looked is not None and follow:
            pointer = looked.others[0]
            if pointer is not None and len(pointer) == _ID + TOKEN and pointer[_ID:] == looked.tokens[1]:
                return await self._by_id(method, tenant_id, UUID(bytes=pointer[:_ID]), follow=False)
        if rows is None:

            async def ask() -> list[CustomerProfile]:
                found = await self.backend.get_by_id(tenant_id, profile_id)
                return [] if found is None else [found]

            async def life(rows: list[CustomerProfile], tokens: Tokens) -> timedelta | None:
                if not rows:
                    return None
                if rows[0].id != profile_id:
                    await self._server.point(method, source, rows[0].id, tokens[1])
                    return None
                return await self._life_of(rows[0], tokens[1])

            rows = await self._answers.asked(method, self._profiles, entry, looked, ask, life)
        return _as_of(rows[0], self._answers.now()) if rows else None

    async def _life_of(self, profile: CustomerProfile, token: bytes) -> timedelta | None:
        """Return how long a profile may lie in the cache; None = not at all."""
        if self._privacy is not None and not await self._privacy.is_plain(profile, token):
            return None
        ends = [one.expires_at for one in (*profile.fields.values(), *profile.assets) if one.expires_at is not None]
        now = self._answers.now()
        life = min([self._profiles.life, *(end - now for end in ends)])
        return life if life > timedelta() else None


def _as_of(profile: CustomerProfile, now: datetime) -> CustomerProfile:
    """Return a profile without the fields and assets whose time is over."""
    fields = {name: field for name, field in profile.fields.items() if is_active(field, now)}
    assets = [asset for asset in profile.assets if is_active(asset, now)]
    if (len(fields), len(assets)) != (len(profile.fields), len(profile.assets)):
        profile.set_stored(fields=fields, assets=assets)
    return profile
