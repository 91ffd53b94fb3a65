"""One server: its connections, and the pipelines that concurrent calls share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from focal_core.batching import Batcher
from focal_core.deadline import call_started
from focal_core.errors import OutcomeUnknownError, StoreUnavailableError
from focal_core.pool import Pool
from focal_redis.address import Host
from focal_redis.connection import Link, pack
from focal_redis.errors import connect_failure, lost
from focal_redis.settings import RedisOptions

Locate = Callable[[], Awaitable[Host | None]]

_ASKING = pack("ASKING")


class _Sent(NamedTuple):
    """A packed command.

    Attributes:
        data: its bytes.
        repeat: for one that writes, whether a second run changes nothing and answers alike.
        asked: whether the server has to be told that the key is on its way to it.
    """

    data: bytes
    repeat: bool
    asked: bool


class Endpoint:
    """A server.

    Args:
        options: limits and switches.
        arguments: of the driver's connection.
        tls: whether to encrypt.
        where: the server, as it may be shown.
        locate: returns where it is now; None = a socket file among the arguments.
    """

    def __init__(
        self, options: RedisOptions, arguments: Mapping[str, Any], tls: bool, where: str, locate: Locate
    ) -> None:
        self.where = where
        self.options = options
        self._arguments = arguments
        self._tls = tls
        self._locate = locate
        self.pool = Pool[Link](self._connect, options.pool_size, options.acquire_timeout, options.max_waiters)
        self._reads = self._batcher(self._send_reads, writes=False)
        self._writes = self._batcher(self._send_writes, writes=True)

    def _batcher(self, send: Callable[[Sequence[_Sent]], Awaitable[list[Any]]], *, writes: bool) -> Batcher[_Sent, Any]:
        return Batcher[_Sent, Any](
            send,
            what=self.where,
            patience=self.options.deadline,
            writes=writes,
            kind=lambda one: (one.repeat, one.asked),
            weight=lambda one: len(one.data),
            flights=2,
            max_waiting=self.options.max_waiters,
        )

    async def _connect(self) -> Link:
        try:
            return await Link.connect(self.options, self._arguments, await self._locate(), self._tls)
        except Exception as error:
            raise connect_failure(error, self.where) from (error if self.options.debug_driver_errors else None)

    async def submit(self, data: bytes, *, writes: bool, repeat: bool = False, asked: bool = False) -> Any:
        """Send a packed command, alone or with others, and return its reply; an error reply is a ``ResponseError``.

        Args:
            data: the command.
            writes: whether it may write.
            repeat: for one that writes, whether a second run changes nothing and answers alike.
            asked: as after a reply ``ASK``.

        Raises:
            StoreUnavailableError: no answer; from one that writes: it was not sent.
            OutcomeUnknownError: one that writes was sent, and its reply was lost.
        """
        item = _Sent(data, repeat or not writes, asked)
        if not self.options.batching:
            return (await (self._send_writes if writes else self._send_reads)([item]))[0]
        return await (self._writes if writes else self._reads).submit(item, call_started() + self.options.deadline)

    async def _send_reads(self, items: Sequence[_Sent]) -> list[Any]:
        return await self._send(items, writes=False)

    async def _send_writes(self, items: Sequence[_Sent]) -> list[Any]:
        return await self._send(items, writes=True)

    async def _send(self, items: Sequence[_Sent], *, writes: bool) -> list[Any]:
        """Exchange a flight, once more on a fresh connection where the first was lost and that is safe."""
        loop = asyncio.get_running_loop()
        until = call_started() + self.options.deadline
        first = items[0]
        data, each = b"".join(item.data for item in items), 1
        if first.asked:
            data, each = b"".join(_ASKING + item.data for item in items), 2
        waits = writes and self.options.wait_replicas > 0
        if waits:
            data += pack("WAIT", self.options.wait_replicas, int(self.options.wait_timeout * 1000))
        repeats, fresh, doubt = int(first.repeat), False, False
        while True:
            try:
                if loop.time() >= until:
                    raise lost("call", self.where, late=True, handed_over=False)
                link = await self.pool.acquire(until, fresh=fresh)
            except StoreUnavailableError as error:
                if doubt:
                    raise lost("call", self.where, late=False, handed_over=True) from error.__cause__
                raise
            timer = loop.call_at(until, link.terminate)
            try:
                replies = await link.exchange(data, len(items) * each + waits)
            except asyncio.CancelledError:
                link.terminate()
                raise
            except Exception as error:
                link.terminate()
                late = loop.time() >= until
                doubt = doubt or writes
                if repeats and not late:
                    repeats, fresh = repeats - 1, True
                    continue
                cause = error if self.options.debug_driver_errors else None
                raise lost("call", self.where, late=late, handed_over=doubt) from cause
            finally:
                timer.cancel()
                self.pool.release(link)
            if waits:
                self._check_replicated(replies.pop())
            return replies[each - 1 :: each]

    def _check_replicated(self, answer: Any) -> None:
        if isinstance(answer, ResponseError) or answer < self.options.wait_replicas:
            raise OutcomeUnknownError(
                f"{self.where}: written, but not confirmed by {self.options.wait_replicas} replicas in time",
                code="not_replicated",
                written=True,
                hint="it is stored on the primary; check the replicas, or lower wait_replicas",
            )

    async def close(self) -> None:
        """Answer what has been asked, refuse the rest, and close every connection."""
        await self._reads.drain()
        await self._writes.drain()
        await self.pool.close(self.options.deadline)
