"""Triggers: the exact moment on the wire at which a fault happens. Knows no protocol; framings do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol

Direction = Literal["up", "down"]
"""Up is from the client to the server."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the client.

    Attributes:
        data: its bytes as sent.
        ticket: the server has answered it wholly once it has completed this many answers on the connection.
        kind: what it is, in the framing's words; ``"chunk"`` without a framing.
        text: what it says, such as the statement it runs; empty where that means nothing.
    """

    data: bytes
    ticket: int
    kind: str = "chunk"
    text: str = ""

    def __str__(self) -> str:
        text = " ".join(self.text.split())
        return f"{self.kind} {text[:100]}".rstrip()


@dataclass(frozen=True, slots=True)
class Reply:
    """A piece of what the server says.

    Attributes:
        data: its bytes as sent.
        completed: answers complete on the connection once the client has this piece.
        release: the client cannot go on without it, so that it is never held back.
    """

    data: bytes
    completed: int
    release: bool = False


class Framing(Protocol):
    """Cuts one connection's bytes into messages. Made anew for each connection.

    Neither method loses, adds or reorders bytes; both may keep an incomplete message until its rest arrives.
    """

    def requests(self, data: bytes) -> list[Message]:
        """Return the messages that the client's next bytes complete."""
        ...

    def replies(self, data: bytes) -> list[Reply]:
        """Return the pieces that the server's next bytes complete."""
        ...


class Chunks:
    """The framing of an unknown protocol: whatever arrives at once is a message, whatever comes back answers it."""

    def __init__(self) -> None:
        self._completed = 0

    def requests(self, data: bytes) -> list[Message]:
        """Return the bytes as one message."""
        return [Message(data, self._completed + 1, text=data.decode("utf-8", "replace"))]

    def replies(self, data: bytes) -> list[Reply]:
        """Return the bytes as one complete answer."""
        self._completed += 1
        return [Reply(data, self._completed)]


class Controls(Protocol):
    """What an action may do to the connection that triggered it."""

    number: int
    """Of the connection, counted from 1 in the order of arrival."""

    def reset(self) -> None:
        """Cut both sides at once; each sees a reset (RST), and bytes under way are lost."""
        ...

    def eof(self) -> None:
        """Close both sides in order; each sees the end of the stream (FIN)."""
        ...

    def stall(self) -> None:
        """Deliver nothing more in either direction; the sockets stay open. Ended by `FaultProxy.heal`."""
        ...

    def mute(self, direction: Direction) -> None:
        """Drop everything in one direction from now on, the end of the stream included."""
        ...

    async def half(self) -> None:
        """Deliver the first half of the answer that is held back; the rest stays. Nothing before the answer."""
        ...


Action = Callable[[Controls], Awaitable[None]]
"""What happens at the moment: an async function. The bytes wait until it returns, then go on if they still can."""

Predicate = Callable[[Message], bool]


async def reset(connection: Controls) -> None:
    """Cut both sides with a reset."""
    connection.reset()


async def eof(connection: Controls) -> None:
    """Close both sides as a server that ends the session does."""
    connection.eof()


async def stall(connection: Controls) -> None:
    """Let nothing pass any more; sockets stay open."""
    connection.stall()


async def mute_down(connection: Controls) -> None:
    """Half-open: what the client says arrives, what the server says does not."""
    connection.mute("down")


async def mute_up(connection: Controls) -> None:
    """Half-open the other way: the server hears nothing any more, its words still arrive."""
    connection.mute("up")


async def black_hole(connection: Controls) -> None:
    """Drop everything both ways: the cable is out, and neither side is told."""
    connection.mute("up")
    connection.mute("down")


def delay(seconds: float) -> Action:
    """Return the action that lets the bytes wait."""

    async def wait(connection: Controls) -> None:
        await asyncio.sleep(seconds)

    wait.__name__ = f"delay({seconds})"
    return wait


def torn(action: Action) -> Action:
    """Return the action that lets half of the answer through before another one happens; for AFTER."""

    async def tear(connection: Controls) -> None:
        await connection.half()
        await action(connection)

    tear.__name__ = f"torn, {getattr(action, '__name__', action)}"
    return tear


class Moment(StrEnum):
    """When a trigger fires."""

    BEFORE = "before"
    """The request has left the client and has not reached the server."""
    AFTER = "after"
    """The server has answered the request wholly and the client has heard nothing of that answer."""


@dataclass(slots=True, eq=False)
class Trigger:
    """A fault that waits for its moment.

    Attributes:
        moment: before the request arrives, or after it was answered.
        matches: which messages of the client it waits for.
        action: what happens then.
        nth: the first match that fires, counted from 1 over all connections.
        times: how many matches fire, from the nth on; None for all.
        matched: matches so far.
        fired: the messages that fired it so far; for AFTER, once the action has begun.
    """

    moment: Moment
    matches: Predicate
    action: Action
    nth: int = 1
    times: int | None = 1
    matched: int = 0
    fired: list[Message] = field(default_factory=list)
    _firing: asyncio.Event = field(default_factory=asyncio.Event)

    def takes(self, message: Message) -> bool:
        """Count a message that matches and return whether it is one of those that fire."""
        if not self.matches(message):
            return False
        self.matched += 1
        return self.matched >= self.nth and (self.times is None or self.matched < self.nth + self.times)

    def fire(self, message: Message, connection: Controls) -> Awaitable[None]:
        """Begin the action for a message."""
        self.fired.append(message)
        self._firing.set()
        return self.action(connection)

    async def wait(self, timeout_seconds: float = 10.0) -> None:
        """Return once the trigger has fired.

        Raises:
            TimeoutError: its moment did not come in time.
        """
        async with asyncio.timeout(timeout_seconds):
            await self._firing.wait()

    @property
    def name(self) -> str:
        """What the action is called in the journal."""
        return getattr(self.action, "__name__", repr(self.action))
