"""Concurrent calls of one kind leave together, whatever they are sent to.

A lone call goes straight through. While a flight is out, calls gather; when it lands they leave together. Once calls
come in crowds, those of one turn of the event loop leave together too, shared among the flights that may be out, so
that one is served while the answers of another are read. A crowd as large as the last one leaves at once.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from copy import copy
from operator import attrgetter
from typing import Any, Generic, TypeVar

from focal_core.deadline import call_started
from focal_core.eager import begin
from focal_core.errors import FocalError, OutcomeUnknownError, StoreUnavailableError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

MAX_MEMBERS = 256
MAX_WEIGHT = 1_048_576

_SHARE = 16
"""Members of a flight that are not shared with another one."""


class _Member(Generic[Item, Answer]):
    __slots__ = ("answer", "item", "key", "left", "until")

    def __init__(self, item: Item, key: Any, answer: asyncio.Future[Answer], until: float) -> None:
        self.item = item
        self.key = key
        self.answer = answer
        self.until = until
        self.left = False


class Batcher(Generic[Item, Answer]):
    """Gathers calls while a flight is out.

    A flight that fails for another reason than an outage is repeated member by member, so that an error is its
    caller's alone; a send must therefore be atomic. A caller that is cancelled or whose time is up leaves the flight as
    it is; what had not left by then never does.

    Args:
        send: sends items of one kind and returns their answers, in the same order.
        what: the method, for errors.
        patience: seconds after which a gathered call ends without an answer.
        writes: whether a call that left and was not answered may have had an effect.
        key: at most one item of a key is out at a time, and a flight's items are in order of their keys, so that
            flights of several processes cannot lock each other out; None = neither matters.
        kind: only items of one kind are in a flight.
        weight: bytes of an item; a flight carries ``MAX_WEIGHT`` at most, unless a single item is heavier.
        flights: how many may be out at the same time.
        ready: whether ``send`` would hand its items over before it waits for anything else, and knows no current task
            until then: so a flight can begin at once.
        max_waiting: calls that may be gathered; more are refused (code ``overloaded``).
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Answer]]],
        *,
        what: str,
        patience: float,
        writes: bool,
        key: Callable[[Item], Any] | None = None,
        kind: Callable[[Item], Hashable] | None = None,
        weight: Callable[[Item], int] | None = None,
        flights: int = 1,
        ready: Callable[[], bool] = lambda: False,
        max_waiting: int = 10_000,
    ) -> None:
        self._send = send
        self._what = what
        self._patience = patience
        self._writes = writes
        self._key = key
        self._kind = kind
        self._weight = weight
        self._flights = flights
        self._ready = ready
        self._enough = MAX_MEMBERS
        self._max_waiting = max_waiting
        self._waiting: deque[_Member[Item, Answer]] = deque()
        self._unanswered: deque[_Member[Item, Answer]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._out = 0
        self._crowded = False
        self._departing = False
        self._keys_out: set[Hashable] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._landed = asyncio.Event()

    async def submit(self, item: Item, until: float | None = None) -> Answer:
        """Send an item, alone or with others, and return its answer.

        Args:
            item: what to send.
            until: when the call's time is up, by the loop's clock; ``patience`` from its beginning when omitted.

        Raises:
            StoreUnavailableError: it never left: its time was up (code ``deadline``), too many wait (``overloaded``),
                or ``drain`` was called (``closed``).
            OutcomeUnknownError: it left with a flight that writes, and its time was up before the flight landed.
            Exception: what ``send`` raised.
        """
        if self._closed:
            raise StoreUnavailableError(f"{self._what}: the backend is closed", code="closed", retryable=False)
        loop = asyncio.get_running_loop()
        if self._out == 0 and not self._departing:
            self._loop = loop
        if loop is not self._loop:
            # Gathering is for one loop; whether a second one may send at all is not ours to say.
            return (await self._send([item]))[0]
        key = None if self._key is None else self._key(item)
        if self._out < self._flights and not self._waiting and not self._crowded and key not in self._keys_out:
            self._out += 1
            if key is not None:
                self._keys_out.add(key)
            try:
                return (await self._send([item]))[0]
            finally:
                self._keys_out.discard(key)
                self._land()
        if len(self._waiting) >= self._max_waiting:
            raise StoreUnavailableError(
                f"{self._what}: {len(self._waiting)} calls wait already", code="overloaded", hint="slow down"
            )
        ends = call_started() + self._patience if until is None else until
        member: _Member[Item, Answer] = _Member(item, key, loop.create_future(), ends)
        self._waiting.append(member)
        if self._unanswered and ends < self._unanswered[-1].until:
            insort(self._unanswered, member, key=attrgetter("until"))
        else:
            self._unanswered.append(member)
        if self._timer is None or self._unanswered[0] is member:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(ends, self._expire)
        if self._out < self._flights:
            if len(self._waiting) >= self._enough:
                self._leave(self._take())
            if self._waiting and not self._departing:
                self._departing = True
                loop.call_soon(self._depart)
        return await member.answer

    async def drain(self) -> None:
        """Refuse further calls and return when every call so far has been answered."""
        self._closed = True
        while self._out or self._departing:
            self._landed.clear()
            await self._landed.wait()

    def _land(self) -> None:
        """Let what has gathered leave in place of a flight that has landed."""
        self._out -= 1
        self._leave(self._take())
        self._landed.set()

    def _depart(self) -> None:
        """Let what this turn of the loop has gathered leave, shared among the flights that are not out."""
        self._departing = False
        for free in range(self._flights - self._out, 0, -1):
            self._leave(self._take(max(_SHARE, -(-len(self._waiting) // free))))
        self._landed.set()

    def _leave(self, members: list[_Member[Item, Answer]]) -> None:
        if members and self._loop is not None:
            self._out += 1
            # In no caller's context: the flight is not a part of the call that happens to let it go.
            flight, context = self._fly(members), Context()
            if self._ready():
                task = begin(flight, self._loop, context)
            else:
                task = self._loop.create_task(flight, context=context)
            if task is not None:
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _fly(self, members: list[_Member[Item, Answer]]) -> None:
        try:
            while members:
                self._crowded = len(members) > 1
                try:
                    await self._carry(members)
                finally:
                    self._keys_out.difference_update(member.key for member in members)
                self._forget_answered()
                self._enough = max(_SHARE, len(members))
                members = self._take()
        finally:
            self._out -= 1
            self._landed.set()

    def _take(self, most: int = MAX_MEMBERS) -> list[_Member[Item, Answer]]:
        """Return the members of the next flight, whose keys are out from now on; none when nobody can leave."""
        members: list[_Member[Item, Answer]] = []
        left_behind: list[_Member[Item, Answer]] = []
        seen: set[Hashable] = set()
        kind: Hashable = None
        weight = 0
        while self._waiting and len(members) < min(most, MAX_MEMBERS) and len(left_behind) < MAX_MEMBERS:
            member = self._waiting.popleft()
            if member.answer.done():
                continue
            item = member.item
            key = member.key
            own = None if self._kind is None else self._kind(item)
            if (key is not None and (key in seen or key in self._keys_out)) or (members and own != kind):
                left_behind.append(member)
                continue
            heavier = weight + (0 if self._weight is None else self._weight(item))
            if members and heavier > MAX_WEIGHT:
                left_behind.append(member)
                break
            kind, weight = own, heavier
            seen.add(key)
            member.left = True
            members.append(member)
        self._waiting.extendleft(reversed(left_behind))
        if self._key is not None:
            members.sort(key=attrgetter("key"))
            self._keys_out |= seen
        return members

    async def _carry(self, members: Sequence[_Member[Item, Answer]]) -> None:
        try:
            answers = await self._send([member.item for member in members])
        except asyncio.CancelledError:
            for member in members:
                member.answer.cancel()
            raise
        except Exception as error:
            if len(members) == 1 or _is_outage(error):
                for member in members:
                    if not member.answer.done():
                        member.answer.set_exception(_own(error))
                return
            for member in members:
                if not member.answer.done():
                    await self._carry([member])
            return
        for member, answer in zip(members, answers, strict=True):
            if not member.answer.done():
                member.answer.set_result(answer)

    def _forget_answered(self) -> None:
        while self._unanswered and self._unanswered[0].answer.done():
            self._unanswered.popleft()
        if not self._unanswered and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        """End the calls whose time is up; they are in the order of their ends."""
        self._timer = None
        if self._loop is None:
            return
        now = self._loop.time()
        while self._unanswered and (self._unanswered[0].answer.done() or self._unanswered[0].until <= now):
            member = self._unanswered.popleft()
            if not member.answer.done():
                member.answer.set_exception(self._late(member.left))
        if self._unanswered:
            self._timer = self._loop.call_at(self._unanswered[0].until, self._expire)

    def _late(self, left: bool) -> StoreUnavailableError:
        if left and self._writes:
            return OutcomeUnknownError(
                f"{self._what}: the deadline passed before the write was confirmed",
                code="deadline",
                hint="read it back to see whether it was written",
            )
        return StoreUnavailableError(f"{self._what}: the deadline passed", code="deadline")


def _is_outage(error: Exception) -> bool:
    """Return whether every member would meet the same error."""
    return isinstance(error, StoreUnavailableError) and error.code != "contention"


def _own(error: Exception) -> Exception:
    """Return an error that one caller may raise and change."""
    if not isinstance(error, FocalError):
        return error
    own = copy(error)
    own.__cause__ = error.__cause__
    return own
