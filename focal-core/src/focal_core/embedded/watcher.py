"""Ends an embedded server whose users were all killed; run as a script, so nothing but the standard library.

A process holds two files of the folder shared while it uses the server: ``members``, by which the last one to leave
knows that it is the last, and ``alive``, on which this watcher waits. The kernel drops both when a process dies.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

STOP_SECONDS = 60


class Process(NamedTuple):
    """How the process of an embedded server is found.

    Attributes:
        folder: its working directory, which no other process has.
        pid_file: the file whose first line it makes its number; it may outlive the process.
        command: a word of its command line, for systems that do not tell the working directory.
        serving: a file that is locked by the server and by what is about to become it, from before it is started
            until the last of its processes has ended.
    """

    folder: Path
    pid_file: Path
    command: str
    serving: Path

    def lines(self) -> list[str]:
        """Return the lines of the pid file; empty without one."""
        with suppress(FileNotFoundError):
            return self.pid_file.read_text(encoding="utf-8").splitlines()
        return []

    def is_server(self, pid: int) -> bool:
        """Whether that process is the server, and not another that got the number of a dead one."""
        if Path("/proc/self/cwd").exists():
            try:
                return os.path.samefile(f"/proc/{pid}/cwd", self.folder)
            except OSError:
                return False
        told = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return self.command in told.stdout

    def is_served(self) -> bool:
        """Whether there is a server, ready or not, or what is left of a killed one."""
        try:
            # Made by who starts a server; to make it here would be in the way of a folder's removal.
            with suppress(FileNotFoundError), held(self.serving, fcntl.LOCK_EX | fcntl.LOCK_NB):
                pass
        except BlockingIOError:
            return True
        return False

    def pid(self) -> int | None:
        """Return the number of the running server, or None."""
        lines = self.lines()
        return int(lines[0]) if lines and self.is_server(int(lines[0])) else None

    def stop(self, signals: Sequence[int]) -> None:
        """Stop the server if it runs and return when it has ended; the caller holds ``lock``.

        Args:
            signals: sent one after the other, each when the one before has not helped within a minute.
        """
        give_up = time.monotonic() + STOP_SECONDS
        # Who started it may have been killed before it could tell its number.
        while (pid := self.pid()) is None:
            if not self.is_served() or time.monotonic() > give_up:
                return
            time.sleep(0.002)
        for number in signals:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
            give_up = time.monotonic() + STOP_SECONDS
            while time.monotonic() < give_up:
                if not self.is_server(pid):
                    return
                time.sleep(0.002)


@contextmanager
def held(path: Path, how: int) -> Iterator[None]:
    """Hold a lock on a file for the length of a block.

    Args:
        path: the file.
        how: as of ``flock``.

    Raises:
        FileNotFoundError: the folder was removed; making the file anew would be in the way of that.
        BlockingIOError: ``how`` does not wait, and another process has the lock.
    """
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def opened(path: Path) -> int:
    """Return a handle of a lock file, which is made if it is missing."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def watch(home: Path, server: Process, signals: Sequence[int], only: int) -> None:
    """Wait until nobody uses the server, then stop it.

    Args:
        home: the folder.
        server: its process.
        signals: as of ``Process.stop``.
        only: a handle that is locked for as long as there is a watcher.
    """
    while True:
        with held(home / "alive", fcntl.LOCK_EX):
            pass
        with held(home / "lock", fcntl.LOCK_EX), suppress(BlockingIOError):
            with held(home / "members", fcntl.LOCK_EX | fcntl.LOCK_NB):
                server.stop(signals)
            # Before the lock is free: who starts the server next has to see that it needs another watcher.
            os.close(only)
            return


def launch(command: Sequence[str], handle: int, cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Start a process that is nobody's child, so that nobody has to wait for its end.

    Args:
        command: the program and its arguments.
        handle: that it inherits, under the same number.
        cwd: its working directory.
        env: its environment; this process's own when omitted.
    """
    subprocess.run(
        ["/bin/sh", "-c", '"$@" &', "sh", *command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[handle],
        start_new_session=True,
        check=False,
    )


def start_watcher(home: Path, server: Process, signals: Sequence[int]) -> None:
    """Start a watcher unless there is one; the caller holds ``lock``.

    Args:
        home: the folder.
        server: its process.
        signals: as of ``Process.stop``.
    """
    # Where Python is embedded in another program, that program is what sys.executable may name.
    if "python" not in Path(sys.executable or "").name.lower():
        return
    only = opened(home / "watcher")
    try:
        fcntl.flock(only, fcntl.LOCK_EX | fcntl.LOCK_NB)
        place = [str(only), str(home), *map(str, server), *map(str, map(int, signals))]
        launch([sys.executable, "-E", "-S", "-P", __file__, *place], only, Path("/"))
    except BlockingIOError:
        return
    finally:
        os.close(only)


if __name__ == "__main__":
    handle, folder, data, pid_file, command, serving, *numbers = sys.argv[1:]
    with suppress(FileNotFoundError):
        watch(
            Path(folder),
            Process(Path(data), Path(pid_file), command, Path(serving)),
            [signal.Signals(int(number)) for number in numbers],
            int(handle),
        )
