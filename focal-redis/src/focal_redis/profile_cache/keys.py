"""Names of the cache's keys; all of a tenant carry its hash tag, so that one script reaches what it needs."""

from __future__ import annotations

import hashlib
from typing import NamedTuple
from uuid import UUID

from focal_core.conversation.channels import channel_digest
from focal_core.conversation.models import Channel


class Scope(NamedTuple):
    """What writes invalidate at once: one profile, or all profiles, definitions or requirements of a tenant.

    Attributes:
        body: the entry that is removed at once; the generation itself where entries are many and die with it.
        generation: a random token; an entry that was filled under another one does not count.
        fence: the writers at work; while it stands there is no generation, and nothing is filled.
    """

    body: bytes
    generation: bytes
    fence: bytes


class Entry(NamedTuple):
    """A cached answer.

    Attributes:
        key: where it lies.
        scopes: what it is part of; each may invalidate it.
    """

    key: bytes
    scopes: tuple[Scope, ...]


class CacheKeys:
    """The names under a prefix.

    Args:
        prefix: what every key begins with; no braces, no glob characters.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def profile(self, tenant_id: UUID, profile_id: UUID) -> Scope:
        """Return the scope of one profile."""
        base = self._base(tenant_id, "profile")
        id = str(profile_id).encode()
        return Scope(base + b"body:" + id, base + b"gen:" + id, base + b"fence:" + id)

    def profiles(self, tenant_id: UUID) -> Scope:
        """Return the scope of all profiles of a tenant."""
        return self._whole(tenant_id, "profile")

    def definitions(self, tenant_id: UUID) -> Scope:
        """Return the scope of all field definitions of a tenant."""
        return self._whole(tenant_id, "field_defs")

    def requirements(self, tenant_id: UUID) -> Scope:
        """Return the scope of all scenario requirements of a tenant."""
        return self._whole(tenant_id, "scenario_reqs")

    def body(self, tenant_id: UUID, profile_id: UUID) -> Entry:
        """Return the entry of a profile."""
        scope = self.profile(tenant_id, profile_id)
        return Entry(scope.body, (scope, self.profiles(tenant_id)))

    def definition_list(self, tenant_id: UUID, agent_id: UUID, enabled_only: bool) -> Entry:
        """Return the entry of an agent's definitions."""
        name = f"{agent_id}" if enabled_only else f"{agent_id}:all"
        return Entry(self._base(tenant_id, "field_defs") + name.encode(), (self.definitions(tenant_id),))

    def definition(self, tenant_id: UUID, agent_id: UUID, field_name: str) -> Entry:
        """Return the entry of an agent's definition of a field."""
        name = f"{agent_id}:name:{_digest(field_name)}"
        return Entry(self._base(tenant_id, "field_defs") + name.encode(), (self.definitions(tenant_id),))

    def requirement_list(self, tenant_id: UUID, scenario_id: UUID, step_id: UUID | None) -> Entry:
        """Return the entry of a scenario's requirements."""
        name = f"{scenario_id}" if step_id is None else f"{scenario_id}:{step_id}"
        return Entry(self._base(tenant_id, "scenario_reqs") + name.encode(), (self.requirements(tenant_id),))

    def by_customer(self, tenant_id: UUID, customer_id: UUID) -> bytes:
        """Return the pointer of a customer."""
        return self._base(tenant_id, "profile") + f"by-customer:{customer_id}".encode()

    def by_channel(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> bytes:
        """Return the pointer of an account."""
        digest = channel_digest(channel, channel_user_id).hex()
        return self._base(tenant_id, "profile") + f"by-channel:{digest}".encode()

    def by_external(self, tenant_id: UUID, external_id: str) -> bytes:
        """Return the pointer of an external id."""
        return self._base(tenant_id, "profile") + f"by-external:{_digest(external_id)}".encode()

    def by_source(self, tenant_id: UUID, profile_id: UUID) -> bytes:
        """Return the pointer of a profile that was merged into another one."""
        return self._base(tenant_id, "profile") + f"by-source:{profile_id}".encode()

    def readable(self, tenant_id: UUID) -> bytes:
        """Return the glob of all bodies and pointers of a tenant, whose names alone begin with a "b"."""
        return self._base(tenant_id, "profile") + b"b*"

    def _whole(self, tenant_id: UUID, kind: str) -> Scope:
        base = self._base(tenant_id, kind)
        return Scope(base + b"gen", base + b"gen", base + b"fence")

    def _base(self, tenant_id: UUID, kind: str) -> bytes:
        return f"{self._prefix}:{{{tenant_id}}}:{kind}:".encode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
