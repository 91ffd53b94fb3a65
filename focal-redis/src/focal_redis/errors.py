"""The one place where what Redis and its driver say becomes focal's errors: by the reply's first word."""

from __future__ import annotations

import ssl
from typing import Any

from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from focal_core.errors import FocalError, OutcomeUnknownError, StoreError, StoreUnavailableError

_LOGIN = frozenset({"NOAUTH", "WRONGPASS", "DENIED"})
_REFUSED = {
    "LOADING": ("is loading its data", "try again", "loading"),
    "READONLY": ("is a replica", "name the primary, a cluster or sentinels in the url", "read_only"),
    "OOM": ("is out of memory", "raise maxmemory, or shorten the lives of sessions", "out_of_memory"),
    "NOREPLICAS": ("has too few replicas to accept writes", "see min-replicas-to-write", "no_replicas"),
    "MASTERDOWN": ("has lost its primary", "try again", "cluster_down"),
    "CLUSTERDOWN": ("is a cluster with slots nobody serves", "try again; see CLUSTER INFO", "cluster_down"),
    "BUSY": ("is busy with a script", "try again; see SCRIPT KILL", "busy"),
    "TRYAGAIN": ("is moving the keys", "try again", "moving"),
    "MOVED": ("kept moving the keys", "try again", "moving"),
    "ASK": ("kept moving the keys", "try again", "moving"),
    "MISCONF": ("cannot save to disk and refuses writes", "see its log, and stop-writes-on-bgsave-error", "misconf"),
    "NOSCRIPT": ("kept forgetting a script", "try again", "noscript"),
    "UNBLOCKED": ("broke the call off", "try again", "unblocked"),
}
"""First word -> what the server said of itself, what helps, our code. Each is a refusal before anything was written."""

_CROWDED = "max number of clients"
_ELSEWHERE = "non local key"
"""What a script is told of a key that it found by itself and that is on its way to another member of the cluster."""


def first_word(error: ResponseError) -> str:
    """Return the word by which Redis tells the kind of an error."""
    return str(error).partition(" ")[0]


def refused(error: ResponseError, method: str, where: str) -> FocalError:
    """Return focal's error for an error reply: the command was refused, nothing was written.

    Args:
        error: the reply.
        method: the store's method.
        where: the server, as it may be shown.
    """
    word = first_word(error)
    details: dict[str, Any] = {"method": method, "reply": word}
    # A script's own failure wraps the word of the command that was refused within it.
    inner = next((known for known in _REFUSED if f"{known} " in str(error)), None)
    if word in _LOGIN:
        return StoreUnavailableError(
            f"{method}: {where} refused the login",
            hint="check user and password of the url",
            code="login_refused",
            retryable=False,
            details=details,
        )
    if word == "NOPERM":
        return StoreError(
            f"{method}: the Redis user lacks a right",
            code="permission_denied",
            hint="allow it the keys of key_prefix and the commands the README lists",
            details=details,
        )
    if _ELSEWHERE in str(error):
        inner = "TRYAGAIN"
    if word in _REFUSED or inner is not None:
        said, hint, code = _REFUSED[word if word in _REFUSED else str(inner)]
        return StoreUnavailableError(f"{method}: {where} {said}", hint=hint, code=code, details=details)
    if word == "ERR" and _CROWDED in str(error):
        return StoreUnavailableError(
            f"{method}: {where} takes no more connections",
            hint="lower pool_size, or raise maxclients",
            code="overloaded",
            details=details,
        )
    return StoreError(f"{method}: {where} failed ({word})", code="redis_error", details=details)


def lost(method: str, where: str, *, late: bool, handed_over: bool) -> StoreUnavailableError:
    """Return the error of a call that was not answered.

    Args:
        method: the store's method.
        where: the server, as it may be shown.
        late: whether the connection was cut because the call's time was up.
        handed_over: whether a write had been sent.
    """
    said = "the deadline passed" if late else "the connection was lost"
    code = "deadline" if late else "connection_lost"
    if handed_over:
        return OutcomeUnknownError(
            f"{method}: {said} before {where} confirmed the write",
            code=code,
            hint="read it back to see whether it was written",
            details={"method": method},
        )
    return StoreUnavailableError(f"{method}: {said} before {where} answered", code=code, details={"method": method})


def connect_failure(error: Exception, where: str) -> FocalError:
    """Return the error for a connection that could not be made.

    Args:
        error: what was raised.
        where: the server, as it may be shown.
    """
    if isinstance(error, FocalError):
        return error
    details = {"error": type(error).__name__}
    if isinstance(error, ResponseError) and (first_word(error) not in ("ERR", "Invalid") or _CROWDED in str(error)):
        return refused(error, "connect", where)
    if isinstance(error, AuthenticationError) or (isinstance(error, ResponseError) and "AUTH" in str(error)):
        return StoreUnavailableError(
            f"{where} refused the login",
            hint="check user and password of the url",
            code="login_refused",
            retryable=False,
            details=details,
        )
    if isinstance(error, ResponseError):
        return StoreUnavailableError(
            f"{where} refused the connection: {first_word(error)}",
            hint="check the database number of the url, and maxclients",
            code="connect_failed",
            details=details,
        )
    if isinstance(error.__context__ or error, ssl.SSLError):
        return StoreUnavailableError(
            f"{where}: TLS failed",
            hint="give ssl_ca_certs=PATH in the url, or redis:// for a server without TLS",
            code="tls_failed",
            retryable=False,
            details=details,
        )
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return StoreUnavailableError(
            f"{where} did not answer in time",
            hint="is the server up and reachable?",
            code="connect_failed",
            details=details,
        )
    return StoreUnavailableError(
        f"{where} cannot be reached",
        hint="is the server up, and are host and port right?",
        code="connect_failed",
        details=details,
    )
