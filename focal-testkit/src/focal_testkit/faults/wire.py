"""A model provider's server that owns every byte: raw HTTP/1.1 on loopback, following a script."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeAlias

from focal_testkit.faults.journal import Journal

TASK_NAME = "focal-wire-server"
"""Name of the server's own tasks, so that a search for leaked ones can leave them out."""

_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Send:
    """Write bytes as they are."""

    data: bytes


@dataclass(frozen=True)
class Wait:
    """Do nothing for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Until:
    """Do nothing until an event is set."""

    event: asyncio.Event


@dataclass(frozen=True)
class Hang:
    """Do nothing until the client closes the connection."""


@dataclass(frozen=True)
class Close:
    """End the connection in order (FIN)."""


@dataclass(frozen=True)
class Reset:
    """Break the connection (RST)."""


@dataclass(frozen=True)
class AtOnce:
    """First in an exchange: it begins with the connection, before any request was read."""


@dataclass(frozen=True)
class Note:
    """Write a line into the journal."""

    text: str


Step: TypeAlias = Send | Wait | Until | Hang | Close | Reset | AtOnce | Note


@dataclass(frozen=True)
class Received:
    """One request as it came off the wire.

    Attributes:
        method: in capitals.
        path: without the query.
        headers: names in small letters.
        body: raw bytes.
        connection: number of the connection, from 1.
        at: time of the event loop.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    at: float

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            ValueError: it is none.
        """
        return json.loads(self.body)


Exchange: TypeAlias = Sequence[Step] | Callable[[Received], Sequence[Step]]
"""What happens to one request."""


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return a status line and headers."""
    reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unassigned"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def reply(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Send:
    """Return a complete reply with its length; the content type is JSON unless the headers say otherwise."""
    framing = {"content-type": "application/json", "content-length": str(len(body))}
    return Send(head(status, {**framing, **(headers or {})}) + body)


def json_reply(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Send:
    """Return a complete reply with a JSON body."""
    return reply(status, json.dumps(body).encode(), headers)


def stream_head(headers: Mapping[str, str] | None = None) -> Send:
    """Return the beginning of a chunked event stream."""
    framing = {"content-type": "text/event-stream; charset=utf-8", "transfer-encoding": "chunked"}
    return Send(head(200, {**framing, **(headers or {})}))


def chunk(data: bytes) -> Send:
    """Return one chunk of a chunked body."""
    return Send(b"%x\r\n%s\r\n" % (len(data), data))


LAST_CHUNK = Send(b"0\r\n\r\n")
"""The end of a chunked body."""


class _Gone(Exception):
    """The client closed its side."""


@dataclass
class _Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    buffer: bytearray = field(default_factory=bytearray)

    async def more(self) -> None:
        try:
            data = await self.reader.read(1 << 16)
        except ConnectionError:
            raise _Gone from None
        if not data:
            raise _Gone
        self.buffer += data

    async def until(self, mark: bytes) -> bytes:
        while (end := self.buffer.find(mark)) < 0:
            await self.more()
        found = bytes(self.buffer[:end])
        del self.buffer[: end + len(mark)]
        return found

    async def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            await self.more()
        found = bytes(self.buffer[:count])
        del self.buffer[:count]
        return found

    async def request(self) -> Received:
        lines = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if "chunked" in headers.get("transfer-encoding", ""):
            pieces = []
            while size := int(await self.until(b"\r\n"), 16):
                pieces.append(await self.exactly(size))
                await self.exactly(2)
            await self.exactly(2)
            body = b"".join(pieces)
        else:
            body = await self.exactly(int(headers.get("content-length", "0")))
        now = asyncio.get_running_loop().time()
        return Received(method, target.partition("?")[0], headers, body, self.number, now)

    async def gone(self) -> None:
        """Return when the client has closed its side; bytes it sends meanwhile are kept for the next request."""
        try:
            while True:
                await self.more()
        except _Gone:
            pass


class WireServer:
    """A listening socket on loopback that answers each request with the next exchange of a script.

        async with WireServer([[reply(503, b"")], [json_reply(200, good)]]) as server:
            ... # a provider built from server.origin
        assert len(server.calls) == 2

    The last exchange serves every request beyond the script as well. A connection whose exchange ended neither in
    `Close` nor in `Reset` is kept for the next request. Leaving the context closes every connection.

    Args:
        script: exchanges, in the order in which requests arrive.
        route: what to do with a request: None = the script is for it; else it is answered with these steps and does
            not count as a call.

    Attributes:
        origin: scheme, host and port.
        requests: everything that arrived.
        calls: what the script was for, in order.
        attempts: exchanges that began, those before any request was read included.
        connections: accepted so far.
        journal: what happened.
    """

    def __init__(
        self, script: Sequence[Exchange], *, route: Callable[[Received], Sequence[Step] | None] = lambda _: None
    ) -> None:
        self._script = list(script)
        self._route = route
        self.requests: list[Received] = []
        self.calls: list[Received] = []
        self.attempts = 0
        self.connections = 0
        self.journal = Journal()
        self._server: asyncio.Server | None = None
        self._guard: socket.socket | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._under_way = 0
        self._changed = asyncio.Event()
        self._errors: list[Exception] = []
        self.origin = ""

    async def __aenter__(self) -> Self:
        # Bound, never listening: the port stays ours while connections are refused.
        self._guard = _bound(0)
        port = self._guard.getsockname()[1]
        self.origin = f"http://127.0.0.1:{port}"
        self._server = await asyncio.start_server(self._accept, sock=_bound(port), backlog=1024)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close every connection.

        Raises:
            ExceptionGroup: an exchange of the script raised; not when the block itself did.
        """
        self.refuse()
        tasks = list(self._clients)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._guard is not None:
            self._guard.close()
        # The transports close their sockets in the next pass of the loop.
        await asyncio.sleep(0)
        if error is None and self._errors:
            raise ExceptionGroup("the script of the server failed", self._errors)

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._clients)

    def refuse(self) -> None:
        """Refuse connections from now on; the open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def settles_at(self, connections: int, *, within: float) -> bool:
        """Return whether no more than some connections are open before so many seconds have passed."""
        return await self._comes(lambda: len(self._clients) <= connections, within)

    async def counts(self, attempts: int, *, within: float) -> bool:
        """Return whether so many exchanges have begun before so many seconds have passed."""
        return await self._comes(lambda: self.attempts >= attempts, within)

    async def rests(self, *, within: float) -> bool:
        """Return whether no exchange is under way before so many seconds have passed; open connections are idle."""
        return await self._comes(lambda: not self._under_way, within)

    async def _comes(self, true: Callable[[], bool], within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        client = _Client(reader, writer, self.connections)
        task = asyncio.create_task(self._serve(client), name=TASK_NAME)
        self._clients[task] = writer
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        writer = self._clients.pop(task)
        writer.close()
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            assert isinstance(error, Exception)
            self._errors.append(error)

    async def _serve(self, client: _Client) -> None:
        self.journal.note("connected", connection=client.number)
        try:
            fresh = True
            while True:
                upcoming = self._script[min(self.attempts, len(self._script) - 1)]
                if fresh and not callable(upcoming) and isinstance(upcoming[0], AtOnce):
                    self.attempts += 1
                    await self._play(client, upcoming[1:])
                fresh = False
                request = await client.request()
                self.requests.append(request)
                self.journal.note("requested", f"{request.method} {request.path}", connection=client.number)
                await self._play(client, self._steps(request))
        except _Gone:
            self.journal.note("closed", connection=client.number)

    def _steps(self, request: Received) -> Sequence[Step]:
        if (aside := self._route(request)) is not None:
            return aside
        exchange = self._script[min(self.attempts, len(self._script) - 1)]
        self.attempts += 1
        self._changed.set()
        self.calls.append(request)
        return exchange(request) if callable(exchange) else exchange

    async def _play(self, client: _Client, steps: Sequence[Step]) -> None:
        """Run the steps, or as many as the client stays for.

        Raises:
            _Gone: the connection is at its end.
        """
        self._under_way += 1
        acting = asyncio.create_task(self._act(client, steps), name=TASK_NAME)
        watching = asyncio.create_task(client.gone(), name=TASK_NAME)
        try:
            await asyncio.wait({acting, watching}, return_when=asyncio.FIRST_COMPLETED)
            if acting.done():
                acting.result()
            else:
                raise _Gone
        finally:
            for task in (acting, watching):
                task.cancel()
            await asyncio.gather(acting, watching, return_exceptions=True)
            self._under_way -= 1
            self._changed.set()

    async def _act(self, client: _Client, steps: Sequence[Step]) -> None:
        for step in steps:
            match step:
                case Send(data):
                    client.writer.write(data)
                    try:
                        await client.writer.drain()
                    except ConnectionError:
                        raise _Gone from None
                case Wait(seconds):
                    await asyncio.sleep(seconds)
                case Until(event):
                    await event.wait()
                case Hang():
                    await asyncio.get_running_loop().create_future()
                case Close():
                    raise _Gone
                case Reset():
                    peer = client.writer.get_extra_info("socket")
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
                    client.writer.transport.abort()
                    raise _Gone
                case Note(text):
                    self.journal.note("noted", text, connection=client.number)
                case AtOnce():
                    pass


def _bound(port: int) -> socket.socket:
    # Without the protocol asyncio does not switch Nagle's algorithm off, and small chunks wait 40 ms.
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(("127.0.0.1", port))
    return bound
