"""Time: one injected clock, aware UTC, microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol


def utc_now() -> datetime:
    """Return the present moment as an aware UTC datetime."""
    return datetime.now(UTC)


class Clock(Protocol):
    """What stores ask for the time. Deadlines use the event loop's monotonic clock instead."""

    def now(self) -> datetime:
        """Return the present moment, aware and in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the present moment as the machine sees it."""
        return utc_now()


class ManualClock:
    """A clock that stands still until it is moved: for tests and for replaying logs.

    Args:
        start: where it stands first; the machine's present when None, so that servers which also look at
            their own clock agree with it.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = (start or utc_now()).astimezone(UTC)

    def now(self) -> datetime:
        """Return the moment the clock stands at."""
        return self._now

    def set(self, moment: datetime) -> None:
        """Move the clock to a moment, forward or back."""
        self._now = moment.astimezone(UTC)

    def advance(self, delta: timedelta | None = None, *, seconds: float = 0.0) -> datetime:
        """Move the clock by a timedelta, by seconds, or by both, and return where it then stands."""
        self._now += (delta or timedelta()) + timedelta(seconds=seconds)
        return self._now
