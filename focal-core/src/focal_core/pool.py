"""The connections of one address: first come, first served, with a time limit on everything.

The drivers' own pools are none of that: asyncpg's resets a connection at every release (one round trip more), gives no
bound to the number of waiters, and waits for the network when a call is cancelled; redis-py's refuses callers when it
is empty, or wakes them in any order. Here a connection is either whole or thrown away.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from focal_core.errors import StoreError, StoreUnavailableError


class Poolable(Protocol):
    """What a pool asks of a connection."""

    def is_closed(self) -> bool:
        """Return whether it can carry nothing more."""

    def terminate(self) -> None:
        """Cut it off at once, whatever it is doing; a second call does nothing."""

    async def close(self) -> None:
        """Say goodbye and close it."""


Connection = TypeVar("Connection", bound=Poolable)


class Pool(Generic[Connection]):
    """At most ``size`` connections, opened when they are needed and kept.

    Args:
        connect: opens a connection, or raises an error of focal's.
        size: connections at most.
        acquire_timeout: seconds to wait for one.
        max_waiters: calls that may wait.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Connection]], size: int, acquire_timeout: float, max_waiters: int
    ) -> None:
        self._connect = connect
        self._size = size
        self._acquire_timeout = acquire_timeout
        self._max_waiters = max_waiters
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._connecting = 0
        # In order; those whose call has ended are taken out at once, so that they neither count nor pile up.
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._closed = False
        self._drained = asyncio.Event()

    @property
    def counts(self) -> dict[str, int]:
        """How many connections are idle and busy, and how many calls wait."""
        return {"idle": len(self._idle), "busy": len(self._busy), "waiting": len(self._waiters)}

    @property
    def ready(self) -> bool:
        """Whether a connection can be had without a wait."""
        return not self._closed and any(not one.is_closed() for one in self._idle)

    async def acquire(self, until: float, *, fresh: bool = False) -> Connection:
        """Return a connection; give it back with ``release``.

        Args:
            until: when the call's time is up, by the loop's clock.
            fresh: True opens a new one, since the idle ones are not to be trusted.

        Raises:
            StoreUnavailableError: none was free in time (``pool_timeout``), too many wait (``overloaded``), the pool is
                closed (``closed``), or no connection could be made.
            StoreError: the pool belongs to another event loop (``wrong_loop``).
        """
        if self._closed:
            raise StoreUnavailableError("the backend is closed", code="closed", retryable=False)
        if asyncio.get_running_loop() is not self._loop:
            raise StoreError(
                "the backend was opened in another event loop",
                code="wrong_loop",
                hint="open it in the loop that uses it; for threads use Focal.open_sync",
            )
        if fresh:
            self.drop_idle()
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                self._busy.add(connection)
                return connection
            connection.terminate()
        if self._in_use < self._size:
            return await self._open(until)
        return await self._wait(until)

    def drop_idle(self) -> None:
        """Cut off the idle connections: they are not to be trusted."""
        while self._idle:
            self._idle.pop().terminate()

    @property
    def _in_use(self) -> int:
        return len(self._idle) + len(self._busy) + self._connecting

    async def _open(self, until: float) -> Connection:
        self._connecting += 1
        try:
            async with asyncio.timeout_at(until):
                connection = await self._connect()
        except BaseException as error:
            self._connecting -= 1
            self._invite()
            if isinstance(error, TimeoutError):
                raise StoreUnavailableError(
                    "no connection could be made in time", code="connect_failed", hint="is the server up and reachable?"
                ) from None
            raise
        self._connecting -= 1
        self._busy.add(connection)
        return connection

    async def _wait(self, until: float) -> Connection:
        if len(self._waiters) >= self._max_waiters:
            raise StoreUnavailableError(
                f"{len(self._waiters)} calls wait for a connection already", code="overloaded", hint="slow down"
            )
        turn: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters[turn] = None
        timer = self._loop.call_at(min(until, self._loop.time() + self._acquire_timeout), _time_out, turn)
        try:
            connection = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_on(turn.result())
            raise
        finally:
            timer.cancel()
            self._waiters.pop(turn, None)
        if connection is None:
            # The slot was counted for us when we were invited.
            self._connecting -= 1
            return await self._open(until)
        return connection

    def release(self, connection: Connection) -> None:
        """Take a connection back; a closed one is forgotten."""
        if connection.is_closed() or self._closed:
            self._busy.discard(connection)
            connection.terminate()
            self._invite()
        else:
            self._hand_over(connection)
        if self._closed and not self._busy:
            self._drained.set()

    def _hand_over(self, connection: Connection) -> None:
        while self._waiters:
            turn, _ = self._waiters.popitem(last=False)
            if not turn.done():
                turn.set_result(connection)
                return
        self._busy.discard(connection)
        self._idle.append(connection)

    def _invite(self) -> None:
        """Let the first waiter open a connection of its own."""
        while self._waiters and not self._closed:
            turn, _ = self._waiters.popitem(last=False)
            if not turn.done():
                self._connecting += 1
                turn.set_result(None)
                return

    def _pass_on(self, connection: Connection | None) -> None:
        """Give what a cancelled waiter had just been given to the next one."""
        if connection is None:
            self._connecting -= 1
            self._invite()
        else:
            self.release(connection)

    async def close(self, patience: float) -> None:
        """Refuse new calls, wait for the running ones, then close.

        Args:
            patience: seconds after which running calls are cut off.
        """
        if self._closed:
            return
        self._closed = True
        for turn in self._waiters:
            if not turn.done():
                turn.set_exception(StoreUnavailableError("the backend is closed", code="closed", retryable=False))
        self._waiters.clear()
        if self._busy:
            try:
                await asyncio.wait_for(self._drained.wait(), patience)
            except TimeoutError:
                for connection in list(self._busy):
                    connection.terminate()
        for connection in self._idle:
            await _goodbye(connection)
        self._idle.clear()


async def _goodbye(connection: Poolable) -> None:
    try:
        await asyncio.wait_for(connection.close(), 1.0)
    except (Exception, asyncio.CancelledError):
        connection.terminate()


def _time_out(turn: asyncio.Future[Connection | None]) -> None:
    if not turn.done():
        turn.set_exception(
            StoreUnavailableError(
                "no connection became free in time",
                code="pool_timeout",
                hint="the server is slow or down; a bigger pool is seldom the cure",
            )
        )
