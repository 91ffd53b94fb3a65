"""The Redis session store under the sessions contract on a cluster, a tenant in one slot and spread over three."""

from __future__ import annotations

from tests.integration.redis.support import RedisStoreCase

from focal_redis.conversation import RedisSessionStore
from focal_testkit.contracts.conversation import SessionStoreContract


class TestRedisClusterSessions(RedisStoreCase, SessionStoreContract):
    store_class = RedisSessionStore
    server_fixture = "redis_cluster"


class TestRedisClusterSessionsSpread(RedisStoreCase, SessionStoreContract):
    store_class = RedisSessionStore
    server_fixture = "redis_cluster"
    options = {"cluster_spread": 3}
