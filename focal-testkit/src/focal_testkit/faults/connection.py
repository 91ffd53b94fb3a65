"""One connection through the fault proxy: two streams, their faults, their triggers."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Literal

from focal_testkit.faults.journal import Journal
from focal_testkit.faults.triggers import Direction, Framing, Message, Moment, Trigger

READ_BYTES = 65_536
PENDING_CHUNKS = 16
TASK_NAME = "focal fault proxy"


@dataclass(frozen=True, slots=True)
class Faults:
    """The state of the network; the default is a network without faults.

    Attributes:
        latency_seconds: added to every chunk, in each direction; chunks travel side by side.
        jitter_seconds: added to that, drawn anew for each chunk from zero to this; the order is kept.
        slice_bytes: bytes are delivered in pieces of at most this many.
        bytes_per_second: rate of each direction; 0 delivers nothing and makes the sender wait. None is unlimited.
        connect: what new clients meet: ``"forward"``; ``"hang"``, accepted and then silence; ``"refuse"``, nobody
            listens; ``"reset"``, accepted and reset at once.
        black_hole: directions whose bytes vanish, the end of the stream included. ``{"down"}`` is half-open.
    """

    latency_seconds: float = 0.0
    jitter_seconds: float = 0.0
    slice_bytes: int | None = None
    bytes_per_second: float | None = None
    connect: Literal["forward", "hang", "refuse", "reset"] = "forward"
    black_hole: frozenset[Direction] = frozenset()


@dataclass(slots=True)
class Counters:
    """What went through, all connections together.

    Attributes:
        connections: accepted so far.
        bytes_up: received from clients.
        bytes_down: received from the server.
        round_trips: turns of the conversation: one each time a client speaks first or after the server has spoken.
            Packets and chunks do not matter, so the number does not depend on the load of the machine.
    """

    connections: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    round_trips: int = 0


@dataclass(slots=True)
class Network:
    """What the connections of one proxy share."""

    make_framing: Callable[[], Framing]
    seed: int
    faults: Faults = field(default_factory=Faults)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    counters: Counters = field(default_factory=Counters)
    journal: Journal = field(default_factory=Journal)
    triggers: list[Trigger] = field(default_factory=list)

    def change(self, faults: Faults) -> None:
        """Put other faults in force and wake whoever waits for that."""
        self.faults = faults
        self.changed.set()
        self.changed = asyncio.Event()


def abort(writer: asyncio.StreamWriter) -> None:
    """Close a socket with a reset: nothing buffered is sent, the peer's next read or write fails."""
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


Arrivals = asyncio.Queue[tuple[float, bytes | None]]


class Connection:
    """A client's connection and its counterpart to the server. Implements `Controls`."""

    def __init__(self, network: Network, number: int, client: tuple[asyncio.StreamReader, asyncio.StreamWriter]):
        self.number = number
        self._network = network
        self._readers: dict[Direction, asyncio.StreamReader] = {"up": client[0]}
        self._writers: dict[Direction, asyncio.StreamWriter] = {"down": client[1]}
        self._framing = network.make_framing()
        self._muted: set[Direction] = set()
        self._stalled = False
        self._spoke_last: Direction | None = None
        self._armed: list[tuple[Trigger, Message]] = []
        self._held: list[bytes] = []
        self._completed = 0
        self._ended: set[Direction] = set()
        self._over = asyncio.Event()

    def reset(self) -> None:
        """Cut both sides; see `Controls`."""
        for writer in self._writers.values():
            abort(writer)
        self._over.set()

    def eof(self) -> None:
        """Close both sides; see `Controls`."""
        for writer in self._writers.values():
            writer.close()
        self._over.set()

    def stall(self) -> None:
        """Deliver nothing more; see `Controls`."""
        self._stalled = True

    def resume(self) -> None:
        """End a stall of this connection; takes effect with the next change of the network."""
        self._stalled = False

    def mute(self, direction: Direction) -> None:
        """Drop one direction; see `Controls`."""
        self._muted.add(direction)

    async def half(self) -> None:
        """Deliver half of what is held back; see `Controls`."""
        held = b"".join(self._held)
        self._held = [held[len(held) // 2 :]]
        await self._write("down", held[: len(held) // 2])

    async def run(self, host: str, port: int | None) -> list[Exception]:
        """Carry the connection until both sides have ended, and return what predicates and actions raised."""
        kind = self._network.faults.connect
        if kind == "reset":
            self.reset()
        elif kind == "hang":
            await self._over.wait()
        else:
            await self._reach(host, port)
        if self._over.is_set():
            return []
        lanes = [asyncio.create_task(lane, name=TASK_NAME) for name in ("up", "down") for lane in self._lanes(name)]
        try:
            await self._over.wait()
        finally:
            for lane in lanes:
                lane.cancel()
            results = await asyncio.gather(*lanes, return_exceptions=True)
            for writer in self._writers.values():
                writer.close()
        self._network.journal.note("ended", connection=self.number)
        return [one for one in results if isinstance(one, Exception)]

    async def _reach(self, host: str, port: int | None) -> None:
        """Connect to the server, unless the connection is cut before that succeeds."""
        target = asyncio.open_connection(host, port) if port else asyncio.open_unix_connection(host)
        opening, over = asyncio.ensure_future(target), asyncio.ensure_future(self._over.wait())
        await asyncio.wait({opening, over}, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if not opening.done():
            opening.cancel()
            return
        try:
            self._readers["down"], self._writers["up"] = opening.result()
        except OSError as error:
            self._network.journal.note("unreachable", str(error), self.number)
            self.reset()
        if self._over.is_set() and "up" in self._writers:
            abort(self._writers["up"])

    def _lanes(self, direction: Direction) -> list[Coroutine[None, None, None]]:
        arrivals: Arrivals = asyncio.Queue(PENDING_CHUNKS)
        return [self._read(direction, arrivals), self._deliver(direction, arrivals)]

    async def _read(self, direction: Direction, arrivals: Arrivals) -> None:
        """Note arrivals the moment they happen: latency is counted from there, and so are turns."""
        loop = asyncio.get_running_loop()
        while True:
            data: bytes | None
            try:
                data = await self._readers[direction].read(READ_BYTES)
            except OSError:
                data = None
            if data:
                self._count(direction, len(data))
            await arrivals.put((loop.time(), data))
            if not data:
                return

    def _count(self, direction: Direction, size: int) -> None:
        counters = self._network.counters
        if direction == "down":
            counters.bytes_down += size
        else:
            counters.bytes_up += size
            counters.round_trips += self._spoke_last != "up"
        self._spoke_last = direction

    async def _deliver(self, direction: Direction, arrivals: Arrivals) -> None:
        loop = asyncio.get_running_loop()
        # A text seeds alike in every process, which the hash of a tuple would not.
        chance = random.Random(f"{self._network.seed}/{self.number}/{direction}")
        deliver = self._up if direction == "up" else self._down
        try:
            while True:
                arrived, data = await arrivals.get()
                faults = self._network.faults
                due = arrived + faults.latency_seconds + chance.uniform(0.0, faults.jitter_seconds)
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                if not data:
                    return await self._end(direction, was_reset=data is None)
                await deliver(data)
        except OSError:
            self.reset()
        except Exception as error:
            self._network.journal.note("failed", repr(error), self.number)
            self.reset()
            raise

    async def _up(self, data: bytes) -> None:
        """Deliver the client's bytes, pausing at every message that a trigger waits for."""
        passed: list[bytes] = []
        for message in self._framing.requests(data):
            for trigger in [one for one in self._network.triggers if one.takes(message)]:
                if trigger.moment is Moment.AFTER:
                    self._armed.append((trigger, message))
                    continue
                await self._write("up", b"".join(passed))
                passed.clear()
                await self._fire(trigger, message)
            passed.append(message.data)
        await self._write("up", b"".join(passed))

    async def _down(self, data: bytes) -> None:
        """Deliver the server's bytes, holding an answer back while a trigger waits for the rest of it."""
        passed: list[bytes] = []
        for reply in self._framing.replies(data):
            self._held.append(reply.data)
            for trigger, message in [one for one in self._armed if one[1].ticket <= reply.completed]:
                self._armed.remove((trigger, message))
                await self._write("down", b"".join(passed))
                passed.clear()
                await self._fire(trigger, message)
            ends_an_answer = reply.completed > self._completed
            self._completed = reply.completed
            waiting = any(message.ticket == reply.completed + 1 for _, message in self._armed)
            if ends_an_answer or reply.release or not waiting:
                passed += self._held
                self._held.clear()
        await self._write("down", b"".join(passed))

    async def _fire(self, trigger: Trigger, message: Message) -> None:
        self._network.journal.note(trigger.moment, f"{message}: {trigger.name}", self.number)
        await trigger.fire(message, self)

    async def _write(self, direction: Direction, data: bytes) -> None:
        writer = self._writers[direction]
        start = 0
        while start < len(data) and not self._over.is_set():
            await self._unstalled()
            faults = self._network.faults
            size = faults.slice_bytes or len(data)
            if faults.bytes_per_second:
                size = min(size, max(1, int(faults.bytes_per_second / 20)))
            piece = data[start : start + size]
            start += len(piece)
            await asyncio.sleep(len(piece) / faults.bytes_per_second if faults.bytes_per_second else 0)
            if direction not in self._muted | faults.black_hole:
                writer.write(piece)
                await writer.drain()

    async def _unstalled(self) -> None:
        while self._stalled or self._network.faults.bytes_per_second == 0:
            await self._network.changed.wait()

    async def _end(self, direction: Direction, *, was_reset: bool) -> None:
        """Pass on the end of one side, unless it vanishes on the way."""
        await self._unstalled()
        if direction not in self._muted | self._network.faults.black_hole:
            if was_reset:
                return self.reset()
            if direction == "down":
                await self._write("down", b"".join(self._held))
            writer = self._writers[direction]
            if not writer.transport.is_closing():
                writer.write_eof()
        self._ended.add(direction)
        if self._ended == {"up", "down"}:
            self._over.set()
        return None
