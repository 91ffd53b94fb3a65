"""What Redis and its driver say becomes focal's errors."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from focal_core.errors import OutcomeUnknownError, StoreError, StoreUnavailableError
from focal_redis.connection import pack
from focal_redis.errors import connect_failure, lost, refused


@pytest.mark.parametrize(
    ("reply", "code", "retryable"),
    [
        ("LOADING Redis is loading the dataset in memory", "loading", True),
        ("READONLY You can't write against a read only replica.", "read_only", True),
        ("OOM command not allowed when used memory > 'maxmemory'.", "out_of_memory", True),
        ("NOREPLICAS Not enough good replicas to write.", "no_replicas", True),
        ("MASTERDOWN Link with MASTER is down", "cluster_down", True),
        ("CLUSTERDOWN Hash slot not served", "cluster_down", True),
        ("BUSY Redis is busy running a script.", "busy", True),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "moving", True),
        ("MISCONF Redis is configured to save RDB snapshots", "misconf", True),
        ("NOAUTH Authentication required.", "login_refused", False),
        ("WRONGPASS invalid username-password pair", "login_refused", False),
        ("ERR max number of clients reached", "overloaded", True),
        ("ERR Error running script (call to f_1): @user_script:3: @user_script: 3: -OOM command not", "x", True),
    ],
)
def test_refusal_says_that_nothing_was_written(reply: str, code: str, retryable: bool) -> None:
    """A refusal by the server is a StoreUnavailableError and never in doubt."""
    error = refused(ResponseError(reply), "save", "Redis at a:1")
    assert isinstance(error, StoreUnavailableError)
    assert not isinstance(error, OutcomeUnknownError)
    assert error.retryable is retryable
    assert error.code == ("out_of_memory" if code == "x" else code)


@pytest.mark.parametrize("reply", ["ERR unknown command 'NOPE'", "WRONGTYPE Operation against a key", "NOPERM no"])
def test_other_refusals_are_no_outage(reply: str) -> None:
    """What a repeat cannot cure is not called an outage."""
    error = refused(ResponseError(reply), "save", "Redis at a:1")
    assert type(error) is StoreError
    assert not error.retryable


@pytest.mark.parametrize("late", [True, False])
def test_doubt_depends_on_what_was_sent(late: bool) -> None:
    """Only a write that had been sent is in doubt; the code tells a deadline from a lost connection."""
    sure = lost("save", "Redis", late=late, handed_over=False)
    doubtful = lost("save", "Redis", late=late, handed_over=True)
    assert type(sure) is StoreUnavailableError
    assert isinstance(doubtful, OutcomeUnknownError)
    assert sure.code == doubtful.code == ("deadline" if late else "connection_lost")


def test_connection_that_fails_is_an_outage() -> None:
    """Whatever the driver says of a failed connection, nothing of its text shows."""
    error = connect_failure(RedisConnectionError("Error 111 connecting to u:hunter2@a"), "Redis at a:1")
    assert isinstance(error, StoreUnavailableError)
    assert error.code == "connect_failed"
    assert "hunter2" not in f"{error}{error.details}"


def test_command_is_packed() -> None:
    """A command is an array of bulk strings, counted in bytes."""
    assert pack("SET", b"\x00k", "é", 12) == b"*4\r\n$3\r\nSET\r\n$2\r\n\x00k\r\n$2\r\n\xc3\xa9\r\n$2\r\n12\r\n"
