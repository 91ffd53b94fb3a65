"""One connection: the driver connects, logs in and reads replies; whole or thrown away."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar, TypeAlias, cast

from redis._parsers import _AsyncHiredisParser, _AsyncRESP2Parser
from redis.asyncio.connection import AbstractConnection, Connection, DefaultParser, SSLConnection
from redis.asyncio.connection import UnixDomainSocketConnection as SocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from focal_redis.address import Host
from focal_redis.settings import RedisOptions

Argument: TypeAlias = bytes | str | int

_Base: Any = _AsyncHiredisParser if DefaultParser is _AsyncHiredisParser else _AsyncRESP2Parser


class _Parser(_Base):  # type: ignore[misc]
    """A parser that hands every error reply on as it is, with its first word.

    The driver's own turns some into exceptions that mean a lost connection (``LOADING``), and cuts the word off.
    """

    EXCEPTION_CLASSES: ClassVar[Mapping[str, Any]] = {}


def pack(*command: Argument) -> bytes:
    """Return a command as bytes of the protocol."""
    parts = [b"*%d" % len(command)]
    for argument in command:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts += (b"$%d" % len(data), data)
    parts.append(b"")
    return b"\r\n".join(parts)


class Link:
    """A connection that carries flights of commands; after anything but complete replies it is of no more use."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._broken = False

    @classmethod
    async def connect(cls, options: RedisOptions, arguments: Mapping[str, Any], host: Host | None, tls: bool) -> Link:
        """Return a connection that is logged in.

        Args:
            options: time limits and the client's name.
            arguments: of the driver's connection.
            host: the server; None for a socket file, whose path is among the arguments.
            tls: whether to encrypt.

        Raises:
            Exception: what the driver raises.
        """
        common: dict[str, Any] = {
            **arguments,
            "socket_timeout": None,
            "socket_connect_timeout": options.connect_timeout,
            "retry": Retry(NoBackoff(), 0),
            "retry_on_timeout": False,
            "retry_on_error": [],
            "health_check_interval": 0,
            "client_name": options.client_name,
            "driver_info": None,
            "protocol": 2,
            "decode_responses": False,
            "parser_class": _Parser,
        }
        if host is None:
            connection: AbstractConnection = SocketConnection(**common)
        else:
            kind = SSLConnection if tls else Connection
            connection = kind(host=host[0], port=host[1], **common)
        link = cls(connection)
        try:
            async with asyncio.timeout(options.connect_timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            link.terminate()
            raise
        return link

    async def exchange(self, data: bytes, replies: int) -> list[Any]:
        """Send commands and return their replies; an error reply is returned in its place, not raised.

        Args:
            data: packed commands.
            replies: how many.

        Raises:
            Exception: the connection was lost.
        """
        connection = self._connection
        # Nothing leaves a connection that has been lost: the driver would connect anew, and log in, unasked.
        if self._broken or not connection.is_connected:
            raise ConnectionResetError
        await connection.send_packed_command(data, check_health=False)
        # Not by the connection, which prepares its time limits and messages anew for every reply.
        read = cast("_Parser", connection._parser).read_response
        return [await read(disable_decoding=True) for _ in range(replies)]

    def is_closed(self) -> bool:
        """Return whether it can carry nothing more; also when the server has closed it while it was idle."""
        if self._broken or not self._connection.is_connected:
            return True
        reader, writer = self._connection._reader, self._connection._writer
        if reader is None or writer is None or writer.transport.is_closing():
            return True
        # Whatever arrives unasked is the server's goodbye, or a reply nobody waits for.
        return reader.at_eof() or bool(reader._buffer)  # type: ignore[attr-defined]

    def terminate(self) -> None:
        """Cut it off at once, whatever it is doing; a second call does nothing."""
        self._broken = True
        writer = self._connection._writer
        if writer is not None:
            writer.transport.abort()
            # Otherwise the driver complains of a connection that nobody closed when it is thrown away.
            self._connection._close()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        """Close it."""
        self._broken = True
        await self._connection.disconnect(nowait=True)
