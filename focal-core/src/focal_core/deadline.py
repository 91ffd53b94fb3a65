"""One deadline for a whole call, however many statements it takes."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C")

_STARTED: ContextVar[float | None] = ContextVar("focal_call_started", default=None)


def call_started() -> float:
    """Return when the call that is running began, by the loop's clock; now outside of one."""
    started = _STARTED.get()
    return asyncio.get_running_loop().time() if started is None else started


def one_call(method: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Return a store's method as one call: what it awaits counts its deadlines from its beginning."""

    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if _STARTED.get() is not None:
            return await method(*args, **kwargs)
        _STARTED.set(asyncio.get_running_loop().time())
        try:
            return await method(*args, **kwargs)
        finally:
            # Not by a token: a call that is thrown away may end in another context.
            _STARTED.set(None)

    return call


def as_calls(cls: type[C]) -> type[C]:
    """Make each public coroutine method that a class defines one call, and return the class."""
    for name, member in list(vars(cls).items()):
        if not name.startswith("_") and inspect.iscoroutinefunction(member):
            setattr(cls, name, one_call(member))
    return cls


def begin_anew() -> None:
    """Let what the running task awaits count its deadlines from now, whatever call the task was made in."""
    _STARTED.set(None)
