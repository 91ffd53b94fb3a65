"""The cached profile store: the sum of its parts."""

from __future__ import annotations

from focal_redis.profile_cache.schema import CachedFieldSchema
from focal_redis.profile_cache.writes import CachedProfileWrites


class CachedProfileStore(CachedProfileWrites, CachedFieldSchema):
    """A profile store before which a cache on Redis stands: it answers as the store does, faster.

    Kept are profiles without their histories, one body each, which the look-ups by customer, account and external id
    point to; field definitions; and scenario requirements. All else is the store's to answer. A hit costs one round
    trip by id and two by a pointer, a write two more than the store's. Concurrent misses of one entry are one look at
    the store.

    No read is older than the completion of a write that went through any process's cache, with two exceptions: a
    writer that could not reach Redis may leave others what was there for ``cache_ttl`` at most, and a failover of Redis
    may lose an invalidation for as long. Writes past the cache show when the TTL ends. Definitions and requirements,
    which the store may list from a replica, are kept again 30 seconds after a write of one. What expires is judged by
    the clock when it is read.

    A profile with a field that an agent defines as personal (``is_pii``) is not kept unless it is sealed; nor is, over
    a store that cannot list such fields, one with a field that does not name its definition.

    Args:
        backend: the store that answers.
        redis_client: the open client.
        cache_ttl: how long a profile is kept at most; less if one of its fields or assets expires earlier.
        field_defs_ttl: how long definitions are kept at most; 60 seconds if there are none.
        scenario_reqs_ttl: how long requirements are kept at most; 60 seconds if there are none.
        key_prefix: what every key begins with.
        on_cache_error: ``fallback`` serves from the store when Redis does not answer, and tells Redis later what was
            written meanwhile; ``raise`` raises StoreUnavailableError before anything is written, and afterwards
            OutcomeUnknownError (code ``cache_invalidation_failed``).
        cipher: seals profiles, with their keys as associated data.
        metrics: told what is counted.
    """
