"""What starting servers waits for: a condition with a deadline, and a port nobody has."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable

FIRST_PORT, LAST_PORT, BUS = 11_000, 20_900, 10_000
"""Below the ports that systems give to outgoing connections, as are those of a cluster's bus, 10,000 above."""


class NotInTimeError(Exception):
    """A condition did not become true before its deadline."""


def until(condition: Callable[[], bool], what: str, *, seconds: float = 30.0) -> None:
    """Return once a condition is true.

    Args:
        condition: asked every 10 ms.
        what: the condition in words.
        seconds: how long at most.

    Raises:
        NotInTimeError: it did not become true.
    """
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise NotInTimeError(f"not within {seconds:g} seconds: {what}")
        time.sleep(0.01)


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free, with the one 10,000 above.

    A killed server finds it free when it comes back: no outgoing connection is given such a port.
    """
    while True:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        if all(_free(number) for number in (port, port + BUS)):
            return port


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
