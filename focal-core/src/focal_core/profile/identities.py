"""How accounts join those a profile has already; shared by all profile backends."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from focal_core.base import validated_copy
from focal_core.conversation.models import Channel
from focal_core.errors import ConflictError
from focal_core.profile.models import ChannelIdentity

Account = tuple[Channel, str]
"""(channel, channel_user_id)."""


def account(identity: ChannelIdentity) -> Account:
    """Return what makes an identity unique in a tenant."""
    return identity.channel, identity.channel_user_id


def joined(
    current: Iterable[ChannelIdentity], incoming: Iterable[ChannelIdentity], now: datetime
) -> list[ChannelIdentity]:
    """Return the identities of a profile that change when others join it, as they will be stored.

    An incoming identity is known by its id, or else by its account, whose id and created_at it then takes over. A
    primary one takes the place of the other primary one on its channel.

    Args:
        current: what the profile has.
        incoming: admitted copies; changed in place.
        now: created_at of what is new.

    Raises:
        ConflictError: an account would be linked under two ids (code ``identity_taken``).
    """
    after = {one.id: one for one in current}
    owners = {account(one): one for one in after.values()}
    changed = {}
    for identity in incoming:
        known = after.get(identity.id) or owners.get(account(identity))
        if known is not None:
            identity.set_stored(id=known.id, created_at=known.created_at)
        else:
            identity.set_stored(created_at=now)
        changed[identity.id] = after[identity.id] = identity
    if len({account(one) for one in after.values()}) < len(after):
        raise ConflictError(
            "an account would be linked to the profile twice, under two ids",
            code="identity_taken",
            hint="unlink it first",
        )
    primary = {one.channel: one.id for one in changed.values() if one.primary}
    for one in after.values():
        if one.primary and primary.get(one.channel, one.id) != one.id:
            copied = validated_copy(one)
            copied.set_stored(primary=False)
            changed[one.id] = copied
    return list(changed.values())


def demoted(moving: Iterable[ChannelIdentity], staying: Iterable[ChannelIdentity]) -> list[ChannelIdentity]:
    """Return copies of identities as they move to another profile: primary only where it has no primary one."""
    taken = {one.channel for one in staying if one.primary}
    copies = [validated_copy(one) for one in moving]
    for one in copies:
        if one.channel in taken:
            one.set_stored(primary=False)
    return copies


def identity_taken(profile_id: UUID) -> ConflictError:
    """Return the error for an account that a profile of the tenant has already."""
    return ConflictError(
        f"the account is linked to profile {profile_id} already",
        code="identity_taken",
        hint="unlink it there first, or merge the two profiles",
        details={"profile_id": str(profile_id)},
    )
