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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

STOP_SECONDS = 60


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


def run(
    program: Path, *arguments: str, folder: Path, owner: tuple[int, int] | None, quiet: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL's within a folder; its exit code is the caller's to read.

    Args:
        program: its path.
        arguments: of the command line; relative paths are the folder's.
        folder: the working directory.
        owner: user and group to run as, or None for our own.
        quiet: True for what leaves a process behind, which would keep the pipes of its output open.
    """
    user: dict[str, Any] = {} if owner is None else {"user": owner[0], "group": owner[1], "extra_groups": []}
    output = subprocess.DEVNULL if quiet else subprocess.PIPE
    return subprocess.run(
        [str(program), *arguments],
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        text=True,
        check=False,
        **user,
    )


def pid_file(home: Path) -> list[str]:
    """Return the lines of the pid file; empty without one."""
    with suppress(FileNotFoundError):
        return (home / "data" / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    return []


def is_postmaster(pid: int, home: Path) -> bool:
    """Whether that process is the server of this folder, and not another that got the number of a dead one."""
    if Path("/proc/self/cwd").exists():
        try:
            return os.path.samefile(f"/proc/{pid}/cwd", home / "data")
        except OSError:
            return False
    told = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "postgres" in told.stdout


def stop(home: Path, control: Path, owner: tuple[int, int] | None, mode: str) -> None:
    """Stop the server of a folder if it runs; the caller holds ``lock``.

    Args:
        home: the folder.
        control: the path of pg_ctl.
        owner: as of ``run``.
        mode: ``fast``, ``immediate`` or ``kill``.
    """
    lines = pid_file(home)
    if not lines or not is_postmaster(int(lines[0]), home):
        return
    pid = int(lines[0])
    if mode != "kill":
        command = ("stop", "-w", "-t", str(STOP_SECONDS), "-D", "data", "-m")
        if run(control, *command, mode, folder=home, owner=owner).returncode != 0:
            run(control, *command, "immediate", folder=home, owner=owner)
    else:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    give_up = time.monotonic() + STOP_SECONDS
    while is_postmaster(pid, home) and time.monotonic() < give_up:
        time.sleep(0.002)


def watch(home: Path, control: Path, owner: tuple[int, int] | None, only: int) -> None:
    """Wait until nobody uses the server, then stop it.

    Args:
        home: the folder.
        control: the path of pg_ctl.
        owner: as of ``run``.
        only: a handle that is locked for as long as there is a watcher.
    """
    while True:
        with held(home / "alive", fcntl.LOCK_EX):
            pass
        with held(home / "lock", fcntl.LOCK_EX), suppress(BlockingIOError):
            with held(home / "members", fcntl.LOCK_EX | fcntl.LOCK_NB):
                stop(home, control, owner, "fast")
            # Before the lock is free: who starts the server next has to see that it needs another watcher.
            os.close(only)
            return


def start_watcher(home: Path, control: Path, owner: tuple[int, int] | None) -> None:
    """Start a watcher unless there is one; the caller holds ``lock``.

    Args:
        home: the folder.
        control: the path of pg_ctl.
        owner: as of ``run``.
    """
    # Where Python is embedded in another program, that program is what sys.executable may name.
    if "python" not in Path(sys.executable or "").name.lower():
        return
    only = opened(home / "watcher")
    try:
        fcntl.flock(only, fcntl.LOCK_EX | fcntl.LOCK_NB)
        user = [] if owner is None else [str(number) for number in owner]
        script = [sys.executable, "-E", "-S", "-P", __file__, str(only), str(home), str(control), *user]
        # By way of a shell that ends at once, so that nobody has to wait for the watcher's end.
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", *script],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[only],
            start_new_session=True,
            check=False,
        )
    except BlockingIOError:
        return
    finally:
        os.close(only)


if __name__ == "__main__":
    handle, folder, pg_ctl, *numbers = sys.argv[1:]
    with suppress(FileNotFoundError):
        watch(Path(folder), Path(pg_ctl), (int(numbers[0]), int(numbers[1])) if numbers else None, int(handle))
