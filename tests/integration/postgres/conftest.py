"""A database behind row-level security."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.postgres.secured import Secured, forget, secure

from focal_testkit.servers.postgres import PostgresServer, run


@pytest.fixture(scope="session")
def secured_postgres(postgres_server: PostgresServer) -> Iterator[Secured]:
    """Yield a database to copy, with its roles."""
    found = run(secure(postgres_server))
    yield found
    run(forget(postgres_server, found))
