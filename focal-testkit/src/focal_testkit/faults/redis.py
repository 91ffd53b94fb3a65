"""Redis' protocol as the proxy needs it: which command a message is, and when its reply is complete."""

from __future__ import annotations

from focal_testkit.faults.triggers import Message, Predicate, Reply

END_OF_LINE = b"\r\n"
SIZED = frozenset(b"$=!")
"""First bytes of values that are followed by so many bytes."""
AGGREGATES = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2}
"""First byte of values that hold others -> values for each it counts."""
PUSH = ord(">")


def command(*names: str, containing: str = "") -> Predicate:
    """Return the predicate for commands of these names, such as ``"GETEX"``, ``"EVALSHA"``, ``"SET"``; any when none.

    Args:
        names: without regard to case.
        containing: a text that an argument must contain, such as the digest of a script or a part of a key.
    """
    wanted = {name.upper() for name in names}
    return lambda message: (not wanted or message.kind in wanted) and containing in message.text


class RedisFraming:
    """Cuts a connection of Redis' protocol (RESP2, and the types of RESP3) into commands and replies.

    A message is one command, alone or in a pipeline: its kind is the command's name in capitals, its text the
    arguments. A reply is complete with its last nested element, and only then is it passed on. What the server says
    unasked in RESP3 answers nothing; commands with several replies (SUBSCRIBE, MONITOR) are not understood.
    """

    def __init__(self) -> None:
        self._up = bytearray()
        self._down = bytearray()
        self._expected = 0
        self._completed = 0

    def requests(self, data: bytes) -> list[Message]:
        """Return the commands that these bytes complete."""
        self._up += data
        found: list[Message] = []
        while (end := _end(self._up)) is not None:
            whole = _taken(self._up, end)
            name, *arguments = _words(whole) or [""]
            # The server says nothing to an empty line.
            self._expected += name != ""
            found.append(Message(whole, self._expected, name.upper(), " ".join(arguments)))
        return found

    def replies(self, data: bytes) -> list[Reply]:
        """Return the replies that these bytes complete."""
        self._down += data
        found: list[Reply] = []
        while (end := _end(self._down)) is not None:
            whole = _taken(self._down, end)
            self._completed += whole[0] != PUSH
            found.append(Reply(whole, self._completed))
        return found


def _end(data: bytearray) -> int | None:
    """Return where the first value of a buffer ends, all that it holds included; None while a part is missing."""
    at, missing = 0, 1
    while missing:
        line = data.find(END_OF_LINE, at)
        if line < 0:
            return None
        kind = data[at]
        size = int(data[at + 1 : line]) if kind in SIZED or kind in AGGREGATES else -1
        at, missing = line + 2, missing - 1
        if kind in SIZED and size >= 0:
            at += size + 2
        elif kind in AGGREGATES and size > 0:
            missing += size * AGGREGATES[kind]
    return at if at <= len(data) else None


def _taken(buffer: bytearray, end: int) -> bytes:
    taken = bytes(buffer[:end])
    del buffer[:end]
    return taken


def _words(whole: bytes) -> list[str]:
    """Return the words of a command: an array of strings, or a line as typed by hand."""
    if whole[:1] != b"*":
        return whole.decode("utf-8", "replace").split()
    found: list[str] = []
    at = whole.index(END_OF_LINE) + 2
    while at < len(whole):
        line = whole.index(END_OF_LINE, at)
        size = int(whole[at + 1 : line])
        found.append(whole[line + 2 : line + 2 + size].decode("utf-8", "replace"))
        at = line + size + 4
    return found
