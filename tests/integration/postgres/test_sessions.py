"""The PostgreSQL session store under the sessions contract, with calls that share statements and without."""

from __future__ import annotations

from tests.integration.postgres.support import PostgresStoreCase

from focal_postgres.conversation import PostgresSessionStore
from focal_testkit.contracts.conversation import SessionStoreContract


class TestPostgresSessions(PostgresStoreCase, SessionStoreContract):
    store_class = PostgresSessionStore


class TestPostgresSessionsOneByOne(PostgresStoreCase, SessionStoreContract):
    store_class = PostgresSessionStore
    options = {"batching": False}
