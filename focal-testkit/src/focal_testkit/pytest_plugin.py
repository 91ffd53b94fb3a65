"""The kit's pytest plugin: loaded wherever focal-testkit is installed."""

from __future__ import annotations

import pytest

from focal_testkit import stalls
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
    config.addinivalue_line("markers", "clock: a failure while the process was stalled does not count; it is run again")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run tests marked ``clock`` our way."""
    if item.get_closest_marker("clock") is None:
        return None
    stalls.run(item, nextitem)
    return True


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Show a round that does not count."""
    return ("rerun", "R", "RERUN") if report.outcome == "rerun" else None  # type: ignore[comparison-overlap]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the servers of the run left on disk."""
    remove_servers(config)
