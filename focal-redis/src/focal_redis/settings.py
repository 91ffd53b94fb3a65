"""Options of the Redis backend: ``[backends.<name>]`` with ``use = "redis"``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

EMBEDDED = "embedded://"
SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class RedisOptions(BaseModel):
    """How to reach Redis, and how to use it.

    Attributes:
        url: ``redis://user:password@host:port/db``, ``rediss://`` for TLS, ``unix://path``; several hosts for
            ``redis+cluster://host:port,host:port`` and ``redis+sentinel://host:port,host:port/master/db``;
            or ``embedded://PATH`` for a private server in a folder.
        hot_url: a server of its own for the hot tier of sessions; ``url`` then keeps the lasting tier alone.
        verify_hot: with ``hot_url``, whether what the hot tier answers is compared with the version ``url`` holds.
        key_prefix: what every key begins with.
        cluster_spread: slots a tenant's sessions are spread over; more than 1 lets one tenant use several primaries of
            a cluster, and lists ask each slot. Not to be changed once there are sessions.
        pool_size: connections to each server at most.
        max_waiters: calls that may wait for one; more are refused (code ``overloaded``).
        connect_timeout: seconds to connect and log in.
        acquire_timeout: seconds to wait for a connection (code ``pool_timeout``).
        deadline: seconds a call may take.
        batching: whether concurrent calls to a server share a pipeline.
        wait_replicas: replicas that must have a write before it is acknowledged (``WAIT``); it narrows the window in
            which a failover loses acknowledged writes, and does not close it.
        wait_timeout: seconds to wait for them.
        on_cache_error: what the profile cache does without Redis: ``fallback`` asks the store, ``raise`` raises.
        client_name: what ``CLIENT LIST`` shows.
        debug_driver_errors: True keeps the driver's error as the cause; its text may hold stored values.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: SecretStr
    hot_url: SecretStr | None = None
    verify_hot: bool = True
    key_prefix: str = "focal"
    cluster_spread: int = Field(default=1, ge=1, le=1024)
    pool_size: int = Field(default=16, ge=1, le=1000)
    max_waiters: int = Field(default=10_000, ge=0)
    connect_timeout: float = Field(default=5.0, gt=0)
    acquire_timeout: float = Field(default=5.0, gt=0)
    deadline: float = Field(default=5.0, gt=0)
    batching: bool = True
    wait_replicas: int = Field(default=0, ge=0)
    wait_timeout: float = Field(default=1.0, gt=0)
    on_cache_error: Literal["fallback", "raise"] = "fallback"
    client_name: str = Field(default="focal", pattern=r"^[!-~]{1,64}$")
    debug_driver_errors: bool = False

    @field_validator("key_prefix")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        # Braces would move the hash tag, and a glob's characters would let an erasure match other keys.
        if not _PREFIX.fullmatch(prefix):
            raise PydanticCustomError("focal.prefix_invalid", "a key prefix is letters, digits, _, . and -, at most 64")
        return prefix

    @field_validator("url", "hot_url")
    @classmethod
    def _check_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith((EMBEDDED, *(f"{one}://" for one in SCHEMES))):
            raise PydanticCustomError(
                "focal.url_invalid",
                "an address begins with redis://, rediss://, unix://, redis+cluster://, redis+sentinel:// or, for a "
                "private server, with embedded://",
            )
        return url

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        hot = None if self.hot_url is None else self.hot_url.get_secret_value()
        if hot is not None and (hot == self.url.get_secret_value() or hot.startswith(EMBEDDED)):
            raise PydanticCustomError(
                "focal.hot_url_invalid",
                "hot_url names a running server other than url; leave it out to keep both tiers on one",
            )
        return self

    @property
    def embedded_folder(self) -> Path | None:
        """The folder of ``embedded://PATH``, or None for any other URL."""
        url = self.url.get_secret_value()
        return Path(url.removeprefix(EMBEDDED)).expanduser() if url.startswith(EMBEDDED) else None

    def at(self, url: str) -> Self:
        """Return these options with another address and no second one."""
        return self.model_copy(update={"url": SecretStr(url), "hot_url": None})
