"""Options of the PostgreSQL backend: ``[backends.<name>]`` with ``use = "postgres"``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

EMBEDDED = "embedded://"
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|\[?::1\]?", re.IGNORECASE)
_TLS_FLAGS = {"true": "require", "1": "require", "on": "require", "false": "disable", "0": "disable", "off": "disable"}

_LIBPQ_ONLY = {"channel_binding", "connect_timeout", "gssencmode", "keepalives", "keepalives_idle", "prepare_threshold"}
"""Parameters of other drivers that asyncpg would send to the server as settings."""


class PostgresOptions(BaseModel):
    """How to reach PostgreSQL, and how to use it.

    Attributes:
        url: ``postgresql://user:password@host:port/database``, in any spelling libpq, SQLAlchemy or asyncpg take, with
            several hosts if there are; or ``embedded://PATH`` for a private server in a folder.
        read_url: a replica. Lists and searches go there and may lag behind by what the replica lags; reads by key and
            all writes stay on ``url``.
        migration_url: where ``focal db`` connects; a direct address when ``url`` is that of a transaction pooler.
        maintenance_url: the same database, as a role that may do what the application may not: purge, erase, and look
            across tenants (``list_tenants``, ``cleanup_expired`` of all). Without it these calls are made on ``url``.
        row_level_security: whether the server shows each call its own tenant's rows only, whatever its statements ask
            for: three round trips instead of one. Needs ``focal db row-level-security on`` and ``maintenance_url``.
        schema_name: the PostgreSQL schema that holds focal's tables; ``schema`` in ``focal.toml``.
        pgbouncer: True behind a pooler in transaction mode: nothing is kept in a session, no statement is prepared
            (half the throughput). ``"1.21"`` behind PgBouncer 1.21 or later with ``max_prepared_statements``: prepared
            statements are kept.
        pool_size: connections at most.
        max_waiters: calls that may wait for a connection; more are refused (code ``overloaded``).
        connect_timeout: seconds to connect and log in.
        acquire_timeout: seconds to wait for a connection (code ``pool_timeout``).
        deadline: seconds a call may take.
        bulk_deadline: seconds a bulk call, a purge or an erasure may take.
        application_name: what ``pg_stat_activity`` shows.
        batching: whether concurrent calls of one kind share a statement.
        exact_search_max_rows: vectors in a scope up to which a search may compare all of them.
        hnsw_ef_search: candidates an approximate search keeps.
        auto_migrate: whether the schema is upgraded when the backend opens; None = only that of an embedded server.
        migration_lock_timeout: seconds to wait for another migration to end.
        debug_driver_errors: True keeps the driver's error as the cause; its text may hold stored values.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, populate_by_name=True)

    url: SecretStr
    read_url: SecretStr | None = None
    migration_url: SecretStr | None = None
    maintenance_url: SecretStr | None = None
    row_level_security: bool = False
    schema_name: str = Field(default="focal", alias="schema")
    pgbouncer: bool | Literal["1.21"] = False
    pool_size: int = Field(default_factory=lambda: min(8, 4 * (os.cpu_count() or 1)), ge=1, le=1000)
    max_waiters: int = Field(default=10_000, ge=0)
    connect_timeout: float = Field(default=5.0, gt=0)
    acquire_timeout: float = Field(default=5.0, gt=0)
    deadline: float = Field(default=10.0, gt=0)
    bulk_deadline: float = Field(default=300.0, gt=0)
    application_name: str = Field(default="focal", min_length=1, max_length=63)
    batching: bool = True
    exact_search_max_rows: int = Field(default=5_000, ge=0)
    hnsw_ef_search: int = Field(default=100, ge=1, le=1000)
    auto_migrate: bool | None = None
    migration_lock_timeout: float = Field(default=120.0, gt=0)
    debug_driver_errors: bool = False

    @field_validator("schema_name")
    @classmethod
    def _check_schema(cls, name: str) -> str:
        if not _SCHEMA.fullmatch(name) or name.startswith("pg_"):
            raise PydanticCustomError(
                "focal.schema_invalid", "a schema name is lower-case letters, digits and _, at most 63, not pg_..."
            )
        return name

    @field_validator("url", "read_url", "migration_url", "maintenance_url")
    @classmethod
    def _check_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None or url.get_secret_value().startswith(EMBEDDED):
            return url
        return SecretStr(_normalised(url.get_secret_value()))

    @model_validator(mode="after")
    def _check_row_level_security(self) -> Self:
        if self.row_level_security and self.embedded_folder is not None:
            raise PydanticCustomError(
                "focal.row_level_security", "row_level_security is for a server with roles: an embedded one has none"
            )
        if self.row_level_security and self.maintenance_url is None:
            raise PydanticCustomError(
                "focal.row_level_security",
                "row_level_security needs maintenance_url, a role with BYPASSRLS for what is of no one tenant",
            )
        return self

    @property
    def embedded_folder(self) -> Path | None:
        """The folder of ``embedded://PATH``, or None for any other URL."""
        url = self.url.get_secret_value()
        return Path(url.removeprefix(EMBEDDED)).expanduser() if url.startswith(EMBEDDED) else None

    def at(self, url: str) -> Self:
        """Return these options with another address, such as that of the embedded server once it runs."""
        return self.model_copy(update={"url": SecretStr(url)})

    @property
    def keeps_session_state(self) -> bool:
        """Whether a connection is ours alone between two calls: False behind a transaction pooler."""
        return not self.pgbouncer

    @property
    def statement_cache_size(self) -> int:
        """Prepared statements a connection keeps."""
        return 0 if self.pgbouncer is True else 500

    def connect_arguments(self, dsn: str) -> dict[str, Any]:
        """Return the arguments of ``asyncpg.connect`` for an address.

        Args:
            dsn: a normalised address (``url``, ``read_url``, ``migration_url``, or an embedded server's).
        """
        arguments: dict[str, Any] = {
            "dsn": dsn,
            "timeout": self.connect_timeout,
            "statement_cache_size": self.statement_cache_size,
            "max_cached_statement_lifetime": 0,
            "max_cacheable_statement_size": 0,
        }
        if self.keeps_session_state:
            # The server gives up a little before the client, so that a slow statement ends with a known outcome.
            arguments["server_settings"] = {
                "application_name": self.application_name,
                "statement_timeout": str(max(1, int(self.deadline * 950))),
                "idle_in_transaction_session_timeout": "30s",
                "jit": "off",
                "max_parallel_workers_per_gather": "0",
                **self.search_settings,
            }
        return arguments

    @property
    def search_settings(self) -> dict[str, str]:
        """Settings of an approximate search: at connect, or by SET LOCAL behind a pooler."""
        return {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": str(self.hnsw_ef_search)}


def _normalised(url: str) -> str:
    """Return an address as asyncpg reads it, with TLS verified off loopback unless the address says otherwise."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        raise PydanticCustomError("focal.url_invalid", "the address cannot be read") from None
    if parts.scheme.partition("+")[0] not in ("postgres", "postgresql"):
        raise PydanticCustomError(
            "focal.url_invalid", "an address begins with postgresql:// or, for a private server, with embedded://"
        )
    ssl = query.pop("ssl", None)
    if ssl is not None:
        query.setdefault("sslmode", _TLS_FLAGS.get(ssl.lower(), ssl))
    hosts = [query.get("host", "")] if "host" in query else parts.netloc.rpartition("@")[2].split(",")
    remote = [host for host in hosts if host and not host.startswith("/") and not _is_loopback(host)]
    if remote and "sslmode" not in query:
        query["sslmode"] = "verify-full"
    for libpq_only in _LIBPQ_ONLY & query.keys():
        del query[libpq_only]
    return f"postgresql://{parts.netloc}{parts.path}{'?' if query else ''}{urlencode(query)}"


def _is_loopback(host: str) -> bool:
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    return _LOOPBACK.fullmatch(name) is not None
