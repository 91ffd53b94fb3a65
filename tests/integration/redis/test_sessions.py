"""The Redis session store under the sessions contract, with calls that share pipelines and without."""

from __future__ import annotations

from tests.integration.redis.support import RedisStoreCase

from focal_core.context import BackendContext
from focal_redis.client import RedisClient
from focal_redis.conversation import RedisSessionStore
from focal_testkit.contracts.conversation import SessionStoreContract


class TestRedisSessions(RedisStoreCase, SessionStoreContract):
    store_class = RedisSessionStore


class TestRedisSessionsOneByOne(RedisStoreCase, SessionStoreContract):
    store_class = RedisSessionStore
    options = {"batching": False}


class TestRedisSessionsSpread(RedisStoreCase, SessionStoreContract):
    store_class = RedisSessionStore
    options = {"cluster_spread": 3}


class TestRedisSessionsPersistentOnly(RedisStoreCase, SessionStoreContract):
    store_class = RedisSessionStore

    def make_store(self, client: RedisClient, context: BackendContext) -> RedisSessionStore:
        return RedisSessionStore(client, context, hot_tier=False)
