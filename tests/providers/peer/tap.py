"""A relay that writes down what goes to a server: the peer keeps only what it understands of a request."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import closing
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from focal_testkit.faults.wire import TASK_NAME

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Tap:
    """A socket on loopback whose bytes go to a server and back unchanged.

    Args:
        origin: of the server.

    Attributes:
        origin: to connect to.
        posted: the JSON of every POST that was sent whole, with its path, in order.
        quiet: set while nobody is connected.
    """

    def __init__(self, origin: str) -> None:
        self._target = urlsplit(origin)
        self._server: asyncio.Server | None = None
        self._relays: set[asyncio.Task[None]] = set()
        self.origin = ""
        self.posted: list[tuple[str, Any]] = []
        self.quiet = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.origin = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for relay in self._relays:
            relay.cancel()
        await asyncio.gather(*self._relays, return_exceptions=True)
        # The transports close their sockets in the next pass of the loop.
        await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.create_task(self._carry(reader, writer), name=TASK_NAME)
        self._relays.add(relay)
        self.quiet.clear()
        relay.add_done_callback(self._ended)

    def _ended(self, relay: asyncio.Task[None]) -> None:
        self._relays.discard(relay)
        if not self._relays:
            self.quiet.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            above_reader, above = await asyncio.open_connection(self._target.hostname, self._target.port)
            with closing(above):
                ways = [self._up(reader, above), self._down(above_reader, writer)]
                tasks = [asyncio.create_task(way, name=TASK_NAME) for way in ways]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)

    async def _up(self, reader: asyncio.StreamReader, above: asyncio.StreamWriter) -> None:
        seen = bytearray()
        while data := await reader.read(1 << 16):
            seen.extend(data)
            self._note(seen)
            above.write(data)
            await above.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    def _note(self, seen: bytearray) -> None:
        """Take every whole request from the front."""
        while (end := seen.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(seen, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(seen) < whole:
                return
            method, path, _ = bytes(seen[: seen.find(b"\r\n")]).decode().split(" ")
            if method == "POST":
                self.posted.append((path, json.loads(bytes(seen[end + 4 : whole]))))
            del seen[:whole]
