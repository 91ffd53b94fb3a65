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

__all__ = [
    "postgres_database",
    "postgres_migrate",
    "postgres_server",
    "postgres_template",
    "private_postgres",
    "servers_folder",
]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of contract tests."""
    config.addinivalue_line("markers", "requirement(id): the requirement of a focal contract that a test checks")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the servers of the run left on disk."""
    remove_servers(config)
