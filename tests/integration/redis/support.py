"""What the tests of focal-redis share: opened clients, a clock that ages the server's keys, and a base of cases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_redis.client import RedisClient
from focal_redis.settings import RedisOptions
from focal_testkit.servers.redis import RedisServer

PATIENCE: dict[str, Any] = {"connect_timeout": 30, "acquire_timeout": 30, "deadline": 30}


class AgeingClock(ManualClock):
    """A clock whose moves also age the keys of a test, so that what has a time to live ends by this clock.

    Args:
        places: servers and the prefix of the keys there.
        start: as of ``ManualClock``.
    """

    def __init__(self, *places: tuple[RedisServer, str], start: datetime | None = None) -> None:
        super().__init__(start)
        self._places: Sequence[tuple[RedisServer, str]] = places
        self._start = self.now()

    def set(self, moment: datetime) -> None:
        before = self._milliseconds()
        super().set(moment)
        self._age(before)

    def advance(self, delta: timedelta | None = None, *, seconds: float = 0.0) -> datetime:
        before = self._milliseconds()
        super().advance(delta, seconds=seconds)
        self._age(before)
        return self.now()

    def _milliseconds(self) -> int:
        return (self.now() - self._start) // timedelta(milliseconds=1)

    def _age(self, before: int) -> None:
        gone = self._milliseconds() - before
        if gone:
            for server, prefix in self._places:
                server.age(prefix, gone)


@asynccontextmanager
async def open_client(url: str, context: BackendContext, **options: Any) -> AsyncIterator[RedisClient]:
    """Yield an opened client of at most four connections, closed afterwards; options as of RedisOptions."""
    client = RedisClient(RedisOptions(**{"url": SecretStr(url), "pool_size": 4, **PATIENCE, **options}), context)
    await client.open()
    try:
        yield client
    finally:
        await client.close()


class RedisStoreCase:
    """Gives a contract ``open_store``, an empty store of ``store_class`` under a key prefix of its own, and ``clock``.

    Stores that are open at the same time share a server and no key. ``server_fixture`` names the fixture of the
    server: ``redis_server`` or ``redis_cluster``.
    """

    store_class: ClassVar[Any]
    options: ClassVar[Mapping[str, Any]] = {}
    server_fixture: ClassVar[str] = "redis_server"
    server: ClassVar[RedisServer]
    prefix: ClassVar[str]
    _numbers: ClassVar[Iterator[int]]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def keys_of_the_class(cls, request: pytest.FixtureRequest) -> Iterator[None]:
        cls.server = request.getfixturevalue(cls.server_fixture)
        cls.prefix, cls._numbers = cls.server.new_prefix(), count()
        yield
        cls.server.forget(cls.prefix)

    @pytest.fixture
    def clock(self) -> AgeingClock:
        return AgeingClock((self.server, self.prefix))

    @asynccontextmanager
    async def open_store(self, context: BackendContext) -> AsyncIterator[Any]:
        prefix = f"{self.prefix}-{next(self._numbers)}"
        try:
            async with open_client(self.server.url, context, **{"key_prefix": prefix, **self.options}) as client:
                yield self.make_store(client, context)
        finally:
            # A later store would look at these keys each time the clock moves.
            self.server.forget(prefix)

    def make_store(self, client: RedisClient, context: BackendContext) -> Any:
        """Return the store under test; a case whose store takes more than a client and a context overrides this."""
        return self.store_class(client, context)
