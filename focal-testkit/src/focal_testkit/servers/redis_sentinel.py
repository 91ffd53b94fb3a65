"""Redis under sentinels for tests: one primary, one replica, three sentinels, on loopback."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from redis import Redis, RedisError

from focal_testkit.servers import ServerMissing
from focal_testkit.servers.redis import FAST, LocalRedis, RedisServer, ask
from focal_testkit.servers.waiting import until

SERVICE = "main"
SENTINELS = 3


class RedisSentinel(RedisServer):
    """A primary and its replica of this process, watched by sentinels, which replace it a second after it is gone.

    Args:
        folder: where the servers live; made if it is missing.
        settings: lines of a redis.conf for primary and replica; ``FAST`` when omitted.

    Attributes:
        url: ``redis+sentinel://`` with the sentinels, the password, which is the same for all, and the service.
        data: the first primary and its replica; who is the primary later is told by ``primary``.
        sentinels: the three.

    Raises:
        ServerMissing: there is no binary, or a server does not start.
    """

    source = "local"
    controllable = True

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        self.data: list[LocalRedis] = []
        self.sentinels: list[LocalRedis] = []
        self.password = secrets.token_urlsafe(24)
        chosen = {
            **(FAST if settings is None else settings),
            "repl-diskless-sync": "yes",
            "repl-diskless-sync-delay": "0",
        }
        try:
            for number in range(2):
                if number == 1:
                    chosen["replicaof"] = f"127.0.0.1 {self.data[0].port}"
                self.data.append(LocalRedis(folder / f"data-{number}", chosen, password=self.password))
            until(self._is_replicated, "the replica has the primary's data")
            for number in range(SENTINELS):
                self.sentinels.append(
                    LocalRedis(
                        folder / f"sentinel-{number}",
                        self._watching(self.data[0].port),
                        arguments=["--sentinel"],
                        password=self.password,
                    )
                )
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        places = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        super().__init__(f"redis+sentinel://:{self.password}@{places}/{SERVICE}/0")
        self.version = self.data[0].version

    @property
    def primary(self) -> LocalRedis:
        """The server that most sentinels call the primary."""
        ports = [told for told in map(self._told_primary, self.sentinels) if told is not None]
        if not ports:
            raise ServerMissing("no sentinel answers")
        port = max(ports, key=ports.count)
        return next(server for server in self.data if server.port == port)

    def client(self, **options: Any) -> Redis:
        """Return a client of the primary; the caller closes it."""
        return self.primary.client(**options)

    def wait_until_ready(self, *, seconds: float = 60.0) -> None:
        """Return once every server runs, the sentinels know each other and both servers, and the replica is in step.

        Raises:
            NotInTimeError: that did not come true.
        """
        until(self._is_ready, "the sentinels agree, the replica is in step", seconds=seconds)

    def wait_until_replaced(self, gone: LocalRedis, *, seconds: float = 30.0) -> LocalRedis:
        """Return the new primary once every sentinel names it and it takes writes.

        Args:
            gone: the former primary.
            seconds: how long at most.

        Raises:
            NotInTimeError: there is none in time.
        """
        successor = next(server for server in self.data if server is not gone)
        until(lambda: self._leads(successor), "the sentinels have replaced the primary", seconds=seconds)
        return successor

    def rejoin(self, server: LocalRedis) -> None:
        """Start a killed server as the replica of the present primary, and return when all is as at first.

        Started by ``start()`` alone, a former first primary calls itself one until the sentinels see it (20 seconds).
        """
        server.settings["replicaof"] = f"127.0.0.1 {self.primary.port}"
        server.start()
        self.wait_until_ready()

    def close(self) -> None:  # noqa: D102
        for server in (*self.sentinels, *self.data):
            server.close()

    def _watching(self, port: int) -> dict[str, str]:
        return {
            "sentinel monitor": f"{SERVICE} 127.0.0.1 {port} 2",
            "sentinel auth-pass": f"{SERVICE} {self.password}",
            "sentinel down-after-milliseconds": f"{SERVICE} 1000",
            "sentinel failover-timeout": f"{SERVICE} 5000",
        }

    def _told_primary(self, sentinel: LocalRedis) -> int | None:
        with suppress(RedisError), sentinel.client(socket_timeout=5) as client:
            return int(_raw(client, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
        return None

    def _leads(self, server: LocalRedis) -> bool:
        if any(self._told_primary(sentinel) != server.port for sentinel in self.sentinels if sentinel.running):
            return False
        with suppress(RedisError), server.client(socket_timeout=5) as client:
            return b"role:master" in _raw(client, "INFO", "replication")
        return False

    def _is_replicated(self) -> bool:
        told = b""
        for server in self.data:
            with suppress(RedisError), server.client(socket_timeout=5) as client:
                told += _raw(client, "INFO", "replication")
        return told.count(b"role:master") == told.count(b"state=online") == told.count(b"master_link_status:up") == 1

    def _is_ready(self) -> bool:
        if not all(server.running for server in (*self.data, *self.sentinels)) or not self._is_replicated():
            return False
        try:
            for sentinel in self.sentinels:
                with sentinel.client(socket_timeout=5) as client:
                    reply = _raw(client, "SENTINEL", "MASTER", SERVICE)
                    (replica,) = _raw(client, "SENTINEL", "REPLICAS", SERVICE)
                told = dict(zip(reply[::2], reply[1::2], strict=True))
                followed = dict(zip(replica[::2], replica[1::2], strict=True))
                others = int(told[b"num-other-sentinels"])
                if (told[b"flags"], followed[b"flags"], others) != (b"master", b"slave", SENTINELS - 1):
                    return False
                # Sentinels do not promote a replica whose state they have not read.
                if followed[b"master-link-status"] != b"ok":
                    return False
        except (RedisError, ValueError):
            return False
        return True


def _raw(client: Redis, *command: str) -> Any:
    client.response_callbacks.clear()
    return ask(client, *command)
