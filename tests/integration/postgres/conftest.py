"""The databases of these tests hold focal's newest schema."""

from __future__ import annotations

import pytest
from tests.integration.postgres.support import migrate

from focal_testkit.servers.postgres import Migrate


@pytest.fixture(scope="session")
def postgres_migrate() -> Migrate:
    """Return what brings an empty database to the newest schema."""
    return migrate
