"""A person on a channel, as indexes hold them."""

from __future__ import annotations

import functools
import hashlib

from focal_core.conversation.models import Channel


@functools.lru_cache(4096)
def channel_digest(channel: Channel, user_channel_id: str) -> bytes:
    """Return what stands for a person on a channel: SHA-256 of both, told apart by the first's length."""
    name = channel.value.encode()
    return hashlib.sha256(len(name).to_bytes(2, "big") + name + user_channel_id.encode()).digest()
