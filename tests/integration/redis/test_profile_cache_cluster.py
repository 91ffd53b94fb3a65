"""The cache on a Redis Cluster: every script finds its keys on one server."""

from __future__ import annotations

from tests.integration.redis.test_profile_cache import TwoSidedCase

from focal_testkit.contracts.profile import ProfileStoreContract


class TestWarmProfilesOnACluster(TwoSidedCase, ProfileStoreContract):
    server_fixture = "redis_cluster"
