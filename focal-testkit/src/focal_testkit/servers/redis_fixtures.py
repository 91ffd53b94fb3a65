"""Fixtures of Redis servers; the kit's pytest plugin offers them wherever the kit is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import pytest

from focal_testkit.servers import ServerMissing, missing
from focal_testkit.servers.redis import DURABLE, LocalRedis, RedisServer
from focal_testkit.servers.redis import redis_server as open_server

if TYPE_CHECKING:
    from focal_testkit.servers.redis_cluster import RedisCluster
    from focal_testkit.servers.redis_sentinel import RedisSentinel

StartRedis = Callable[..., LocalRedis]
Server = TypeVar("Server", bound=RedisServer)


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path) -> Iterator[RedisServer]:
    """Yield the Redis of this process's tests; skips, or fails where it is required, when there is none."""
    try:
        server = open_server(servers_folder / f"redis-{uuid4().hex}")
    except ServerMissing as error:
        missing("redis", str(error))
    yield server
    server.close()


@pytest.fixture(scope="class")
def redis_prefix(redis_server: RedisServer) -> Iterator[str]:
    """Yield a key prefix of the test class on ``redis_server``; its keys are removed afterwards."""
    prefix = redis_server.new_prefix()
    yield prefix
    redis_server.forget(prefix)


@pytest.fixture
def start_redis(servers_folder: Path) -> Iterator[StartRedis]:
    """Yield what starts a server of the test's own: ``start_redis(settings)``, durable unless settings are given."""
    with ExitStack() as started:

        def start(settings: dict[str, str] | None = None) -> LocalRedis:
            server = _own(lambda folder: LocalRedis(folder, DURABLE if settings is None else settings), servers_folder)
            started.callback(server.close)
            return server

        yield start


@pytest.fixture
def private_redis(start_redis: StartRedis) -> LocalRedis:
    """Return a durable server of the test's own, for a test that stops, kills, pauses or reconfigures it."""
    return start_redis()


@pytest.fixture(scope="session")
def redis_cluster(servers_folder: Path) -> Iterator[RedisCluster]:
    """Yield a Redis Cluster of this process's tests, of which none kills a node."""
    with closing(_own(_cluster, servers_folder)) as cluster:
        yield cluster


@pytest.fixture
def private_redis_cluster(servers_folder: Path) -> Iterator[RedisCluster]:
    """Yield a Redis Cluster of the test's own, for a test that kills nodes."""
    with closing(_own(_cluster, servers_folder)) as cluster:
        yield cluster


@pytest.fixture
def redis_sentinel(servers_folder: Path) -> Iterator[RedisSentinel]:
    """Yield a primary with a replica and three sentinels of the test's own."""
    with closing(_own(_sentinel, servers_folder)) as watched:
        yield watched


def _cluster(folder: Path) -> RedisCluster:
    from focal_testkit.servers.redis_cluster import RedisCluster

    return RedisCluster(folder)


def _sentinel(folder: Path) -> RedisSentinel:
    from focal_testkit.servers.redis_sentinel import RedisSentinel

    return RedisSentinel(folder)


def _own(start: Callable[[Path], Server], folder: Path) -> Server:
    try:
        return start(folder / f"redis-{uuid4().hex}")
    except (ImportError, ServerMissing) as error:
        missing("redis", f"{error}; this test needs servers of its own: pip install redis, put redis-server on PATH")
