"""The journal: what a fault tool did, in order, shown by pytest beside every failure."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

LOGGER = logging.getLogger("focal_testkit.faults")
# pytest prints captured records of a failed test; the root logger's level would hide these.
LOGGER.setLevel(logging.INFO)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal.

    Attributes:
        seconds: since the journal began.
        connection: number of the connection it concerns, 0 when it concerns all.
        event: a word, such as ``"connected"`` or ``"before"``.
        detail: what exactly.
    """

    seconds: float
    connection: int
    event: str
    detail: str

    def __str__(self) -> str:
        where = f"#{self.connection}" if self.connection else "all"
        return f"{self.seconds:9.4f} {where:>5} {self.event} {self.detail}".rstrip()


@dataclass(slots=True)
class Journal:
    """What happened so far; also written to the logger ``focal_testkit.faults``, so that pytest shows it on failure.

    Attributes:
        entries: in the order of events.
    """

    entries: list[Entry] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    def note(self, event: str, detail: str = "", connection: int = 0) -> None:
        """Append a line; one without detail is logged as a matter of debugging."""
        entry = Entry(time.monotonic() - self._started, connection, event, detail)
        self.entries.append(entry)
        LOGGER.log(logging.INFO if detail else logging.DEBUG, "%s", entry)

    def events(self, event: str) -> list[Entry]:
        """Return the lines of one event, in order."""
        return [entry for entry in self.entries if entry.event == event]

    def __str__(self) -> str:
        return "\n".join(map(str, self.entries))
