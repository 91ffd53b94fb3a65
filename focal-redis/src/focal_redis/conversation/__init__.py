"""The port ``sessions`` on Redis."""

from __future__ import annotations

from focal_redis.conversation.store import RedisSessionStore

__all__ = ["RedisSessionStore"]
