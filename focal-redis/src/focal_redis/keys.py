"""Names of Redis keys: every key of a tenant carries its hash tag, so that a script finds all of them on one server."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID


class SessionKeys(NamedTuple):
    """The keys of one session that do not depend on what it holds.

    Attributes:
        base: what all keys of its shard begin with.
        id: its id as a member of sorted sets.
        persist: the lasting copy.
        hot: the copy of the hot tier.
        all: the sorted set of the shard's sessions, by expiry.
    """

    base: bytes
    id: bytes
    persist: bytes
    hot: bytes
    all: bytes


class Keys:
    """The names under a prefix.

    Args:
        prefix: what every key begins with; no braces, no glob characters.
        spread: shards of a tenant; a session's is derived from its id.

    Attributes:
        tenants: the sorted set of tenants, by when they were registered.
    """

    def __init__(self, prefix: str, spread: int = 1) -> None:
        self._prefix = prefix
        self._spread = spread
        self.tenants = f"{prefix}:tenants".encode()

    def session(self, tenant_id: UUID, session_id: UUID) -> SessionKeys:
        """Return the keys of a session."""
        base, id = self._base(tenant_id, session_id.int % self._spread), str(session_id).encode()
        return SessionKeys(base, id, base + b"persist:" + id, base + b"hot:" + id, base + b"all")

    def bases(self, tenant_id: UUID) -> list[bytes]:
        """Return what the session keys of each shard of a tenant begin with."""
        return [self._base(tenant_id, shard) for shard in range(self._spread)]

    def pattern(self, tenant_id: UUID) -> bytes:
        """Return the glob of a tenant's session keys, whatever the spread they were written with."""
        return f"{self._prefix}:{{{tenant_id}*}}:session:*".encode()

    def owners(self, session_id: UUID) -> bytes:
        """Return the set of the tenants that may have a session of an id."""
        return f"{self._prefix}:id:{session_id}".encode()

    def _base(self, tenant_id: UUID, shard: int) -> bytes:
        tag = str(tenant_id) if self._spread == 1 else f"{tenant_id}:{shard}"
        return f"{self._prefix}:{{{tag}}}:session:".encode()


def agent_index(base: bytes, agent_id: UUID) -> bytes:
    """Return the index of an agent's sessions."""
    return base + f"index:agent:{agent_id}".encode()


def customer_index(base: bytes, customer_profile_id: UUID) -> bytes:
    """Return the index of a customer's sessions."""
    return base + f"index:customer:{customer_profile_id}".encode()


def scenario_index(base: bytes, scenario_id: UUID) -> bytes:
    """Return the index of the sessions that stand in a scenario."""
    return base + f"index:scenario:{scenario_id}".encode()


def channel_index(base: bytes, digest: bytes) -> bytes:
    """Return the index of the open sessions of a person on a channel.

    Args:
        base: of the shard.
        digest: from ``channel_digest``.
    """
    return base + b"index:channel:" + digest.hex().encode()
