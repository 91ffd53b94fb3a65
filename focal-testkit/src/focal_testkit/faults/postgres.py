"""PostgreSQL's protocol as the proxy needs it: which statement a message runs, and when its answer is complete."""

from __future__ import annotations

import re
import struct

from focal_testkit.faults.triggers import Message, Predicate, Reply

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80_877_103, 80_877_104, 80_877_102
TLS_RECORD = 0x16

KINDS = {
    b"Q": "query",
    b"P": "parse",
    b"B": "bind",
    b"D": "describe",
    b"E": "execute",
    b"S": "sync",
    b"H": "flush",
    b"C": "close",
    b"F": "function",
    b"p": "password",
    b"d": "copy_data",
    b"c": "copy_done",
    b"f": "copy_fail",
    b"X": "terminate",
}
ENDS_A_TURN = {"query", "sync", "function"}
BELONGS_TO_THE_TURN = {"password", "copy_data", "copy_done", "copy_fail"}

AUTHENTICATION_OK, SASL_FINAL = 0, 12


def statement(pattern: str) -> Predicate:
    """Return the predicate for messages that run a matching statement, simple or prepared.

    A prepared statement matches where it is executed, not where it is parsed.

    Args:
        pattern: a regular expression of whole words, searched in the text of the statement without regard to case:
            ``"COMMIT"``, ``r"INSERT INTO \\w+\\.sessions"``.
    """
    searched = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE)
    return lambda message: message.kind in ("query", "execute") and searched.search(message.text) is not None


def kind(*names: str) -> Predicate:
    """Return the predicate for kinds of messages: ``"startup"``, ``"password"``, ``"ssl_request"``, ``"sync"``, ...

    The names are the protocol's own in lower case: those of `KINDS` and ``startup``, ``ssl_request``, ``gss_request``,
    ``cancel_request``; after TLS is agreed ``tls_hello``, then ``opaque``.
    """
    return lambda message: message.kind in names


class PostgresFraming:
    """Cuts a connection of PostgreSQL's protocol 3 into messages.

    Text of a message: the statement for query, parse, bind, execute and the copy messages; the parameters for startup.
    An answer is complete with ReadyForQuery. So the moment after a password is that after the whole login, and the
    moment after a statement in a pipeline is that after the pipeline's Sync. What the server sends because of a Flush
    alone is never held back. Under TLS nothing can be read: everything is ``opaque``.
    """

    def __init__(self) -> None:
        self._up = bytearray()
        self._down = bytearray()
        self._in_startup = True
        self._opaque: str | None = None
        self._negotiating = False
        self._expected = 0
        self._completed = 0
        self._statements: dict[str, str] = {}
        self._portals: dict[str, str] = {}
        self._running = ""

    def requests(self, data: bytes) -> list[Message]:
        """Return the client's messages that these bytes complete."""
        self._up += data
        found: list[Message] = []
        while self._up:
            if self._in_startup and self._up[0] == TLS_RECORD:
                self._opaque = "tls_hello"
            if self._opaque:
                found.append(Message(bytes(self._up), self._completed + 1, self._opaque))
                self._opaque = "opaque"
                self._up.clear()
                break
            typed = 0 if self._in_startup else 1
            whole = self._take(self._up, typed)
            if whole is None:
                break
            found.append(self._startup(whole) if typed == 0 else self._message(whole))
        return found

    def replies(self, data: bytes) -> list[Reply]:
        """Return the server's messages that these bytes complete."""
        self._down += data
        found: list[Reply] = []
        while self._down:
            if self._opaque:
                found.append(Reply(bytes(self._down), self._completed, release=True))
                self._down.clear()
                break
            if self._negotiating:
                found.append(self._negotiated())
                continue
            whole = self._take(self._down, 1)
            if whole is None:
                break
            found.append(self._reply(whole))
        return found

    @staticmethod
    def _take(buffer: bytearray, typed: int) -> bytes | None:
        """Remove the first message from a buffer, unless its rest is missing; `typed` bytes precede its length."""
        if len(buffer) < typed + 4:
            return None
        size = typed + int(struct.unpack_from("!I", buffer, typed)[0])
        if len(buffer) < size:
            return None
        whole = bytes(buffer[:size])
        del buffer[:size]
        return whole

    def _startup(self, whole: bytes) -> Message:
        code = struct.unpack_from("!I", whole, 4)[0]
        if code == CANCEL_REQUEST:
            return Message(whole, self._expected + 1, "cancel_request")
        self._expected += 1
        if code in (SSL_REQUEST, GSS_REQUEST):
            self._negotiating = True
            return Message(whole, self._expected, "ssl_request" if code == SSL_REQUEST else "gss_request")
        self._in_startup = False
        return Message(whole, self._expected, "startup", " ".join(_strings(whole[8:], whole.count(b"\0"))).strip())

    def _negotiated(self) -> Reply:
        """Take the single byte that agrees to encryption or declines it."""
        self._negotiating = False
        self._completed += 1
        byte = bytes(self._down[:1])
        del self._down[:1]
        if byte != b"N":
            self._opaque = "tls_hello"
        return Reply(byte, self._completed)

    def _message(self, whole: bytes) -> Message:
        name = KINDS.get(whole[:1], "unknown")
        body = whole[5:]
        text = ""
        if name == "query":
            text = self._running = _strings(body, 1)[0]
        elif name == "parse":
            statement, text = _strings(body, 2)
            self._statements[statement] = text
        elif name == "bind":
            portal, statement = _strings(body, 2)
            text = self._portals[portal] = self._statements.get(statement, "")
        elif name == "execute":
            text = self._running = self._portals.get(_strings(body, 1)[0], "")
        elif name.startswith("copy"):
            text = self._running
        ends_a_turn = name in ENDS_A_TURN
        self._expected += ends_a_turn
        # The password belongs to the answer that the startup message began; what precedes a Sync, to the Sync's.
        is_asked_already = ends_a_turn or name in BELONGS_TO_THE_TURN
        return Message(whole, self._expected + (not is_asked_already), name, text)

    def _reply(self, whole: bytes) -> Reply:
        code = whole[:1]
        if code == b"Z":
            self._completed += 1
        asks = code in (b"G", b"W") or (
            code == b"R" and struct.unpack_from("!I", whole, 5)[0] not in (AUTHENTICATION_OK, SASL_FINAL)
        )
        return Reply(whole, self._completed, release=asks or self._completed == self._expected)


def _strings(body: bytes, count: int) -> list[str]:
    """Return the leading zero-terminated strings of a message body, at most `count`."""
    return [part.decode("utf-8", "replace") for part in body.split(b"\0", count)[:count]]
