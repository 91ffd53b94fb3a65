"""Files and ports of an embedded server's folder."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from focal_core.errors import SettingsError, StoreUnavailableError

START_SECONDS = 300
"""How long a server may take to start: it may have much to recover."""


def write(path: Path, text: str, owner: tuple[int, int] | None = None, *, mode: int = 0o600) -> None:
    """Replace a file of our folder by a new one of the given mode; it is the server's own if an owner is given."""
    making = path.with_name(f"{path.name}.tmp")
    making.unlink(missing_ok=True)
    handle = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(handle, "w", encoding="utf-8") as file:
        os.fchmod(handle, mode)
        if owner is not None:
            os.fchown(handle, *owner)
        file.write(text)
    making.replace(path)


def new_password(home: Path) -> str:
    """Make the folder's password, write it down, and return it."""
    password = secrets.token_urlsafe(32)
    write(home / "password", password)
    return password


def password_of(home: Path) -> str:
    """Return the folder's password.

    Raises:
        SettingsError: it cannot be read.
    """
    try:
        return (home / "password").read_text(encoding="ascii")
    except OSError as error:
        raise SettingsError(
            f"the password of the server in {home} cannot be read: {error.strerror}",
            code="embedded_folder",
            hint="join it as the user who made the folder",
        ) from error


def begin_log(home: Path, owner: tuple[int, int] | None = None) -> Path:
    """Begin a log of the server's, keep the one before, and return its path."""
    log = home / "server.log"
    with suppress(FileNotFoundError):
        log.replace(home / "server.log.old")
    write(log, "", owner)
    return log


def free_port(port: int = 0) -> int:
    """Return that port of 127.0.0.1, or any for 0.

    Raises:
        OSError: it is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])


def kept_port(port: int | None) -> int:
    """Return the port of the last start if there is one and it is free, so that clients find the server again."""
    if port is not None:
        with suppress(OSError):
            return free_port(port)
    return free_port()


def not_started(name: str, home: Path, causes: list[str]) -> StoreUnavailableError:
    """Return the error of a server that does not start.

    Args:
        name: of the server, as messages name it.
        home: its folder.
        causes: lines of its log; the last three are told.
    """
    return StoreUnavailableError(
        f"{name} does not start in {home}: {' | '.join(causes[-3:]) or 'its log says nothing'}",
        code="embedded_start",
        retryable=False,
        hint=f"see {home / 'server.log'}",
    )
