"""A TCP proxy that breaks the network on request, at an exact moment, for any protocol."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from focal_testkit.faults.connection import TASK_NAME, Connection, Counters, Faults, Network
from focal_testkit.faults.journal import Journal
from focal_testkit.faults.triggers import Action, Chunks, Framing, Moment, Predicate, Trigger

ADDRESS_PARAMETERS = {"host", "hostaddr", "port"}


class FaultProxy:
    """A listening socket on loopback whose bytes go to a server and back, through whatever faults are in force.

        async with FaultProxy("127.0.0.1", 5432, framing=PostgresFraming) as proxy:
            lost = proxy.after(statement("COMMIT"), reset)      # committed, and the client never hears of it
            connection = await asyncpg.connect(proxy.url(dsn))
            ...
            await proxy.switch(Faults(black_hole=frozenset({"down"})))
            await proxy.heal()

    Two proxies before two servers are a network to partition. Leaving the context cuts every connection.

    Args:
        target_host: of the server; a path with `target_port` None is a Unix socket.
        target_port: of the server.
        framing: makes the framing of a new connection; without one a message is whatever arrives at once.
        faults: in force from the start.
        seed: of every draw; a connection draws by its own number, whatever the others do.

    Attributes:
        host: to connect to.
        port: to connect to; the same as long as the proxy lives, also while it refuses.
        journal: what happened.
    """

    def __init__(
        self,
        target_host: str,
        target_port: int | None,
        *,
        framing: Callable[[], Framing] = Chunks,
        faults: Faults | None = None,
        seed: int = 0,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self._target = (target_host, target_port)
        self._network = Network(framing, seed, faults or Faults())
        self.journal: Journal = self._network.journal
        self._server: asyncio.Server | None = None
        self._guard: socket.socket | None = None
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._errors: list[Exception] = []

    async def __aenter__(self) -> Self:
        # Bound, never listening: the port stays ours while the proxy refuses connections.
        self._guard = self._bound(0)
        self.port = self._guard.getsockname()[1]
        await self.switch(self._network.faults)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cut every connection.

        Raises:
            ExceptionGroup: a predicate, an action or the framing raised; not when the block itself did.
        """
        self._stop_listening()
        self.cut()
        await asyncio.gather(*self._connections.values())
        if self._guard:
            self._guard.close()
        # The transports close their sockets in the next pass of the loop.
        await asyncio.sleep(0)
        if error is None and self._errors:
            raise ExceptionGroup("a trigger or the framing failed", self._errors)

    @property
    def faults(self) -> Faults:
        """The faults in force."""
        return self._network.faults

    @property
    def counters(self) -> Counters:
        """What went through since the proxy began; live."""
        return self._network.counters

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    def url(self, dsn: str) -> str:
        """Return a URL that leads through the proxy: the same but for host and port.

        Addresses in the query (``host``, ``hostaddr``, ``port``) are dropped; several hosts become the one.
        """
        parts = urlsplit(dsn)
        user, at, _ = parts.netloc.rpartition("@")
        kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] not in ADDRESS_PARAMETERS]
        return urlunsplit(parts._replace(netloc=f"{user}{at}{self.host}:{self.port}", query="&".join(kept)))

    async def switch(self, faults: Faults) -> None:
        """Put other faults in force at once, for open connections and new ones.

        `Faults.connect` concerns new connections only; `cut` ends the open ones.
        """
        self._network.change(faults)
        self.journal.note("switched", str(faults))
        if faults.connect == "refuse":
            self._stop_listening()
        elif self._server is None:
            self._server = await asyncio.start_server(self._accept, sock=self._bound(self.port), backlog=1024)

    async def heal(self) -> None:
        """Return to a network without faults; what was stalled goes on, what was dropped stays lost."""
        for connection in self._connections:
            connection.resume()
        await self.switch(Faults())

    def cut(self) -> None:
        """Reset every open connection, on both sides."""
        for connection in self._connections:
            connection.reset()

    def before(self, matches: Predicate, action: Action, *, nth: int = 1, times: int | None = 1) -> Trigger:
        """Add a fault for the moment when a request has left the client and not reached the server.

        Args:
            matches: which messages of the client.
            action: what happens to the connection; the message waits for it.
            nth: the first match that fires, counted from 1 over all connections.
            times: how many fire, from the nth on; None for all.
        """
        return self._added(Trigger(Moment.BEFORE, matches, action, nth, times))

    def after(self, matches: Predicate, action: Action, *, nth: int = 1, times: int | None = 1) -> Trigger:
        """Add a fault for the moment when the server has answered a request and the client has heard nothing of it.

        Args:
            matches: which messages of the client.
            action: what happens to the connection; the answer waits for it.
            nth: the first match that fires, counted from 1 over all connections.
            times: how many fire, from the nth on; None for all.
        """
        return self._added(Trigger(Moment.AFTER, matches, action, nth, times))

    def remove(self, trigger: Trigger) -> None:
        """Take a trigger out; what it has begun goes on."""
        self._network.triggers.remove(trigger)

    def _added(self, trigger: Trigger) -> Trigger:
        self._network.triggers.append(trigger)
        return trigger

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counters.connections += 1
        connection = Connection(self._network, self.counters.connections, (reader, writer))
        self.journal.note("connected", connection=connection.number)
        self._connections[connection] = asyncio.create_task(self._carry(connection), name=TASK_NAME)

    async def _carry(self, connection: Connection) -> None:
        try:
            self._errors += await connection.run(*self._target)
        finally:
            del self._connections[connection]

    def _bound(self, port: int) -> socket.socket:
        # Without the protocol asyncio does not switch Nagle's algorithm off, and every turn waits 40 ms.
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((self.host, port))
        return bound

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
