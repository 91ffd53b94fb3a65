"""Tests whose verdict hangs on the clock, on machines that stop now and then."""

from __future__ import annotations

import threading
import time
from typing import Self

import pytest
from _pytest.runner import runtestprotocol

ROUNDS = 3
"""How often a test marked ``clock`` is run at most."""
NOTABLE = 0.03
"""Seconds of stall that make a failure of such a test no evidence."""
_TICK = 0.005


class Stalls:
    """Measures, in a thread, for how long this process was kept from running.

    A machine with too much to do, or one that is itself a guest, stops a process for some hundred milliseconds; no
    code in it is to blame for the time. What the process itself does does not count, unless it is one long call into C
    that keeps the interpreter's lock.

    Attributes:
        seconds: so far, stalls of less than `NOTABLE` left out.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="focal-stalls", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        ended = False
        while not ended:
            due = time.monotonic() + _TICK
            ended = self._ended.wait(_TICK)
            late = time.monotonic() - due
            if late >= NOTABLE:
                self.seconds += late


def run(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run a test as pytest does, and again when it failed while the process was stalled, `ROUNDS` times at most.

    The last round counts whatever happens. A round that does not count is reported as ``rerun``.
    """
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for left in reversed(range(ROUNDS)):
        with Stalls() as stalls:
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
        failures = [report for report in reports if report.failed]
        if not (left and stalls.seconds and failures):
            break
        for report in failures:
            report.outcome = "rerun"  # type: ignore[assignment]
            report.sections.append(("Stalls", f"the process was stalled for {stalls.seconds:.2f} s"))
            item.ihook.pytest_runtest_logreport(report=report)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
