"""Stores behind a network that takes its time, and fails when it is told to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

from focal_core.clock import ManualClock
from focal_core.context import BackendContext
from focal_core.conversation import lifecycle
from focal_core.conversation.inmemory import InMemorySessionStore
from focal_core.conversation.models import Session
from focal_core.conversation.tiered import TieredSessionStore
from focal_core.errors import OutcomeUnknownError, StoreUnavailableError
from focal_testkit.data.conversation import placed
from focal_testkit.faults.histories import History
from focal_testkit.faults.scheduler import run
from focal_testkit.scenarios import OURS

WRITES = frozenset({"save", "delete", "put_copy", "demote_to_persistent", "promote_to_hot", "erase_tenant"})
ID = placed().session_id


class TickingClock(ManualClock):
    """A clock that moves by a microsecond at every look, as time does between two saves."""

    def now(self) -> datetime:
        return self.advance(timedelta(microseconds=1))


class Distant:
    """A store over a network: a request that was sent is served, whatever becomes of the one who sent it.

    Attributes:
        store: the server's store.
        fault: ``""``, ``"refused"`` (nothing gets there), ``"stalled"`` (nobody answers, and nothing is served until
            it is over) or ``"lost"`` (what writes is served, and the reply is lost).
        calls: how often each method was sent.
    """

    def __init__(self, store: Any, chance: random.Random | None = None, delays: tuple[float, ...] = (0,)) -> None:
        self.store = store
        self.fault = ""
        self.calls: dict[str, int] = {}
        self.capabilities = store.capabilities
        self._chance = chance or random.Random(0)
        self._delays = delays
        self._sent: set[asyncio.Task[Any]] = set()
        self._over = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return partial(self._call, name)

    def recover(self) -> None:
        """End the fault."""
        self.fault = ""
        self._over.set()
        self._over = asyncio.Event()

    def lose_everything(self) -> None:
        """Begin with an empty store, as a server without persistence does after a restart."""
        self.store = type(self.store)(self.store.context)

    def photograph(self) -> Callable[[], None]:
        """Return what brings the server back as it is now."""
        copies, until = dict(self.store._copies), dict(self.store._hot_until)

        def restore() -> None:
            self.store._copies, self.store._hot_until = dict(copies), dict(until)

        return restore

    async def settle(self) -> None:
        """Wait until everything sent has been served."""
        while self._sent:
            await asyncio.wait(self._sent)

    async def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.calls[name] = self.calls.get(name, 0) + 1
        if self.fault == "refused":
            raise StoreUnavailableError(f"{name}: refused", code="connection_refused")
        given = args[0] if name in ("save", "put_copy") else None
        if given is not None:
            if name == "save":
                lifecycle.write_token(given)
            args = (given.model_copy(deep=True),)
        request = asyncio.get_running_loop().create_task(self._serve(name, args, kwargs))
        self._sent.add(request)
        request.add_done_callback(self._sent.discard)
        answer = await asyncio.shield(request)
        if isinstance(answer, Exception):
            raise answer
        if name == "save":
            lifecycle.acknowledge(given, answer)
        return answer

    async def _serve(self, name: str, args: Any, kwargs: Any) -> Any:
        await asyncio.sleep(self._chance.choice(self._delays))
        while self.fault == "stalled":
            await self._over.wait()
        try:
            answer = await getattr(self.store, name)(*args, **kwargs)
        except Exception as error:
            answer = error
        await asyncio.sleep(self._chance.choice(self._delays))
        if self.fault == "lost":
            kind = OutcomeUnknownError if name in WRITES else StoreUnavailableError
            return kind(f"{name}: the connection was lost", code="connection_lost")
        return answer


class World:
    """A tiered store over two distant ones, and the history of one session in it.

    Args:
        chance: draws delays.
        tiered: the class under test.
        verify_hot: as of the store.
        hot: class of the hot server's store.
        delays: of which each way over a network takes one, in seconds.
    """

    def __init__(
        self,
        chance: random.Random,
        tiered: type[TieredSessionStore] = TieredSessionStore,
        *,
        verify_hot: bool = True,
        hot: type[InMemorySessionStore] = InMemorySessionStore,
        delays: tuple[float, ...] = (0,),
    ) -> None:
        self.chance = chance
        self.context = BackendContext(clock=TickingClock())
        self.hot = Distant(hot(self.context), chance, delays)
        self.durable = Distant(InMemorySessionStore(self.context), chance, delays)
        self.store = tiered(self.hot, self.durable, self.context, verify_hot=verify_hot)  # type: ignore[arg-type]
        self.history = History()
        self._values = count(1)

    async def load(self) -> Session | None:
        """Read the session."""
        found: list[Session | None] = []

        async def call() -> tuple[int, int | None]:
            one = await self.store.get(ID, tenant_id=OURS)
            found.append(one)
            return (0, None) if one is None else (one.version, one.variables["value"])

        await self.history.record("load", (), call)
        return found[0] if found else None

    async def save(self, one: Session, *, again: bool = False) -> Any:
        """Save the session with a value of its own, or with the one it has."""
        if not again:
            one.variables["value"] = next(self._values)
        value = one.variables["value"]

        async def call() -> int:
            return (await self.store.save(one)).version

        return await self.history.record("save", (one.version, value), call)

    async def create(self) -> Session:
        """Begin the session."""
        one = placed()
        await self.save(one)
        return one

    async def update(self) -> None:
        """Load the session and save it."""
        if (one := await self.load()) is not None:
            await self.save(one)

    async def delete(self) -> None:
        """Delete the session."""
        await self.history.record("delete", (), lambda: self.store.delete(ID, tenant_id=OURS))

    async def demote(self) -> None:
        """Take the session out of the hot tier."""
        with suppress(StoreUnavailableError):
            await self.store.demote_to_persistent(ID, tenant_id=OURS)

    async def alike(self) -> None:
        """Check, when all that was sent has been served, that what is read is what the durable store has."""
        await self.hot.settle()
        await self.durable.settle()
        await self.store.drain()
        await self.hot.settle()
        stored = await self.durable.store.get(ID, tenant_id=OURS, promote=False)
        for _ in range(2):
            assert await self.store.get(ID, tenant_id=OURS) == stored, "the tiers differ"

    async def end(self) -> None:
        """Check the tiers and the history."""
        await self.alike()
        await self.load()
        self.history.assert_linearizable()


def schedules(scenario: Callable[[random.Random], Coroutine[Any, Any, None]], count: int = 200) -> None:
    """Run a scenario under so many schedules; the first failure names its seed."""
    for seed in range(count):
        run(partial(scenario, random.Random(seed)), seed)


def flawed(scenario: Callable[[random.Random], Coroutine[Any, Any, None]], count: int = 3000) -> bool:
    """Return whether one of so many schedules fails: the control that a scenario can see a flaw."""
    try:
        schedules(scenario, count)
    except AssertionError:
        return True
    return False
