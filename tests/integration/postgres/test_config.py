"""The PostgreSQL config store under the config contract."""

from __future__ import annotations

from tests.integration.postgres.support import PostgresStoreCase

from focal_postgres.config import PostgresConfigStore
from focal_testkit.contracts.config import ConfigStoreContract


class TestPostgresConfig(PostgresStoreCase, ConfigStoreContract):
    store_class = PostgresConfigStore
