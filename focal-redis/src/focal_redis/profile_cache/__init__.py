"""A cache on Redis for the profiles of any backend."""

from __future__ import annotations

from focal_redis.profile_cache.store import CachedProfileStore

__all__ = ["CachedProfileStore"]
