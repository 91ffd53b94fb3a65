"""The kit's pytest plugin: loaded wherever focal-testkit is installed."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of contract tests."""
    config.addinivalue_line("markers", "requirement(id): the requirement of a focal contract that a test checks")
