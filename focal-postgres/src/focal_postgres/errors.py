"""The one place where the driver's errors become focal's: by SQLSTATE and by what had been handed over."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import asyncpg

from focal_core.errors import (
    DuplicateError,
    FocalError,
    ImmutableRecordError,
    InvalidDataError,
    OutcomeUnknownError,
    SchemaOutdatedError,
    StoreError,
    StoreUnavailableError,
)

SCHEMA_HINT = "run `focal db upgrade`"
APPEND_ONLY = "FO001"
"""SQLSTATE that the append-only triggers raise."""

CONSTRAINTS: dict[str, tuple[str, str]] = {}
"""Unique key -> (what is taken, code); each domain adds its own (``register_constraints``)."""

_RETRIED = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: the transaction was rolled back and may be repeated as a whole."""
_UNKNOWN_AT_COMMIT = frozenset({"40003", "08007", "57P01", "57P02"})
_FULL = frozenset({"53300", "53200", "53100", "53400"})


def register_constraints(constraints: Mapping[str, tuple[str, str]]) -> None:
    """Tell what a violation of each unique key means.

    Args:
        constraints: name of the key -> (sentence, code of the ``DuplicateError``).
    """
    CONSTRAINTS.update(constraints)


REFERENCES: dict[str, tuple[str, str]] = {}
"""Foreign key -> (what is missing, code); each domain adds its own (``register_references``)."""


def register_references(references: Mapping[str, tuple[str, str]]) -> None:
    """Tell what a violation of each foreign key means.

    Args:
        references: name of the key -> (sentence, code of the ``InvalidDataError``).
    """
    REFERENCES.update(references)


def is_retryable_conflict(error: BaseException) -> bool:
    """Return whether the server rolled a transaction back because of another one."""
    return isinstance(error, asyncpg.PostgresError) and error.sqlstate in _RETRIED


def is_connection_loss(error: BaseException) -> bool:
    """Return whether the connection is gone, whatever class says so.

    asyncpg's ``InterfaceError`` stands for a closed connection as well as for a wrong number of arguments, which it
    notices before anything is sent.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state.startswith("08") or state in ("57P01", "57P02", "57P03")
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError) and "expects" not in str(error)
    return isinstance(error, OSError | asyncpg.InternalClientError)


def mapped(error: Exception, method: str, *, handed_over: bool = False, deadline_passed: bool = False) -> FocalError:
    """Return focal's error for one the driver or the network raised.

    Args:
        error: what was raised; an error of ours comes back as it is.
        method: the store's method.
        handed_over: whether a write had been sent whose reply did not arrive.
        deadline_passed: whether the connection was cut because the call's time was up.
    """
    if isinstance(error, FocalError):
        return error
    state = getattr(error, "sqlstate", None)
    details = {"method": method, "sqlstate": state, "error": type(error).__name__}
    if deadline_passed or is_connection_loss(error):
        code = "deadline" if deadline_passed else "connection_lost"
        said = "the deadline passed" if deadline_passed else "the connection was lost"
        if handed_over:
            return OutcomeUnknownError(
                f"{method}: {said} before the server confirmed the write",
                code=code,
                hint="read it back to see whether it was written",
                details=details,
            )
        return StoreUnavailableError(f"{method}: {said}", code=code, details=details)
    if isinstance(error, asyncpg.PostgresError):
        return _by_state(error, state or "", method, handed_over, details)
    if isinstance(error, asyncpg.DataError | ValueError | OverflowError):
        # Raised by the driver while encoding arguments: nothing was sent.
        return InvalidDataError(f"{method}: a value cannot be stored ({type(error).__name__})", details=details)
    return StoreError(f"{method} failed: {type(error).__name__}", code="driver_error", details=details)


def _by_state(
    error: asyncpg.PostgresError, state: str, method: str, handed_over: bool, details: dict[str, Any]
) -> FocalError:
    if state in _UNKNOWN_AT_COMMIT and handed_over:
        return OutcomeUnknownError(f"{method}: the server broke off (SQLSTATE {state})", details=details)
    if state == "57014":
        return StoreUnavailableError(
            f"{method}: the server cancelled the statement because its time was up", code="deadline", details=details
        )
    if state in _RETRIED:
        return StoreUnavailableError(f"{method} kept colliding with others", code="contention", details=details)
    if state in _FULL:
        return StoreUnavailableError(
            f"{method}: the server is out of resources (SQLSTATE {state})", code="overloaded", details=details
        )
    if state == "23505":
        constraint = getattr(error, "constraint_name", None) or ""
        said, code = CONSTRAINTS.get(constraint, ("a unique key is taken", "duplicate"))
        return DuplicateError(f"{method}: {said}", code=code, details={**details, "constraint": constraint})
    if state == "23503" and (constraint := getattr(error, "constraint_name", None)) in REFERENCES:
        said, code = REFERENCES[constraint]
        return InvalidDataError(f"{method}: {said}", code=code, details={**details, "constraint": constraint})
    if state == APPEND_ONLY:
        return ImmutableRecordError(f"{method}: the record is append-only", details=details)
    if state in ("42P01", "42703", "3F000", "42883"):
        return SchemaOutdatedError(f"{method}: the database lacks what it needs", hint=SCHEMA_HINT, details=details)
    if state == "42501":
        return StoreError(
            f"{method}: the database user lacks a right",
            code="permission_denied",
            hint="as the owner, run what `focal db sql --grants ROLE` prints",
            details=details,
        )
    if state == "25006":
        return StoreUnavailableError(
            f"{method}: the server is read-only (a standby?)",
            code="read_only",
            hint="name the primary, or several hosts with target_session_attrs=read-write",
            details=details,
        )
    if state.startswith(("22", "23")):
        return InvalidDataError(f"{method}: the database refused a value (SQLSTATE {state})", details=details)
    return StoreError(f"{method}: the database failed (SQLSTATE {state})", code="database", details=details)


def connect_failure(error: Exception, where: str) -> FocalError:
    """Return the error for a connection that could not be made.

    Args:
        error: what was raised.
        where: host and database as they may be shown.
    """
    if isinstance(error, FocalError):
        return error
    state = getattr(error, "sqlstate", "") or ""
    details = {"sqlstate": state or None, "error": type(error).__name__}

    def refused(message: str, hint: str, code: str, retryable: bool = False) -> StoreUnavailableError:
        return StoreUnavailableError(message, hint=hint, code=code, retryable=retryable, details=details)

    if state == "28P01" or state.startswith("28"):
        return refused(
            f"{where} refused the login", "check user and password of the url, and pg_hba.conf", "login_refused"
        )
    if state == "3D000":
        return refused(f"{where}: there is no such database", "create it, or correct the url", "database_missing")
    if state in _FULL:
        return refused(
            f"{where} takes no more connections", "lower pool_size, or raise max_connections", "overloaded", True
        )
    if state == "57P03":
        return refused(f"{where} is starting up or shutting down", "try again", "connect_failed", True)
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return refused(
            f"{where}: TLS failed ({type(error).__name__})",
            "give sslrootcert=PATH in the url, or write sslmode=require to go without verification",
            "tls_failed",
        )
    if isinstance(error, asyncpg.InterfaceError | ValueError):
        return refused(
            f"the address of {where} cannot be used ({type(error).__name__})",
            "check the url: postgresql://user:password@host:port/database?sslmode=...&sslrootcert=...",
            "url_invalid",
        )
    if isinstance(error, TimeoutError):
        return refused(f"{where} did not answer in time", "is the server up and reachable?", "connect_failed", True)
    return refused(
        f"{where} cannot be reached", "is the server up, and are host and port right?", "connect_failed", True
    )
