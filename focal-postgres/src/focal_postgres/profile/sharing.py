"""Calls for one thing at the same time: one runs, and those that came early enough share its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from focal_core.errors import StoreUnavailableError

T = TypeVar("T")


class _Lead:
    """What a waiting call is given when it is its turn to run."""


_LEAD = _Lead()


class SharedCalls(Generic[T]):
    """Lets calls of one key share a run that asks the database after all of them were made.

    A call never gets an answer that is older than the call: what its caller wrote before is in it. A run that fails or
    is cancelled ends only the call that leads it; the others have another one run.

    Args:
        copy: makes what another caller gets of an answer.
        patience: seconds that a call waits for others at most.
    """

    def __init__(self, copy: Callable[[T], T], patience: float) -> None:
        self._copy = copy
        self._patience = patience
        self._waiting: dict[Hashable, list[asyncio.Future[T | _Lead]]] = {}

    async def run(self, key: Hashable, work: Callable[[Callable[[], None]], Awaitable[T]]) -> T:
        """Return the answer of ``work``, run by this call or by one that stands for it.

        Args:
            key: what it is about; ``work`` is the same for equal keys.
            work: what to run; it calls its argument before each statement whose answer it may return, and so lets the
                calls that wait by then share it.

        Raises:
            StoreUnavailableError: the runs of others took too long (code ``deadline``).
            Exception: what ``work`` raised, if this call ran it.
        """
        if key in self._waiting:
            given = await self._turn(key)
            if not isinstance(given, _Lead):
                return given
        waiting = self._waiting.setdefault(key, [])
        sharing: list[asyncio.Future[T | _Lead]] = []

        def take_along() -> None:
            sharing.extend(waiting)
            waiting.clear()

        try:
            answer = await work(take_along)
            for turn in sharing:
                if not turn.done():
                    turn.set_result(self._copy(answer))
            return answer
        except BaseException:
            waiting[:0] = sharing
            raise
        finally:
            self._pass_on(key)

    async def _turn(self, key: Hashable) -> T | _Lead:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[T | _Lead] = loop.create_future()
        timer = loop.call_later(self._patience, _give_up, turn)
        self._waiting[key].append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None and turn.result() is _LEAD:
                self._pass_on(key)
            raise
        finally:
            timer.cancel()

    def _pass_on(self, key: Hashable) -> None:
        waiting = self._waiting[key]
        while waiting:
            turn = waiting.pop(0)
            if not turn.done():
                turn.set_result(_LEAD)
                return
        del self._waiting[key]


def _give_up(turn: asyncio.Future[Any]) -> None:
    if not turn.done():
        turn.set_exception(StoreUnavailableError("other calls for the same took too long", code="deadline"))
