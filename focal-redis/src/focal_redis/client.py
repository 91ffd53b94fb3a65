"""The one way a command runs: to the server of its key, with a deadline, errors of focal's, repeats where safe."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.exceptions import ResponseError

from focal_core.context import BackendContext
from focal_core.errors import FocalError, StoreUnavailableError
from focal_redis.address import Address, Host, read
from focal_redis.cluster import Topology
from focal_redis.connection import Argument, pack
from focal_redis.endpoint import Endpoint
from focal_redis.errors import first_word, refused
from focal_redis.script import Script
from focal_redis.sentinels import Sentinels
from focal_redis.settings import RedisOptions

_HOPS = 5
_RESOLVE_SECONDS = 10.0
_PROBE = pack("PING")


class RedisClient:
    """A Redis server, a cluster, or the primary that sentinels know.

    Args:
        options: where and how.
        context: clock, limits, policies.
    """

    def __init__(self, options: RedisOptions, context: BackendContext) -> None:
        self.options = options
        self.context = context
        self._address: Address | None = None
        self._single: Endpoint | None = None
        self._topology: Topology | None = None
        self._sentinels: Sentinels | None = None
        self._resolving: asyncio.Task[None] | None = None

    async def open(self, url: str | None = None) -> None:
        """Make the endpoints and one first connection.

        Args:
            url: the address when it is not that of the options (an embedded server's).

        Raises:
            SettingsError: the address cannot be read.
            StoreUnavailableError: no connection could be made.
        """
        address = self._address = read(url or self.options.url.get_secret_value())
        try:
            if address.kind == "cluster":
                self._topology = Topology(address.hosts, self._member)
                await self._topology.refresh()
                return
            if address.kind == "sentinel":
                self._sentinels = Sentinels(address, self.options)
                self._resolving = asyncio.create_task(self._resolve_now_and_then())
            self._single = Endpoint(self.options, address.arguments, address.tls, address.shown, self._locate)
            reply = await self._single.submit(_PROBE, writes=False)
            if isinstance(reply, ResponseError):
                raise refused(reply, "open", address.shown)
        except BaseException:
            await self.close()
            raise

    def _member(self, host: Host) -> Endpoint:
        assert self._address is not None

        async def locate() -> Host:
            return host

        return Endpoint(
            self.options, self._address.arguments, self._address.tls, f"Redis at {host[0]}:{host[1]}", locate
        )

    async def _locate(self) -> Host | None:
        assert self._address is not None
        if self._sentinels is None:
            return self._address.hosts[0] if self._address.hosts else None
        before = self._sentinels.primary
        host = await self._sentinels.ask()
        if before not in (None, host) and self._single is not None:
            self._single.pool.drop_idle()
        return host

    async def _resolve_now_and_then(self) -> None:
        """Leave a primary that the sentinels have replaced: cut off from them, it goes on answering."""
        while True:
            await asyncio.sleep(_RESOLVE_SECONDS)
            with contextlib.suppress(FocalError):
                await self._locate()

    async def close(self) -> None:
        """Let running calls end, then close every connection; a second call does nothing."""
        if self._resolving is not None:
            self._resolving.cancel()
            self._resolving = None
        single, self._single = self._single, None
        topology, self._topology = self._topology, None
        sentinels, self._sentinels = self._sentinels, None
        if single is not None:
            await single.close()
        if topology is not None:
            await topology.close()
        if sentinels is not None:
            await sentinels.close()

    async def call(
        self, method: str, *command: Argument, key: bytes, writes: bool = False, repeat: bool = False
    ) -> Any:
        """Run a command on the server that holds a key, and return its reply.

        Args:
            method: the store's method, for errors.
            command: name and arguments.
            key: any key of the command.
            writes: whether it may write; one that does not is repeated once when the connection is lost.
            repeat: for one that writes, whether a second run changes nothing and answers alike, so that it may be
                repeated once when the reply was lost.

        Returns:
            bytes, an integer, None, or a list of these.

        Raises:
            StoreUnavailableError: no answer; from one that writes: nothing was written.
            OutcomeUnknownError: one that writes was sent, and its reply was lost.
            StoreError: the server refused it.
        """
        reply = await self._exchange(method, pack(*command), key, writes, repeat)
        if isinstance(reply, ResponseError):
            raise self._refused(reply, method)
        return reply

    async def run(
        self,
        method: str,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[Argument] = (),
        *,
        writes: bool,
        repeat: bool = False,
        finds_keys: bool = False,
    ) -> Any:
        """Run a script on the server that holds its keys, and return its reply; as ``call``.

        Args:
            method: the store's method, for errors.
            script: the script; a server that does not know it is told.
            keys: its keys, all with one hash tag.
            args: its arguments.
            writes: as for ``call``.
            repeat: as for ``call``.
            finds_keys: whether the script takes a key it has found in another and not found itself for gone. A server
                that is only taking the slot over may not have it yet, and is not asked.
        """
        tail, follow = (len(keys), *keys, *args), not finds_keys
        reply = await self._exchange(method, pack("EVALSHA", script.sha, *tail), keys[0], writes, repeat, follow)
        if isinstance(reply, ResponseError) and first_word(reply) == "NOSCRIPT":
            reply = await self._exchange(method, pack("EVAL", script.source, *tail), keys[0], writes, repeat, follow)
        if isinstance(reply, ResponseError):
            raise self._refused(reply, method)
        return reply

    async def scan(self, method: str, pattern: bytes, *, key: bytes, count: int = 500) -> AsyncIterator[bytes]:
        """Yield the keys that match a pattern, on the server that holds a key; some may come twice.

        Args:
            method: the store's method, for errors.
            pattern: as of ``SCAN``.
            key: any key on that server.
            count: how many the server looks at in one go.
        """
        cursor = b"0"
        while True:
            cursor, found = await self.call(method, "SCAN", cursor, "MATCH", pattern, "COUNT", count, key=key)
            for one in found:
                yield one
            if cursor == b"0":
                return

    async def _exchange(
        self, method: str, data: bytes, key: bytes, writes: bool, repeat: bool, follow: bool = True
    ) -> Any:
        try:
            if self._single is not None:
                reply = await self._single.submit(data, writes=writes, repeat=repeat)
                if isinstance(reply, ResponseError) and self._sentinels is not None and first_word(reply) == "READONLY":
                    # It was the primary once; whoever comes next asks the sentinels.
                    self._single.pool.drop_idle()
                return reply
            return await self._routed(data, key, writes, repeat, follow)
        except FocalError as error:
            error.details.setdefault("method", method)
            raise

    async def _routed(self, data: bytes, key: bytes, writes: bool, repeat: bool, follow: bool) -> Any:
        """Exchange with the member of the cluster that holds a key, following its redirections."""
        topology = self._topology
        if topology is None:
            raise StoreUnavailableError("the backend is not open", code="closed", retryable=False)
        endpoint, asked = await topology.of(key), False
        for _ in range(_HOPS):
            try:
                reply = await endpoint.submit(data, writes=writes, repeat=repeat, asked=asked)
            except StoreUnavailableError:
                # It may be gone for good; who comes next asks for the slots.
                topology.forget(endpoint)
                raise
            word = first_word(reply) if isinstance(reply, ResponseError) else ""
            if word not in ("MOVED", "ASK") or (word == "ASK" and not follow):
                if word in ("CLUSTERDOWN", "READONLY", "MASTERDOWN"):
                    topology.forget(endpoint)
                return reply
            _, slot, place = str(reply).split(" ")[:3]
            host, _, port = place.rpartition(":")
            target = (host or endpoint.where.rpartition(" ")[2].rpartition(":")[0], int(port))
            asked = word == "ASK"
            endpoint = topology.at(target) if asked else topology.moved(int(slot), target)
            if not asked:
                topology.forget()
        return reply

    def _refused(self, reply: ResponseError, method: str) -> FocalError:
        known = refused(reply, method, self.where)
        known.__cause__ = reply if self.options.debug_driver_errors else None
        return known

    @property
    def where(self) -> str:
        """The address as it may stand in a message."""
        return "Redis" if self._address is None else self._address.shown

    @property
    def endpoints(self) -> list[Endpoint]:
        """The servers that are written to."""
        if self._single is not None:
            return [self._single]
        return [] if self._topology is None else self._topology.endpoints

    @property
    def counts(self) -> dict[str, int]:
        """How many connections are idle and busy, and how many calls wait, over all servers."""
        total = {"idle": 0, "busy": 0, "waiting": 0}
        for endpoint in self.endpoints:
            for name, count in endpoint.pool.counts.items():
                total[name] += count
        return total
