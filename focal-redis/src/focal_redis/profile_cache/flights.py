"""One question at a time: callers that miss the same entry at the same time share one look at the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, TypeVar

from focal_core.base import FocalModel, validated_copy

M = TypeVar("M", bound=FocalModel)


class _Flight:
    __slots__ = ("answer", "failed", "followers", "landed")

    def __init__(self) -> None:
        self.landed = asyncio.Event()
        self.followers = 0
        self.answer: list[Any] | None = None
        self.failed = False


class Flights:
    """The looks at the store that are out."""

    def __init__(self) -> None:
        self._out: dict[Hashable, _Flight] = {}

    async def join(self, key: Hashable, ask: Callable[[], Awaitable[list[M]]]) -> list[M]:
        """Return what ``ask`` returns, or a copy of what another caller's does who asked first.

        A caller that is cancelled hands over to one of those who wait. One that fails fails alone: the others ask for
        themselves.

        Args:
            key: what is asked for; equal only where the other's answer is as good as one's own.
            ask: asks the store.
        """
        while (flight := self._out.get(key)) is not None:
            flight.followers += 1
            await flight.landed.wait()
            if flight.answer is not None:
                return _copies(flight.answer)
            if flight.failed:
                return await ask()
        flight = self._out[key] = _Flight()
        try:
            rows = await ask()
            # The rows themselves are the first caller's, to change as it likes.
            flight.answer = _copies(rows) if flight.followers else None
        except Exception:
            flight.failed = True
            raise
        finally:
            del self._out[key]
            flight.landed.set()
        return rows


def _copies(rows: Sequence[M]) -> list[M]:
    return [validated_copy(row) for row in rows]
