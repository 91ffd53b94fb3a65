"""The PostgreSQL memory store under the memory contract."""

from __future__ import annotations

from tests.integration.postgres.support import PostgresStoreCase

from focal_postgres.memory import PostgresMemoryStore
from focal_testkit.contracts.memory import MemoryStoreContract


class TestPostgresMemory(PostgresStoreCase, MemoryStoreContract):
    store_class = PostgresMemoryStore
