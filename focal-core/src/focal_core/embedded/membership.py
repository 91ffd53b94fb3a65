"""Who uses an embedded server: joined by any number of processes, stopped with the last one, however it ends."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from focal_core.errors import SettingsError

if sys.platform != "win32":
    import fcntl

    from focal_core.embedded.watcher import Process, held, opened, start_watcher


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server.

    Attributes:
        url: the address with its password.
        folder: where it lives, absolute.
        version: such as ``"18.4"``.
        pid: of its process.
    """

    url: str = field(repr=False)
    folder: Path
    version: str
    pid: int


@dataclass(frozen=True)
class Engine:
    """What servers differ in.

    Attributes:
        name: as messages name it.
        process: folder -> how its server's process is found.
        signals: mode of ``stop`` -> signals, each sent when the one before has not helped; ``fast`` is the way of the
            last one to leave.
    """

    name: str
    process: Callable[[Path], Process]
    signals: Mapping[str, Sequence[int]]


@dataclass
class _Membership:
    """What this process holds of a server, for as many joins as it made."""

    engine: Engine
    handles: tuple[int, int]
    joins: int


_joined: dict[Path, _Membership] = {}
_guard = threading.RLock()


def join(engine: Engine, folder: Path, ensure_running: Callable[[Path], tuple[str, str, int]]) -> EmbeddedServer:
    """Return the server of a folder, started if it does not run.

    Every join needs one ``leave``; a process that ends, or is killed, has left.

    Args:
        engine: which server.
        folder: where it lives; made if it is missing, its parents too.
        ensure_running: called with the absolute folder while ``lock`` is held; starts the server unless it runs, and
            returns its address, version and pid.

    Raises:
        SettingsError: the folder cannot be used, or the system is Windows.
    """
    if sys.platform == "win32":
        raise SettingsError(
            f"embedded {engine.name} needs Linux or macOS",
            code="embedded_platform",
            hint=f"run {engine.name} in a container and give its address as url",
        )
    home = _home(engine, folder)
    with _guard:
        joined = _joined.get(home)
        with held(home / "lock", fcntl.LOCK_EX):
            membership = joined or _Membership(engine, _hold(home), 0)
            try:
                # First: this process may be killed while the server starts.
                start_watcher(home, engine.process(home), engine.signals["fast"])
                url, version, pid = ensure_running(home)
            except BaseException as error:
                if joined is None:
                    _let_go(membership)
                if isinstance(error, OSError):
                    raise _unusable(engine, home, error) from error
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


def stop(engine: Engine, server: EmbeddedServer, mode: str) -> None:
    """Stop a server although processes use it; the next ``join`` starts it again, at the same address.

    Args:
        engine: which server.
        server: what ``join`` returned.
        mode: a key of the engine's ``signals``.
    """
    with suppress(FileNotFoundError), held(server.folder / "lock", fcntl.LOCK_EX):
        engine.process(server.folder).stop(engine.signals[mode])


def _home(engine: Engine, folder: Path) -> Path:
    home = folder.expanduser().absolute()
    try:
        # A server of root may have to run as another user, who has to pass.
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        home = home.resolve()
        os.close(opened(home / "lock"))
    except OSError as error:
        raise _unusable(engine, home, error) from error
    return home


def _unusable(engine: Engine, home: Path, error: OSError) -> SettingsError:
    return SettingsError(
        f"the folder {home} cannot hold a {engine.name} server: {error.strerror}",
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
    engine = membership.engine
    try:
        with suppress(FileNotFoundError, BlockingIOError), held(home / "lock", fcntl.LOCK_EX):
            fcntl.flock(membership.handles[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            engine.process(home).stop(engine.signals["fast"])
    finally:
        _let_go(membership)


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
