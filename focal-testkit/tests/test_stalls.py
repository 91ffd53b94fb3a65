"""Tests marked ``clock`` are run again when the machine, not the code, was slow; no other test ever is."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from focal_testkit.stalls import Stalls

CASES = """
import os, subprocess
import pytest

BEGUN = []

@pytest.fixture
def fresh():
    found = []
    yield found
    assert len(found) == 1

def _stall():
    me = os.getpid()
    subprocess.run(["sh", "-c", f"kill -STOP {me}; sleep 0.2; kill -CONT {me}"])

@pytest.mark.clock
def test_held_up_once(fresh):
    fresh.append(1)
    BEGUN.append("once")
    if BEGUN.count("once") == 1:
        _stall()
        raise AssertionError("late")

@pytest.mark.clock
def test_held_up_always(fresh):
    fresh.append(1)
    BEGUN.append("always")
    _stall()
    raise AssertionError("late")

@pytest.mark.clock
def test_held_up_and_right(fresh):
    fresh.append(1)
    BEGUN.append("right")
    _stall()

def test_of_no_clock():
    BEGUN.append("no clock")
    _stall()
    raise AssertionError("wrong")

def test_rounds():
    assert [BEGUN.count(one) for one in ("once", "always", "right", "no clock")] == [2, 3, 1, 1]
"""

WRONG = """
import pytest

@pytest.mark.clock
def test_wrong():
    raise AssertionError("wrong")
"""


def run(folder: Path, tests: str, *, conftest: str = "") -> str:
    """Run tests in a process of their own and return what was printed."""
    (folder / "test_cases.py").write_text(tests)
    (folder / "conftest.py").write_text(conftest)
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-v", str(folder))
    return subprocess.run(command, capture_output=True, text=True, cwd=folder).stdout


def test_stalled_rounds_do_not_count(tmp_path: Path) -> None:
    """One that failed while the process was stalled begins anew, fixtures too; the third round counts in any case."""
    printed = run(tmp_path, CASES)
    assert "2 failed, 3 passed, 3 rerun" in printed, printed
    assert "FAILED test_cases.py::test_held_up_always" in printed
    assert "FAILED test_cases.py::test_of_no_clock" in printed


def test_a_failure_on_a_quiet_machine_counts(tmp_path: Path) -> None:
    """Without a stall there is no second round."""
    printed = run(tmp_path, WRONG, conftest="from focal_testkit import stalls\nstalls.NOTABLE = 1e9\n")
    assert "= 1 failed in" in printed, printed


@pytest.mark.clock
def test_what_the_code_itself_does_is_no_stall() -> None:
    """Code that blocks, or computes, is to blame for it: the thread beside it goes on."""
    with Stalls() as stalls:
        time.sleep(0.1)
        ends = time.monotonic() + 0.2
        while time.monotonic() < ends:
            pass
    assert stalls.seconds < 0.2
