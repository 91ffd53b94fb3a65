"""A server process that ends with the tests that started it, however they end."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


class BoundProcess:
    """A child that is killed when this process ends, by SIGKILL too; the terminal's interrupts do not reach it.

    Args:
        command: program and arguments.
        folder: its working directory.
        output: the file of its standard output and error.
    """

    def __init__(self, command: Sequence[str], *, folder: Path, output: Path) -> None:
        with output.open("wb") as file:
            self._child = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        # Its standard input ends when this process does.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read end; kill -KILL "$1"', "sh", str(self._child.pid)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it is there, paused or not."""
        return self._child.poll() is None

    def end(self, how: signal.Signals) -> None:
        """End it and return when it has ended; a paused one is resumed for that, one that does not obey is killed.

        Args:
            how: SIGTERM or SIGKILL.
        """
        # Before the child's number can be another's.
        self._guard.kill()
        self._guard.communicate()
        with suppress(ProcessLookupError):
            self._child.send_signal(how)
            self._child.send_signal(signal.SIGCONT)
        try:
            self._child.wait(30)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
