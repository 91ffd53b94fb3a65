"""Folders of embedded servers, and databases that hold focal's newest schema."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.postgres.support import migrate

from focal_testkit.servers.postgres import Migrate


@pytest.fixture(scope="session")
def postgres_migrate() -> Migrate:
    """Return what brings an empty database to the newest schema."""
    return migrate


@pytest.fixture
def place() -> Iterator[Path]:
    """Yield a folder that another user may enter, with a space in its name."""
    with tempfile.TemporaryDirectory(prefix="focal test ") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
def folder(place: Path) -> Path:
    """Return the folder of a server that does not run."""
    return place / "server of this test"
