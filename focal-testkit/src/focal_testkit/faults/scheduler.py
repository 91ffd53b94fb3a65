"""An event loop with virtual time that runs ready callbacks in an order drawn from a seed, and replays it exactly.

Only for code that waits for tasks, futures, timers and the primitives of asyncio: there are no sockets, threads or
subprocesses in it. What it finds, `run` with the same seed finds again, as long as the scenario itself draws nothing
from the machine (clock, random numbers, order of a set of texts).
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
import sys
from asyncio import events
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DeadlockError(AssertionError):
    """Every task waits for another one and no timer is set: the scenario can never end."""


class LivelockError(AssertionError):
    """The scenario took more steps than it was allowed."""


class _NumberedFuture(asyncio.Future[Any]):
    def __init__(self, *, loop: SeededLoop) -> None:
        super().__init__(loop=loop)
        self.number = next(loop.numbers)

    # Sets of futures are walked in the order of hashes; an address would differ from run to run.
    def __hash__(self) -> int:
        return self.number


class _NumberedTask(asyncio.Task[Any]):
    number = 0

    def __new__(cls, coroutine: Any, *, loop: SeededLoop, **options: Any) -> _NumberedTask:
        task = super().__new__(cls)
        task.number = next(loop.numbers)
        return task

    def __hash__(self) -> int:
        return self.number


class SeededLoop(asyncio.AbstractEventLoop):
    """An event loop that chooses the next callback by chance and passes time by jumping to the next timer.

    Args:
        seed: of every choice.
        max_steps: callbacks run before `LivelockError`, in one call of `run_until_complete`.

    Attributes:
        choices: how many callbacks were ready and which was chosen, step by step: the schedule.
        failures: contexts given to the exception handler, such as exceptions that nobody fetched.

    Raises:
        RuntimeError: made inside a running event loop.
    """

    def __init__(self, seed: int, *, max_steps: int = 1_000_000) -> None:
        if events._get_running_loop() is not None:
            raise RuntimeError("a seeded loop cannot run inside another event loop: make the test a plain function")
        self.seed = seed
        self.choices: list[tuple[int, int]] = []
        self.failures: list[dict[str, Any]] = []
        self.numbers = itertools.count(1)
        self._chance = random.Random(seed)
        self._max_steps = self._last_step = max_steps
        self._now = 0.0
        self._ready: list[asyncio.Handle] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._running = False
        self._closed = False

    def time(self) -> float:
        """Return the virtual time in seconds; zero at the start."""
        return self._now

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Make a callback ready."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Make a callback ready; there are no other threads."""
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Make a callback ready after a delay of virtual time."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Make a callback ready at a virtual time."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self.numbers), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave a cancelled timer where it is; it is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of this loop."""
        return _NumberedFuture(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any) -> Any:
        """Return a task of this loop."""
        return _NumberedTask(coro, loop=self, name=name, context=context)

    def run_until_complete(self, future: Any) -> Any:
        """Run callbacks until a coroutine has ended, and return its result.

        Raises:
            DeadlockError: nothing is ready, no timer is set and it has not ended.
            LivelockError: it took too many steps.
        """
        task = future if asyncio.isfuture(future) else self.create_task(future, name="scenario")
        self._last_step = len(self.choices) + self._max_steps
        hooks = sys.get_asyncgen_hooks()
        self._running = True
        events._set_running_loop(self)
        sys.set_asyncgen_hooks(finalizer=self._finalize)
        try:
            while not task.done():
                self._step()
        finally:
            sys.set_asyncgen_hooks(*hooks)
            events._set_running_loop(None)
            self._running = False
        return task.result()

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        self.create_task(generator.aclose())

    def _step(self) -> None:
        while self._timers and (self._timers[0][0] <= self._now or not self._ready):
            when, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled():
                self._now = max(self._now, when)
                self._ready.append(timer)
        if not self._ready:
            waiting = sorted(str(task) for task in asyncio.all_tasks(self))
            raise DeadlockError("\n  ".join(["nothing can run any more; waiting:", *waiting]))
        if len(self.choices) >= self._last_step:
            raise LivelockError(f"not done after {self._max_steps} steps")
        chosen = self._chance.randrange(len(self._ready))
        self.choices.append((len(self._ready), chosen))
        handle = self._ready.pop(chosen)
        if not handle.cancelled():
            handle._run()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what went wrong where nobody waits for it."""
        self.failures.append(context)

    def is_running(self) -> bool:
        """Return whether callbacks are being run."""
        return self._running

    def is_closed(self) -> bool:
        """Return whether the loop was closed."""
        return self._closed

    def close(self) -> None:
        """Forget what is left."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    def get_debug(self) -> bool:
        """Return False: asyncio's debug mode would measure real time."""
        return False


def run(scenario: Callable[[], Coroutine[Any, Any, T]], seed: int, *, max_steps: int = 1_000_000) -> T:
    """Run a scenario under the schedule of a seed and return its result.

    The same seed gives the same schedule. Tasks that are left over are cancelled, as `asyncio.run` does.

    Raises:
        BaseException: what the scenario raised, with the seed as a note.
        DeadlockError: all of its tasks wait for each other.
        LivelockError: it took more than `max_steps` steps.
        ExceptionGroup: a callback or a task that nobody waits for failed.
    """
    # What a loop without sockets and threads has no use for raises NotImplementedError in the base class.
    loop = SeededLoop(seed, max_steps=max_steps)  # type: ignore[abstract]
    try:
        result: T = loop.run_until_complete(scenario())
        _cancel_rest(loop)
        lost = [context["exception"] for context in loop.failures if isinstance(context.get("exception"), Exception)]
        if lost:
            raise ExceptionGroup("nobody fetched these errors", lost)
        return result
    except BaseException as error:
        error.add_note(f"schedule: seed {seed}, {len(loop.choices)} steps, {loop.time():g} s of virtual time")
        # What deadlocked once may do so again while it is cancelled; the first error is the one to tell.
        with contextlib.suppress(DeadlockError, LivelockError):
            _cancel_rest(loop)
        raise
    finally:
        loop.close()


def _cancel_rest(loop: SeededLoop) -> None:
    rest = sorted(asyncio.all_tasks(loop), key=hash)
    for task in rest:
        task.cancel()

    async def drain() -> None:
        await asyncio.gather(*rest, return_exceptions=True)

    if rest:
        loop.run_until_complete(drain())


def explore(
    scenario: Callable[[], Coroutine[Any, Any, object]], seeds: Iterable[int], *, max_steps: int = 1_000_000
) -> int:
    """Run a scenario under many schedules, stop at the first that fails, and return how many there were.

    Raises:
        BaseException: what the scenario raised; its note names the seed with which `run` replays it.
    """
    count = 0
    for seed in seeds:
        run(scenario, seed, max_steps=max_steps)
        count += 1
    return count
