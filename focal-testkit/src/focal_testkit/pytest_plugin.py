"""The kit's pytest plugin: loaded wherever focal-testkit is installed."""

from __future__ import annotations

import pytest

from focal_testkit.servers.fixtures import (
    postgres_database,
    postgres_migrate,
    postgres_server,
    postgres_template,
    private_postgres,
    remove_servers,
    servers_folder,
)
from focal_testkit.servers.redis_fixtures import (
    private_redis,
    private_redis_cluster,
    redis_cluster,
    redis_prefix,
    redis_sentinel,
    redis_server,
    start_redis,
)

__all__ = [
    "postgres_database",
    "postgres_migrate",
    "postgres_server",
    "postgres_template",
    "private_postgres",
    "private_redis",
    "private_redis_cluster",
    "redis_cluster",
    "redis_prefix",
    "redis_sentinel",
    "redis_server",
    "servers_folder",
    "start_redis",
]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of contract tests."""
    config.addinivalue_line("markers", "requirement(id): the requirement of a focal contract that a test checks")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the servers of the run left on disk."""
    remove_servers(config)
